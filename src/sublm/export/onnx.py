"""Writing a model as ONNX, comparing an exported file with torch, and quantising it to int8."""

from __future__ import annotations

import copy
import inspect
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sublm.errors import ExportError
from sublm.export.sessions import open_session
from sublm.optional import try_import
from sublm.outputs import EMBEDDING, compared, named_outputs
from sublm.pooling import pooling_of

OPSET = 20
"""Has GELU and LayerNormalization as operators; ONNX Runtime reads it since 1.17."""

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_LARGEST = 2**31 - 1  # bytes a protobuf file can hold


def export_onnx(model: Any, path: str | Path, *, tokenizer: Any = None, length: int = 16, fp16: bool = False) -> Path:
    """Writes a model as one ONNX file with dynamic batch and length (and choices, for multiple choice).

    Inputs are `input_ids`, `attention_mask` and, if the model tells segments apart, `token_type_ids`, each int64 of
    shape [batch, length] or [batch, choices, length]. Outputs are named as transformers names them: `logits`,
    `start_logits` and `end_logits`, `last_hidden_state` and `pooler_output`; an embedding model's file pools and
    normalises, and gives `sentence_embedding`. The model itself is left as it is.

    Args:
        model: An ordinary transformers encoder with any head.
        path: The file to write; appears at once, whole, and replaces a file of that name.
        tokenizer: If given, `token_type_ids` is an input only if the tokenizer makes it.
        length: Tokens of the text that is traced; any length runs afterwards.
        fp16: Store weights and compute in half precision, which needs a processor that has it: a GPU, an NPU, some
            ARM cores. Inputs and outputs stay as they are, and embeddings are pooled in float32.

    Returns:
        The file.

    Raises:
        MissingPackageError: If onnx is not installed.
        ExportError: If the model is elastic, is too large for one file, or cannot be traced.
    """
    try_import("onnx", extra="onnx", purpose="Writing ONNX")
    if any(type(module).__name__.startswith("Elastic") for module in model.modules()):
        raise ExportError("This model is a super-network. Export what supernet.extract(subnet) returns.")
    size = (2 if fp16 else 4) * sum(parameter.numel() for parameter in model.parameters())
    if size > _LARGEST:
        raise ExportError(
            f"The model needs {size / 1e9:.1f} GB, an ONNX file holds 2.1 GB: choose a smaller sub-network."
        )
    target = Path(path)
    plain = _copy(model).half() if fp16 else _copy(model)
    # Eager attention traces to fewer operators than SDPA, which also guards against rows that are masked whole.
    # Set by hand: set_attn_implementation refuses classes whose own module defines no attention.
    plain.config._attn_implementation = "eager"
    names = _input_names(plain, tokenizer)
    # Two shapes that differ in every axis: the axes of the outputs that change with them are the dynamic ones.
    first, second = (2, 3, length), (3, 4, length + 1)
    traced, other = (_Positional(plain, names, _batch(plain, names, shape)) for shape in (first, second))
    outputs, others = traced.outputs(), other.outputs()
    axes = {name: _axis_names(plain) for name in names}
    for name, output in outputs.items():
        changed = (i for i, (a, b) in enumerate(zip(output.shape, others[name].shape, strict=True)) if a != b)
        axes[name] = {i: ("batch", "choices", "length")[first.index(output.shape[i])] for i in changed}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        written = Path(beside) / target.name
        try:
            with quietly(), torch.no_grad():
                # The TorchScript exporter, not the newer one: on torch 2.13 the newer one takes five times as long,
                # gives other numbers when SDPA meets padding, and writes files that quantisation refuses.
                torch.onnx.export(
                    traced,
                    tuple(traced.example.values()),
                    str(written),
                    input_names=list(names),
                    output_names=list(outputs),
                    dynamic_axes=axes,
                    opset_version=OPSET,
                    dynamo=False,
                )
        except Exception as error:  # the exporter raises whatever it met
            raise ExportError(f"{type(model).__name__} cannot be written as ONNX: {error}") from error
        written.replace(target)
    return target


def check_onnx(
    model: Any,
    path: str | Path,
    *,
    batches: Sequence[tuple[int, int]] = ((1, 1), (1, 7), (3, 16), (2, 61)),
    texts: Sequence[Mapping[str, Tensor]] | None = None,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> float:
    """Compares an exported file with the model it was written from, on random texts with padding, or on given ones.

    Args:
        model: The model in torch.
        path: The ONNX file, or OpenVINO's .xml file.
        batches: Pairs (texts, tokens) to compare on; tokens beyond what the model can read are cut.
        texts: Batches of inputs to compare on instead.
        tolerance: Largest absolute difference of any output that is accepted; where outputs are larger than one, in
            units of the largest, because float32 has no finer ones.
        seed: Of the random texts.

    Returns:
        The largest absolute difference found.

    Raises:
        MissingPackageError: If onnxruntime is not installed.
        ExportError: If the file cannot be read, or an output differs by more than the tolerance.
    """
    session = open_session(path, "Checking ONNX")
    names, outputs = tuple(session.inputs), list(session.outputs)
    plain, worst = _copy(model), 0.0
    shapes = [(rows, 3, min(tokens, longest_text(plain))) for rows, tokens in batches]
    for example in texts or [_batch(plain, names, shape, seed=seed) for shape in shapes]:
        rows, tokens = example["input_ids"].shape[0], example["input_ids"].shape[-1]
        example = {name: example[name] for name in names}
        expected = _Positional(plain, names, example).outputs()
        if missing := set(outputs) - set(expected):
            raise ExportError(f"{path} gives {sorted(missing)}, the model {sorted(expected)}: another model's file?")
        found = session.run(outputs, example)
        for name, array in zip(outputs, found, strict=True):
            reference = expected[name]
            if array.shape != tuple(reference.shape):
                raise ExportError(
                    f"{path}: {name} has shape {array.shape}, torch gives {tuple(reference.shape)} "
                    f"on {rows} texts of {tokens} tokens."
                )
            difference = (torch.from_numpy(array) - reference).abs().max().item()
            accepted = tolerance * max(1.0, reference.abs().max().item())
            if not difference <= accepted:  # so that NaN fails as well
                raise ExportError(
                    f"{path}: {name} differs from torch by {difference:.2g} on {rows} texts of {tokens} tokens; "
                    f"at most {accepted:.2g} is accepted. Export the model again, or pass tolerance=."
                )
            worst = max(worst, difference)
    return worst


def predict_onnx(path: str | Path, batches: Iterable[Mapping[str, Tensor]], *, precision: str = "fp32") -> np.ndarray:
    """The logits of an exported file, run by ONNX Runtime, or by OpenVINO if it is an .xml file.

    Args:
        path: The file; its first output is taken, or its start and end logits.
        batches: Inputs as `sublm.tasks.evaluation_batches` gives them; "index" says where their rows belong.
        precision: "bf16" lets OpenVINO compute in it; otherwise the file decides.

    Returns:
        [rows, outputs], in row order: embeddings of texts, or similarities [rows, 1] of pairs, if the file embeds;
        [rows, longest row, 2] of start and end logits, or [rows, longest row, tags], -inf beyond a batch's width.

    Raises:
        MissingPackageError: If onnxruntime is not installed.
        ExportError: If the file cannot be read.
    """
    session = open_session(path, "Running exported files", precision=precision)
    wanted = list(session.outputs)
    spans = "start_logits" in wanted
    wanted = ["start_logits", "end_logits"] if spans else wanted[:1]
    rows, parts = [], []
    for batch in batches:
        rows.append(batch["index"].numpy())
        inputs = {name: batch[name] for name in session.inputs}
        if wanted == [EMBEDDING]:
            parts.append(compared(lambda texts: torch.from_numpy(session.run(wanted, texts)[0]), inputs).numpy())
            continue
        found = session.run(wanted, inputs)
        parts.append(np.stack(found, axis=-1) if spans else found[0])
    if parts[0].ndim == 3:
        width = max(part.shape[1] for part in parts)
        parts = [np.pad(part, [(0, 0), (0, width - part.shape[1]), (0, 0)], constant_values=-np.inf) for part in parts]
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(parts)[order]


def quantise_onnx(path: str | Path, out: str | Path) -> Path:
    """Quantises an ONNX file to int8: weights per channel now, activations as they come (dynamic quantisation).

    Args:
        path: An ONNX file in float.
        out: The file to write; appears at once, whole.

    Returns:
        The file written.

    Raises:
        MissingPackageError: If onnx or onnxruntime is not installed.
        ExportError: If there is no such file, or it cannot be quantised.
    """
    quantization = try_import("onnxruntime.quantization", extra="onnx", purpose="Quantising ONNX")
    source, target = Path(path), Path(out)
    if not source.is_file():
        raise ExportError(f"{source} does not exist: write it first with export_onnx(model, path).")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        written = Path(beside) / target.name
        try:
            with quietly():
                quantization.quantize_dynamic(
                    source, written, weight_type=quantization.QuantType.QInt8, per_channel=True
                )
        except Exception as error:  # the quantiser raises whatever it met
            raise ExportError(f"{source} cannot be quantised: {error}") from error
        written.replace(target)
    return target


class _Positional(nn.Module):
    """The model called with tensors in order, as tracing wants it, giving tensors in order."""

    def __init__(self, model: Any, names: Sequence[str], example: dict[str, Tensor]) -> None:
        super().__init__()
        self.model, self.names, self.example = model, names, example
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Values of the model's output, in order."""
        found = named_outputs(self.model, dict(zip(self.names, inputs, strict=True))).values()
        return tuple(output.float() for output in found)  # nothing is added where they are

    @torch.no_grad()
    def outputs(self) -> dict[str, Tensor]:
        """The named outputs for the example."""
        return named_outputs(self.model, self.example)


def _copy(model: Any) -> Any:
    """A copy in float32 on the CPU, without dropout: the caller's model stays as it is."""
    return copy.deepcopy(model).float().cpu().eval()


def random_texts(path: str | Path, *, texts: int = 4, tokens: int = 16, seed: int = 0) -> list[dict[str, Tensor]]:
    """One batch of random texts for an exported file, which does not tell its vocabulary: of the first few tokens."""
    session = open_session(path, "Reading ONNX")
    generator = torch.Generator().manual_seed(seed)
    shape = (texts, 1, tokens) if max(session.inputs.values()) == 3 else (texts, tokens)
    ids = torch.randint(5, 16, shape, generator=generator)
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    return [{name: made[name] for name in session.inputs}]


def _chooses(model: Any) -> bool:
    return type(model).__name__.endswith("ForMultipleChoice")


def _axis_names(model: Any) -> dict[int, str]:
    return {0: "batch", 1: "choices", 2: "length"} if _chooses(model) else {0: "batch", 1: "length"}


def _input_names(model: Any, tokenizer: Any) -> tuple[str, ...]:
    """Inputs that matter: segments only if the model has more than one and the tokenizer names them."""
    accepted = inspect.signature(model.forward).parameters
    unused = set()
    if getattr(model.config, "type_vocab_size", 0) < 2:
        unused.add("token_type_ids")
    if tokenizer is not None:
        unused |= {"token_type_ids"} - set(tokenizer.model_input_names)
    return tuple(name for name in _INPUTS if name in accepted and name not in unused)


def longest_text(model: Any) -> int:
    """Tokens the model can read, or fewer if an embedding model says so."""
    pooling = pooling_of(model)
    if pooling is not None and pooling.max_length is not None:
        return min(pooling.max_length, _readable(model))
    return _readable(model)


def _readable(model: Any) -> int:
    found = positions(model)
    return int(getattr(model.config, "max_position_embeddings", 512)) if found is None else found


def positions(model: Any) -> int | None:
    """Tokens that have a position in a table, beyond which a model cannot run: RoBERTa starts after the padding index.

    None if it has no such table.
    """
    table = next((m for n, m in model.named_modules() if n.endswith("position_embeddings")), None)
    if not isinstance(table, nn.Embedding):
        return None
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def _batch(model: Any, names: Sequence[str], shape: tuple[int, int, int], seed: int = 0) -> dict[str, Tensor]:
    """Random texts of shape (batch, choices, length), the choices only if the model chooses; every second is padded."""
    size = shape if _chooses(model) else (shape[0], shape[2])
    config, generator = model.config, torch.Generator().manual_seed(seed)
    pad = config.pad_token_id or 0
    ids = torch.randint(0, config.vocab_size, size, generator=generator)
    # Inside a text no padding token: RoBERTa derives positions from where they stand.
    ids = torch.where(ids == pad, (pad + 1) % config.vocab_size, ids)
    mask, segments = torch.ones(size, dtype=torch.long), torch.zeros(size, dtype=torch.long)
    segments[..., size[-1] // 2 :] = 1
    padded = size[-1] // 3
    if padded:
        for tensor, value in ((ids, pad), (mask, 0), (segments, 0)):
            tensor[1::2, ..., -padded:] = value
    made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
    if unknown := set(names) - set(made):
        raise ExportError(f"The file wants the inputs {sorted(unknown)}; SubLM knows {', '.join(_INPUTS)}.")
    return {name: made[name] for name in names}


@contextmanager
def quietly() -> Iterator[None]:
    """Silences warnings that a user can do nothing about: on the exporter's future, tracing, and pre-processing."""
    root, handler = logging.getLogger(), logging.NullHandler()
    level = root.level
    root.addHandler(handler)  # logging.warning() would install a handler for good if there were none
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)

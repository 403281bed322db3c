"""Forward and backward of torch's attention kernels on the processor, by shape and precision.

Why super-networks train with plain matrix products in bf16 (`sublm/training/attention.py`). The kernels take turns;
the minimum counts. Run `python benchmarks/attention_speed.py`; the result is printed and written to
`results/attention_speed.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from sublm.machine import describe_machine

SHAPES = ((32, 4, 32, 32), (32, 12, 32, 32), (32, 12, 64, 32), (32, 12, 128, 64))
"""Texts, heads, tokens, head size."""


def fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Torch's fused kernel."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Plain matrix products, as transformers' eager attention."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask
    return torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype) @ v


def measure(texts: int, heads: int, tokens: int, size: int, dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    """Milliseconds of each kernel, forward and backward."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(texts, tokens, heads, size, dtype=dtype).transpose(1, 2).requires_grad_() for _ in "qkv")
    mask = torch.zeros(texts, 1, tokens, tokens, dtype=dtype)
    kernels: dict[str, Callable[..., Tensor]] = {"fused": fused, "products": products}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in kernels}
    for _ in range(rounds):
        for name, kernel in kernels.items():
            started = time.perf_counter()
            output = kernel(q, k, v, mask)
            middle = time.perf_counter()
            output.backward(torch.ones_like(output))
            times[name].append(((middle - started) * 1e3, (time.perf_counter() - middle) * 1e3))
    return {
        name: dict(
            zip(("forward_ms", "backward_ms"), (round(min(part), 2) for part in zip(*t, strict=True)), strict=True)
        )
        for name, t in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = {
        "machine": describe_machine(),
        "shapes": [
            {
                "texts": shape[0],
                "heads": shape[1],
                "tokens": shape[2],
                "head_size": shape[3],
                "precision": precision,
                **measure(*shape, dtype, options.rounds),
            }
            for shape in SHAPES
            for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        ],
    }
    text = json.dumps(result, indent=1)
    print(text)
    (Path(__file__).parent / "results" / "attention_speed.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

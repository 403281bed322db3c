"""Pickling that leaves the contents of tensors where they are: a small text and a list of arrays beside it.

Ray keeps such arrays in the memory that all processes of a node read. A tensor made around one is a view of it, so a
node holds the weights once, however many workers it has.
"""

from __future__ import annotations

import io
import pickle
import sys
import warnings
from typing import Any

import numpy as np

Packed = tuple[bytes, list[np.ndarray]]


def pack(value: Any, pickler: type[pickle.Pickler] = pickle.Pickler) -> Packed:
    """Takes a value apart; a tensor that stands in two places, as tied weights do, stays one.

    Args:
        value: Anything that can be pickled.
        pickler: What pickles all but the tensors.
    """

    class Pickler(pickler):  # type: ignore[misc, valid-type]
        def reducer_override(self, obj: Any) -> Any:
            found = _reduce(obj)
            if found is NotImplemented and hasattr(super(), "reducer_override"):
                return super().reducer_override(obj)
            return found

    buffers: list[pickle.PickleBuffer] = []
    text = io.BytesIO()
    Pickler(text, protocol=5, buffer_callback=buffers.append).dump(value)
    return text.getvalue(), [np.frombuffer(buffer.raw(), dtype=np.uint8) for buffer in buffers]


def unpack(packed: Packed) -> Any:
    """Puts a value together again. Its tensors read the given arrays: they must not be written to."""
    text, buffers = packed
    return pickle.loads(text, buffers=buffers)


def _reduce(obj: Any) -> Any:
    # A value without tensors must not cost the loading of torch.
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return NotImplemented
    if type(obj) is torch.nn.Parameter:
        return _parameter, (obj.data, obj.requires_grad)
    if type(obj) is torch.Tensor and obj.layout == torch.strided:
        array = obj.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        return _tensor, (pickle.PickleBuffer(array), obj.dtype, tuple(obj.shape), obj.requires_grad)
    return NotImplemented


def _tensor(buffer: Any, dtype: Any, shape: tuple[int, ...], requires_grad: bool) -> Any:
    import torch

    if not len(memoryview(buffer)):
        return torch.empty(shape, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the memory is read-only; so are weights in a search
        tensor = torch.frombuffer(buffer, dtype=dtype).view(shape)
    return tensor.requires_grad_() if requires_grad else tensor


def _parameter(data: Any, requires_grad: bool) -> Any:
    import torch

    return torch.nn.Parameter(data, requires_grad=requires_grad)

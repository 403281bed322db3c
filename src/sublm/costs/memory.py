"""Memory of a sub-network when it runs: its weights and the most that one forward pass holds beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sublm.costs.closed_form import CostModel, cost_model
from sublm.errors import SubLMError
from sublm.spaces.subnet import Subnet, count

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet

BYTES: Mapping[str, tuple[int, int]] = {
    "fp32": (4, 4),
    "fp16": (4, 4),
    "bf16": (2, 2),
    "int8": (1, 4),
    "int8-static": (1, 4),
}
"""Precision -> bytes of a weight and of an activation.

In int8, activations are in fp32 between the products; files in fp16 are unpacked when they are loaded on a CPU.
"""
_VECTOR = 3  # bytes more of a bias or norm, which int8 leaves in fp32
_CHANNEL = 5  # bytes of the scale and the zero point of an output in int8


def memory(
    network: SuperNet | CostModel, subnet: Subnet, *, length: int = 128, batch: int = 1, precision: str = "fp32"
) -> float:
    """Bytes of the parameters, embeddings included, and of the activations of one forward pass at its peak.

    Not counted is what a process needs before it loads any model: Python, torch and their libraries.

    The peak is an estimate, good to about a tenth in torch: per token, the embeddings hold 6 vectors of the hidden
    size; an attention half 2, and its queries, keys, values and contexts; an FFN half 3, and its neurons before and
    after the activation. Attention scores are not counted: fused kernels never hold them whole. The weights are exact;
    in int8 they are those of the file, to a hundredth: fp32 for biases and norms, a scale and a zero point for every
    output of a linear layer. The file's graph, some 0.1 MB, is not counted.

    Args:
        network: The super-network, or its costs.
        subnet: A sub-network that fits it.
        length: Tokens of a text.
        batch: Texts of one forward pass.
        precision: One of `BYTES`.

    Raises:
        SubnetError: If the sub-network asks for more than the super-network has.
        SubLMError: If a number is not positive or the precision unknown.
    """
    if length < 1 or batch < 1:
        raise SubLMError(f"length and batch must be at least 1; got {length} and {batch}.")
    if precision not in BYTES:
        raise SubLMError(f"precision must be one of {', '.join(BYTES)}; got {precision!r}.")
    weight, activation = BYTES[precision]
    costs = network if isinstance(network, CostModel) else cost_model(network)
    weights = weight * costs.parameters(subnet)
    if precision in ("int8", "int8-static"):
        weights += _VECTOR * costs.vectors(subnet) + _CHANNEL * costs.outputs(subnet)
    return float(weights + activation * batch * length * _held_per_token(subnet))


def _held_per_token(subnet: Subnet) -> int:
    """The most numbers held at once per token."""
    hidden, size = count(subnet.hidden), count(subnet.head_size)
    width = max((count(units) for units in subnet.heads), default=0) * size
    neurons = max((count(units) for units in subnet.neurons), default=0)
    return max(6 * hidden, 2 * hidden + 4 * width, 3 * hidden + 2 * neurons)

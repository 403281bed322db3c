"""Memory of a sub-network when it runs: its weights and the most that one forward pass holds beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sublm.costs.closed_form import CostModel, cost_model
from sublm.errors import SubLMError
from sublm.spaces.subnet import Subnet, count

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet

BYTES: Mapping[str, tuple[int, int]] = {"fp32": (4, 4), "bf16": (2, 2), "int8": (1, 4)}
"""Precision -> bytes of a weight and of an activation; in dynamic int8, activations are stored in fp32."""


def memory(
    supernet: SuperNet | CostModel, subnet: Subnet, *, length: int = 128, batch: int = 1, precision: str = "fp32"
) -> float:
    """Bytes of the parameters, embeddings included, and of the activations of one forward pass at its peak.

    Not counted is what a process needs before it loads any model: Python, torch and their libraries.

    The peak is an estimate, good to about a tenth in torch: per token, the embeddings hold 6 vectors of the hidden
    size; an attention half 2, and its queries, keys, values and contexts; an FFN half 3, and its neurons before and
    after the activation. Attention scores are not counted: fused kernels never hold them whole. The weights are exact.

    Args:
        supernet: The super-network, or its cost model.
        subnet: A sub-network that fits it.
        length: Tokens of a text.
        batch: Texts of one forward pass.
        precision: "fp32", "bf16" or "int8".

    Raises:
        SubnetError: If the sub-network asks for more than the super-network has.
        SubLMError: If a number is not positive or the precision unknown.
    """
    if length < 1 or batch < 1:
        raise SubLMError(f"length and batch must be at least 1; got {length} and {batch}.")
    if precision not in BYTES:
        raise SubLMError(f"precision must be one of {', '.join(BYTES)}; got {precision!r}.")
    weight, activation = BYTES[precision]
    model = supernet if isinstance(supernet, CostModel) else cost_model(supernet)
    return float(weight * model.parameters(subnet) + activation * batch * length * _held_per_token(subnet))


def _held_per_token(subnet: Subnet) -> int:
    """The most numbers held at once per token."""
    hidden, size = count(subnet.hidden), count(subnet.head_size)
    width = max((count(units) for units in subnet.heads), default=0) * size
    neurons = max((count(units) for units in subnet.neurons), default=0)
    return max(6 * hidden, 2 * hidden + 4 * width, 3 * hidden + 2 * neurons)

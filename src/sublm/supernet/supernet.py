"""The super-network: a loaded model whose sub-networks share its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from sublm.architectures import Axis, Shape
from sublm.errors import SubnetError
from sublm.importance.scores import Importance
from sublm.spaces.stock import Stock
from sublm.spaces.subnet import Subnet, Units, count
from sublm.supernet.extract import extract
from sublm.supernet.layers import ELASTIC, skippable
from sublm.supernet.layout import expected_widths, find_layout
from sublm.supernet.memory import share_weights
from sublm.supernet.reorder import reorder
from sublm.supernet.rewired import REWIRED
from sublm.supernet.selection import Selection, select, select_heads, stack
from sublm.supernet.sharing import shared_embeddings

Plan = list[tuple[nn.Module, dict[str, Any]]]
"""What to set on which module."""

PLANS = 256
"""Plans kept; a plan takes kilobytes."""


class SuperNet:
    """A transformers model turned, in place, into a weight-sharing super-network.

    The model keeps its class, its parameters and their names, and transformers' own forward; its leaf layers
    compute with slices of their weights. Call `supernet.model(...)` as before.

    Attributes:
        model: The model; elastic after construction.
        layout: Where its elastic weights are.
        shape: Its sizes.
        largest: The sub-network that keeps everything.
        active: The sub-network in use.
        head_aware: Whether smaller heads keep a part of each head.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        >>> supernet = SuperNet(BertModel(config))
        >>> supernet.activate(Subnet.uniform(supernet.shape, heads=2, neurons=32))
        >>> supernet.extract(supernet.active).num_parameters() < supernet.model.num_parameters()
        True
    """

    def __init__(self, model: Any, *, head_aware: bool = True) -> None:
        """Makes a model elastic.

        Args:
            model: A loaded transformers model of a supported family, with any head.
            head_aware: Smaller heads keep the first dimensions of each head. False cuts the first rows of the whole
                attention and deals them out to heads anew, so that heads of different sub-networks share nothing in
                particular: what AutoTinyBERT's head-aware slices are compared with (Yin et al., 2021, table 3).

        Raises:
            UnsupportedModelError: If the family has no table, or the model decodes.
        """
        self.model = model
        self.head_aware = head_aware
        self.layout = find_layout(model)
        self.shape: Shape = self.layout.shape
        self.largest = Subnet.full(self.shape)
        self._widths = expected_widths(self.shape)
        for leaf in self.layout.leaves:
            leaf_kind = type(leaf.module)
            if leaf_kind in ELASTIC:
                leaf.module.__class__ = ELASTIC[leaf_kind]
        for module in model.modules():
            rewired: Any = REWIRED.get(type(module))
            if rewired is not None:
                module.__class__ = rewired
        for block in self.layout.blocks:
            for module, skip in (*block.attention, *block.ffn):
                kind: Any = type(module)
                if not hasattr(kind, "skipped"):
                    module.__class__ = skippable(kind, skip)
        self._plans: dict[Subnet, Plan] = {}
        self.active = self.largest
        self._apply(self.largest)

    @property
    def stock(self) -> Stock:
        """The sub-networks that a stock configuration of the family can express."""
        table = self.layout.architecture
        return Stock(
            self.shape,
            all_heads=table.shared_head_bias,
            first_layer=table.first_norm is not None,
            a_layer=table.needs_a_layer,
            not_hidden=self.model.config.embedding_size if self.layout.projected else None,
        )

    def activate(self, subnet: Subnet) -> None:
        """Makes the model compute as a sub-network; costs well under a millisecond.

        Args:
            subnet: The sub-network.

        Raises:
            SubnetError: If it asks for more than the super-network has.
        """
        if subnet != self.active:
            self._apply(subnet)

    def extract(self, subnet: Subnet) -> Any:
        """Copies a sub-network out as an ordinary model.

        Args:
            subnet: The sub-network.

        Returns:
            A model of the same stock class if a stock configuration can express the sub-network (kept layers alike,
            heads x head size equal to the hidden size), else of the matching class in `modeling_sublm`, which is
            saved beside the weights. It is in the same training or evaluation mode, dtype and device.

        Raises:
            SubnetError: If the sub-network asks for more than the super-network has.
        """
        self.check(subnet)
        return extract(self, subnet)

    def check(self, subnet: Subnet) -> None:
        """Refuses a sub-network that this super-network does not have.

        Raises:
            SubnetError: If it asks for more than there is, or for smaller heads where positions rotate them.
        """
        subnet.check(self.shape)
        if self.layout.architecture.rotary and count(subnet.head_size) != self.shape.head_size:
            raise SubnetError(
                f"head_size: {count(subnet.head_size)} asked for, but {self.layout.architecture.model_type} turns the "
                f"dimensions of a head by position, in pairs: heads keep all {self.shape.head_size} of them. Keep "
                "fewer heads instead."
            )

    def reorder(self, importance: Importance) -> Importance:
        """Sorts heads, neurons, head dimensions and hidden channels, the most important first.

        The function of the network stays the same; prefixes then keep the most important units. In a bare encoder
        the hidden channels are its output and stay where they are.

        Args:
            importance: Scores of this super-network's units.

        Returns:
            The scores in the new order.

        Raises:
            SubnetError: If the scores belong to another shape.
        """
        return reorder(self, importance)

    @contextmanager
    def shared_embeddings(self) -> Iterator[None]:
        """Inside, passes over one batch share one embedding forward and one embedding backward.

        Every forward pass inside must see the same batch. The gradient of the embeddings is taken when the context
        is left, so an optimizer step belongs after it. The passes share the dropout of the embeddings.
        """
        with shared_embeddings(self):
            yield

    def selections(self, subnet: Subnet) -> dict[tuple[Axis, int | None], Selection]:
        """What a sub-network uses of every axis: (axis, layer or None) -> selection."""
        hidden = select(subnet.hidden, self.shape.hidden)
        chosen: dict[tuple[Axis, int | None], Selection] = {(Axis.FIXED, None): None, (Axis.HIDDEN, None): hidden}
        for layer, (heads, neurons) in enumerate(zip(subnet.heads, subnet.neurons, strict=True)):
            attention = self._select_heads(heads, subnet.head_size)
            chosen[Axis.QUERY_KEY, layer] = chosen[Axis.VALUE, layer] = attention
            chosen[Axis.NEURONS, layer] = select(neurons, self.shape.neurons)
            for axis in (Axis.FUSED, Axis.GATED):
                part = axis.parts[0]
                chosen[axis, layer] = stack(chosen[part, layer], len(axis.parts), self._widths[part])
            chosen[Axis.HEADS, layer] = select(heads, self.shape.heads)
            chosen[Axis.HIDDEN, layer] = hidden
            chosen[Axis.FIXED, layer] = None
        return chosen

    def _select_heads(self, heads: Units, head_size: Units) -> Selection:
        """The selection on an axis of all heads' dimensions."""
        if self.head_aware or head_size == self.shape.head_size:
            return select_heads(heads, head_size, self.shape.heads, self.shape.head_size)
        return count(heads) * count(head_size)

    def share(self) -> SuperNet:
        """Moves the weights to memory that processes share; a pickle sent to one of them then holds no weights.

        Returns:
            The super-network itself.

        Raises:
            WorkerError: If the machine has less shared memory left than that takes.
        """
        share_weights(self.model)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plans": {}}  # made again where they are needed

    def _plan(self, subnet: Subnet) -> Plan:
        """The plan of a sub-network; the last ones used are kept."""
        plan = self._plans.pop(subnet, None) or self._make_plan(subnet)
        while len(self._plans) >= PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[subnet] = plan
        return plan

    def _make_plan(self, subnet: Subnet) -> Plan:
        """What to set on which module so that the model computes as the sub-network."""
        self.check(subnet)
        chosen = self.selections(subnet)
        device = self.model.device
        chosen = {axis: s.to(device) if hasattr(s, "to") else s for axis, s in chosen.items()}  # type: ignore[union-attr]
        plan: Plan = []
        for leaf in self.layout.leaves:
            rows, columns = chosen[leaf.rows, leaf.layer], chosen[leaf.columns, leaf.layer]
            plan.append((leaf.module, {"rows": rows, "columns": columns}))
        head_size = count(subnet.head_size)
        for layer, block in enumerate(self.layout.blocks):
            heads, neurons = count(subnet.heads[layer]), count(subnet.neurons[layer])
            plan += [(module, {"skipped": heads == 0}) for module, _ in block.attention]
            plan += [(module, {"skipped": neurons == 0}) for module, _ in block.ffn]
            sizes = {
                "num_attention_heads": heads,
                "attention_head_size": head_size,
                "all_head_size": heads * head_size,
                "scaling": head_size**-0.5,
                "heads_kept": chosen[Axis.HEADS, layer],
            }
            plan.append((block.self_attention, sizes))
        return plan

    def _apply(self, subnet: Subnet) -> None:
        for module, settings in self._plan(subnet):
            module.__dict__.update(settings)  # plain values: skips the checks of Module.__setattr__
        self.active = subnet

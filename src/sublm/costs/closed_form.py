"""Costs of a sub-network as polynomials in its widths, read once from the super-network's layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import nn

from sublm.architectures import Axis, Shape
from sublm.spaces.subnet import Subnet, count

if TYPE_CHECKING:
    from sublm.supernet.layout import Layout, Leaf
    from sublm.supernet.supernet import SuperNet


class Form(NamedTuple):
    """`constant + hidden·h + squared·h² + units·u + product·u·h`.

    h is the number of hidden channels; u counts what a half keeps: heads x head size, or neurons.
    """

    constant: int = 0
    hidden: int = 0
    squared: int = 0
    units: int = 0
    product: int = 0

    def plus(self, other: Form, times: int = 1) -> Form:
        """The sum of this form and a multiple of another."""
        return Form(*(a + times * b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Terms:
    """One cost of a super-network.

    Attributes:
        outside: What lies outside the layers; u is zero there.
        attention: Per layer, its attention half.
        ffn: Per layer, its FFN half.
    """

    outside: Form
    attention: tuple[Form, ...]
    ffn: tuple[Form, ...]

    def plus(self, other: Terms, times: int = 1) -> Terms:
        """The sum of this cost and a multiple of another."""
        return Terms(
            self.outside.plus(other.outside, times),
            tuple(a.plus(b, times) for a, b in zip(self.attention, other.attention, strict=True)),
            tuple(a.plus(b, times) for a, b in zip(self.ffn, other.ffn, strict=True)),
        )

    def total(self, subnet: Subnet) -> int:
        """The cost of a sub-network; a half without units costs nothing."""
        h, size = count(subnet.hidden), count(subnet.head_size)
        constant, hidden, squared, _, _ = self.outside
        total = constant + h * (hidden + h * squared)
        for (constant, hidden, squared, units, product), heads in zip(self.attention, subnet.heads, strict=True):
            if heads:  # neither zero nor an empty tuple
                u = (heads if isinstance(heads, int) else len(heads)) * size
                total += constant + h * (hidden + h * squared) + u * (units + h * product)
        for (constant, hidden, squared, units, product), neurons in zip(self.ffn, subnet.neurons, strict=True):
            if neurons:
                u = neurons if isinstance(neurons, int) else len(neurons)
                total += constant + h * (hidden + h * squared) + u * (units + h * product)
        return total


_VARIABLES = {Axis.HIDDEN: "h", Axis.QUERY_KEY: "u", Axis.VALUE: "u", Axis.NEURONS: "u"}
_FIELDS = {"": "constant", "h": "hidden", "hh": "squared", "u": "units", "hu": "product"}


def product_form(axes: Iterable[tuple[Axis, int]]) -> Form:
    """The form of a product of axes, each given with its full length (used where the axis is never sliced)."""
    coefficient, powers = 1, ""
    for axis, length in axes:
        variable = _VARIABLES.get(axis.parts[0], "")
        coefficient *= len(axis.parts) if variable else length
        powers += variable
    return Form(**{_FIELDS["".join(sorted(powers))]: coefficient})


def collect(layout: Layout, form_of: Callable[[Leaf], Form]) -> Terms:
    """Adds up one cost over the leaves of a model.

    Args:
        layout: The model's layout.
        form_of: The cost of one leaf.
    """
    zero = Form()
    outside = zero
    halves = {"attention": [zero] * layout.shape.layers, "ffn": [zero] * layout.shape.layers}
    for leaf in layout.leaves:
        form = form_of(leaf)
        if leaf.layer is None:
            outside = outside.plus(form)
        else:
            halves[leaf.half][leaf.layer] = halves[leaf.half][leaf.layer].plus(form)
    return Terms(outside, tuple(halves["attention"]), tuple(halves["ffn"]))


class CostModel:
    """The analytic costs of one super-network's sub-networks.

    Building it reads the layout once; after that a cost is a few dozen integer operations. `sublm.costs.parameters`
    and `sublm.costs.macs` keep one per super-network.

    Attributes:
        shape: Sizes of the super-network.
    """

    def __init__(self, layout: Layout) -> None:
        """Reads the coefficients.

        Args:
            layout: The layout of the super-network (`supernet.layout`).
        """
        self.shape: Shape = layout.shape
        tables = _embedding_tables(layout)
        self._everything = _count_parameters(layout, skipped=set())
        self._without_embeddings = _count_parameters(layout, skipped=tables)
        self._vectors = _count_parameters(layout, skipped=set(), axes=1)
        self._outputs = collect(layout, _outputs)
        nothing = (Form(),) * self.shape.layers
        # queries and keys x relative positions: length x positions x heads x head size each
        positions = Terms(Form(), (Form(units=layout.relative_scores),) * self.shape.layers, nothing)
        self._per_token = collect(layout, lambda leaf: _linear(leaf) if leaf.per_token else Form()).plus(positions)
        self._per_sequence = collect(layout, lambda leaf: Form().plus(_linear(leaf), leaf.per_pass))
        # queries x keys and probabilities x values: length² x heads x head size each
        self._per_pair = Terms(Form(), (Form(units=2),) * self.shape.layers, nothing)
        self._at_length: dict[int, Terms] = {}

    def parameters(self, subnet: Subnet, *, embeddings: bool = True) -> int:
        """See `sublm.costs.parameters`."""
        subnet.check(self.shape)
        return (self._everything if embeddings else self._without_embeddings).total(subnet)

    def vectors(self, subnet: Subnet) -> int:
        """Number of the parameters that are no entries of a matrix: biases and norms, which int8 leaves as they are."""
        subnet.check(self.shape)
        return self._vectors.total(subnet)

    def outputs(self, subnet: Subnet) -> int:
        """Number of the outputs of all linear layers, each of which has a scale in int8."""
        subnet.check(self.shape)
        return self._outputs.total(subnet)

    def macs(self, subnet: Subnet, length: int = 128) -> int:
        """See `sublm.costs.macs`."""
        subnet.check(self.shape)
        terms = self._at_length.get(length)
        if terms is None:
            terms = self._per_sequence.plus(self._per_token, length).plus(self._per_pair, length * length)
            self._at_length[length] = terms
        return terms.total(subnet)


def _embedding_tables(layout: Layout) -> set[int]:
    """Identities of the word, position and token type tables."""
    return {id(m.weight) for m in layout.embeddings.modules() if isinstance(m, nn.Embedding)}


def _count_parameters(layout: Layout, skipped: set[int], axes: int | None = None) -> Terms:
    """All parameters but those skipped, or those with so many axes."""
    counted = set(skipped)  # a tied weight is counted where it is met first

    def form_of(leaf: Leaf) -> Form:
        total = Form()
        for name, parameter in leaf.module.named_parameters(recurse=False):
            if id(parameter) not in counted and axes in (None, parameter.ndim):
                counted.add(id(parameter))
                named = (leaf.rows,) if name == "bias" else (leaf.rows, leaf.columns)
                total = total.plus(product_form(zip(named, parameter.shape, strict=False)))
        return total

    terms = collect(layout, form_of)
    return replace(terms, outside=terms.outside.plus(Form(constant=layout.fixed_parameters)))


def _linear(leaf: Leaf) -> Form:
    """MACs of one application of a leaf: only linear layers multiply matrices."""
    if not isinstance(leaf.module, nn.Linear):
        return Form()
    weight: Any = leaf.module.weight
    return product_form(zip((leaf.rows, leaf.columns), weight.shape, strict=True))


def _outputs(leaf: Leaf) -> Form:
    """Outputs of a leaf that multiplies a matrix."""
    if not isinstance(leaf.module, nn.Linear):
        return Form()
    return product_form([(leaf.rows, leaf.module.out_features)])


_MODELS: WeakKeyDictionary[SuperNet, CostModel] = WeakKeyDictionary()


def cost_model(supernet: SuperNet) -> CostModel:
    """The cost model of a super-network, built at the first call."""
    found = _MODELS.get(supernet)
    if found is None:
        found = _MODELS[supernet] = CostModel(supernet.layout)
    return found

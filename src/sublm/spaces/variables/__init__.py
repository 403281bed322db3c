"""The variables a search space is made of: what values they take, and how to move between them.

Every variable is immutable, knows its exact number of values, and offers the same moves: `sample`, `neighbours`,
`mutate`, `crossover` and `path` (a monotone way from one value to another, used to reach a wanted cost). A value is
plain data; `encode` and `decode` turn it into JSON and back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sublm.errors import SubnetError
from sublm.spaces.variables.choice import Choice
from sublm.spaces.variables.integer import Integer
from sublm.spaces.variables.subset import Subset
from sublm.spaces.variables.variable import Path, Variable

_KINDS: dict[str, Callable[..., Any]] = {"integer": Integer, "choice": Choice, "subset": Subset}


def variable_from_dict(data: Any) -> Variable:
    """Reads what a variable's `to_dict` wrote.

    Raises:
        SubnetError: If the kind is unknown or a field is missing, unknown or senseless.
    """
    if not isinstance(data, Mapping) or data.get("kind") not in _KINDS:
        found = data.get("kind") if isinstance(data, Mapping) else data
        raise SubnetError(f"A variable is of kind {', '.join(sorted(_KINDS))}; found {found!r}.")
    fields = {name: value for name, value in data.items() if name != "kind"}
    try:
        return _KINDS[data["kind"]](**fields)
    except TypeError as error:
        raise SubnetError(f"A {data['kind']} variable cannot be read from {sorted(fields)}: {error}.") from None


__all__ = ["Choice", "Integer", "Path", "Subset", "Variable", "variable_from_dict"]

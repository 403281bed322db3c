"""From a function to its command: the signature is the command line and the configuration file."""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sublm.errors import UsageError

EMPTY = inspect.Parameter.empty
# Of the command line itself: they are no settings, so they are not part of any signature.
OWN_OPTIONS = ("config", "print_config", "help")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a command.

    Attributes:
        name: As in the signature and in configuration files.
        type: Its annotation, resolved.
        default: Its default, or `EMPTY` if it must be given.
        positional: Whether it is given without its name on the command line.
        help: What the docstring says about it.
    """

    name: str
    type: Any
    default: Any
    positional: bool
    help: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is EMPTY

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return self.name.upper() if self.positional else "--" + self.name.replace("_", "-")

    @property
    def core(self) -> Any:
        """The type without `| None`."""
        if typing.get_origin(self.type) in (typing.Union, types.UnionType):
            rest = [kind for kind in typing.get_args(self.type) if kind is not type(None)]
            return rest[0] if len(rest) == 1 else self.type
        return self.type

    @property
    def choices(self) -> tuple[str, ...]:
        """The values allowed, if they are few."""
        return typing.get_args(self.core) if typing.get_origin(self.core) is Literal else ()

    @property
    def many(self) -> bool:
        """Whether it takes several values."""
        return typing.get_origin(self.core) is list

    @property
    def expected(self) -> str:
        """The values allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
        if self.many:
            return "a list, each entry " + words.get(typing.get_args(self.core)[0], "a value")
        return words.get(self.core, str(self.core))


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: What is typed after `sublm`.
        function: What it calls.
        summary: First line of the docstring.
        description: The rest of it, without its sections.
        examples: Lines of its `Examples:` section.
        parameters: In the order of the signature.
    """

    name: str
    function: Callable[..., Any]
    summary: str
    description: str
    examples: str
    parameters: tuple[Parameter, ...]

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name."""
        return next(parameter for parameter in self.parameters if parameter.name == name)


def describe(name: str, function: Callable[..., Any]) -> Command:
    """Reads a command from a function's signature and its Google-style docstring."""
    from docstring_parser import parse
    from docstring_parser.common import DocstringStyle

    doc = parse(function.__doc__ or "", style=DocstringStyle.GOOGLE)
    helps = {entry.arg_name: " ".join((entry.description or "").split()) for entry in doc.params}
    hints = typing.get_type_hints(function)
    parameters = tuple(
        Parameter(
            name=key,
            type=hints[key],
            default=value.default,
            positional=value.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD,
            help=helps.get(key, ""),
        )
        for key, value in inspect.signature(function).parameters.items()
    )
    return Command(
        name,
        function,
        summary=doc.short_description or "",
        description=doc.long_description or "",
        examples="\n".join(inspect.cleandoc(example.description or "") for example in doc.examples),
        parameters=parameters,
    )


def read_arguments(command: Command, arguments: Sequence[str]) -> dict[str, Any]:
    """Reads a command's values: the signature's defaults, under the recipe's, under the file's, under those typed.

    Args:
        command: The command.
        arguments: What was typed after its name.

    Returns:
        A value for every parameter. With `--help` only `help`, True; with `--print-config` also `print_config`, True,
        and what is required need not be there.

    Raises:
        UsageError: If something is missing, unknown or of the wrong kind.
    """
    typed = _typed(command, arguments)
    own = {name: typed.pop(name) for name in OWN_OPTIONS if name in typed}
    if own.get("help"):
        return {"help": True}
    layers = [_from_file(command, Path(file)) for file in own.pop("config", [])]
    layers.append(typed)
    named = [layer["recipe"] for layer in layers if layer.get("recipe") is not None]
    if named:
        tasks = [layer["task"] for layer in layers if layer.get("task") is not None]
        layers.insert(0, _from_recipe(command, named[-1], tasks[-1] if tasks else None))
    values = {parameter.name: parameter.default for parameter in command.parameters}
    for layer in layers:
        values.update(layer)
    missing = [parameter for parameter in command.parameters if values[parameter.name] is EMPTY]
    if missing and not own.get("print_config"):
        names = " and ".join(parameter.option for parameter in missing)
        raise UsageError(
            f"{names} {'is' if len(missing) == 1 else 'are'} missing. "
            + " ".join(f"{parameter.option}: {parameter.help}" for parameter in missing)
        )
    return {**{name: value for name, value in values.items() if value is not EMPTY}, **own}


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest known word, to be put at the end of a sentence; empty if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def as_options(message: str, command: Command) -> str:
    """A message with the arguments it names, such as `label=` or `kind="rerank"`, as they are typed: `--label`.

    Args:
        message: Written for Python.
        command: Whose arguments these are; other names stay.
    """
    options = {parameter.name: parameter.option for parameter in command.parameters}

    def typed(found: re.Match[str]) -> str:
        name, quoted, value = found["name"], found["quoted"], found["value"]
        return " ".join(filter(None, (options[name], quoted or value.removesuffix("True"))))  # switches have no value

    names = "|".join(map(re.escape, options))
    return re.sub(rf"""(?<![\w.])(?P<name>{names})=(?:(["'])(?P<quoted>[^"']*)\2|(?P<value>\w*))""", typed, message)


def _typed(command: Command, arguments: Sequence[str]) -> dict[str, Any]:
    """The values typed, and no others."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog=f"sublm {command.name}", exit_on_error=False, add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--config", type=str, action="append")
    parser.add_argument("--print-config", action="store_true")
    for parameter in command.parameters:
        if parameter.positional and parameter.many:
            parser.add_argument(parameter.name, type=typing.get_args(parameter.core)[0], nargs="*")
        elif parameter.positional:
            parser.add_argument(parameter.name, type=parameter.type, nargs="?")
        elif parameter.core is bool:
            parser.add_argument(parameter.option, action="store_true")
            parser.add_argument("--no-" + parameter.option[2:], dest=parameter.name, action="store_false")
        elif parameter.many:
            kind = typing.get_args(parameter.core)[0]
            parser.add_argument(parameter.option, type=kind, nargs="+", action="extend")
        else:
            parser.add_argument(parameter.option, type=parameter.type)
    try:
        found = parser.parse_args(list(arguments), defaults=False).as_dict()
    except (argparse.ArgumentError, TypeError, ValueError) as error:
        raise _usage_error(command, str(error)) from None
    positional = {parameter.name for parameter in command.parameters if parameter.positional}
    return {name: value for name, value in found.items() if not (name in positional and not value)}


def _from_file(command: Command, path: Path) -> dict[str, Any]:
    """The values of a YAML (or JSON) file."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror or error}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not YAML: {error}") from None
    return _checked(command, data, f"--config {path}")


def _from_recipe(command: Command, name: str, task: str | None) -> dict[str, Any]:
    """The values of a published recipe that this command knows; a recipe speaks of the whole job."""
    from sublm.recipes import load_recipe, recipe_commands, recipe_names

    if command.name not in recipe_commands(name):
        own = [other for other in recipe_names() if command.name in recipe_commands(other)]
        raise UsageError(
            f"The recipe {name!r} is for `sublm {'` and `sublm '.join(recipe_commands(name))}`; for "
            f"`sublm {command.name}` there are {', '.join(own)}."
        )
    known = {parameter.name for parameter in command.parameters}
    values = {key: value for key, value in load_recipe(name, task).items() if key in known}
    return _checked(command, values, f"recipe {name}")


def _checked(command: Command, data: Any, source: str) -> dict[str, Any]:
    """Checks a configuration's names and types."""
    from jsonargparse import ArgumentParser

    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise UsageError(f"{source} must hold `name: value` lines; found {type(data).__name__}.")
    data = {str(key).replace("-", "_"): value for key, value in data.items()}
    names = [parameter.name for parameter in command.parameters]
    for key in data:
        if key not in names:
            raise UsageError(f"{source}: `sublm {command.name}` knows no {key!r}{nearest(key, names)}.")
    parser = ArgumentParser(exit_on_error=False)
    for key in data:
        parser.add_argument(f"--{key}", type=command.parameter(key).type)
    try:
        return parser.parse_object(data, defaults=False).as_dict()
    except (argparse.ArgumentError, TypeError, ValueError) as error:
        raise _usage_error(command, str(error), source) from None


def _usage_error(command: Command, message: str, source: str = "") -> UsageError:
    """Says a parser's complaint in our words."""
    by_name = {parameter.name: parameter for parameter in command.parameters}
    by_option = {parameter.option: parameter for parameter in command.parameters}
    named = re.search(r'[Pp]arser key "(\w+)"|argument (?:--)?([\w-]+)', message)
    parameter = by_name.get((named.group(1) or named.group(2)).replace("-", "_")) if named else None
    if parameter:
        given = re.findall(r"(?:Got value|Given value|Got): (.*)", message)
        value = given[-1].strip() if given else ""
        name = f"{source}: {parameter.name}" if source else parameter.option
        found = f"; found {value}" if value else ""
        return UsageError(f"{name} must be {parameter.expected}{found}{nearest(value, parameter.choices)}.")
    unknown = re.search(r"[Uu]nrecognized arguments: (.*)", message)
    if unknown:
        words = unknown.group(1).split()
        word = next((word for word in words if word.startswith("-")), words[0]).split("=")[0]
        if word.startswith("-"):
            known = [*by_option, "--config", "--print-config", "--help"]
            return UsageError(f"`sublm {command.name}` has no option {word}{nearest(word, known)}.")
        return UsageError(f"{word!r} is one argument too many for `sublm {command.name}`.")
    return UsageError(f"{source}: {message}" if source else message)

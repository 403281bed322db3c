"""The command `sublm`: from what was typed to a function of `sublm.commands`, and from its result to a page or JSON.

Exit codes: 0 done, 1 the work failed, 2 the command was not understood, 130 stopped by the user.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from sublm.errors import SubLMError, UsageError

DESCRIPTION = (
    "Makes a pre-trained transformers encoder small enough for a budget, on your data and your machine, and gives "
    "back ordinary models."
)
ANY_WIDTH = 10_000
"""Columns of what no terminal shows."""
EXAMPLES = (
    ("sublm quickstart", "a real model on real text, nothing to download"),
    ("sublm compress ./my-model --task my-data.csv --target 'latency<=8ms'", "your own"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: What was typed after `sublm`; the process's own arguments if not given.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(arguments)
    except SubLMError as error:
        _say(f"error: {_as_typed(str(error), arguments)}", style="red")
        if isinstance(error, UsageError):
            _say(f"See `sublm {arguments[0]} --help`." if _is_command(arguments) else "See `sublm --help`.")
            return 2
        return 1
    except KeyboardInterrupt:
        _say("\nStopped. Run the same command again to resume.")
        return 130
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (for the interpreter's last flush)
        return 1
    except OSError as error:
        if error.strerror is None:
            raise
        where = f": {error.filename}" if error.filename else ""
        _say(f"error: {error.strerror}{where}", style="red")
        return 1


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        if len(arguments) > 1:  # sublm help compress
            return _main([arguments[1], "--help"])
        _print_main_help()
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from sublm.version import __version__

        print(f"sublm {__version__}")
        return 0
    return _run(arguments[0], arguments[1:])


def _run(name: str, arguments: list[str]) -> int:
    from sublm.commands import COMMANDS
    from sublm.commands._arguments import describe, nearest, read_arguments
    from sublm.commands._help import command_help

    functions = {name: function for group in COMMANDS.values() for name, function in group.items()}
    if name not in functions:
        raise UsageError(f"There is no command {name!r}{nearest(name, functions)}; there are {', '.join(functions)}.")
    command = describe(name, functions[name])
    values = read_arguments(command, arguments)
    if values.get("help"):
        print(command_help(command), end="")
        return 0
    if values.pop("print_config", False):
        _print_config(values)
        return 0
    _check_paths(values)
    as_json, quiet = values.get("json", False), values.get("quiet", False)
    _hush_libraries()
    # Whatever a library prints while the work runs must not mix with the result.
    with contextlib.redirect_stdout(sys.stderr):
        result = command.function(**values)
    _show(result, as_json=as_json, quiet=quiet)
    return 0


def _check_paths(values: dict[str, Any]) -> None:
    """A mistyped path is told at once: the libraries that the work needs take seconds to load."""
    from sublm.paths import check_data, check_folder

    for name in ("model", "teacher", "base"):
        check_folder(name, values.get(name))
    for name in ("task", "data"):
        check_data(values.get(name))


def _show(result: Any, *, as_json: bool, quiet: bool) -> None:
    """Prints what a command gave back: JSON if asked for, else for people."""
    if _follows():
        return
    if as_json:
        import json

        from sublm.files import finite, plain

        print(json.dumps(finite(plain(result)), indent=2, ensure_ascii=False, allow_nan=False))
    elif result is not None and not quiet:
        from rich.console import Console

        # where nobody's window is too narrow, in a file or a pipe, nothing has to be cut or folded
        terminal = sys.stdout.isatty()
        console = Console(highlight=False, soft_wrap=not terminal, width=None if terminal else ANY_WIDTH)
        if isinstance(result, dict) and not hasattr(result, "__rich__"):
            for key, value in result.items():
                console.print(f"{key}: {value}", markup=False, soft_wrap=True)
        else:
            console.print(result, crop=False)


def _print_main_help() -> None:
    from sublm.commands import COMMANDS
    from sublm.commands._help import main_help

    groups = {
        heading: {name: (function.__doc__ or "").partition("\n")[0] for name, function in group.items()}
        for heading, group in COMMANDS.items()
    }
    print(main_help(groups, DESCRIPTION, EXAMPLES), end="")


def _print_config(values: dict[str, Any]) -> None:
    import yaml

    from sublm.files import plain

    print(yaml.safe_dump(plain(values), sort_keys=False, allow_unicode=True), end="")


def _hush_libraries() -> None:
    """Other people's progress bars and notices would tear ours; whoever wants them sets these variables."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _say(text: str, style: str | None = None) -> None:
    """Says something on standard error; in colour on a terminal."""
    if _follows():
        return
    if style and sys.stderr.isatty():
        from rich.console import Console

        Console(stderr=True, highlight=False).print(text, style=style, markup=False, soft_wrap=True)
    else:
        print(text, file=sys.stderr)


def _follows() -> bool:
    """Whether this is one of several processes, and not the first, which speaks for all."""
    return os.environ.get("RANK", "0") != "0"


def _as_typed(message: str, arguments: Sequence[str]) -> str:
    """A message that names arguments as Python does, with the names that were to be typed."""
    from sublm.commands import COMMANDS
    from sublm.commands._arguments import as_options, describe

    functions = {name: function for group in COMMANDS.values() for name, function in group.items()}
    name = arguments[0] if arguments else ""
    return as_options(message, describe(name, functions[name])) if name in functions else message


def _is_command(arguments: Sequence[str]) -> bool:
    from sublm.commands import COMMANDS

    return bool(arguments) and any(arguments[0] in group for group in COMMANDS.values())

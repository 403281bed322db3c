"""Help pages, from commands to text."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from sublm.commands._arguments import Command, Parameter

# A name means the same in every command, and stands in the same group. What is not named here comes under "Options".
GROUPS: dict[str, tuple[str, ...]] = {
    "Main": ("task", "unlabelled", "corpus", "target", "out", "shapes", "recipe"),
    "Data": ("data", "pairs", "split", "text", "label", "kind", "search_share", "limit", "max_length", "doc_stride"),
    "Grid": ("grid", "seeds", "halving", "grace", "patience", "probe_every", "pruning", "replay", "most_rounds"),
    "Teacher": ("teacher", "teacher_layers", "relation_heads", "teacher_epochs", "teacher_learning_rate"),
    "Search space": (
        "space",
        "step",
        "hidden_step",
        "min_layers",
        "min_size",
        "space_min",
        "space_max",
        "space_steps",
        "stock",
    ),
    "Grid of shapes": (
        "grid",
        "grid_layers",
        "grid_heads",
        "grid_hidden",
        "grid_neurons",
        "maximum",
        "compare_maximum",
        "stride",
        "exhaustive",
        "cost",
        "count_embeddings",
    ),
    "Short trainings": ("train_steps", "checks", "error_at", "error", "section", "seeds"),
    "Importance": (
        "importance",
        "movement_epochs",
        "movement_learning_rate",
        "movement_warmup_start",
        "movement_penalty",
        "movement_reduction",
    ),
    "Training": (
        "objective",
        "start",
        "from_scratch",
        "strategy",
        "epochs",
        "steps",
        "learning_rate",
        "batch_size",
        "accumulation",
        "weight_decay",
        "warmup",
        "schedule",
        "clip",
        "random_nets",
        "subnets",
        "parts",
        "sampling",
        "temperature",
        "label_weight",
        "logits_weight",
        "hidden",
        "freeze_embeddings",
        "dropout",
        "precision",
        "train_stages",
    ),
    "Masking and validation": (
        "masked",
        "whole_words",
        "validation",
        "validation_share",
        "validation_rows",
        "validate_every",
    ),
    "New points": (
        "generator",
        "share",
        "columns",
        "language_model",
        "translators",
        "nearest",
        "farthest",
        "embedder",
        "likeness",
        "attempts",
        "soft",
        "balance",
    ),
    "Search": (
        "sampler",
        "population",
        "evaluations",
        "objectives",
        "no_train",
        "rearrange",
        "standalone",
        "hours",
        "racing",
        "racing_level",
        "racing_margin",
        "racing_check",
        "workers",
        "ray",
        "storage",
    ),
    "Results": (
        "models",
        "sizes",
        "reconstruct",
        "recover_epochs",
        "refit",
        "baselines",
        "baseline_sizes",
        "examples",
        "onnx",
        "exports",
    ),
    "Latency": ("runtime", "runtime_precision", "threads", "length", "batch", "rounds", "budget", "predictor", "force"),
    "Run": ("seed", "only_importance", "dry_run", "overwrite", "quiet", "json"),
}

OWN = (
    ("--config FILE", "Read values from a YAML file with the same names; those typed win."),
    ("--print-config", "Print the values as such a file and do nothing else."),
    ("-h, --help", "Show this help."),
)


def command_help(command: Command) -> str:
    """The help page of a command."""
    blocks = [usage(command), _wrap(command.summary)]
    blocks += [_wrap(paragraph) for paragraph in command.description.split("\n\n") if paragraph.strip()]
    if command.examples:
        blocks.append("Examples:\n" + textwrap.indent(command.examples, "  "))
    left = list(command.parameters)
    pages: dict[str, list[tuple[str, str]]] = {}
    for group, names in GROUPS.items():
        chosen = [p for p in left if p.positional and group == "Main"]
        chosen += sorted((p for p in left if p.name in names and not p.positional), key=lambda p: names.index(p.name))
        if len(chosen) == 1 and group not in ("Main", "Run"):  # a heading over one entry helps nobody
            continue
        left = [parameter for parameter in left if parameter not in chosen]
        if chosen:
            pages[group] = [_entry(parameter) for parameter in chosen]
    last = pages.pop("Run", [])
    if left:
        pages["Options"] = [_entry(parameter) for parameter in left]
    pages["Run"] = [*last, *OWN]
    blocks += [f"{group}:\n{_table(entries)}" for group, entries in pages.items()]
    return "\n\n".join(blocks) + "\n"


def main_help(groups: Mapping[str, Mapping[str, str]], description: str, examples: Sequence[tuple[str, str]]) -> str:
    """The first help page.

    Args:
        groups: Heading to the commands under it, each with its summary.
        description: What the program is.
        examples: What to type, and what it does.
    """
    blocks = ["Usage: sublm COMMAND [options]", _wrap(description)]
    blocks.append("Examples:\n" + "\n".join(f"  # {words}\n  {line}" for line, words in examples))
    width = max(len(name) for commands in groups.values() for name in commands) + 4
    blocks += [f"{heading}:\n{_table(commands.items(), width)}" for heading, commands in groups.items()]
    blocks.append("`sublm COMMAND --help` tells the rest; `sublm --version` prints the version.")
    return "\n\n".join(blocks) + "\n"


def usage(command: Command) -> str:
    """One line: what must be given."""
    words = ["Usage: sublm", command.name]
    for parameter in command.parameters:
        if parameter.positional:
            word = f"{parameter.option} ..." if parameter.many else parameter.option
            words.append(word if parameter.required else f"[{word}]")
        elif parameter.required:
            words.append(f"{parameter.option} {_metavar(parameter)}")
    return " ".join([*words, "[options]"])


def _metavar(parameter: Parameter) -> str:
    if parameter.choices and sum(map(len, parameter.choices)) <= 16:
        return "|".join(parameter.choices)
    words = {int: "N", float: "X"}
    name = words.get(parameter.core, parameter.name.rsplit("_", 1)[-1].upper())
    return f"{name} ..." if parameter.many else name


def _entry(parameter: Parameter) -> tuple[str, str]:
    if parameter.positional:
        left = f"{parameter.option} ..." if parameter.many else parameter.option
    elif parameter.core is bool:
        left = "--[no-]" + parameter.option[2:] if parameter.default is True else parameter.option
    else:
        left = f"{parameter.option} {_metavar(parameter)}"
    text = parameter.help
    if parameter.choices and "|" not in left:
        text += f" One of {', '.join(parameter.choices)}."
    if parameter.required:
        text += " [required]"
    elif parameter.default is True:
        text += " [on]"
    elif parameter.default is not None and not isinstance(parameter.default, bool):
        text += f" [{parameter.default}]"
    return left, text.strip()


def _width() -> int:
    return max(60, min(shutil.get_terminal_size((100, 24)).columns, 110))


def _wrap(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _width(), break_on_hyphens=False, break_long_words=False)


def _table(entries: Iterable[tuple[str, str]], column: int = 26) -> str:
    lines = []
    for left, right in entries:
        wrapped = textwrap.wrap(right, _width() - column, break_on_hyphens=False, break_long_words=False)
        if len(left) + 4 > column or not wrapped:
            lines.append(f"  {left}")
        else:
            lines.append(f"  {left}".ljust(column) + wrapped.pop(0))
        lines += [" " * column + line for line in wrapped]
    return "\n".join(lines)

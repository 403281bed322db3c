"""``load_task``: from a name, a file or a folder to checked, split examples."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sublm.errors import DataError
from sublm.paths import no_such_path
from sublm.tasks.duplicates import row_keys
from sublm.tasks.embedding_data import NAME as EMBEDDING
from sublm.tasks.embedding_data import assemble, describe_pairs, read_texts
from sublm.tasks.files import SUFFIXES, data_files, find_split, read_file, read_files
from sublm.tasks.glue import GLUE
from sublm.tasks.hub import read_hub, table_of
from sublm.tasks.imdb import IMDB
from sublm.tasks.kinds import kind_of
from sublm.tasks.metrics import metrics_of
from sublm.tasks.own import describe
from sublm.tasks.published import Published
from sublm.tasks.race import RACE
from sublm.tasks.splits import draw, draw_groups, split_off
from sublm.tasks.squad import SQUAD
from sublm.tasks.stdlib_docs import NAME as STDLIB_DOCS
from sublm.tasks.stdlib_docs import read_stdlib_docs
from sublm.tasks.superglue import SUPERGLUE
from sublm.tasks.swag import SWAG
from sublm.tasks.table import Table, read_examples
from sublm.tasks.task import Examples, Task, TaskData

PUBLISHED: dict[str, Published] = {**GLUE, **SUPERGLUE, "imdb": IMDB, **RACE, **SQUAD, "swag": SWAG}
TASKS: tuple[str, ...] = (*PUBLISHED, STDLIB_DOCS, EMBEDDING)
"""The names ``load_task`` knows."""

VALIDATION_SHARE = 0.2
"""Split off train where there is no validation split."""

TRAIN_NAMES = ("train", "training")
VALIDATION_NAMES = ("validation", "valid", "val", "dev")

_log = logging.getLogger(__name__)


def load_task(
    name_or_path: str | Path,
    *,
    data: str | Path | None = None,
    pairs: str | Path | None = None,
    text: Sequence[str] | None = None,
    label: str | None = None,
    kind: str | None = None,
    metric: str | None = None,
    search_share: float = 0.15,
    seed: int = 0,
    limit: int | None = None,
    announce: bool = True,
) -> TaskData:
    """Load a task, check every row, and draw the search split from train.

    The validation split is left as it is. Rows with the same texts never stand in both train and search, nor do
    questions on the same paragraph.

    Args:
        name_or_path: A name from ``TASKS``; a file (CSV, JSON lines, parquet, CoNLL columns) or a folder with ``train``
            and ``validation`` files of one's own; or ``owner/name`` (``owner/name:config``) of a data set on the hub.
        data: A local folder (or file) to read instead of the hub; for "embedding", texts or scored pairs of one's own.
        pairs: Scored pairs that embedding models are judged on, where ``data`` holds none: a file, a folder, a name.
        text: The one or two text columns of own data; found automatically if left out.
        label: The label column of own data; found automatically if left out.
        kind: "classification", "regression", "span", "tokens", "rerank" or "embedding" for own data; found from the
            columns if left out.
        metric: The primary metric, if it is not to be the task's first.
        search_share: Share of train that the search scores sub-networks on, between 0 and 1.
        seed: Of every draw.
        limit: Use only so many rows of train (search included), drawn with the seed.
        announce: Log the notes as warnings; False where the caller tells them.

    Returns:
        The task and its splits. ``notes`` says what was decided on the way.

    Raises:
        DataError: Something about the data or an argument cannot be used; says what, where, and what mends it.
    """
    if not 0 < search_share < 1:
        raise DataError(f"search_share={search_share} must lie between 0 and 1, for example 0.15.")
    if limit is not None and limit < 4:
        raise DataError(f"limit={limit} leaves too few rows to train and search on; give at least 4, or leave it out.")
    name, origin = str(name_or_path), ""
    notes: list[str] = []
    validation: Examples | None
    extra: dict[str, Examples]
    if EMBEDDING in (name, kind):
        given = data if name == EMBEDDING else name
        found = _load_embedding(given, pairs, text, label, search_share=search_share, seed=seed, limit=limit)
        return _announced(replace(found, task=_with_metric(found.task, metric)), announce)
    if pairs is not None:
        raise DataError(f"pairs= is for the task {EMBEDDING!r}; {name!r} is judged on its own rows. Leave it out.")
    columns = {"text": text, "label": label, "kind": kind}
    if name in TASKS and any(value is not None for value in columns.values()):
        wrong = next(argument for argument, value in columns.items() if value is not None)
        raise DataError(
            f"{wrong}= is for own data; the columns of {name!r} are known. Leave it out, or give the path as the task."
        )
    if name == STDLIB_DOCS:
        if data is not None:
            raise DataError(f"{name!r} reads the running Python's own library and takes no data=. Leave it out.")
        task, train, validation, origin = read_stdlib_docs(seed)
        extra = {}
    else:
        published = PUBLISHED.get(name)
        if published is not None and published.trained_on:
            raise DataError(
                f"{name!r} has no train split: it is a diagnostic set, on which a model trained on "
                f"{published.trained_on!r} is scored. Use task={published.trained_on!r}, and then "
                f"`sublm predict MODEL --task {name}`."
            )
        tables = _read_tables(name, Path(data) if data is not None else None, published, notes)
        if published is not None:
            tables = {split: published.prepare(table) for split, table in tables.items()}
            task = published.task
        else:
            task = describe(tables["train"], _short_name(name), text=text, label=label, kind=kind)
        first = tables.pop("train")
        own = published is None
        train = read_examples(first, task, own=own, notes=notes)
        kind_of(task.kind).check_train(train.labels, task, first.source)
        extra = {
            split: read_examples(table, task, own=own, training=False, notes=notes) for split, table in tables.items()
        }
        validation = extra.pop("validation") if "validation" in extra else None
    task = _with_metric(task, metric)
    stratified, together = kind_of(task.kind).stratified, kind_of(task.kind).together(task)
    if validation is None:
        rest, held = split_off(train, VALIDATION_SHARE, seed, stratified=stratified, by=together)
        validation, train = train.select(held), train.select(rest)
        notes.append(
            f"{task.name} has no validation split: {len(held)} of {len(held) + len(rest)} rows of train were set aside "
            f"as one (seed {seed}). Scores on it are not comparable with published ones."
        )
    else:
        shared = _shared(train, validation, together)
        if shared:
            what = "" if together == task.texts else f", with their {' and '.join(together)}"
            notes.append(f"{shared} of {len(validation)} validation rows of {task.name} also stand in train{what}.")
    if limit is not None and limit < len(train):
        whole = ", in whole groups" if task.group else ""
        notes.append(f"{limit} of {len(train)} rows of train are used (limit={limit}{whole}, seed {seed}).")
        if task.group:
            train = train.select(draw_groups(train.extras[task.group], limit, seed))
        else:
            train = train.select(draw(train, limit, seed, stratified=stratified))
    rest, held = split_off(train, search_share, seed, stratified=stratified, by=together)
    for split, size in {"train": len(rest), "search": len(held), "validation": len(validation)}.items():
        if not size:
            raise DataError(
                f"{task.name}: the {split} split would be empty ({len(train)} rows to divide into train and search, "
                f"search_share={search_share}). Give more rows with different texts."
            )
    kind_of(task.kind).check_train(train.labels[rest], task, f"the training part of {task.name}")
    found = TaskData(task, train.select(rest), train.select(held), validation, extra, tuple(notes), origin)
    return _announced(found, announce)


def _announced(data: TaskData, announce: bool) -> TaskData:
    for note in data.notes if announce else ():
        _log.warning("%s", note)
    return data


def _load_embedding(
    data: str | Path | None,
    pairs: str | Path | None,
    text: Sequence[str] | None,
    label: str | None,
    *,
    search_share: float,
    seed: int,
    limit: int | None,
) -> TaskData:
    """Scored pairs, and texts beside them where both are given."""
    judged = pairs if pairs is not None else data
    if judged is None or (pairs is None and Path(judged).suffix.lower() == ".txt"):
        what = "data= names texts alone" if judged is not None else "neither data= nor pairs= names a file"
        raise DataError(
            f"{EMBEDDING!r} needs pairs of texts with scores to judge models on, and {what}. Give pairs=: a file or "
            "folder with two columns of texts and one of scores, or stsb for those on the hub."
        )
    notes: list[str] = []
    published = PUBLISHED.get(str(judged))
    tables = _read_tables(str(judged), None, published, notes)
    task = describe_pairs(tables["train"], _short_name(str(judged)), text=text, label=label)
    more = read_texts(Path(data), text) if data is not None and pairs is not None else []
    return assemble(
        tables,
        more,
        task,
        search_share=search_share,
        validation_share=VALIDATION_SHARE,
        seed=seed,
        limit=limit,
        notes=notes,
    )


def _read_tables(name: str, data: Path | None, published: Published | None, notes: list[str]) -> dict[str, Table]:
    """The splits "train", "validation" (if there is one) and the extra ones."""
    validation = published.validation if published else VALIDATION_NAMES
    extra = published.extra if published else ()
    path = data if data is not None else Path(name)
    if data is None and (published is not None or (not path.exists() and _is_hub_name(name))):
        repository, _, config = name.partition(":")
        hub = (published.hub, published.config) if published else (repository, config or None)
        return _from_hub(*hub, validation, extra, notes)
    if path.is_dir():
        return _from_folder(path, validation, extra, notes, published)
    if path.exists():
        return {"train": read_file(path)}
    if data is None and path.suffix.lower() not in SUFFIXES and len(path.parts) == 1:
        near = difflib.get_close_matches(name, TASKS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"there is no task, file or folder {name!r}. Known tasks: {', '.join(TASKS)}.{hint} "
            "A data set on the hub is named owner/name."
        )
    raise no_such_path(path)


def _is_hub_name(name: str) -> bool:
    owner, slash, rest = name.partition("/")
    return (
        bool(slash and owner and rest)
        and "/" not in rest
        and owner not in (".", "..", "~")
        and (Path(rest).suffix.lower() not in SUFFIXES)
    )


def read_split(folder: Path, names: Sequence[str], published: Published | None = None) -> Table | None:
    """The first of the named splits that a folder has, in whatever layout; None if it has none of them."""
    if published is not None and published.read_folder is not None:
        table = published.read_folder(folder, names)
        if table is not None:
            return table
    files = find_split(folder, names)
    return read_files(files) if files else None


def _from_folder(
    folder: Path, validation: Sequence[str], extra: Sequence[str], notes: list[str], published: Published | None
) -> dict[str, Table]:
    train = read_split(folder, TRAIN_NAMES, published)
    held = read_split(folder, validation, published)
    if train is None and held is None and len(data_files(folder)) == 1:
        train = read_files(data_files(folder))
    if train is None:
        found = ", ".join(path.name for path in data_files(folder)) or "no data file"
        raise DataError(
            f"{folder.name} has no train file; it holds {found}. Name it train.parquet, train.csv or train.jsonl."
        )
    tables = {"train": train}
    if held is not None:
        tables["validation"] = held
    elif find_split(folder, ["test"]):
        notes.append(f"{folder.name}: the test file was not read; rename it to validation to report scores on it.")
    for name in extra:
        table = read_split(folder, [name], published)
        if table is not None:
            tables[name] = table
    return tables


def _from_hub(
    repository: str, config: str | None, validation: Sequence[str], extra: Sequence[str], notes: list[str]
) -> dict[str, Table]:
    splits = read_hub(repository, config)
    if "train" not in splits:
        raise DataError(
            f"{repository} has no train split; it has {', '.join(splits) or 'none'}. Use data= with local files."
        )
    wanted = {"train": "train"} | {name: name for name in extra if name in splits}
    held = next((name for name in validation if name in splits), None)
    if held is not None:
        wanted["validation"] = held
    elif "test" in splits:
        notes.append(f"{repository} has no validation split and its test split was not read.")
    return {name: table_of(splits[split], f"{repository} ({split})") for name, split in wanted.items()}


def _short_name(name: str) -> str:
    """A file's name without its suffix, a folder's or repository's last part."""
    path = Path(name.partition(":")[0]) if _is_hub_name(name) else Path(name).expanduser().resolve()
    if path.suffix.lower() in SUFFIXES:
        return path.stem if path.stem.lower() not in TRAIN_NAMES else path.parent.name or path.stem
    return path.name or "task"


def _with_metric(task: Task, metric: str | None) -> Task:
    if metric is None:
        return task
    fitting = metrics_of(task)
    if metric not in fitting:
        near = difflib.get_close_matches(metric, fitting, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"metric={metric!r} does not fit {task.name} ({task.kind}); choose one of {', '.join(fitting)}.{hint}"
        )
    return replace(task, metrics=(metric, *(name for name in task.metrics if name != metric)))


def _shared(one: Examples, other: Examples, by: Sequence[str]) -> int:
    seen = set(row_keys(one.rows(by)))
    return sum(key in seen for key in row_keys(other.rows(by)))

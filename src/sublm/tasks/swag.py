"""SWAG (Zellers et al. 2018): which of four endings continues the scene.

As in the paper's BERT baseline, the context is the first sentence, and a choice is the beginning of the second
sentence joined with one ending.
"""

from __future__ import annotations

from sublm.tasks.published import Published
from sublm.tasks.table import Table
from sublm.tasks.task import Task

_ENDINGS = ("ending0", "ending1", "ending2", "ending3")


def _join(table: Table) -> Table:
    table.require("sent1", "sent2", *_ENDINGS, "label")
    table.check_texts("sent1", "sent2", *_ENDINGS)
    starts = table.columns["sent2"]
    columns = {"sent1": table.columns["sent1"], "label": table.columns["label"]}
    for ending in _ENDINGS:
        columns[ending] = [f"{start} {end}".strip() for start, end in zip(starts, table.columns[ending], strict=True)]
    return Table(columns, table.source)


SWAG = Published(
    Task("swag", "multiple_choice", ("sent1", *_ENDINGS), "label", _ENDINGS, ("accuracy",)),
    hub="allenai/swag",
    config="regular",
    prepare=_join,
)

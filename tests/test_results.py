"""The committed results of the benchmarks."""

import json
import re
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
ABSOLUTE = re.compile(r"(?<![\w.)\]}])/[\w.-]+/|\b[A-Z]:\\")


def strings(value):
    """Every text in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("*.json")), ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_result_tells_no_path_of_the_machine_it_was_made_on(path):
    told = [text for text in strings(json.loads(path.read_text(encoding="utf-8"))) if ABSOLUTE.search(text)]
    assert not told

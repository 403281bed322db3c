"""Equal and nearly equal texts, found exactly.

Texts are near-duplicates when the Jaccard similarity of their sets of three-word shingles reaches a threshold
(Broder 1997). No hashing estimate: a prefix filter (Chaudhuri et al. 2006) leaves few pairs to compare.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"\w+")


def normalise(text: str) -> str:
    """Lower-cased words with single spaces; punctuation and Unicode variants do not count.

    A text without any word (":-)") stays as it is, so that two of them are equal only if they are.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORD.findall(folded)) or folded.strip()


def row_key(texts: Iterable[str]) -> tuple[str, ...]:
    """What makes two rows the same: their normalised texts, whichever way round a pair stands."""
    return tuple(sorted(normalise(text) for text in texts))


def row_keys(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The key of every row; texts that many rows share are normalised once."""
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    return [known[row] if row in known else known.setdefault(row, row_key(row)) for row in rows]


def shingles(text: str, width: int = 3) -> frozenset[str]:
    """The runs of ``width`` words of a normalised text; all of it if it is shorter."""
    words = normalise(text).split()
    return frozenset(" ".join(words[i : i + width]) for i in range(max(1, len(words) - width + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Size of the intersection over size of the union, 0 to 1."""
    return len(one & other) / len(one | other)


def without_near_duplicates(texts: Sequence[str], threshold: float = 0.5) -> list[int]:
    """Rows to keep so that no two kept texts are near-duplicates; of each such pair the earlier one stays.

    Args:
        texts: N texts.
        threshold: Jaccard similarity, above 0, from which on two texts count as the same.

    Returns:
        Row numbers in rising order.
    """
    sets = [shingles(text) for text in texts]
    counts = Counter(shingle for one in sets for shingle in one)
    index: defaultdict[str, list[int]] = defaultdict(list)
    kept = []
    for row, one in enumerate(sets):
        # Similar sets share at least ceil(threshold * size) shingles, hence one of the rarest size - that + 1.
        prefix = sorted(one, key=lambda shingle: (counts[shingle], shingle))
        prefix = prefix[: len(one) - math.ceil(threshold * len(one) - 1e-9) + 1]
        candidates = {other for shingle in prefix for other in index[shingle]}
        if any(jaccard(one, sets[other]) >= threshold for other in candidates):
            continue
        kept.append(row)
        for shingle in prefix:
            index[shingle].append(row)
    return kept

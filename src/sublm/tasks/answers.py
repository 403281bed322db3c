"""Where an answer stands in its context, in characters, whatever units its file counts in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_JOINER = "\u200d"  # joins emoji into one
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_JAMO = range(0x1160, 0x1200)  # vowels and final consonants of Korean syllables written in parts


def locate(context: str, answer: str, start: int | None) -> tuple[int, int] | None:
    """The characters of the context that are the answer.

    Files in the wild count ``start`` in characters, in UTF-16 units (what JavaScript calls characters) or in bytes, or
    miscount it, or write the answer in another Unicode form (NFC, NFD) than the context. In this order: the place
    that ``start`` names in one of these units; the nearest equal text; the nearest that is equal in NFC.

    Args:
        context: The context.
        answer: The answer's text, not empty.
        start: Where it is said to begin; None if nobody said.

    Returns:
        Where it begins and ends (exclusive); None if it is not in the context.
    """
    if start is not None and start >= 0:
        if context.startswith(answer, start):
            return start, start + len(answer)
        if not context.isascii():
            for encoding, unit in (("utf-16-le", 2), ("utf-8", 1)):
                # The part before may end inside a character; it is then not as long as was said, and does not count.
                before = context.encode(encoding, "surrogatepass")[: start * unit].decode(encoding, "ignore")
                exact = len(before.encode(encoding, "surrogatepass")) == start * unit
                if exact and context.startswith(answer, len(before)):
                    return len(before), len(before) + len(answer)
    near = start or 0
    places = list(_places(context, answer))
    if places:
        place = min(places, key=lambda found: abs(found - near))
        return place, place + len(answer)
    if context.isascii() and answer.isascii():
        return None
    normal, origin = _normalised(context)
    wanted = unicodedata.normalize("NFC", answer)
    ranges = [(origin[place], origin[place + len(wanted)]) for place in _places(normal, wanted)]
    return min(ranges, key=lambda found: abs(found[0] - near)) if ranges else None


def whole_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """The range widened to what a reader sees as whole characters.

    A tokenizer that drops accents ends a token before a combining mark; the mark belongs to the text all the same.
    """
    while 0 < start < end and _continues(text, start):
        start -= 1
    while start < end < len(text) and _continues(text, end):
        end += 1
    return start, end


def _continues(text: str, place: int) -> bool:
    """Whether the character goes on with the one before it."""
    character = text[place]
    return (
        character == _JOINER
        or text[place - 1] == _JOINER
        or ord(character) in _SKIN_TONES
        or ord(character) in _JAMO
        or unicodedata.category(character) in ("Mn", "Me")
    )


def _places(text: str, part: str) -> Iterator[int]:
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)


def _normalised(text: str) -> tuple[str, list[int]]:
    """The text in NFC, and for every character of it (and its end) where it comes from."""
    pieces: list[str] = []
    origin: list[int] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not _continues(text, end):
            piece = unicodedata.normalize("NFC", text[start:end])
            pieces.append(piece)
            origin += [start] * len(piece)
            start = end
    return "".join(pieces), [*origin, len(text)]

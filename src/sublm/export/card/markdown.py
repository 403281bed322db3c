"""Pieces of Markdown that no content can break."""

from __future__ import annotations


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; numbers stand to the right."""
    lines = [columns, ["---", *("---:" if columns[0] else "---" for _ in columns[1:])], *rows]
    return "\n".join(f"| {' | '.join(plain(cell) for cell in line)} |" for line in lines)


def plain(text: str) -> str:
    """Text that ends no table cell, line or heading, and starts no HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Text as code."""
    return f"`{text.replace('`', '')}`"

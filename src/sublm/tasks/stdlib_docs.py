"""The quick start's task: which area of Python's standard library does a text document?

The texts are the documentation strings of modules, classes and functions, read from the running Python's own source
files with ``ast``; nothing is imported. The label is the area the module belongs to, by the table below.
"""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sublm.errors import DataError
from sublm.tasks.duplicates import without_near_duplicates
from sublm.tasks.splits import split_off
from sublm.tasks.task import Examples, Task

NAME = "stdlib-docs"

# Modules that newer Pythons no longer have are left out where they are large (distutils, lib2to3), so that the
# corpora of different versions stay alike. A leading underscore is dropped before looking up.
AREAS: dict[str, str] = {
    "concurrency": "asyncio concurrent contextvars multiprocessing queue sched selectors subprocess threading "
    "threading_local signal",
    "data formats": "base64 binascii configparser copyreg csv dbm html json markupbase marshal pickle pickletools "
    "plistlib pprint quopri reprlib shelve sqlite3 struct tomllib wave xdrlib xml",
    "files and system": "bz2 compression fileinput filecmp fnmatch genericpath getpass glob gzip io linecache lzma "
    "nturl2path ntpath os pathlib platform posixpath pty pyio shutil site stat sysconfig tarfile tempfile tty venv "
    "zipapp zipfile",
    "graphical interfaces": "curses idlelib tkinter turtle turtledemo colorsys",
    "language and imports": "abc ast collections collections_abc contextlib copy dataclasses dis enum functools "
    "importlib inspect keyword modulefinder opcode operator pkgutil pyclbr runpy symtable token tokenize types "
    "typing weakref weakrefset zipimport",
    "mail and news": "email imaplib mailbox mailcap mimetypes nntplib poplib smtpd smtplib",
    "networking": "cgi cgitb ftplib http ipaddress netrc socket socketserver ssl telnetlib urllib webbrowser wsgiref "
    "xmlrpc uuid hmac hashlib secrets",
    "numbers and dates": "bisect calendar datetime decimal pydatetime pydecimal fractions graphlib heapq numbers "
    "pylong random statistics strptime zoneinfo",
    "testing and debugging": "bdb cProfile code codeop doctest faulthandler logging pdb profile pstats pydoc "
    "timeit trace traceback tracemalloc unittest warnings",
    "text and command line": "argparse cmd codecs colorize difflib encodings getopt gettext locale optparse pyrepl "
    "re readline rlcompleter shlex string stringprep textwrap unicodedata",
}
WORDS = 60
"""A text is clipped to so many words."""
LEAST_WORDS = 6
LARGEST = 600
"""No area has more texts than this, so that the largest cannot carry the accuracy."""
VALIDATION_SHARE = 0.2

_AREA_OF = {module: area for area, modules in AREAS.items() for module in modules.split()}
_SKIPPED = {"test", "tests", "idle_test", "__pycache__", "site-packages", "dist-packages"}


def read_stdlib_docs(seed: int = 0, root: Path | None = None) -> tuple[Task, Examples, Examples, str]:
    """Collect the texts and split off the validation rows.

    Done to a text: example sessions (``>>>`` and what follows up to an empty line) are cut, runs of spaces become
    one, and 60 words are kept. Texts under six words are dropped, and so are near-duplicates (see ``duplicates``)
    over the whole corpus, so that none stands in two splits; then every area is cut, by a seeded draw, to 600 texts.
    Nothing is masked: a few of the texts mention a module of their area with a dot, as documentation does. Train
    and validation share modules, not texts.

    Args:
        seed: Of the draw and the split.
        root: The library's folder; the running Python's own if left out.

    Returns:
        The task, the train rows, the validation rows (20 % of each area), and what the corpus depends on.

    Raises:
        DataError: The library's source files are not there.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    texts, areas = [], []
    for area, text in _walk(root):
        texts.append(text)
        areas.append(area)
    kept = without_near_duplicates(texts)
    by_area: defaultdict[str, list[int]] = defaultdict(list)
    for row in kept:
        by_area[areas[row]].append(row)
    if len(by_area) < 2:
        raise DataError(
            f"{NAME!r} reads the Python standard library's source files, and this Python has none in {root.name}. Use "
            "a Python installed with its library, or another task."
        )
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    names = tuple(sorted(by_area))
    for number, area in enumerate(names):
        chosen = sorted(rng.permutation(by_area[area])[:LARGEST])
        rows += [texts[row] for row in chosen]
        labels += [number] * len(chosen)
    task = Task(NAME, "classification", ("text",), "area", names, ("accuracy", "macro_f1"))
    examples = Examples({"text": rows}, np.array(labels, dtype=np.int64))
    rest, held = split_off(examples, VALIDATION_SHARE, seed, stratified=True)
    version = ".".join(map(str, sys.version_info[:3]))
    return task, examples.select(rest), examples.select(held), f"Python {version}"


def _walk(root: Path) -> Iterator[tuple[str, str]]:
    """Area and cleaned text of every docstring, in the order of the file names."""
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
        parts = path.relative_to(root).parts
        area = _AREA_OF.get(parts[0].removesuffix(".py").lstrip("_"))
        if area is None or _SKIPPED.intersection(parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:  # a file that is broken on purpose
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = clean(ast.get_docstring(node) or "")
                if len(text.split()) >= LEAST_WORDS:
                    yield area, text


def clean(docstring: str) -> str:
    """A docstring without example sessions, on one line, clipped to 60 words."""
    prose = re.sub(r"^[ \t]*>>>.*?(?:\n[ \t]*\n|\Z)", "\n", docstring, flags=re.MULTILINE | re.DOTALL)
    return " ".join(prose.split()[:WORDS])

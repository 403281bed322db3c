"""Runs the blocks of a Markdown page that stand under `<!-- ci -->`, as written, one after the other.

Usage: python scripts/run_readme.py README.md
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

LIMIT_SECONDS = 900
MARKED = re.compile(r"^<!-- ci -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


def marked_blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every marked block."""
    return [(language, text) for language, text in MARKED.findall(page)]


def main(path: Path) -> int:
    """Runs the page's blocks; stops at the first that fails."""
    blocks = marked_blocks(path.read_text(encoding="utf-8"))
    if not blocks:
        print(f"{path}: no block stands under <!-- ci -->", file=sys.stderr)
        return 1
    for language, text in blocks:
        print(f"{path.name}: {text.strip().splitlines()[0]} ...", flush=True)
        began = time.monotonic()
        # As a reader would: a `make` in the block is not part of the `make` that may have called this.
        environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
        command = [*RUNNERS[language], text]
        code = subprocess.run(command, timeout=LIMIT_SECONDS, env=environment, check=False).returncode
        if code:
            print(f"{path.name}: exit code {code} from\n{text}", file=sys.stderr)
            return 1
        print(f"{path.name}: done in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""The corpus pipeline: peak memory from 10 MB to 1 GB of text, and throughput against the tokenizer's own limit.

The text is made from real text in parquet files: paragraphs in another order each time round, some words exchanged, so
that no part repeats another. Every size is packed, and one epoch of it read, in a process of its own, whose private
memory is sampled; pages of mapped files are counted apart, since the system takes them back when it needs room.

    python benchmarks/corpus.py DATA --tokenizer MODEL [--megabytes 10 100 1000] [--workers 1] [--out FILE]

DATA is a folder of parquet files with a column `text`. The result is printed, and written with --out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sublm.machine import describe_machine

GOALS = {"private_mib_growth": 50.0, "share_of_tokenizer_limit": 0.8}


def write_text(sources: list[Path], path: Path, size: int, seed: int = 0) -> None:
    """About `size` bytes of text, a paragraph per line and blank lines between."""
    import pyarrow.parquet

    texts = [
        text for file in sources for text in pyarrow.parquet.read_table(file, columns=["text"])["text"].to_pylist()
    ]
    texts = [text.strip() for text in texts if text and text.strip()]
    rng = random.Random(seed)
    written, around = 0, 0
    with path.open("w", encoding="utf-8") as stream:
        while True:
            rng.shuffle(texts)
            for text in texts:
                words = text.split(" ")
                for _ in range(len(words) // 10 if around else 0):
                    one, other = rng.randrange(len(words)), rng.randrange(len(words))
                    words[one], words[other] = words[other], words[one]
                written += len((text := " ".join(words) + "\n\n").encode())
                stream.write(text)
                if written >= size:
                    return
            around += 1


def tokenizer_limit(tokenizer: Path, text: Path, size: int = 4 << 20) -> dict[str, float]:
    """Tokens per second of processor time on one thread that the tokenizer alone makes of the same text."""
    from transformers import AutoTokenizer

    from sublm.pretraining.vocabulary import open_portable, portable

    inner = open_portable(portable(AutoTokenizer.from_pretrained(tokenizer)))
    with text.open(encoding="utf-8") as stream:
        lines = [line.strip() for line in stream.read(size).split("\n") if line.strip()]
    found = {}
    for name, encode in (("with_words", inner.encode_batch), ("without_words", inner.encode_batch_fast)):
        tokens, started = 0, time.process_time()
        for start in range(0, len(lines), 1000):
            tokens += sum(map(len, encode(lines[start : start + 1000], add_special_tokens=False)))
        found[name] = tokens / (time.process_time() - started)
    return found


def measure(tokenizer: Path, text: Path, out: Path, workers: int) -> dict[str, Any]:
    """Packs a text and reads an epoch; what it took."""
    from transformers import AutoTokenizer

    from sublm.pretraining import Masking, PieceBatches, build_corpus

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    with Memory() as memory:
        started, used = time.perf_counter(), _processor()
        corpus = build_corpus([text], loaded, out, workers=workers)
        seconds, processor = time.perf_counter() - started, _processor() - used
    found = {"build": {"seconds": seconds, "processor_seconds": processor, **memory.found}}
    counts = corpus.meta["counts"]
    found["build"]["tokens_per_second"] = counts["tokens"] / seconds
    found["build"]["tokens_per_processor_second"] = counts["tokens"] / processor
    with Memory() as memory:
        batches = PieceBatches(corpus, batch_size=256, masking=Masking())
        started = time.perf_counter()
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches(0))
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        batches = PieceBatches(corpus, batch_size=256, masking=Masking(), seed=1)
        next(batches.starting_at(3, len(batches) // 2))
        enter = time.perf_counter() - started
    found["read"] = {"seconds": seconds, "tokens_per_second": tokens / seconds, "to_the_middle_seconds": enter}
    found["read"].update(memory.found)
    size = sum(file.stat().st_size for file in out.rglob("*.arrow"))
    return {"text_bytes": text.stat().st_size, "shard_bytes": size, "counts": counts, **found}


class Memory:
    """Samples the memory of this process and its children: peaks in MiB, private and of mapped files."""

    def __enter__(self) -> Memory:
        self.found = {"private_mib": 0.0, "mapped_mib": 0.0}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            private = mapped = 0.0
            for process in _family(os.getpid()):
                try:
                    status = Path(f"/proc/{process}/status").read_text()
                except OSError:
                    continue
                sizes = {key: int(value) / 1024 for key, value in re.findall(r"(\w+):\s+(\d+) kB", status)}
                private, mapped = private + sizes.get("RssAnon", 0.0), mapped + sizes.get("RssFile", 0.0)
            self.found["private_mib"] = max(self.found["private_mib"], private)
            self.found["mapped_mib"] = max(self.found["mapped_mib"], mapped)


def _family(process: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{process}/task").glob("*/children"))
        children = [int(child) for file in tasks for child in file.read_text().split()]
    except OSError:
        children = []
    return [process, *(member for child in children for member in _family(child))]


def _processor() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.tokenizer, *given.measure, given.workers)))
        return
    result: dict[str, Any] = {"machine": describe_machine(), "goals": GOALS, "workers": given.workers, "sizes": {}}
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in given.megabytes:
            text, out = Path(folder) / f"{megabytes}.txt", Path(folder) / f"{megabytes}"
            write_text(sorted(given.data.rglob("*.parquet")), text, megabytes * 10**6)
            if "tokenizer_tokens_per_second" not in result:
                result["tokenizer_tokens_per_second"] = tokenizer_limit(given.tokenizer, text)
            command = [sys.executable, __file__, str(given.data), "--tokenizer", str(given.tokenizer)]
            command += ["--workers", str(given.workers), "--measure", str(text), str(out)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            result["sizes"][f"{megabytes} MB"] = json.loads(done.stdout.splitlines()[-1])
            text.unlink()
    runs = list(result["sizes"].values())
    limit = result["tokenizer_tokens_per_second"]["with_words"]
    for stage in ("build", "read"):
        result[f"{stage}_private_mib_growth"] = runs[-1][stage]["private_mib"] - runs[0][stage]["private_mib"]
    result["share_of_tokenizer_limit"] = runs[-1]["build"]["tokens_per_processor_second"] / limit
    text = json.dumps(result, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

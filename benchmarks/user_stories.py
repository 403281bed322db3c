"""What a new user does, in short: each story by the commands of docs/user-stories.md, from files to a loaded model.

    python benchmarks/user_stories.py --data DATA --model MODEL
    python benchmarks/user_stories.py --data DATA --model MODEL --only tags    (the other results stay as they are)

Needs sentence-transformers and onnxruntime, with which the models are loaded.

DATA holds the folders stsb, mrpc and sst2, MODEL is a sentence-transformers folder of the BERT type. Of each story are
told the commands, their wall-clock and processor seconds, the share of the score that was kept, the measured speed-up,
whether it loads as its model card says where SubLM is not installed, and what failed. The commands are those of a user
with less of everything (`LESS`), so scores say that a story works and not how good its models can be.
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
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from sublm.machine import describe_machine

RESULT = Path(__file__).parent / "results" / "user_stories.json"
LESS = ["--limit", "600", "--epochs", "1", "--evaluations", "15", "--models", "3"]
TEXTS, PAIRS, SENTENCES, REVIEWS = 1500, 600, 400, 1200
"""Rows of the files that are made."""

PEOPLE = ("Anna", "Ben Becker", "Clara Jones", "David", "Emma Fischer", "Hans Weber", "Ida", "Maria Koch", "Otto Brown")
PLACES = ("London", "New York", "Berlin", "Rio de Janeiro", "Vienna", "San Francisco", "Oslo", "Hong Kong")
FIRMS = ("Acme Corp", "Globex", "Bank of Norway", "Red Cross", "Umbrella Ltd", "Northern Rail")
SAID = (
    "{PER} moved from {LOC} to {LOC} last year .",
    "{PER} works for {ORG} in {LOC} .",
    "The office of {ORG} in {LOC} was closed on Monday .",
    "{ORG} has hired {PER} as its new chairman .",
    "Yesterday {PER} met {PER} at the station .",
    "It rained all day in {LOC} .",
    "The meeting was short and nobody complained .",
)
THINGS = ("电影", "餐厅", "房间", "服务", "手机", "音乐", "味道", "价格")
GOOD, BAD = ("很好", "不错", "满意", "精彩", "舒服", "开心"), ("很差", "失望", "糟糕", "无聊", "难吃", "生气")
ENDS = ("。", "，下次还会来。", "，朋友也这么说。", "，我等了三天。")


class Story:
    """What became of one story.

    Args:
        folder: Where it takes place; commands are run there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = {"wall": 0.0, "cpu": 0.0}
        self.told: dict[str, Any] = {"commands": [], "failed": []}

    def sublm(self, *words: str) -> str:
        """Runs a command; gives its standard output, and notes its time and whether it failed."""
        self.told["commands"].append(" ".join(("sublm", *words)))
        return self.python("-m", "sublm", *words)

    def python(self, *words: str) -> str:
        """Runs Python in the folder."""
        began, before = time.perf_counter(), os.times()
        done = subprocess.run([sys.executable, *words], cwd=self.folder, capture_output=True, text=True)
        after = os.times()
        self.seconds["wall"] += time.perf_counter() - began
        self.seconds["cpu"] += sum(after[2:4]) - sum(before[2:4])
        if done.returncode:
            self.told["failed"].append((done.stderr.strip().splitlines() or ["?"])[-1])
        return done.stdout

    def compress(self, *words: str) -> None:
        """Compresses, notes what came out, and loads the chosen model as its card says."""
        self.sublm("compress", *words, "--out", "run", "--quiet")
        if self.told["failed"]:
            return
        front = json.loads((self.folder / "run" / "front.json").read_text(encoding="utf-8"))
        teacher, metric = front["teacher"], front["task"]["metric"]
        point = next((point for point in front["points"] if point["name"] == front["chosen"]), None)
        if point is None:
            self.told["failed"].append(front["why"])
            return
        whole, own = (entry["latency_ms"]["minimum"] for entry in (teacher, point))
        self.told |= {
            "metric": metric,
            "original": round(teacher["score"], 4),
            "score": round(point["score"], 4),
            "kept": round(point["score"] / teacher["score"], 4),
            "deployed": (point.get("deployed_scores") or {}).get(metric),
            "latency_ms": [round(whole, 3), round(own, 3)],
            "speed_up": round(whole / own, 2),
            "macs": round(point["macs"] / teacher["macs"], 4),
            "stock": point["stock"],
        }
        self.told["loads"] = self.load(self.folder / "run" / point["folder"])

    def load(self, folder: Path) -> bool:
        """Runs the Python of a model card in a process that cannot import SubLM."""
        blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
        code = "\n".join(block for block in blocks if "import sublm" not in block)
        code = code.replace("path/to/this/folder", str(folder))
        failures = len(self.told["failed"])
        self.python("-c", f"import sys\nsys.modules['sublm'] = None\n{code}")
        return len(self.told["failed"]) == failures


def embedding(story: Story, data: Path, model: Path) -> None:
    """An embedding model, twice as fast in ONNX int8, from texts without labels."""
    rows = pandas.read_parquet(data / "mrpc" / "train.parquet").sample(TEXTS, random_state=0)
    (story.folder / "texts.txt").write_text("\n".join(rows["sentence1"]), encoding="utf-8")
    (story.folder / "sts").mkdir()
    for split in ("train", "validation"):
        pairs = pandas.read_parquet(data / "stsb" / f"{split}.parquet").sample(PAIRS, random_state=0)
        pairs[["sentence1", "sentence2", "label"]].to_csv(story.folder / "sts" / f"{split}.csv", index=False)
    wanted = ["--target", "speedup>=2x", "--runtime", "onnx", "--runtime-precision", "int8"]
    story.compress(str(model), "--task", "embedding", "--data", "texts.txt", "--pairs", "sts", *wanted, *LESS)


def pairs(story: Story, data: Path, model: Path) -> None:
    """A classifier of pairs to a latency: half of what the model takes at 64 tokens."""
    (story.folder / "pairs").mkdir()
    for split, rows in (("train", PAIRS), ("validation", 250)):
        table = pandas.read_parquet(data / "mrpc" / f"{split}.parquet").sample(rows, random_state=0)
        named = {"first": table["sentence1"], "second": table["sentence2"]}
        named["meaning"] = table["label"].map({0: "different", 1: "same"})
        path = story.folder / "pairs" / f"{split}.jsonl"
        pandas.DataFrame(named).to_json(path, orient="records", lines=True)
    conditions = ["--runtime", "onnx", "--threads", "1"]
    table = json.loads(story.sublm("latency", str(model), "--length", "64", *conditions, "--json"))
    target = f"latency<={table['measurements'][0]['minimum'] / 2:.2f}ms"
    story.told["target"] = target
    story.compress(str(model), "--task", "pairs", "--target", target, *conditions, "--onnx", *LESS)


def tags(story: Story, data: Path, model: Path) -> None:
    """Names of people, places and firms, from a CoNLL file."""
    rng = random.Random(0)
    lists = {"PER": PEOPLE, "LOC": PLACES, "ORG": FIRMS}
    sentences = []
    for _ in range(SENTENCES):
        lines = []
        for word in rng.choice(SAID).split():
            kind = word.strip("{}")
            if kind in lists:
                parts = rng.choice(lists[kind]).split()
                lines += [f"{part}\t{'I' if i else 'B'}-{kind}" for i, part in enumerate(parts)]
            else:
                lines.append(f"{word}\tO")
        sentences.append("\n".join(lines))
    (story.folder / "ner.conll").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    wanted = ["--target", "macs<=50%", "--teacher-epochs", "8", "--onnx"]
    story.compress(str(model), "--task", "ner.conll", *wanted, *LESS)


def own_csv(story: Story, data: Path, model: Path) -> None:
    """A CSV as a spreadsheet writes it: semicolons, a byte order mark, columns that are neither text nor label."""
    rows = pandas.read_parquet(data / "sst2" / "train.parquet")
    rows = rows[rows["sentence"].str.split().str.len() > 5].sample(REVIEWS, random_state=0)
    table = {"id": range(len(rows)), "date": [f"2024-05-{i % 28 + 1:02}" for i in range(len(rows))]}
    table |= {"review": rows["sentence"].str.strip(), "sentiment": rows["label"].map({0: "negative", 1: "positive"})}
    pandas.DataFrame(table).to_csv(story.folder / "reviews.csv", index=False, sep=";", encoding="utf-8-sig")
    words = [str(model), "--task", "reviews.csv", "--text", "review", "--target", "macs<=33%", "--onnx"]
    story.compress(*words, "--teacher-epochs", "2", *LESS)


def chinese(story: Story, data: Path, model: Path) -> None:
    """A Chinese backbone with random weights and a vocabulary of characters, trimmed first."""
    characters = [chr(number) for number in range(0x4E00, 0x9FA6)]
    marks = [*map(chr, range(33, 127)), *"，。！？"]
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *marks,
        *characters,
        *(f"##{one}" for one in characters),
    ]
    folder = story.folder / "zh-bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 768}
    BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(folder)
    rng = random.Random(0)
    rows = []
    for i in range(REVIEWS):
        words = (rng.choice(THINGS), rng.choice(("", "真的", "实在")), rng.choice(BAD if i % 2 else GOOD))
        rows.append({"评论": "".join(words) + rng.choice(ENDS), "情感": "负面" if i % 2 else "正面"})
    pandas.DataFrame(rows).to_csv(story.folder / "reviews.csv", index=False)
    (story.folder / "texts.txt").write_text("\n".join(row["评论"] for row in rows), encoding="utf-8")
    printed = story.sublm("trim-vocabulary", "zh-bert", "--corpus", "texts.txt", "--out", "zh-small", "--json")
    if printed:
        report = json.loads(printed)
        story.told["trimmed"] = {key: report[key] for key in ("tokens", "bytes")}
    longer = ["--teacher-epochs", "13", "--epochs", "4"]  # as the run proposes: random weights have much to learn
    story.compress("zh-small", "--task", "reviews.csv", "--target", "macs<=50%", "--onnx", *LESS, *longer)


STORIES: dict[str, Callable[[Story, Path, Path], None]] = {
    "embedding": embedding,
    "pairs": pairs,
    "tags": tags,
    "own_csv": own_csv,
    "chinese": chinese,
}


def tell(name: str, data: Path, model: Path) -> dict[str, Any]:
    """One story, in a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        try:
            STORIES[name](story, data, model)
        except Exception as error:  # the other stories are told all the same
            story.told["failed"].append(f"{type(error).__name__}: {error}")
        text = json.dumps(story.told | {f"{key}_s": round(value, 1) for key, value in story.seconds.items()})
        known = ((folder, "."), (str(model), "./my-encoder"))
    for found, shown in known:
        text = text.replace(found, shown)
    return json.loads(text)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with the folders stsb, mrpc and sst2")
    parser.add_argument("--model", type=Path, required=True, help="a sentence-transformers folder of the BERT type")
    parser.add_argument("--only", choices=STORIES, nargs="+", default=list(STORIES), help="some of the stories")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the result is written; results/ if not given")
    given = parser.parse_args(words)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    for name in given.only:
        told = tell(name, given.data.resolve(), given.model.resolve())
        print(json.dumps({name: told}, ensure_ascii=False), flush=True)
        before = json.loads(given.out.read_text(encoding="utf-8"))["stories"] if given.out.exists() else {}
        stories = {key: told if key == name else before[key] for key in STORIES if key == name or key in before}
        result = {"machine": describe_machine(), "stories": stories}
        given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

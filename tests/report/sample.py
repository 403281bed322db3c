"""A front.json as a real run on STS-B with a 6x384 model would write it."""

import random

HIDDEN, HEAD, LENGTH, VOCABULARY = 384, 32, 28, 30522
EMBEDDINGS = (VOCABULARY + 512 + 2) * HIDDEN + 2 * HIDDEN


def costs(heads, neurons):
    """Parameters, those without embeddings, MACs and a plausible latency."""
    bare = HIDDEN * HIDDEN + 2 * HIDDEN + 1
    macs = HIDDEN * HIDDEN + HIDDEN
    for h, n in zip(heads, neurons, strict=True):
        weights = 4 * HIDDEN * h * HEAD + 2 * HIDDEN * n
        bare += weights + 3 * h * HEAD + n + 6 * HIDDEN
        macs += LENGTH * weights + 2 * LENGTH * LENGTH * h * HEAD
    return {"parameters": bare + EMBEDDINGS, "parameters_without_embeddings": bare, "macs": macs}


def latency(macs):
    milliseconds = 0.9 + 11.4e-9 * macs * 2.7
    return {"minimum": milliseconds, "median": milliseconds * 1.04, "spread": milliseconds * 0.07}


def sample_front(evaluations=100):
    rng = random.Random(0)
    shapes = {
        "m80": ([12, 11, 12, 10, 10, 9], [1408, 1280, 1280, 1152, 1152, 1088]),
        "m66": ([10, 9, 10, 8, 9, 7], [1152, 1024, 1088, 960, 960, 864]),
        "m50": ([8, 6, 8, 6, 7, 5], [896, 768, 832, 736, 704, 640]),
        "m33": ([6, 4, 6, 4, 4, 3], [576, 512, 544, 480, 448, 416]),
        "m25": ([5, 3, 4, 3, 3, 2], [448, 384, 416, 352, 320, 288]),
        "m16": ([3, 2, 3, 2, 2, 1], [288, 256, 256, 224, 192, 192]),
        "m10": ([2, 1, 2, 1, 1, 0], [192, 160, 160, 128, 128, 96]),
    }
    scores = {
        "m80": (0.866, 0.872),
        "m66": (0.864, 0.873),
        "m50": (0.858, 0.873),
        "m33": (0.842, 0.869),
        "m25": (0.821, 0.864),
        "m16": (0.762, 0.853),
        "m10": (0.655, 0.839),
    }
    full = costs([12] * 6, [1536] * 6)
    teacher = {"score": 0.8653, "scores": {"spearman": 0.8653, "pearson": 0.8671}, **full}
    teacher["latency_ms"] = latency(full["macs"])
    points = []
    for name, (heads, neurons) in shapes.items():
        before, score = scores[name]
        cost = costs(heads, neurons)
        points.append(
            {
                "name": name,
                "subnet": {"heads": heads, "neurons": neurons, "hidden": HIDDEN, "head_size": HEAD},
                "stock": False,
                "search_score": before + 0.004,
                "score_before": before,
                "score": score,
                "scores": {"spearman": score, "pearson": score + 0.002},
                **cost,
                "latency_ms": latency(cost["macs"]),
                "folder": f"models/{name}",
                "onnx": f"models/{name}/model.onnx",
            }
        )
    seen = []
    for number in range(evaluations):
        size = rng.uniform(0.05, 1.0)
        heads = [max(0, min(12, round(12 * size + rng.gauss(0, 1.5)))) for _ in range(6)]
        neurons = [32 * max(0, min(48, round(48 * size + rng.gauss(0, 5)))) for _ in range(6)]
        cost = costs(heads, neurons)
        share = cost["macs"] / full["macs"]
        score = 0.874 - 0.055 * (1 - share) ** 5 - 0.02 * rng.random() - 0.06 * max(0, 0.2 - share) * 20 * rng.random()
        seen.append({"number": number, "score": score, **cost, "on_front": False})
    baselines = []
    for share, score in ((0.5, 0.871), (0.33, 0.864), (0.25, 0.860), (0.10, 0.837)):
        cost = costs([round(12 * share)] * 6, [round(48 * share) * 32] * 6)
        baselines.append(
            {
                "name": f"prune-and-distil {share:.0%}".replace("%", " %"),
                "kind": "prune-and-distil",
                "score": score,
                **cost,
                "latency_ms": latency(cost["macs"]),
                "train_seconds": 96.0,
            }
        )
    for layers, score in ((5, 0.852), (4, 0.829)):
        cost = costs([12] * layers, [1536] * layers)
        baselines.append(
            {
                "name": f"{layers} of 6 layers",
                "kind": "layer-dropping",
                "score": score,
                **cost,
                "latency_ms": latency(cost["macs"]),
                "train_seconds": 88.0 * layers / 6,
            }
        )
    quick = latency(full["macs"] * 0.42)
    baselines.append({"name": "original int8", "kind": "original int8", "score": 0.8598, **full, "latency_ms": quick})
    return {
        "schema": 1,
        "sublm": "0.1.0",
        "task": {
            "name": "stsb",
            "metric": "spearman",
            "kind": "regression",
            "split": "validation",
            "examples": 1500,
            "search_examples": 862,
        },
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "shape": {"layers": 6, "hidden": HIDDEN, "heads": 12, "head_size": HEAD, "neurons": 1536},
        "teacher": teacher,
        "target": ["latency<=6ms"],
        "chosen": "m50",
        "why": "Of the models that meet latency<=6ms, m50 has the highest score on the search’s own split.",
        "points": points,
        "evaluations": seen,
        "baselines": baselines,
        "stages": [
            {"name": name, "seconds": seconds}
            for name, seconds in (
                ("teacher", 118.0),
                ("importance", 6.2),
                ("train", 241.0),
                ("search", 83.0),
                ("recover", 312.0),
                ("measure", 21.0),
                ("baselines", 531.0),
                ("export", 8.4),
            )
        ],
        "machine": {
            "processor": "AMD EPYC 9B14",
            "cores": 4,
            "threads": 2,
            "python": "3.11.7",
            "torch": "2.13.0",
            "transformers": "5.23.0",
        },
        "latency": {"runtime": "onnx", "threads": 1, "length": "the task's own", "batch": 1},
        "seed": 0,
    }


def sample_comparison():
    """A comparison.json beside it, as of numbers."""
    rng = random.Random(1)
    pairs = [(x := rng.uniform(0, 5), x + rng.gauss(0, 0.2)) for _ in range(200)]
    texts = ("A man is playing a large flute.", "A man is playing a <b>flute</b> & a drum.")
    example = {"texts": dict(zip(("sentence1", "sentence2"), texts, strict=True))}
    return {
        "schema": 1,
        "model": "m50",
        "split": "search",
        "kind": "numbers",
        "rows": 862,
        "difference": {"mean": 0.16, "median": 0.11, "nine_of_ten": 0.35, "largest": 1.52},
        "pairs": sorted([round(a, 4), round(b, 4)] for a, b in pairs),
        "examples": [{**example, "expected": "3.8", "original": "3.6", "model": f"{2 + i / 10:.1f}"} for i in range(8)],
    }


def sample_classes():
    """The same of classes."""
    text = "the film is not without its charms , though they are few and far between"
    example = {"texts": {"sentence": text}, "expected": "negative", "original": "negative"}
    return {
        "schema": 1,
        "model": "m50",
        "split": "search",
        "kind": "answers",
        "rows": 862,
        "changed": 61,
        "right": {"both": 740, "original": 35, "model": 26, "neither": 61},
        "labels": ["negative", "positive"],
        "matrix": [[398, 33], [28, 403]],
        "examples": [{**example, "model": "positive", "right": [True, False]} for _ in range(8)],
    }


def sample_ranks():
    """The same of similarities."""
    pairs = [(rank, 300 - rank if 140 < rank < 160 else rank) for rank in range(1, 300)]
    moved = {"mean": 12.3, "median": 9.5, "nine_of_ten": 31.0, "largest": 108.0}
    texts = {"sentence1": "A man is playing a large flute.", "sentence2": "A man is playing a <b>flute</b> & a drum."}
    told = {"expected": "rank 12 (4.8)", "original": "rank 17 (0.81)", "model": "rank 125 (0.52)"}
    return sample_comparison() | {
        "kind": "ranks",
        "rows": 299,
        "difference": moved,
        "pairs": [list(map(float, pair)) for pair in pairs],
        "examples": [{"texts": texts, **told}] * 8,
    }


def sample_tags():
    """The same of tags, word by word."""
    told = {
        "expected": "Ada B-PER, Lovelace I-PER",
        "original": "Ada B-PER, Lovelace I-PER",
        "model": "Ada O, Lovelace O",
    }
    return sample_classes() | {
        "unit": "words",
        "labels": ["O", "PER", "LOC"],
        "matrix": [[600, 9, 4], [30, 140, 8], [10, 0, 61]],
        "examples": [{"texts": {"words": "Ada Lovelace came to Turin ."}, **told, "right": [True, False]}] * 8,
    }


def sample_rankings():
    """The same of first results."""
    told = {"expected": "Lists grow by append.", "original": "Lists grow by append.", "model": "Tuples do not change."}
    found = sample_classes() | {"unit": "queries"}
    del found["labels"], found["matrix"]
    examples = [{"texts": {"query": "How do I lengthen a list?"}, **told, "right": [True, False]}] * 8
    return found | {"examples": examples}


def sample_explained():
    """An explain.json beside it."""

    def model(latency, **parts):
        whole = {name: {"ms": ms, "share": ms / latency} for name, ms in parts.items()}
        return {"latency_ms": latency, "parts": whole}

    return {
        "model": "m50",
        "models": {
            "original": model(10.2, attention=3.9, ffn=5.27, embeddings=0.31, overhead=0.72),
            "m50": model(5.69, attention=2.1, ffn=2.59, embeddings=0.3, overhead=0.7),
        },
        "findings": ["m50 is 1.79x as fast as the original, and does 1.93x fewer multiply-accumulates."],
        "elsewhere": [],
    }

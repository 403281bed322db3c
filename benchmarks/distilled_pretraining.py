r"""Bort's distilled pre-training against plain masked-language-model pre-training of one shape.

    python benchmarks/distilled_pretraining.py --data DATA --model MODEL
    python benchmarks/distilled_pretraining.py --data DATA --model MODEL --start slices --shape 3-12-384-768 \
        --steps 200 --learning-rate 3e-4 --task-learning-rate 1e-4

MODEL is a BERT-type encoder, which has no trained head for masked tokens. So it is trained further with one, on the
training part of `DATA/books`, and that is the teacher (`--teacher-steps`). Students of one shape begin with random
weights (`--start scratch`) or are cut from MODEL (`slices`: the first layers, the units of the largest magnitude). They
are trained on the same text, and differ in the seed (random weights, order of the text, masks, dropout) and in what
they learn:

    plain               masked tokens
    distilled           0.1 masked tokens + 0.5 τ² KL(teacher ‖ student) of the logits there, τ = 2; as many steps
    plain, equal cost   masked tokens, for as many steps as `distilled` and the teacher's training cost together

Within a seed all begin with the same weights and see the same texts with the same masks in the same order, as far as
they go. Costs are processor seconds of a step, timed beforehand. `loss` is that of the masked tokens on the validation
book, which nobody is trained on; then every student, and one as it begins, is fine-tuned for a task with the same
settings and several seeds, and scored on the published validation split.

The curve of `plain, equal cost` also says where it is when it has cost as much as `distilled` with a teacher that is
there already, though its learning rate is still high by then. Killed, the same command goes on; both commands share
the teacher. The result is printed and written to `results/distilled_pretraining/START.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import sublm
from sublm.architectures import Shape
from sublm.export import save
from sublm.files import read_json, write_json
from sublm.finetuning import finetune
from sublm.machine import describe_machine
from sublm.pretraining import Corpus, CorpusSteps, Masking, build_corpus
from sublm.stages.extraction.family import family_of_model
from sublm.stages.pretrain import load_student, load_teacher
from sublm.tasks import load_tokenizer
from sublm.training import TrainOptions, fixed, train
from sublm.training.objectives import PretrainingObjective, read_terms

RESULTS = Path(__file__).parent / "results" / "distilled_pretraining"
TIMED = 12
"""Steps by whose median a step's cost is told."""
ARMS = ("plain", "distilled", "plain, equal cost")


@dataclass(frozen=True)
class Job:
    """What all trainings have in common.

    Attributes:
        given: The arguments.
        corpus: Text to train on.
        validation: Text to validate on.
        teacher: Folder of the trained teacher.
    """

    given: argparse.Namespace
    corpus: Path
    validation: Path
    teacher: Path

    def pretrain(self, model: str | Path, folder: Path, steps: int, **settings: Any) -> dict[str, Any]:
        """One pre-training, or what is there of it; its curve and losses."""
        result = sublm.pretrain(
            str(model),
            self.corpus,
            out=folder,
            quiet=False,
            space="none",
            steps=steps,
            batch_size=self.given.batch_size,
            validation=str(self.validation),
            validation_rows=self.given.validation_rows,
            validate_every=max(1, min(self.given.validate_every, steps // 2)),
            **settings,
        )
        return {**result, **read_json(folder / "validation.json")}


def pack(data: Path, model: str, work: Path, length: int) -> tuple[Path, Path]:
    """The corpora to train and to validate on."""
    tokenizer, found = load_tokenizer(model), []
    for split in ("train", "validation"):
        folder = work / f"{split}-{length}"
        build_corpus([data / "books" / f"{split}.parquet"], tokenizer, folder, length=length, packing="stream")
        found.append(folder)
    return found[0], found[1]


def students(given: argparse.Namespace, seed: int | str) -> Path:
    """Where all students of a seed go."""
    folder: Path = given.work / f"{given.start}-{given.shape}" / str(seed)
    return folder


def write_student(given: argparse.Namespace, seed: int) -> Path:
    """A student as its training begins: of the shape layers-heads-hidden-neurons, with the model's tokenizer."""
    folder = students(given, seed) / "student"
    if not (folder / "config.json").exists():
        layers, heads, hidden, neurons = (int(number) for number in given.shape.split("-"))
        shape = Shape(layers=layers, heads=heads, hidden=hidden, neurons=neurons, head_size=hidden // heads)
        save(family_of_model(given.model, given.start).make(shape, seed), folder, tokenizer=load_tokenizer(given.model))
    return folder


def seconds_per_step(job: Job, model: str | Path, objective: str) -> float:
    """Processor seconds of a training step, the median of some; the first, which warms up, does not count."""
    terms = read_terms(objective)
    steps = CorpusSteps(job.corpus, 0, len(Corpus.open(job.corpus)), job.given.batch_size, TIMED, Masking(0.15))
    times: list[float] = []
    train(
        load_student(str(model)).model,
        steps,
        fixed(teach="teacher" if terms.distils else "labels"),
        TrainOptions(1, 1e-5, log_every=1),
        steps_per_epoch=TIMED,
        objective=PretrainingObjective(terms),
        teacher=load_teacher(str(job.teacher), terms) if terms.distils else None,
        progress=lambda step, steps, loss, rate: times.append(time.process_time()),
    )
    return statistics.median(later - before for before, later in pairwise(times))


def plan(job: Job) -> dict[str, Any]:
    """What a step costs, and so how many each of the trainings has; timed once, and kept."""
    path = students(job.given, "costs.json")
    if not path.exists():
        costs = {
            "teacher": seconds_per_step(job, job.given.model, "mlm"),
            "plain": seconds_per_step(job, write_student(job.given, 0), "mlm"),
            "distilled": seconds_per_step(job, write_student(job.given, 0), "bort"),
        }
        write_json(path, costs)
    costs = read_json(path)
    steps = job.given.steps
    distilling, teaching = steps * costs["distilled"], job.given.teacher_steps * costs["teacher"]
    arms = (steps, steps, round((distilling + teaching) / costs["plain"]))
    return {
        "processor_seconds_per_step": costs,
        "steps": dict(zip(ARMS, arms, strict=True)),
        "plain_steps_at_the_cost_of_distilled": round(distilling / costs["plain"]),
    }


def student(job: Job, arm: str, steps: int, seed: int) -> dict[str, Any]:
    """One student: its losses over the steps, and where it is."""
    folder = students(job.given, seed) / arm.replace(", ", "-").replace(" ", "-")
    more = {"objective": "bort", "teacher": str(job.teacher)} if arm == "distilled" else {}
    given = {"learning_rate": job.given.learning_rate, "seed": seed, **more}
    found = job.pretrain(write_student(job.given, seed), folder, steps, **given)
    curve = [
        {"step": point["step"], "loss": point.get("masked_losses", point["losses"])["model"]}
        for point in found["curve"]
    ]
    return {"steps": steps, "loss": curve[-1]["loss"], "curve": curve, "model": found["model"]}


def downstream(job: Job, model: str | Path, folder: Path) -> dict[str, Any]:
    """Fine-tuned with fixed settings: the scores of all seeds on the validation split."""
    given = job.given
    found = finetune(
        model,
        task=given.task,
        data=str(given.data / given.task),
        out=folder,
        quiet=False,
        learning_rate=(given.task_learning_rate,),
        epochs=(given.task_epochs,),
        seeds=tuple(range(given.task_seeds)),
        max_length=given.length,
        limit=given.task_limit,
    )
    scores = [run["validation"][found["metric"]] for run in found["runs"]]
    return {"metric": found["metric"], "scores": scores, **spread(scores)}


def spread(values: list[float]) -> dict[str, Any]:
    """Mean and deviation."""
    return {"mean": statistics.fmean(values), "deviation": statistics.stdev(values) if len(values) > 1 else None}


def compare(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Losses and scores of the arms over the seeds, and what `distilled` is ahead of each of the others.

    A lower loss and a higher score are ahead; differences are those within a seed.
    """
    found: dict[str, Any] = {}
    for arm in ARMS:
        entry: dict[str, Any] = {}
        for name, sign in (("loss", -1), ("score", 1)):
            ours, theirs = ([each[key][name] for each in seeds] for key in ("distilled", arm))
            entry[name] = spread(theirs)
            if arm != "distilled":
                ahead = [sign * (one - other) for one, other in zip(ours, theirs, strict=True)]
                entry[f"distilled is ahead in {name} by"] = {**spread(ahead), "every": ahead}
        found[arm] = entry
    return found


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The teacher, and all students of all seeds."""
    corpus, validation = pack(given.data, given.model, given.work, given.length)
    job = Job(given, corpus, validation, given.work / "teacher" / "model")
    teacher = job.pretrain(
        given.model, given.work / "teacher", given.teacher_steps, learning_rate=given.teacher_learning_rate
    )
    planned = plan(job)
    begun = downstream(job, write_student(given, 0), students(given, 0) / "student-tuned")
    seeds = []
    for seed in range(given.seeds):
        arms = {arm: student(job, arm, steps, seed) for arm, steps in planned["steps"].items()}
        for found in arms.values():
            model = Path(found.pop("model"))
            found["downstream"] = downstream(job, model, students(given, seed) / f"{model.parent.name}-tuned")
            found["score"] = found["downstream"]["mean"]
        seeds.append(arms)
    left_out = ("data", "work", "results", "model")
    return {
        "settings": {name: value for name, value in vars(given).items() if name not in left_out},
        "model": Path(given.model).name,
        **planned,
        "teacher": {
            "steps": given.teacher_steps,
            "curve": [{"step": point["step"], "loss": point["losses"]["model"]} for point in teacher["curve"]],
            "validated_on": teacher["pieces"],
            "precision": teacher["precision"],
        },
        "compared": compare(seeds),
        "as_it_begins": begun,
        "seeds": seeds,
        "machine": describe_machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--shape", default="4-6-192-384", help="layers-heads-hidden-neurons of the students")
    parser.add_argument("--start", choices=("scratch", "slices"), default="scratch")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--teacher-steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--teacher-learning-rate", type=float, default=3e-4)
    parser.add_argument("--validation-rows", type=int, default=256)
    parser.add_argument("--validate-every", type=int, default=100)
    parser.add_argument("--task", default="stsb")
    parser.add_argument("--task-limit", type=int, default=1000, help="training rows of the task, at most")
    parser.add_argument("--task-epochs", type=int, default=3)
    parser.add_argument("--task-seeds", type=int, default=2)
    parser.add_argument("--task-learning-rate", type=float, default=3e-4)
    parser.add_argument("--work", type=Path, default=Path("runs/distilled_pretraining"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    result = run(given)
    write_json(given.results / f"{given.start}.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

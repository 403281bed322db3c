"""What AutoTinyBERT's parts are worth: a super-network trained with all of them, and with each left out in turn.

All super-networks start from MODEL, learn its relations (MiniLMv2) on the same batches of `books` and `wikitext2` for
as many steps, and share one space of shapes (layers, hidden size, neurons, heads, head size). Left out are

- identical layers: every layer of a drawn sub-network has heads and neurons of its own;
- head-aware slices: smaller heads are cut from the first rows of the whole attention (`SuperNet(head_aware=False)`);
- batch-wise sampling: one sub-network per step, not `--subnets` for each of `--parts` of the batch; that is less work,
  so it is done again with `--subnets` times as many steps, which is as much ("one sub-network, longer": more text);
- importance sorting: units stay in the order that the model came with.

Judged are the one-shot validation losses of a fixed set of shapes with identical layers, some in one band of MACs, some
spread over all sizes, and how well these losses order the shapes as training each of them alone for `--steps` does
(beginning with the weights that the super-network with all parts begins with).

    python benchmarks/autotinybert_ablation.py --data DATA --model MODEL --steps 150 --write

Killed, the same command goes on. The result is printed, and with --write it goes to
benchmarks/results/autotinybert_ablation/.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from packed_text import pack, processor_minutes
from torch import nn

from sublm.costs import cost_model
from sublm.files import fingerprint, fingerprint_model, read_json, write_json
from sublm.importance import compute_importance
from sublm.machine import describe_machine
from sublm.pretraining import Corpus, CorpusSteps, Masking, PieceBatches
from sublm.search import fidelity
from sublm.spaces import Integer, SearchSpace, StratifiedSampler, Subnet
from sublm.spaces.homogeneous import shape_name
from sublm.stages.pretrain import load_student, validation_losses
from sublm.stages.pretrain.fidelity import draw_in_band
from sublm.supernet import SuperNet
from sublm.training import Strategy, TrainOptions, fixed, random_subnets, train
from sublm.training.objectives import PretrainingObjective, Terms

RESULTS = Path(__file__).parent / "results" / "autotinybert_ablation"
VALIDATION_BATCH = 32


@dataclass(frozen=True)
class Variant:
    """A super-network's training.

    Attributes:
        identical: Whether all layers of a sub-network are alike.
        head_aware: Whether smaller heads keep a part of each head.
        batch_wise: Whether a step trains several sub-networks.
        sorted: Whether units are sorted by importance first.
        longer: Whether there are `--subnets` times as many steps.
    """

    identical: bool = True
    head_aware: bool = True
    batch_wise: bool = True
    sorted: bool = True
    longer: bool = False


VARIANTS = {
    "all parts": Variant(),
    "layers of their own": Variant(identical=False),
    "slices that ignore heads": Variant(head_aware=False),
    "one sub-network": Variant(batch_wise=False),
    "one sub-network, longer": Variant(batch_wise=False, longer=True),
    "unsorted": Variant(sorted=False),
}


@dataclass(frozen=True)
class Text:
    """What all train on and are judged by."""

    corpus: Corpus
    validation: Sequence[Mapping[str, torch.Tensor]]


class Ablation:
    """One seed: all trainings, each kept in a file of its own when it is done."""

    def __init__(self, a: argparse.Namespace, work: Path) -> None:
        self.a, self.work = a, work
        corpus, held = (Corpus.open(folder) for folder in pack(a.data, a.model, a.work, a.length))
        batches = PieceBatches(held, batch_size=VALIDATION_BATCH, masking=Masking(), seed=0)
        self.text = Text(corpus, list(islice(batches(0), a.validation_rows // VALIDATION_BATCH)))
        self.objective = PretrainingObjective(Terms(mlm=0.0, relations=1.0, relation_heads=a.relation_heads))
        self.supernet, self.teacher = self.begin(VARIANTS["all parts"])
        self.space = space_of(self.supernet, a.relation_heads)
        self.macs = cost_model(self.supernet).macs
        whole = self.macs(self.supernet.largest)
        bounds = (a.band[0] * whole, a.band[1] * whole)
        spread = StratifiedSampler(self.space, self.macs, bins=a.spread, high=a.most * whole)
        self.groups = {
            "band": draw_in_band(self.space, self.macs, bounds, a.architectures, a.shapes_seed),
            "spread": [self.space.decode(v) for v in spread.spread(a.spread, random.Random(a.shapes_seed))],
        }
        self.shapes = [subnet for group in self.groups.values() for subnet in group]

    def begin(self, variant: Variant) -> tuple[SuperNet, nn.Module]:
        """The super-network before its training, and the model that it learns from, its units in the same order."""
        supernet = SuperNet(load_student(self.a.model, seed=self.a.seed).model, head_aware=variant.head_aware)
        if variant.sorted:
            supernet.reorder(compute_importance(supernet, "magnitude"))
        return supernet, supernet.extract(supernet.largest).base_model

    def losses(self, supernet: SuperNet, teacher: nn.Module) -> list[float]:
        """One-shot validation losses of all shapes."""
        return validation_losses(supernet, self.shapes, self.objective, self.text.validation, teacher=teacher)

    def one_shot(self, name: str) -> dict[str, Any]:
        """Trains a super-network; the losses of the shapes before and after."""
        variant, a = VARIANTS[name], self.a
        supernet, teacher = self.begin(variant)
        before = self.losses(supernet, teacher)
        several = variant.batch_wise
        strategy = random_subnets(
            self.space,
            random_nets=a.subnets if several else 1,
            sampler=None if variant.identical else layers_of_their_own(self.space),
            teach="teacher",
        )
        steps = a.steps * (a.subnets if variant.longer else 1)
        self._train(name, supernet, teacher, strategy, steps, a.parts if several else 1, a.learning_rate)
        return {"variant": asdict(variant), "before": before, "losses": self.losses(supernet, teacher)}

    def alone(self, subnet: Subnet) -> dict[str, Any]:
        """Trains a shape by itself, from the weights that the super-network with all parts begins with."""
        model = self.supernet.extract(subnet)
        name, steps = f"alone {shape_name(subnet)}", self.a.alone_steps or self.a.steps
        self._train(name, model, self.teacher, fixed(teach="teacher"), steps, 1, self.a.learning_rate)
        (loss,) = validation_losses(model, [None], self.objective, self.text.validation, teacher=self.teacher)
        return {"loss": loss}

    def part(self, name: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a part found, from its file if it is done."""
        path = self._folder(name).with_suffix(".json")
        if not path.exists():
            before = processor_minutes()
            found = do()
            write_json(path, found | {"processor_minutes": processor_minutes() - before})
            shutil.rmtree(self._folder(name), ignore_errors=True)
        found = read_json(path)
        print(f"{name}: {found['processor_minutes']:.1f} processor minutes", file=sys.stderr, flush=True)
        return dict(found)

    def carry_out(self) -> dict[str, Any]:
        """All trainings, and what they say."""
        shared = {name: self.part(name, lambda name=name: self.one_shot(name)) for name in self.a.variants}
        alone = [
            self.part(f"alone {shape_name(subnet)}", lambda subnet=subnet: self.alone(subnet)) for subnet in self.shapes
        ]
        return {
            "groups": {name: [shape_name(subnet) for subnet in group] for name, group in self.groups.items()},
            "macs_of_the_whole": self.macs(self.supernet.largest),
            "shapes": [
                {"shape": shape_name(subnet), "macs": self.macs(subnet), "alone": entry["loss"]}
                for subnet, entry in zip(self.shapes, alone, strict=True)
            ],
            "variants": {name: entry | self.judge(entry, shared, alone) for name, entry in shared.items()},
            "alone": self.judge_losses([entry["loss"] for entry in alone], [entry["loss"] for entry in alone]),
            "processor_minutes": sum(entry["processor_minutes"] for entry in (*shared.values(), *alone)),
        }

    def judge(self, entry: Mapping[str, Any], shared: Mapping[str, Any], alone: Sequence[Any]) -> dict[str, Any]:
        """Means, agreement with training alone, and the differences from the super-network with all parts."""
        found = self.judge_losses(entry["losses"], [of["loss"] for of in alone])
        if "all parts" in shared:
            pairs = list(zip(entry["losses"], shared["all parts"]["losses"], strict=True))
            found["mean_difference_from_all_parts"] = statistics.fmean(own - theirs for own, theirs in pairs)
            found["worse_than_all_parts"] = f"{sum(own > theirs for own, theirs in pairs)} of {len(pairs)}"
        return found

    def judge_losses(self, losses: Sequence[float], alone: Sequence[float]) -> dict[str, Any]:
        """Means and agreement of each group of shapes and of all."""
        first = len(self.groups["band"])
        places = {"band": slice(0, first), "spread": slice(first, None), "all": slice(None)}
        return {
            group: {
                "mean_loss": statistics.fmean(losses[place]),
                "agreement": asdict(fidelity(losses[place], alone[place], seed=self.a.seed)),
            }
            for group, place in places.items()
            if len(losses[place]) > 1
        }

    def _folder(self, name: str) -> Path:
        """Where the checkpoints of a part lie until it is done."""
        return self.work / "".join(c if c.isalnum() else "-" for c in name)

    def _train(
        self, name: str, network: Any, teacher: nn.Module, strategy: Strategy, steps: int, parts: int, rate: float
    ) -> None:
        a, corpus = self.a, self.text.corpus
        batches = CorpusSteps(corpus.folder, corpus.start, corpus.stop, a.batch_size, steps, Masking(), a.seed)
        options = TrainOptions(
            epochs=1,
            learning_rate=rate,
            batch_size=a.batch_size,
            parts=parts,
            seed=a.seed,
            precision="fp32",
            checkpoint_every=100,
        )

        def tell(step: int, of: int, loss: float, _: float) -> None:
            print(f"{name}: step {step} of {of}, loss {loss:.4f}", file=sys.stderr, flush=True)

        train(
            network,
            batches,
            strategy,
            options,
            steps_per_epoch=steps,
            objective=self.objective,
            teacher=teacher,
            folder=self._folder(name),
            identity=batches.identity(),
            progress=tell,
        )


def space_of(supernet: SuperNet, relation_heads: int) -> SearchSpace:
    """Identical layers, the numbers of heads and their sizes both varied; attention is as wide as relations need."""
    shape = supernet.shape
    least = max(1, shape.head_size * 15 // 64)
    return SearchSpace(
        "homogeneous",
        shape,
        {
            "layers": Integer(1, shape.layers),
            "hidden": Integer(shape.hidden // 6, shape.hidden, 4),
            "heads": Integer(-(-relation_heads // least), shape.heads),
            "head_size": Integer(least, shape.head_size),
            "neurons": Integer(shape.neurons // 24, shape.neurons, 4),
        },
    )


def layers_of_their_own(space: SearchSpace) -> Callable[[random.Random], Subnet]:
    """Draws sub-networks whose layers have heads and neurons of their own, the rest as in the space."""

    def draw(rng: random.Random) -> Subnet:
        whole, *others = (space.sample(rng) for _ in range(1 + space.shape.layers))
        kept = [other if layer in whole.layers else None for layer, other in enumerate(others)]
        return Subnet(
            tuple(own.heads[0] if own else 0 for own in kept),
            tuple(own.neurons[0] if own else 0 for own in kept),
            whole.hidden,
            whole.head_size,
        )

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/autotinybert_ablation"))
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--alone-steps", type=int, default=0, help="of each shape alone; 0: --steps")
    parser.add_argument("--parts", type=int, default=2)
    parser.add_argument("--subnets", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--relation-heads", type=int, default=12)
    parser.add_argument("--validation-rows", type=int, default=128)
    parser.add_argument("--architectures", type=int, default=8, help="in the band")
    parser.add_argument("--band", type=float, nargs=2, default=[0.22, 0.25])
    parser.add_argument("--spread", type=int, default=4, help="over all sizes")
    parser.add_argument("--most", type=float, default=0.6, help="share of the MACs that these have at most")
    parser.add_argument("--shapes-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    settings = {key: value for key, value in vars(a).items() if key not in ("data", "work", "model", "write")}
    settings["model"] = fingerprint_model(a.model)
    deciding = {key: value for key, value in settings.items() if key not in ("variants", "threads")}
    work = a.work / f"{a.steps}-{a.seed}-{fingerprint(deciding)[:8]}"
    work.mkdir(parents=True, exist_ok=True)
    found = {"settings": settings, "machine": describe_machine(), **Ablation(a, work).carry_out()}
    if a.write:
        write_json(RESULTS / f"{a.steps}-{a.seed}.json", found)
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

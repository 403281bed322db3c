"""A finished pre-training opened again: its super-network as it was trained and before, its text and its teacher."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sublm.errors import RunError
from sublm.export import longest_text
from sublm.files import fingerprint_model, read_json
from sublm.progress import Progress
from sublm.run import Run
from sublm.spaces import SearchSpace, Subnet
from sublm.stages.pretrain.folders import SUPERNET, extract_subnet, open_supernet
from sublm.stages.pretrain.network import TEACHER, Network, objective_of, prepare
from sublm.stages.pretrain.settings import PretrainSettings
from sublm.stages.pretrain.text import Text, open_text
from sublm.stages.pretrain.validation import Validation
from sublm.supernet import SuperNet
from sublm.tasks import load_tokenizer
from sublm.training.objectives import PretrainingObjective
from sublm.training.precision import evaluation_precision

CORPUS = "corpus"
"""Folder of a run: the texts it packed, if it was given no corpus."""


@dataclass(frozen=True)
class Trained:
    """A finished pre-training.

    Attributes:
        folder: Its run directory.
        settings: What it was asked for.
        text: Its text.
        tokenizer: Its tokenizer.
        supernet: The super-network as it was trained.
        space: Its space.
        before: Everything as it was before the training: the same units in the same order, and the teacher.
        fingerprint: Of the training: of all that decided the super-network's weights.
    """

    folder: Path
    settings: PretrainSettings
    text: Text
    tokenizer: Any
    supernet: SuperNet
    space: SearchSpace
    before: Network
    fingerprint: str

    @property
    def objective(self) -> PretrainingObjective:
        """What it was trained for."""
        return objective_of(self.before)

    @property
    def length(self) -> int:
        """Tokens of a piece, on average."""
        return round(self.text.tokens)

    def losses(self, subnets: list[Subnet], *, untrained: bool = False) -> list[float]:
        """Validation losses of sub-networks with the weights they share; lower is better.

        Args:
            subnets: Whose.
            untrained: Of the super-network as it was before the training.
        """
        return self._validation.losses(self._network(untrained), subnets)

    @cached_property
    def _validation(self) -> Validation:
        precision = evaluation_precision(self.settings.precision)
        return Validation(self.objective, self.text.validation, teacher=self.before.teacher, precision=precision)

    def cut(self, subnet: Subnet, folder: Path, *, untrained: bool = False) -> Path:
        """Writes a sub-network as a complete folder.

        Args:
            subnet: What is cut.
            folder: Where to.
            untrained: Cut it from the super-network as it was before the training.
        """
        about = {"run": str(self.folder), "objective": self.settings.objective}
        return extract_subnet(
            self._network(untrained), subnet, folder, tokenizer=self.tokenizer, about=about, overwrite=True
        )

    def _network(self, untrained: bool) -> SuperNet:
        source = self.before.supernet if untrained else self.supernet
        assert source is not None  # a run with a super-network was prepared with one
        return source

    def alone(self, model: Path, *, steps: int, **changes: Any) -> PretrainSettings:
        """Settings that train a sub-network's folder by itself, on the same text for the same objective.

        Args:
            model: The folder.
            steps: Optimizer steps.
            **changes: Other settings than the run's.
        """
        teacher = self.folder / TEACHER
        given: dict[str, Any] = {"teacher": str(teacher)} if teacher.is_dir() else {}
        given |= {"strategy": "random", "space": None, "importance": "auto", "from_scratch": False, "parts": 0}
        return replace(self.settings, model=str(model), steps=steps, **(given | changes))


def reopen(folder: str | Path, progress: Progress) -> Trained:
    """Opens a finished run of `sublm pretrain`; nothing in it is done again.

    Raises:
        RunError: If it is none, is not finished, trained no super-network, or its model or text has changed since.
    """
    folder = Path(folder)
    supernet, space = open_supernet(folder)
    with Run(folder) as run:
        record = read_json(folder / "run.json")
        stage = record["stages"].get("pretrain", {})
        if "settings" not in record or stage.get("state") != "done":
            raise RunError(f"{folder} holds no finished pre-training; run the same `sublm pretrain` again.")
        known = {name: value for name, value in record["settings"].items() if name in _SETTINGS}
        settings = PretrainSettings(**{**known, "corpus": tuple(known["corpus"])})
        packed = folder / CORPUS
        settings = replace(settings, corpus=(str(packed),)) if packed.is_dir() else settings
        tokenizer = load_tokenizer(folder / SUPERNET)
        text = open_text(settings, folder, tokenizer, longest_text(supernet.model), progress)
        marks = {"model": fingerprint_model(settings.model), "text": text.steps.identity(), "seed": settings.seed}
        for name, now in {"model": marks["model"], "validation": text.fingerprint}.items():
            if stage["inputs"][name] != now:
                what = settings.model if name == "model" else f"the text ({', '.join(settings.corpus)})"
                raise RunError(
                    f"{what} has changed since {folder} was trained with it, so that scores could not be compared. Put "
                    "it back, or pre-train again."
                )
        before = prepare(settings, run, text, tokenizer, progress, marks)
    return Trained(folder, settings, text, tokenizer, supernet, space, before, str(stage["fingerprint"]))


_SETTINGS = PretrainSettings.__dataclass_fields__

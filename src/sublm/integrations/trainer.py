"""A `transformers.Trainer` whose steps train the sub-networks of a super-network."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer

from sublm.errors import TrainingError
from sublm.outputs import logits_of
from sublm.spaces import SPACES, SearchSpace, Subnet
from sublm.supernet import SuperNet
from sublm.training.distillation import Distillation
from sublm.training.objectives import Answer, TaskObjective
from sublm.training.step import check_draws
from sublm.training.strategies import STRATEGIES, Draw, Strategy
from sublm.training.teacher import Teacher

KINDS: dict[str, str] = {
    "ForMaskedLM": "tokens",
    "ForMultipleChoice": "multiple_choice",
    "ForQuestionAnswering": "span",
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tokens",
}
"""End of a model's class name -> how its students are compared with their teacher."""


class SuperNetTrainer(Trainer):
    """Trains a super-network where a script trained a model: everything else of the script stays.

    The loss of the labels is whatever the script's is: the model's own, `compute_loss_func`, label smoothing, or an
    overridden `compute_loss`. A step adds up the gradients of the strategy's draws, each weighted alike. All batches
    that are accumulated for one step train the same draws, and each of them counts alike. Between steps the
    largest sub-network is active: it is what is evaluated and saved. A subclass of Trainer of your own
    is combined with this one by `class Mine(SuperNetTrainer, YourTrainer)`.

    Example:
        >>> trainer = SuperNetTrainer(model, args, train_dataset=rows, space="uniform")  # doctest: +SKIP
        >>> trainer.train()  # doctest: +SKIP
        >>> small = trainer.supernet.extract(trainer.space.smallest)  # doctest: +SKIP

    Attributes:
        supernet: The super-network around the model.
        space: The sub-networks that are trained.
        strategy: Which of them a step trains.
    """

    loss_is_scaled_for_ga = False  # losses are means of batches; Trainer divides them by the batches of a step

    def __init__(
        self,
        model: Any = None,
        *args: Any,
        supernet: SuperNet | None = None,
        space: SearchSpace | str = "uniform",
        strategy: Strategy | str = "guided",
        teacher: nn.Module | None = None,
        distillation: Distillation | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes the model a super-network, in place.

        Args:
            model: A transformers model of a supported family with a head; may be left out with `supernet`.
            *args: As Trainer takes them.
            supernet: The super-network to train, such as one whose units are sorted by importance; made from the
                model by default.
            space: Its sub-networks, or the name of a space.
            strategy: Which of them a step trains, or the name of a strategy; by name it learns from the teacher where
                there is one.
            teacher: A model for the draws that learn from an outside teacher.
            distillation: How sub-networks learn from the largest or from the teacher.
            **kwargs: As Trainer takes them.

        Raises:
            TrainingError: If an argument cannot be used.
            UnsupportedModelError: If the model's family is not supported.
        """
        if kwargs.get("model_init") is not None:
            raise TrainingError("model_init makes a model anew for every training; pass the model itself as model=.")
        if model is None and supernet is None:
            raise TrainingError("There is nothing to train: pass model= or supernet=.")
        if supernet is not None and model is not None and model is not supernet.model:
            raise TrainingError("model= is not the model of supernet=; pass only one of them.")
        self.supernet = supernet if supernet is not None else SuperNet(model)
        kind = _kind_of(self.supernet.model)
        self.space = _named(space, SPACES, "space")(self.supernet) if isinstance(space, str) else space
        self.supernet.check(self.space.largest)
        if teacher is self.supernet.model:
            raise TrainingError("The teacher is the model that is trained; pass a copy of it as teacher=.")
        if isinstance(strategy, str):
            named = _named(strategy, STRATEGIES, "strategy")
            self.strategy: Strategy = named(self.space, teach="teacher" if teacher is not None else "labels")
        else:
            self.strategy = strategy
        self.distillation = distillation or Distillation()
        self._label_weight = self.distillation.weight_of_labels(kind)
        self._objective = TaskObjective(kind, replace(self.distillation, labels=0.0))  # the script has the labels' loss
        super().__init__(self.supernet.model, *args, **kwargs)
        if self.args.world_size > 1 or self.args.n_gpu > 1:
            raise TrainingError(
                f"SuperNetTrainer trains on one device, and there are {max(self.args.world_size, self.args.n_gpu)}: "
                "set CUDA_VISIBLE_DEVICES=0 and start one process, or train with `sublm.training.train`."
            )
        self._teacher: Teacher | None = None
        if teacher is not None:
            self._teacher = Teacher(teacher.to(self.args.device), self.accelerator.autocast)
        self._draw: Draw | None = None  # what compute_loss computes the loss of
        self._source: Answer | None = None  # what that draw learns from
        self._answer: Answer | None = None  # what it said
        check_draws(self._draws(0, 1), elastic=True, teacher=teacher is not None)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Adds the gradients of every draw of the step on one batch.

        Args:
            model: The model, as Trainer wrapped it.
            inputs: The batch.
            num_items_in_batch: Not used: every batch of a step counts alike.

        Returns:
            The mean loss of the draws that learn, a scalar.
        """
        draws = self._draws(self.state.global_step, self.state.max_steps)
        check_draws(draws, elastic=True, teacher=self._teacher is not None)
        learning = sum(draw.teach != "none" for draw in draws)
        inputs = self._prepare_inputs(inputs)
        total = torch.zeros((), device=self.args.device)
        outside = self._taught(inputs) if any(draw.teach == "teacher" for draw in draws) else None
        first: Answer | None = None
        try:
            with self.supernet.shared_embeddings() if learning > 1 else nullcontext():
                for draw in draws:
                    if draw.subnet is not None:
                        self.supernet.activate(draw.subnet)
                    if draw.teach == "none":
                        answer = self._look(model, inputs)
                    else:
                        self._draw, self._source = draw, {"inplace": first, "teacher": outside}.get(draw.teach)
                        self._learning = learning
                        total += super().training_step(model, dict(inputs))
                        assert self._answer is not None
                        answer = self._answer
                    first = first or answer
        finally:
            self._draw = self._source = self._answer = None
            self.supernet.activate(self.space.largest)
        return total

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The script's loss; in a step the draw's, which mixes it with what its teacher says.

        Args:
            model: The model.
            inputs: The batch.
            return_outputs: Whether to return the model's outputs as well.
            num_items_in_batch: As Trainer has it.
        """
        if self._draw is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.distillation.hidden:
            inputs = {**inputs, "output_hidden_states": True}
        loss, outputs = super().compute_loss(model, dict(inputs), return_outputs=True)
        answer = Answer(logits_of(outputs), outputs.hidden_states if self.distillation.hidden else None)
        self._answer = answer.detached()
        if self._source is not None:
            batch = {**inputs, "labels": inputs[self.label_names[0]]}
            taught = self._objective.loss(answer, self._source, batch, self._draw.subnet)
            loss = taught + self._label_weight * loss if self._label_weight else taught
        loss = loss / self._learning
        return (loss, outputs) if return_outputs else loss

    def evaluate_subnet(self, subnet: Subnet, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trainer's `evaluate` of a sub-network; the largest is active again afterwards.

        Args:
            subnet: The sub-network.
            *args: As `evaluate` takes them.
            **kwargs: As `evaluate` takes them.
        """
        self.supernet.activate(subnet)
        try:
            return dict(self.evaluate(*args, **kwargs))
        finally:
            self.supernet.activate(self.space.largest)

    def _draws(self, step: int, steps: int) -> Sequence[Draw]:
        """The draws of a step, which depend on the seed and the step alone, so that a training can be resumed."""
        return self.strategy.draws(step, steps, random.Random(f"{self.args.seed}/{step}"))

    def _without_labels(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: values for name, values in inputs.items() if name not in self.label_names}

    def _taught(self, inputs: dict[str, Any]) -> Answer:
        assert self._teacher is not None
        return self._teacher.answer(self._objective, self._without_labels(inputs), None)

    def _look(self, model: nn.Module, inputs: dict[str, Any]) -> Answer:
        """What the active sub-network says when it only teaches: without dropout and gradients."""
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            return self._objective.answer(model, self._without_labels(inputs))


def _named(name: str, known: dict[str, Any], what: str) -> Any:
    if name not in known:
        raise TrainingError(f"There is no {what} called {name!r}; choose one of {', '.join(sorted(known))}.")
    return known[name]


def _kind_of(model: Any) -> str:
    """The kind of task that a model's head is for."""
    name = type(model).__name__
    kind = next((kind for ending, kind in KINDS.items() if name.endswith(ending)), None)
    if kind is None:
        raise TrainingError(
            f"A {name} has no head that SuperNetTrainer knows; it trains classes that end in {', '.join(KINDS)}."
        )
    one_number = model.config.num_labels == 1 or model.config.problem_type in (
        "regression",
        "multi_label_classification",
    )
    return "regression" if kind == "classification" and one_number else kind

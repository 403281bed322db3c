"""The training loop: super-networks and plain models, one process or several, any precision, resumable."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from sublm.errors import DivergenceError, RunError, TrainingError
from sublm.training import checkpoints
from sublm.training.attention import fastest_attention
from sublm.training.course import Course
from sublm.training.distributed import sum_gradients, together
from sublm.training.objectives import Objective, TaskObjective
from sublm.training.optimizer import build_optimizer, schedule_factor
from sublm.training.options import Hooks, Progress, TrainOptions, TrainResult
from sublm.training.precision import Precision, open_accelerator
from sublm.training.step import Elastic, Stepper
from sublm.training.strategies import Draw, Strategy
from sublm.training.teacher import Teacher
from sublm.training.trial import trial
from sublm.training.windows import Batches, Windows


def train(
    network: Elastic | nn.Module,
    batches: Batches,
    strategy: Strategy,
    options: TrainOptions | None = None,
    *,
    steps_per_epoch: int,
    objective: Objective | None = None,
    teacher: nn.Module | None = None,
    probe: Callable[[], float] | None = None,
    folder: Path | str | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    hooks: Hooks | None = None,
    pause: Callable[[int], bool] | None = None,
) -> TrainResult:
    """Trains a super-network or a plain model, in place.

    Before the long work one step is tried and undone. With a folder the training can be killed at any moment: the
    same call goes on from the last checkpoint and ends in the same weights. The model ends on the training's device,
    in evaluation mode, with the weights of the best probe, and with the sub-network active that was before; Python's,
    NumPy's and torch's global random states are left as they were.

    Args:
        network: A SuperNet, or any transformers model with a head.
        batches: Gives the batches of an epoch.
        strategy: Which sub-networks a step trains; `fixed()` for a plain model.
        options: Settings.
        steps_per_epoch: Batches that `batches` gives per epoch.
        objective: What the training lowers; None is `TaskObjective()`, the classes of a task.
        teacher: The outside teacher, for draws that learn from one.
        probe: Scores the network as it is, higher is better; the best weights are kept. Without one, the last are.
            Of several processes, the first calls it.
        folder: Where checkpoints go; None keeps none.
        identity: What else must be the same when the training is gone on with, such as the fingerprint of the data.
        progress: Called every `options.log_every` steps.
        hooks: What else happens in a step, such as learning scores.
        pause: Asked before every step with the number of steps done; when it says so, a checkpoint is written and the
            training ends there, with the best weights so far. The same call goes on from it later and ends as if there
            had been no pause. On several processes it must say the same on all.

    Raises:
        TrainingError: If the trial step fails.
        DivergenceError: If the loss is not a finite number.
        RunError: If the folder holds a checkpoint of another training.
    """
    options = options or TrainOptions()
    windows = Windows(batches, steps_per_epoch, options.accumulation)
    before = checkpoints.random_state()
    with open_accelerator(options) as (accelerator, precision):
        training = _Training(
            network=network,
            windows=windows,
            strategy=strategy,
            options=options,
            accelerator=accelerator,
            precision=precision,
            objective=objective or TaskObjective(),
            teacher=teacher,
            probe=probe,
            folder=Path(folder) if folder is not None else None,
            identity=identity or {},
            progress=progress,
            hooks=hooks,
            pause=pause,
        )
        try:
            with fastest_attention(training.model, accelerator.device, precision):
                return training.run()
        finally:
            training.close()
            checkpoints.restore_random_state(before)


class _Training:
    """One call of `train`: what it was given, and how far it is."""

    def __init__(
        self,
        *,
        network: Elastic | nn.Module,
        windows: Windows,
        strategy: Strategy,
        options: TrainOptions,
        accelerator: Accelerator,
        precision: Precision,
        objective: Objective,
        teacher: nn.Module | None,
        probe: Callable[[], float] | None,
        folder: Path | None,
        identity: Mapping[str, Any],
        progress: Progress | None,
        hooks: Hooks | None,
        pause: Callable[[int], bool] | None,
    ) -> None:
        self.windows = windows
        self.elastic: Elastic | None = None if isinstance(network, nn.Module) else network
        self.model: nn.Module = network if isinstance(network, nn.Module) else network.model
        if teacher is self.model:
            raise TrainingError("The teacher is the model that is trained; pass a copy of it as teacher=.")
        self.active = self.elastic.active if self.elastic is not None else None
        self.strategy, self.options, self.probe = strategy, options, probe
        self.folder, self.progress, self.hooks = folder, progress, hooks
        self.pause = pause
        self.accelerator, self.precision = accelerator, precision
        self.model.to(self.accelerator.device)
        self.teacher = None
        if teacher is not None:
            self.teacher = Teacher(teacher.to(self.accelerator.device), self.accelerator.autocast)
        self.stepper = Stepper(self.model, self.elastic, self.accelerator, objective, self.teacher)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        if not self.parameters:
            raise TrainingError("No parameter of the model asks for a gradient; call model.requires_grad_(True) first.")
        self.optimizer = self.accelerator.prepare_optimizer(
            build_optimizer(self.model, options.learning_rate, options.weight_decay)
        )
        self.parts = options.parts or self.accelerator.num_processes
        if max(self.parts, self.accelerator.num_processes) % min(self.parts, self.accelerator.num_processes):
            raise TrainingError(
                f"parts={self.parts} cannot be shared by {self.accelerator.num_processes} processes; give a multiple "
                "or a divisor of their number, or 0 for one each."
            )
        self.steps = options.epochs * len(windows)
        self.identity = {
            "options": options.deciding(),
            "strategy": _describe(strategy),
            "objective": objective.to_dict(),
            "steps_per_epoch": windows.batches_per_epoch,
            "teacher": teacher is not None,
            "probe": probe is not None,
            "parts": self.parts,
            "processes": self.accelerator.num_processes,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            **identity,
        }
        self.losses: list[Tensor] = []  # of the latest steps; on the device, so that no step waits for its own
        self.course = Course()

    # --- the course of a training ------------------------------------------------------------------------------

    def run(self) -> TrainResult:
        checkpoint = self._latest_checkpoint()
        if checkpoint is not None and self.folder is not None:
            checkpoints.check_identity(self.folder, checkpoint.state["identity"], self.identity)
            self._restore(checkpoint)
            if checkpoint.state["ended"]:
                return self.course.result(self.steps, self.precision, resumed=True, ended=True)
        else:
            _seed(self.options.seed + self.accelerator.process_index)
            if not self._pauses():
                self._try_one_step()
        ended = self._train()
        if self.course.best is not None:
            checkpoints.restore_model(self.model, self.course.best.weights)
        if ended:
            self._save(ended=True)
        return self.course.result(self.steps, self.precision, resumed=checkpoint is not None, ended=ended)

    def _latest_checkpoint(self) -> checkpoints.Checkpoint | None:
        found: list[checkpoints.Checkpoint] = []

        def look() -> int | None:
            latest = checkpoints.latest_checkpoint(self.folder) if self.folder else None
            found.extend([latest] if latest is not None else [])
            return latest.step if latest is not None else None

        if len(set(together(self.accelerator, look))) > 1:
            raise RunError(f"The processes see different checkpoints in {self.folder}; use a disk that they share.")
        return found[0] if found else None

    def close(self) -> None:
        """Leaves the network usable, also after an error."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model.eval()
        if self.elastic is not None and self.active is not None:
            self.elastic.activate(self.active)

    def _train(self) -> bool:
        """Trains on; whether it came to the end, and not to a pause."""
        options, course = self.options, self.course
        self.model.train()
        first, since = course.step, time.perf_counter()
        saved = course.step  # what lies in the folder already
        while course.step < self.steps:
            epoch, within = divmod(course.step, len(self.windows))
            windows = self.windows.of_epoch(epoch, skip=within)
            for _ in range(within, len(self.windows)):
                if self._pauses():
                    if course.step > saved:
                        self._fetch_losses()
                        self._save(ended=False)
                    return False
                self._one_step(next(windows), course.step)
                course.step += 1
                ends_epoch = course.step % len(self.windows) == 0
                probes = self.probe is not None and (
                    course.step == self.steps
                    or (course.step % options.probe_every == 0 if options.probe_every else ends_epoch)
                )
                saves = (
                    self.folder is not None
                    and course.step < self.steps
                    and (ends_epoch or probes or course.step % options.checkpoint_every == 0)
                )
                records = probes or ends_epoch or course.step % options.log_every == 0
                if records or saves:
                    self._fetch_losses()
                if records:
                    rate = (course.step - first) / max(time.perf_counter() - since, 1e-9)
                    self._record(probes=probes, rate=rate)
                if probes and course.stalls(options.patience):
                    return True
                if saves:
                    self._save(ended=False)
                    saved = course.step
        return True

    def _pauses(self) -> bool:
        return self.pause is not None and self.course.step < self.steps and self.pause(self.course.step)

    def _one_step(self, window: list[dict[str, Tensor]], step: int, *, tries: bool = False) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.course.step)
        if self.hooks is not None:
            self.hooks.before(step, self.steps)
        if tries:  # rows of one process alone may not fit the model
            together(self.accelerator, lambda: self._compute_gradients(window, step))
        else:
            self._compute_gradients(window, step)
        sum_gradients(self.accelerator, self.parameters)
        if self.hooks is not None:
            self.accelerator.unscale_gradients()
            self.hooks.after()
            if self.options.clip:  # not Accelerate's, which would unscale again
                torch.nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        elif self.options.clip:
            self.accelerator.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _compute_gradients(self, window: list[dict[str, Tensor]], step: int) -> None:
        self.losses.append(self.stepper.gradients(window, self._draws(step)))

    def _try_one_step(self) -> None:
        """One step of the beginning's and of the end's draws, undone: what cannot work fails now."""
        self.model.train()
        try:
            with trial(self.model, self.optimizer, self.accelerator, self.windows) as window:
                for step in sorted({0, self.steps - 1}):
                    self._one_step(window, step, tries=True)
                losses = self._summed_losses()
        finally:
            self.losses.clear()
        if not all(math.isfinite(loss) for loss in losses):
            raise self._not_finite(1, next(loss for loss in losses if not math.isfinite(loss)))

    # --- parts of a step ---------------------------------------------------------------------------------------

    def _draws(self, step: int) -> list[list[Draw]]:
        """The draws of a step for each part of its batches, which depend on the seed, the step and the part alone."""
        names = [f"{self.options.seed}/{step}", *(f"{self.options.seed}/{step}/{n}" for n in range(1, self.parts))]
        return [list(self.strategy.draws(step, self.steps, random.Random(name))) for name in names]

    def _learning_rate(self, step: int) -> float:
        options = self.options
        steps = round(self.steps * options.horizon / options.epochs) if options.horizon else self.steps
        return options.learning_rate * schedule_factor(step, steps, options.warmup, options.schedule)

    def _probe(self) -> float:
        """Scores the network and keeps its weights if they are the best; trains on as if nothing had been."""
        score = cast("float", together(self.accelerator, self._score)[0])
        self.course.judge(score, self.model)
        return score

    def _score(self) -> float:
        """What the probe says, in the process that calls it."""
        assert self.probe is not None
        if not self.accelerator.is_main_process:
            return math.nan
        state = checkpoints.random_state()
        self.model.eval()
        score = float(self.probe())
        self.model.train()
        checkpoints.restore_random_state(state)
        return score

    def _summed_losses(self) -> list[float]:
        """The losses of the steps since they were last fetched, the same in all processes."""
        losses: list[float] = self.accelerator.reduce(torch.stack(self.losses), reduction="sum").tolist()
        self.losses.clear()
        return losses

    def _fetch_losses(self) -> None:
        """Waits for the losses computed since it was last called, and checks them."""
        if not self.losses:
            return
        losses = self._summed_losses()
        for number, loss in enumerate(losses, start=self.course.step - len(losses) + 1):
            if not math.isfinite(loss):
                raise self._not_finite(number, loss)
        self.course.unrecorded += losses

    def _record(self, *, probes: bool, rate: float) -> None:
        """Writes down how it goes."""
        score = self._probe() if probes else None
        step = self.course.step
        record = self.course.record(step / len(self.windows), self._learning_rate(step - 1), score)
        if self.progress is not None and self.accelerator.is_main_process:
            self.progress(step, self.steps, record.loss, rate)

    def _not_finite(self, step: int, loss: float) -> DivergenceError:
        rate = self.options.learning_rate
        advice = [f"learning_rate={rate / 10:g}", "a longer warmup"]
        if not self.options.clip:
            advice.append("clip=1.0")
        if self.precision != "fp32":
            advice.append('precision="fp32"')
        return DivergenceError(
            f"The loss is {loss} at step {step} of {self.steps} (learning rate {self._learning_rate(step - 1):g}, "
            f"precision {self.precision}). Try {', '.join(advice)}; at the first step, look for labels that are not "
            "numbers and for weights that are not finite."
        )

    # --- going on after a kill ---------------------------------------------------------------------------------

    def _save(self, *, ended: bool) -> None:
        """Writes a checkpoint; the last one holds what the training gives back, and replaces all others."""
        if self.folder is None:
            return
        states = gather_object([checkpoints.random_state()])

        def write() -> None:
            if not self.accelerator.is_main_process:
                return
            assert self.folder is not None
            tensors: dict[str, Tensor] = {}
            if not ended:
                tensors.update(checkpoints.optimizer_tensors(self.optimizer.optimizer))
                tensors.update(self.teacher.tensors() if self.teacher is not None else {})
            scaler, best = self.accelerator.scaler, self.course.best
            state = {
                **self.course.to_dict(),
                "identity": self.identity,
                "ended": ended,
                "random": states,
                "scaler": scaler.state_dict() if scaler is not None else None,
            }
            checkpoints.save_checkpoint(
                self.folder,
                self.course.step,
                weights=checkpoints.model_tensors(self.model),
                tensors=tensors,
                state=state,
                best=best.step if best is not None and not ended else None,
                keep=1 if ended else 2,
            )

        together(self.accelerator, write)  # and none goes on before it is written

    def _restore(self, checkpoint: checkpoints.Checkpoint) -> None:
        state = checkpoint.state
        checkpoints.restore_model(self.model, checkpoint.weights)
        best: dict[str, Tensor] = {}
        if state["best_step"] is not None and not state["ended"]:
            assert self.folder is not None
            best = checkpoints.load_weights(self.folder, state["best_step"])
        self.course.restore(checkpoint.step, state, best)
        if state["ended"]:
            return
        checkpoints.restore_optimizer(self.optimizer.optimizer, checkpoint.tensors)
        if self.teacher is not None:
            self.teacher.restore(checkpoint.tensors)
        if state["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        checkpoints.restore_random_state(state["random"][self.accelerator.process_index])


def _describe(strategy: Strategy) -> dict[str, Any]:
    describe = getattr(strategy, "describe", None)
    return cast("dict[str, Any]", describe()) if describe is not None else {"name": type(strategy).__qualname__}


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)

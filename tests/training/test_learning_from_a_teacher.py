"""Trainings that learn from an outside teacher."""

from __future__ import annotations

import pytest
import torch
from tiny_training import fit, tiny_model, tiny_rows

from sublm.errors import TrainingError
from sublm.spaces.subnet import Subnet
from sublm.training import Distillation, TaskObjective, TrainOptions, fixed


def test_what_the_strategy_needs_must_be_there() -> None:
    model = tiny_model()
    with pytest.raises(TrainingError, match="pass teacher="):
        fit(model, strategy=fixed(teach="teacher"))
    with pytest.raises(TrainingError, match="pass a SuperNet"):
        fit(model, strategy=fixed(Subnet((1, 1), (1, 1), 16, 8)))
    with pytest.raises(TrainingError, match="a copy"):
        fit(model, strategy=fixed(teach="teacher"), teacher=model)
    with pytest.raises(TrainingError, match="requires_grad_"):
        fit(tiny_model().requires_grad_(False))


def test_a_student_comes_to_agree_with_its_teacher() -> None:
    teacher, student = tiny_model(seed=9), tiny_model(dropout=0.0)
    with torch.no_grad():
        teacher.classifier.weight.mul_(30)  # opinions strong enough to be learnt
    rows = tiny_rows()
    inputs = {name: rows[name] for name in ("input_ids", "attention_mask")}

    def disagreement() -> float:
        with torch.no_grad():  # the softmax sees differences of logits only
            gap = student(**inputs).logits.diff(dim=-1) - teacher(**inputs).logits.diff(dim=-1)
        return gap.square().mean().item()

    student.eval()
    teacher.eval()
    before = disagreement()
    options = TrainOptions(epochs=20, learning_rate=1e-2, precision="fp32", device="cpu")
    fit(
        student,
        options,
        strategy=fixed(teach="teacher"),
        teacher=teacher,
        objective=TaskObjective(distillation=Distillation(2.0, labels=0.0)),
    )
    assert disagreement() < before / 3


class Counting(torch.nn.Module):
    """A teacher that counts the rows it is asked about."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model, self.rows = model, 0

    def forward(self, **inputs):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.rows += len(inputs["input_ids"])
        return self.model(**inputs)


def test_a_teachers_logits_cost_one_pass_over_the_data() -> None:
    teacher = Counting(tiny_model(seed=9))
    fit(tiny_model(), strategy=fixed(teach="teacher"), teacher=teacher)
    assert teacher.rows == 48


def test_hidden_states_cost_a_pass_per_epoch_and_pull_the_layers_together() -> None:
    teacher, results = Counting(tiny_model(seed=9)), {}
    rows = tiny_rows()
    inputs = {name: rows[name] for name in ("input_ids", "attention_mask")}
    wanted = teacher.model.eval()(**inputs, output_hidden_states=True).hidden_states
    for weight in (0.0, 5.0):
        student = tiny_model(dropout=0.0)
        teacher.rows = 0
        distillation = Distillation(hidden=weight)
        options = TrainOptions(epochs=10, learning_rate=1e-2, precision="fp32", device="cpu")
        fit(
            student,
            options,
            strategy=fixed(teach="teacher"),
            teacher=teacher,
            objective=TaskObjective(distillation=distillation),
        )
        states = student(**inputs, output_hidden_states=True).hidden_states
        results[weight] = sum((a - b).square().mean().item() for a, b in zip(states[1:], wanted[1:], strict=True))
        assert teacher.rows == (10 * 48 + 2 * 8 if weight else 48)  # two trial steps more
    assert results[5.0] < results[0.0] / 2


def test_a_shallower_student_learns_from_named_layers() -> None:
    teacher, student = tiny_model(seed=9, layers=4), tiny_model(layers=2)
    distillation = Distillation(hidden=1.0, layers=(0, 3))
    result = fit(
        student, strategy=fixed(teach="teacher"), teacher=teacher, objective=TaskObjective(distillation=distillation)
    )
    assert result.history[-1].loss < result.history[0].loss
    with pytest.raises(TrainingError, match="layers="):
        fit(
            student,
            strategy=fixed(teach="teacher"),
            teacher=teacher,
            objective=TaskObjective(distillation=Distillation(hidden=1.0, layers=(0,))),
        )


def test_a_teacher_is_not_asked_again_after_an_interruption(tmp_path) -> None:
    teachers = [Counting(tiny_model(seed=9)) for _ in range(2)]
    scores = iter([0.1, 0.2])  # the third probe fails, after the second epoch's checkpoint
    arguments = {"strategy": fixed(teach="teacher"), "folder": tmp_path}
    with pytest.raises(StopIteration):
        fit(tiny_model(), teacher=teachers[0], probe=lambda: next(scores), **arguments)
    assert fit(tiny_model(), teacher=teachers[1], probe=lambda: 0.3, **arguments).best_score == 0.3
    assert [teacher.rows for teacher in teachers] == [48, 0]

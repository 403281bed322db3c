from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import TrainingError
from sublm.training import Distillation
from sublm.training.distillation import hidden_loss, label_loss, logits_loss, pair_layers

shapes = st.tuples(st.integers(1, 5), st.integers(2, 4))


def logits(rows: int, classes: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


@given(shape=shapes, temperature=st.sampled_from([0.5, 1.0, 2.0, 10.0]), seed=st.integers(0, 1000))
def test_gradient_of_the_kl_term_is_the_difference_of_softmaxes(shape, temperature, seed) -> None:
    student, teacher = logits(*shape, seed).requires_grad_(), logits(*shape, seed + 1).requires_grad_()
    logits_loss("classification", student, teacher, temperature).backward()
    difference = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    torch.testing.assert_close(student.grad, temperature * difference.detach() / shape[0])
    assert teacher.grad is None


@given(shape=shapes, temperature=st.sampled_from([1.0, 2.0, 10.0]), seed=st.integers(0, 1000))
def test_the_kl_term_is_its_definition(shape, temperature, seed) -> None:
    student, teacher = logits(*shape, seed), logits(*shape, seed + 1)
    p, q = (teacher / temperature).softmax(-1), (student / temperature).softmax(-1)
    expected = temperature**2 * (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(logits_loss("classification", student, teacher, temperature), expected)


@given(shape=shapes, seed=st.integers(0, 1000))
def test_gradient_of_the_label_term_is_softmax_minus_one_hot(shape, seed) -> None:
    student = logits(*shape, seed).requires_grad_()
    labels = torch.arange(shape[0]) % shape[1]
    label_loss("classification", student, labels).backward()
    one_hot = torch.nn.functional.one_hot(labels, shape[1])
    torch.testing.assert_close(student.grad, (student.softmax(-1) - one_hot).detach() / shape[0])


def test_half_precision_logits_lose_nothing_more() -> None:
    student, teacher = logits(4, 3, 0).bfloat16(), logits(4, 3, 1).bfloat16()
    exact = logits_loss("classification", student.float(), teacher.float(), 10.0)
    assert logits_loss("classification", student, teacher, 10.0).dtype == torch.float32
    torch.testing.assert_close(logits_loss("classification", student, teacher, 10.0), exact)


def test_regression_is_the_mean_squared_difference() -> None:
    predictions, labels = torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0])
    assert label_loss("regression", predictions, labels).item() == pytest.approx(2.5)
    assert logits_loss("regression", predictions, labels[:, None], 10.0).item() == pytest.approx(2.5)


def test_labels_weigh_one_for_classes_and_nothing_for_regression_unless_told() -> None:
    assert Distillation().weight_of_labels("classification") == 1
    assert Distillation().weight_of_labels("regression") == 0
    assert Distillation(labels=0.1).weight_of_labels("regression") == 0.1


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TrainingError, match="same labels"):
        logits_loss("classification", torch.zeros(2, 3), torch.zeros(2, 2), 1.0)
    with pytest.raises(TrainingError, match="one row per example"):
        label_loss("classification", torch.zeros(2, 3), torch.zeros(3))


def test_padding_does_not_count_in_the_hidden_term() -> None:
    one, other = torch.zeros(3, 2, 4, 5), torch.zeros(3, 2, 4, 5)
    other[1, 0, :2] = 2.0  # real tokens of the first row
    other[1:, :, 3] = 100.0  # padding
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])
    loss = hidden_loss(list(one), list(other), [(1, 1), (2, 2)], mask)
    assert loss.item() == pytest.approx((2 * 4.0 / 5 + 0) / 2)


def test_the_mask_of_multiple_choice_has_one_more_axis() -> None:
    states, targets = [torch.zeros(4, 3, 2)], [torch.ones(4, 3, 2)]
    assert hidden_loss(states, targets, [(0, 0)], torch.ones(2, 2, 3)).item() == 1
    assert hidden_loss(states, targets, [(0, 0)], None).item() == 1


def test_hidden_states_of_another_width_are_refused() -> None:
    with pytest.raises(TrainingError, match="same hidden size"):
        hidden_loss([torch.zeros(1, 2, 3)], [torch.zeros(1, 2, 4)], [(0, 0)], None)
    with pytest.raises(TrainingError, match="hidden=0"):
        hidden_loss([], [], [], None)


@given(student=st.integers(1, 24), teacher=st.integers(1, 24))
def test_layers_are_spread_in_order_and_end_together(student, teacher) -> None:
    pairs = pair_layers(student, teacher)
    assert [i for i, _ in pairs] == list(range(1, student + 1))
    targets = [j for _, j in pairs]
    assert targets == sorted(targets)
    assert targets[-1] == teacher
    assert all(1 <= j <= teacher for j in targets)
    if student == teacher:
        assert targets == list(range(1, teacher + 1))


def test_layers_can_be_named() -> None:
    assert pair_layers(2, 6, (0, 5)) == [(1, 1), (2, 6)]
    for wrong in ((0,), (0, 6), (-1, 2)):
        with pytest.raises(TrainingError, match="layers="):
            pair_layers(2, 6, wrong)


@pytest.mark.parametrize(
    "arguments", [{"temperature": 0}, {"hidden": -1.0}, {"labels": float("nan")}, {"labels": 0.0, "logits": 0.0}]
)
def test_nonsense_weights_are_refused(arguments) -> None:
    with pytest.raises(TrainingError):
        Distillation(**arguments)

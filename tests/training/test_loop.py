from __future__ import annotations

import copy
import math
import random

import numpy as np
import pytest
import torch
from tiny_training import FAST, TinyBatches, fit, same_weights, tiny_model, tiny_rows, weights_of

from sublm.errors import TrainingError
from sublm.training import TaskObjective, TrainOptions, fixed, train


def accuracy(model) -> float:
    rows = tiny_rows()
    with torch.no_grad():
        logits = model(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"]).logits
    return float((logits.argmax(-1) == rows["labels"]).float().mean())


def test_a_plain_model_learns() -> None:
    model = tiny_model(dropout=0.0)
    before = accuracy(model.eval())
    result = fit(model, TrainOptions(epochs=15, learning_rate=1e-2, precision="fp32", device="cpu"))
    assert accuracy(model) > max(0.9, before)
    assert result.steps == 15 * 6
    assert result.history[-1].loss < result.history[0].loss
    assert (result.best_score, result.resumed, result.precision) == (None, False, "fp32")
    assert not model.training


def test_regression_learns() -> None:
    model = tiny_model(labels=1, dropout=0.0)
    result = fit(
        model,
        TrainOptions(epochs=10, learning_rate=1e-2, device="cpu"),
        TinyBatches(kind="regression"),
        objective=TaskObjective("regression"),
    )
    assert result.history[-1].loss < 0.15


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    models = [tiny_model() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.rand(1)
        fit(model, TrainOptions(epochs=1, precision="fp32", seed=seed, device="cpu"))
    weights = [weights_of(model) for model in models]
    assert same_weights(weights[0], weights[1])
    assert not same_weights(weights[0], weights[2])


def test_three_steps_are_the_textbooks() -> None:
    """The trial step leaves no trace: the result is three AdamW steps from the first weights."""
    model, other = tiny_model(dropout=0.0), tiny_model(dropout=0.0)
    batches = TinyBatches(batch_size=16)
    options = TrainOptions(epochs=1, learning_rate=1e-2, clip=0.5, warmup=0.0, precision="fp32", device="cpu")
    fit(model, options, batches)
    named = dict(other.named_parameters())
    plain = [p for name, p in named.items() if name.endswith("bias") or "LayerNorm" in name]
    decayed = [p for name, p in named.items() if not (name.endswith("bias") or "LayerNorm" in name)]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, fused=True)
    other.train()
    for number, batch in enumerate(batches(0)):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - number / 3)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        torch.nn.functional.cross_entropy(other(**inputs).logits, batch["labels"]).backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    for name, values in weights_of(model).items():
        torch.testing.assert_close(values, other.state_dict()[name], atol=1e-5, rtol=1e-4)


def test_accumulated_batches_are_one_large_batch() -> None:
    models = [tiny_model(dropout=0.0) for _ in range(2)]
    options = {"epochs": 2, "learning_rate": 1e-2, "precision": "fp32", "clip": 0.0, "device": "cpu"}

    class Halves(TinyBatches):
        """The large batches of 20, 20 and 8 rows, each in two uneven parts."""

        def __call__(self, epoch):
            for batch in TinyBatches(20)(epoch):
                for rows in (slice(0, 7), slice(7, None)):
                    yield {name: values[rows] for name, values in batch.items()}

        count = 6

    large = fit(models[0], TrainOptions(**options), TinyBatches(20))
    small = fit(models[1], TrainOptions(accumulation=2, **options), Halves())
    assert large.steps == small.steps == 6
    assert [r.loss for r in small.history] == pytest.approx([r.loss for r in large.history], rel=1e-4)
    # AdamW's first steps follow the sign of tiny gradients, hence the tolerance
    for one, other in zip(weights_of(models[0]).values(), weights_of(models[1]).values(), strict=True):
        assert (one - other).abs().mean() < 1e-4


def test_an_incomplete_last_window_is_trained_too() -> None:
    batches = TinyBatches()
    result = fit(tiny_model(), TrainOptions(epochs=2, accumulation=4, device="cpu"), batches)
    assert result.steps == 2 * 2


def test_bf16_learns() -> None:
    model = tiny_model(dropout=0.0)
    result = fit(model, TrainOptions(epochs=12, learning_rate=1e-2, precision="bf16", device="cpu"))
    assert result.precision == "bf16"
    assert accuracy(model) > 0.9
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_the_best_weights_are_kept() -> None:
    model, seen = tiny_model(), []
    scores = iter([0.3, 0.9, 0.5])

    def probe() -> float:
        assert not model.training
        seen.append(weights_of(model))
        return next(scores)

    result = fit(model, probe=probe)
    assert (result.best_score, result.best_step) == (0.9, 12)
    assert same_weights(weights_of(model), seen[1])
    assert not same_weights(seen[1], seen[2])
    assert [r.score for r in result.history if r.score is not None] == [0.3, 0.9, 0.5]


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    model, seen = tiny_model(), []
    scores = iter([math.nan, 0.2, math.nan])

    def probe() -> float:
        seen.append(weights_of(model))
        return next(scores)

    result = fit(model, probe=probe)
    assert (result.best_score, result.best_step) == (0.2, 12)
    assert same_weights(weights_of(model), seen[1])
    result = fit(model, probe=lambda: math.nan)
    assert (result.best_score, result.best_step) == (None, 18)


def test_probes_can_be_more_frequent_and_the_last_step_is_always_probed() -> None:
    calls = []
    options = TrainOptions(epochs=3, probe_every=5, device="cpu")
    result = fit(tiny_model(), options, probe=lambda: calls.append(1) or 0.5)
    assert len(calls) == 4
    assert [r.step for r in result.history if r.score is not None] == [5, 10, 15, 18]


def test_probing_does_not_change_the_training() -> None:
    models = [tiny_model(), tiny_model()]
    fit(models[0])
    fit(models[1], probe=lambda: float(torch.rand(())) * 0 + float(len(np.random.rand(2))))
    assert same_weights(weights_of(models[0]), weights_of(models[1]))


def test_the_callers_random_states_stay() -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    expected = (random.random(), np.random.rand(), torch.rand(()).item())
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    fit(tiny_model())
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected


def test_progress_and_history_tell_the_same() -> None:
    calls = []
    result = fit(tiny_model(), TrainOptions(epochs=2, log_every=4, device="cpu"), progress=lambda *c: calls.append(c))
    assert [c[0] for c in calls] == [4, 6, 8, 12] == [r.step for r in result.history]
    assert {c[1] for c in calls} == {12}
    assert [c[2] for c in calls] == [r.loss for r in result.history]
    assert all(c[3] > 0 for c in calls)
    assert [r.epoch for r in result.history] == pytest.approx([4 / 6, 1, 8 / 6, 2])
    assert result.history[-1].learning_rate < result.history[0].learning_rate


def test_a_loss_that_is_not_finite_stops_with_step_rate_and_advice() -> None:
    class Bad(TinyBatches):
        def __call__(self, epoch):
            for number, batch in enumerate(super().__call__(epoch)):
                if epoch == 1 and number == 2:
                    batch["labels"] = batch["labels"] * math.nan
                yield batch

    with pytest.raises(
        TrainingError, match=r"nan at step 9 of 18 \(learning rate 0\.00166667, .*learning_rate=0\.0003"
    ):
        fit(tiny_model(labels=1), batches=Bad(kind="regression"), objective=TaskObjective("regression"))


def test_the_trial_step_finds_bad_numbers_before_any_training() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.classifier.bias[0] = math.inf
    batches = TinyBatches()
    with pytest.raises(TrainingError, match="at step 1 of 18"):
        fit(model, batches=batches)
    assert batches.epochs == [0]


def test_the_trial_step_finds_labels_that_do_not_fit_and_undoes_itself() -> None:
    model = tiny_model()
    before = weights_of(model)
    batches = TinyBatches()
    batches.rows["labels"] = batches.rows["labels"] + 5
    with pytest.raises(TrainingError, match=r"trial step.*labels \[8\]") as caught:
        fit(model, batches=batches)
    assert caught.value.__cause__ is not None
    assert same_weights(before, weights_of(model))


def test_too_few_batches_are_an_error() -> None:
    batches = TinyBatches()
    with pytest.raises(TrainingError, match=r"batches\(0\) gave 6 batches, but steps_per_epoch says 9"):
        train(tiny_model(), batches, fixed(), FAST, steps_per_epoch=9)
    with pytest.raises(TrainingError, match="training data empty"):
        train(tiny_model(), batches, fixed(), FAST, steps_per_epoch=0)


def test_the_network_is_left_usable_after_an_error() -> None:
    model = tiny_model()
    reference = copy.deepcopy(model).eval()

    def broken() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(model, TrainOptions(epochs=1, learning_rate=0.0, device="cpu"), probe=broken)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    assert same_weights(weights_of(model), weights_of(reference))


@pytest.mark.parametrize(
    "arguments",
    [
        {"epochs": 0},
        {"warmup": 2},
        {"schedule": "step"},
        {"precision": "int8"},
        {"learning_rate": math.nan},
        {"device": "x"},
    ],
)
def test_nonsense_options_are_refused_by_name(arguments) -> None:
    with pytest.raises(TrainingError, match=next(iter(arguments))):
        TrainOptions(**arguments)

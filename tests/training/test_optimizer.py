from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import tiny_model

from sublm.training.optimizer import build_optimizer, schedule_factor


def test_biases_and_norms_do_not_decay() -> None:
    model = tiny_model()
    optimizer = build_optimizer(model, 1e-3, 0.1)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.1), name


def test_frozen_parameters_are_left_out() -> None:
    model = tiny_model()
    model.bert.embeddings.requires_grad_(False)
    ids = {id(p) for group in build_optimizer(model, 1e-3, 0.1).param_groups for p in group["params"]}
    assert not ids & {id(p) for p in model.bert.embeddings.parameters()}
    assert id(model.classifier.weight) in ids


@given(steps=st.integers(2, 500), warmup=st.floats(0, 1), schedule=st.sampled_from(["linear", "cosine"]))
def test_the_rate_rises_then_falls_and_stays_between_zero_and_one(steps, warmup, schedule) -> None:
    factors = [schedule_factor(step, steps, warmup, schedule) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert max(factors) == pytest.approx(1)


def test_linear_and_cosine_meet_in_the_middle() -> None:
    assert schedule_factor(50, 100, 0.0, "linear") == pytest.approx(0.5)
    assert schedule_factor(50, 100, 0.0, "cosine") == pytest.approx(0.5)
    assert schedule_factor(25, 100, 0.0, "cosine") > schedule_factor(25, 100, 0.0, "linear")

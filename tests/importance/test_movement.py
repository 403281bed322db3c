"""Movement scores against autograd through explicit masks, and the published schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import functional_call

from sublm.architectures.shape import Shape
from sublm.errors import TrainingError
from sublm.importance import Movement, MovementOptions, movement
from sublm.importance.movement import block_of, block_sums, expand, initial_threshold, penalty_gradient
from sublm.importance.movement.schedule import cubic
from sublm.supernet import SuperNet
from sublm.supernet.layout import Leaf, find_layout
from sublm.training import TrainOptions, fixed, train
from tests.supernet.families import FAMILIES, tiny_batch, tiny_model
from tests.training.tiny_training import TinyBatches
from tests.training.tiny_training import tiny_model as trainable


class Straight(torch.autograd.Function):
    """1[S > τ] whose gradient is handed through."""

    @staticmethod
    def forward(ctx, scores, threshold):
        return (scores > threshold).to(scores.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def explicit(model, moving, batch, threshold, penalty):
    """Gradients of scores and weights by autograd, masks and regulariser in the graph."""
    scores = [one.scores.detach().clone().requires_grad_() for one in moving._scored]
    weights = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    masked = dict(weights)
    for one, score in zip(moving._scored, scores, strict=True):
        masked[one.name] = weights[one.name] * Straight.apply(expand(score, one.block), threshold)
    loss = functional_call(model, masked, kwargs=batch).loss
    layers = len({one.name.rpartition(".")[0] for one in moving._scored})
    for one, score in zip(moving._scored, scores, strict=True):
        size = one.block.area if one.name.endswith("weight") else one.block.rows
        loss = loss + penalty / layers * 0.5 * size * torch.sigmoid(score).mean()
    found = torch.autograd.grad(loss, [*scores, *weights.values()], allow_unused=True)
    return found[: len(scores)], dict(zip(weights, found[len(scores) :], strict=True))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("step", [0, 5, 9])
def test_the_gradients_equal_autograd_through_explicit_masks(family, step):
    model = tiny_model(family, "classification").double()
    moving = Movement(model, find_layout(model), MovementOptions(penalty=0.3, initially_masked=0.2))
    moving.double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for score in moving.scores:
            score.copy_(torch.randn(score.shape, generator=generator) - 0.5)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = tiny_batch(family, "classification")
    options = moving.options
    progress = options.progress(step, 10)
    first = initial_threshold([o.scores for o in moving._scored], [o.size for o in moving._scored], 0.2)
    threshold = -math.inf if progress is None else options.threshold(progress, first)
    penalty = 0.0 if progress is None else 0.3 * cubic(progress)
    wanted, wanted_weights = explicit(model, moving, batch, threshold, penalty)

    moving.before(step, 10)
    assert moving.threshold == pytest.approx(threshold)
    moving(**batch).loss.backward()
    moving.after()
    assert (moving.masked() > 0.1) == (step > 0)
    for one, gradient in zip(moving._scored, wanted, strict=True):
        assert torch.allclose(one.scores.grad, gradient, atol=1e-12), one.name
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, weights[name]), name  # masks are gone
        if wanted_weights[name] is not None:
            assert torch.allclose(parameter.grad, wanted_weights[name], atol=1e-12), name


def test_blocks_are_those_published():
    shape = Shape(layers=1, hidden=768, heads=12, head_size=64, neurons=3072)
    model = tiny_model("bert", "classification")
    sizes = {}
    for leaf in find_layout(model).leaves:
        if leaf.layer == 0 and isinstance(leaf.module, torch.nn.Linear):
            block = block_of(leaf, shape)
            sizes[leaf.path.split("layer.0.")[1]] = (block.rows, block.columns)
    assert sizes == {
        "attention.self.query": (32, 32),
        "attention.self.key": (32, 32),
        "attention.self.value": (32, 32),
        "attention.output.dense": (32, 32),
        "intermediate.dense": (1, 768),
        "output.dense": (768, 1),
    }


def test_no_block_belongs_to_two_heads():
    """Heads of 24 dimensions: blocks of 24, not of 32."""
    shape = Shape(layers=1, hidden=96, heads=4, head_size=24, neurons=40)
    model = tiny_model("bert", "classification")
    leaves: list[Leaf] = [leaf for leaf in find_layout(model).leaves if leaf.path.endswith("self.query")]
    block = block_of(leaves[0], shape)
    assert (block.rows, block.columns) == (24, 32)


def test_block_sums_add_what_expand_spreads():
    model = tiny_model("bert", "classification")
    for leaf in find_layout(model).leaves:
        if leaf.layer != 0 or not isinstance(leaf.module, torch.nn.Linear):
            continue
        block = block_of(leaf, find_layout(model).shape)
        for values in (leaf.module.weight.detach(), leaf.module.bias.detach()):
            sums = block_sums(values, block)
            assert torch.isclose(sums.sum(), values.sum(), atol=1e-4)
            ones = expand(torch.ones_like(sums), block)
            assert ones.shape == values.shape
            per_score = block.area if values.dim() == 2 else block.rows
            assert torch.equal(block_sums(ones, block), torch.full_like(sums, float(per_score)))


def test_the_schedule_is_cubic_and_ends_at_the_last_step():
    options = MovementOptions()
    assert [options.progress(step, 15) for step in (0, 5, 6, 14)] == [None, None, 0.0, 1.0]
    assert options.threshold(0.0, -0.08) == -0.08
    assert options.threshold(1.0, -0.08) == 0.0
    assert options.threshold(0.5, -0.08) == pytest.approx(-0.08 / 8)
    thresholds = [options.threshold(p / 10, -1.0) for p in range(11)]
    assert thresholds == sorted(thresholds)
    assert MovementOptions(warmup_start=0.0).progress(0, 1) == 0.0
    with pytest.raises(TrainingError, match="warmup_start"):
        MovementOptions(warmup_start=1.0)


def test_the_first_threshold_masks_the_wanted_share_of_weights():
    scores = [torch.tensor([[3.0, -2.0]]), torch.tensor([0.5, -5.0, 1.0])]
    # sizes 100 and 1: of 203 weights, -5 masks one, -2 a hundred more
    assert initial_threshold(scores, [100, 1], 0.001) == -5.0
    assert initial_threshold(scores, [100, 1], 0.01) == -2.0
    assert initial_threshold(scores, [100, 1], 0.5) == 0.5
    assert initial_threshold(scores, [100, 1], 0.0) < -5.0


def test_the_penalty_is_the_gradient_of_the_regulariser():
    scores = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    (0.02 / 72 * 0.5 * 1024 * torch.sigmoid(scores).mean()).backward()
    assert torch.allclose(penalty_gradient(scores.detach(), 1024, 72, 0.02), scores.grad)


@pytest.mark.parametrize("rule", ["sum", "mean", "max"])
def test_units_are_reduced_from_the_scores_of_their_weights(rule):
    model = tiny_model("bert", "classification")
    layout = find_layout(model)
    moving = Movement(model, layout)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for score in moving.scores:
            score.copy_(torch.randn(score.shape, generator=generator))
    found = moving.importance(rule)
    assert found.details["reduction"] == rule
    every = moving.expanded()
    combine = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[rule]
    layer, size = "bert.encoder.layer.1.", layout.shape.head_size
    for head in range(layout.shape.heads):
        rows = slice(head * size, (head + 1) * size)
        members = [every[f"{layer}attention.output.dense.weight"][:, rows].flatten()]
        for name in ("query", "key", "value"):
            members += [every[f"{layer}attention.self.{name}.{kind}"][rows].flatten() for kind in ("weight", "bias")]
        assert torch.isclose(found.heads[1, head], combine(torch.cat(members)), atol=1e-4)
    for neuron in (0, 7):
        members = [
            every[f"{layer}intermediate.dense.weight"][neuron],
            every[f"{layer}intermediate.dense.bias"][neuron : neuron + 1],
            every[f"{layer}output.dense.weight"][:, neuron],
        ]
        assert torch.isclose(found.neurons[1, neuron], combine(torch.cat(members)), atol=1e-4)
    inside = torch.cat([value.flatten() for name, value in every.items() if name.startswith(layer)])
    assert torch.isclose(found.layers[1], combine(inside), atol=1e-3)


def test_a_unit_that_the_loss_needs_scores_above_one_that_hurts():
    """A weight that the loss wants larger gains score, one that it wants smaller loses some."""
    supernet = SuperNet(tiny_model("bert", "classification"))
    batch = tiny_batch("bert", "classification")
    layer = supernet.model.bert.encoder.layer[1]

    def loss(model, batch):
        reads = layer.intermediate.dense.weight
        return model(**batch).loss * 0 - reads[3].square().sum() + reads[4].square().sum()

    options = MovementOptions(penalty=0.0, warmup_start=0.9)
    found = movement(supernet, [batch] * 5, loss=loss, reduction="mean", options=options)
    assert found.neurons[1].argmax() == 3
    assert found.neurons[1].argmin() == 4


def test_frozen_models_are_refused():
    supernet = SuperNet(tiny_model("bert", "classification"))
    supernet.model.requires_grad_(False)
    with pytest.raises(TrainingError, match="frozen"):
        movement(supernet, [tiny_batch("bert", "classification")])


def moved(folder, epochs=3, stop_at=None):
    """Movement scores in the training loop, perhaps cut off after some steps."""
    model = trainable()
    moving = Movement(model, find_layout(model), MovementOptions(penalty=1e-4))
    batches = TinyBatches()

    def stopping(epoch):
        for number, batch in enumerate(batches(epoch)):
            if stop_at is not None and epoch * batches.count + number == stop_at:
                raise KeyboardInterrupt
            yield batch

    options = TrainOptions(
        epochs, learning_rate=1e-3, weight_decay=0.0, horizon=6, checkpoint_every=2, precision="fp32", device="cpu"
    )
    train(moving, stopping, fixed(), options, steps_per_epoch=batches.count, folder=folder, hooks=moving)
    return moving


def test_the_loop_learns_scores_and_resumes_exactly(tmp_path):
    whole = moved(tmp_path / "whole")
    assert 0.05 < whole.masked() < 0.95
    with pytest.raises(KeyboardInterrupt):
        moved(tmp_path / "cut", stop_at=13)  # in the warm-up
    resumed = moved(tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.scores, resumed.scores, strict=True))
    again = whole.importance("mean").tensors()
    assert all(torch.equal(value, again[name]) for name, value in resumed.importance("mean").tensors().items())


def test_before_the_warm_up_training_is_plain_fine_tuning():
    """The same weights as without scores, but for Adam's rounding."""

    def weights(hooked):
        model = trainable(dropout=0.0)
        moving = Movement(model, find_layout(model), MovementOptions(warmup_start=0.99, initially_masked=0.0))
        batches = TinyBatches()
        options = TrainOptions(2, learning_rate=1e-3, weight_decay=0.0, clip=0.0, precision="fp32", device="cpu")
        network = moving if hooked else model
        hooks = moving if hooked else None
        train(network, batches, fixed(), options, steps_per_epoch=batches.count, hooks=hooks)
        return model.state_dict()

    plain, scored = weights(False), weights(True)
    assert all(torch.allclose(plain[name], scored[name], atol=1e-6) for name in plain)


def test_a_horizon_ends_the_learning_rate_above_zero():
    model, batches = trainable(), TinyBatches()
    options = TrainOptions(1, learning_rate=1.0e-3, warmup=0.0, horizon=2, log_every=1, precision="fp32", device="cpu")
    result = train(model, batches, fixed(), options, steps_per_epoch=batches.count)
    rates = [record.learning_rate for record in result.history]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-3 * (1 - 5 / 12))
    with pytest.raises(TrainingError, match="horizon"):
        TrainOptions(3, horizon=2)

from __future__ import annotations

import copy
import random

import pytest
import torch
from tiny_training import TinyBatches, TinySpace, same_weights, tiny_model, tiny_rows, weights_of
from transformers import BertForMultipleChoice

from sublm.errors import TrainingError
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet
from sublm.training import (
    STRATEGIES,
    Distillation,
    Draw,
    TaskObjective,
    TrainOptions,
    fixed,
    guided,
    one_shot,
    sandwich,
    train,
)
from sublm.training.distillation import logits_loss
from sublm.training.precision import open_accelerator
from sublm.training.step import Stepper
from sublm.training.teacher import Teacher

CPU = TrainOptions(precision="fp32", device="cpu")


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    return found


def step(supernet, draws, *, distillation=None, teacher=None, kind="classification", batches=None):
    """Loss and gradients of one step, without dropout."""
    supernet.model.train()
    with open_accelerator(CPU) as (accelerator, _):
        objective = TaskObjective(kind, distillation or Distillation())
        outside = Teacher(teacher, accelerator.autocast) if teacher is not None else None
        stepper = Stepper(supernet.model, supernet, accelerator, objective, outside)
        loss = stepper.gradients(batches or [next(TinyBatches(16, kind)(0))], [draws])
    return loss.item(), gradients(supernet.model)


def assert_close(one, other) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture
def supernet() -> SuperNet:
    return SuperNet(tiny_model(dropout=0.0))


def test_a_sandwich_steps_gradient_is_the_mean_of_its_subnets(supernet) -> None:
    draws = list(sandwich(TinySpace(supernet)).draws(0, 10, random.Random(0)))
    loss, together = step(supernet, draws)
    single = [step(supernet, [draw]) for draw in draws]
    assert loss == pytest.approx(sum(part for part, _ in single) / 4)
    assert_close(together, {n: sum(g[n] for _, g in single) / 4 for n in together})


def test_other_hidden_sizes_in_one_step_average_too(supernet) -> None:
    largest = supernet.largest
    draws = [Draw(largest), Draw(largest.replace(hidden=8)), Draw(largest.replace(hidden=(0, 3, 5))), Draw(largest)]
    _, together = step(supernet, draws)
    single = [step(supernet, [draw])[1] for draw in draws]
    assert_close(together, {n: sum(g[n] for g in single) / 4 for n in together})


def test_embeddings_are_computed_once_per_batch_of_a_step(supernet) -> None:
    calls = []
    supernet.model.bert.embeddings.word_embeddings.register_forward_hook(lambda *_: calls.append(1))
    step(supernet, list(one_shot(TinySpace(supernet)).draws(0, 10, random.Random(0))))
    assert len(calls) == 1


def test_in_place_students_learn_from_labels_and_the_largests_logits(supernet) -> None:
    small = TinySpace(supernet).smallest
    distillation = Distillation(temperature=3.0, labels=0.25, logits=0.5)
    batch = next(TinyBatches(16)(0))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    _, found = step(supernet, [Draw(supernet.largest), Draw(small, "inplace")], distillation=distillation)
    cross_entropy = torch.nn.functional.cross_entropy
    supernet.activate(supernet.largest)
    teacher = supernet.model(**inputs).logits
    loss = cross_entropy(teacher, batch["labels"]) / 2
    supernet.activate(small)
    student = supernet.model(**inputs).logits
    loss = loss + 0.25 * cross_entropy(student, batch["labels"]) / 2
    loss = loss + 0.5 * logits_loss("classification", student, teacher, 3.0) / 2
    loss.backward()
    assert_close(found, gradients(supernet.model))


def test_in_regression_students_only_follow_the_largest() -> None:
    supernet = SuperNet(tiny_model(labels=1, dropout=0.0))
    small = TinySpace(supernet).smallest
    draws = [Draw(supernet.largest, "none"), Draw(small, "inplace")]
    loss, found = step(supernet, draws, kind="regression")
    batch = next(TinyBatches(16, "regression")(0))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    supernet.activate(supernet.largest)
    teacher = supernet.model(**inputs).logits.detach()
    supernet.activate(small)
    expected = (supernet.model(**inputs).logits - teacher).square().mean()
    expected.backward()
    assert loss == pytest.approx(expected.item())
    assert_close(found, gradients(supernet.model))


def test_who_only_teaches_gets_no_gradient_and_no_dropout() -> None:
    supernet = SuperNet(tiny_model(dropout=0.5))
    kept = Subnet.uniform(supernet.shape, neurons=4)
    seen = []

    class Spy(TaskObjective):
        def loss(self, answer, source, batch, subnet):
            seen.append(source.logits)
            return super().loss(answer, source, batch, subnet)

    batch = next(TinyBatches(16)(0))
    with open_accelerator(CPU) as (accelerator, _):
        stepper = Stepper(supernet.model.train(), supernet, accelerator, Spy(), None)
        stepper.gradients([batch], [[Draw(supernet.largest, "none"), Draw(kept, "inplace")]])
    neurons = supernet.model.bert.encoder.layer[0].intermediate.dense.weight.grad
    assert neurons[:4].abs().sum() > 0
    assert neurons[4:].abs().sum() == 0
    assert supernet.model.training
    supernet.model.eval()
    supernet.activate(supernet.largest)
    with torch.no_grad():
        expected = supernet.model(batch["input_ids"], batch["attention_mask"]).logits
    torch.testing.assert_close(seen[0], expected)


def test_eftnas_losses_can_be_expressed(supernet) -> None:
    teacher = tiny_model(seed=4)
    distillation = Distillation(temperature=2.0, labels=0.1, logits=0.9)
    loss, _ = step(supernet, [Draw(supernet.largest, "teacher")], distillation=distillation, teacher=teacher)
    batch = next(TinyBatches(16)(0))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        student, other = supernet.model.eval()(**inputs).logits, teacher.eval()(**inputs).logits
    p, q = (other / 2).softmax(-1), (student / 2).softmax(-1)
    expected = 0.1 * torch.nn.functional.cross_entropy(student, batch["labels"])
    expected += 0.9 * 4 * (p * (p / q).log()).sum(-1).mean()
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_the_hidden_term_leaves_dropped_layers_out() -> None:
    supernet = SuperNet(tiny_model(dropout=0.0, layers=3))
    dropped = Subnet.uniform(supernet.shape, layers=[0, 2])
    distillation = Distillation(labels=0.0, logits=0.0, hidden=1.0)
    draws = [Draw(supernet.largest, "none"), Draw(dropped, "inplace")]
    loss, _ = step(supernet, draws, distillation=distillation)
    batch = next(TinyBatches(16)(0))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    states = []
    with torch.no_grad():
        for subnet in (supernet.largest, dropped):
            supernet.activate(subnet)
            states.append(supernet.model.eval()(**inputs, output_hidden_states=True).hidden_states)
    real = inputs["attention_mask"].bool()
    expected = [(states[0][i][real] - states[1][i][real]).square().mean().item() for i in (1, 3)]
    assert expected[0] == 0
    assert loss == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert loss > 0


def test_the_hidden_term_refuses_another_hidden_size(supernet) -> None:
    draws = [Draw(supernet.largest), Draw(supernet.largest.replace(hidden=8), "inplace")]
    with pytest.raises(TrainingError, match="hidden=0"):
        step(supernet, draws, distillation=Distillation(hidden=1.0))


@pytest.mark.parametrize(
    ("draws", "words"),
    [([], "nothing to train"), (["none"], "nothing to train"), (["inplace", "labels"], "first draw")],
)
def test_steps_that_make_no_sense_are_refused(supernet, draws, words) -> None:
    with pytest.raises(TrainingError, match=words):
        step(supernet, [Draw(supernet.largest, teach) for teach in draws])


@pytest.mark.parametrize("name", sorted({*STRATEGIES} - {"guided"}))
def test_every_strategy_trains_and_restores_what_was_active(name) -> None:
    supernet = SuperNet(tiny_model(dropout=0.0))
    space, batches = TinySpace(supernet), TinyBatches()
    supernet.activate(space.smallest)
    options = TrainOptions(epochs=8, learning_rate=1e-2, precision="fp32", device="cpu")
    result = train(supernet, batches, STRATEGIES[name](space), options, steps_per_epoch=batches.count)
    assert supernet.active == space.smallest
    rows = tiny_rows()
    supernet.activate(supernet.largest)
    with torch.no_grad():
        logits = supernet.model(rows["input_ids"], rows["attention_mask"]).logits
    assert result.steps == 48
    assert torch.nn.functional.cross_entropy(logits, rows["labels"]) < 0.5


def test_guided_teaches_the_smallest_what_the_teacher_knows() -> None:
    teacher, batches = tiny_model(dropout=0.0), TinyBatches()
    options = TrainOptions(epochs=20, learning_rate=1e-2, precision="fp32", device="cpu")
    train(teacher, batches, fixed(), options, steps_per_epoch=batches.count)
    supernet = SuperNet(copy.deepcopy(teacher))
    space, rows = TinySpace(supernet), tiny_rows()
    supernet.activate(space.smallest)

    def disagreement() -> float:
        with torch.no_grad():
            inputs = rows["input_ids"], rows["attention_mask"]
            return logits_loss("classification", supernet.model(*inputs).logits, teacher(*inputs).logits, 2.0).item()

    before = disagreement()
    objective = TaskObjective(distillation=Distillation(temperature=2.0, labels=0.0))
    train(
        supernet,
        batches,
        guided(space),
        options,
        steps_per_epoch=batches.count,
        teacher=teacher,
        objective=objective,
    )
    assert disagreement() < before / 4


def test_hidden_states_alone_teach_nothing_to_a_subnet_without_layers() -> None:
    supernet = SuperNet(tiny_model(dropout=0.0))
    draws = [Draw(supernet.largest, "none"), Draw(Subnet.uniform(supernet.shape, layers=0), "inplace")]
    loss, found = step(supernet, draws, distillation=Distillation(labels=0.0, logits=0.0, hidden=1.0))
    assert loss == 0
    assert not any(gradient.any() for gradient in found.values())


def test_training_one_subnet_trains_the_extracted_model() -> None:
    supernet = SuperNet(tiny_model(dropout=0.0))
    subnet = Subnet.uniform(supernet.shape, heads=1, neurons=12)
    extracted = supernet.extract(subnet)
    batches = TinyBatches()
    options = TrainOptions(epochs=2, learning_rate=1e-3, precision="fp32", clip=0.0, weight_decay=0.0, device="cpu")
    train(supernet, batches, fixed(subnet), options, steps_per_epoch=batches.count)
    train(extracted, batches, fixed(), options, steps_per_epoch=batches.count)
    for one, other in zip(weights_of(supernet.extract(subnet)).values(), weights_of(extracted).values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_units_that_no_subnet_keeps_are_not_trained() -> None:
    supernet = SuperNet(tiny_model(dropout=0.0))
    subnet = Subnet.uniform(supernet.shape, layers=[0], neurons=12)
    before = weights_of(supernet.model)
    batches = TinyBatches()
    options = TrainOptions(epochs=1, precision="fp32", weight_decay=0.0, device="cpu")
    train(supernet, batches, fixed(subnet), options, steps_per_epoch=batches.count)
    after = weights_of(supernet.model)
    assert not same_weights(before, after)
    for name in before:
        if ".layer.1." in name:
            assert torch.equal(before[name], after[name])
    dense = "bert.encoder.layer.0.intermediate.dense.weight"
    assert torch.equal(before[dense][12:], after[dense][12:])
    assert not torch.equal(before[dense][:12], after[dense][:12])


def test_multiple_choice_in_bf16_with_hidden_states_of_a_teacher() -> None:
    """Inputs of a choice have one axis more than its hidden states."""
    config = tiny_model().config
    supernet, teacher = SuperNet(BertForMultipleChoice(config)), BertForMultipleChoice(config)
    rows = {name: values[:48] for name, values in tiny_rows().items()}
    choices = {name: rows[name].reshape(16, 3, -1) for name in ("input_ids", "attention_mask")}
    batch = {**choices, "labels": torch.arange(16) % 3, "index": torch.arange(16)}
    options = TrainOptions(epochs=20, learning_rate=1e-2, precision="bf16", device="cpu")
    result = train(
        supernet,
        lambda epoch: [batch],
        sandwich(TinySpace(supernet), random_nets=1, teach="teacher"),
        options,
        steps_per_epoch=1,
        objective=TaskObjective("multiple_choice", Distillation(temperature=2.0, hidden=1.0)),
        teacher=teacher,
    )
    assert result.precision == "bf16"
    assert result.history[-1].loss < result.history[0].loss

"""Objectives of pre-training: losses against explicit formulas, and what is captured of a model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers import ElectraConfig, ElectraForPreTraining

from sublm.errors import TrainingError
from sublm.spaces.subnet import Subnet, count
from sublm.stages.pretrain.models import heads_of
from sublm.supernet import SuperNet
from sublm.training.objectives import (
    HiddenProjection,
    PretrainingObjective,
    Terms,
    attention_loss,
    attention_scores,
    masked_lm_loss,
    masked_logits_loss,
    read_terms,
    relation_loss,
)
from sublm.training.objectives.attention import PROJECTION
from sublm.training.objectives.capture import captured_attention, table_of
from tests.supernet.families import FAMILIES, random_subnets, tiny_batch, tiny_config, tiny_model


def masked_batch(family: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """A batch whose labels are there for some of its real tokens."""
    batch = tiny_batch(family, "masked_lm", seed=seed)
    generator = torch.Generator().manual_seed(seed)
    chosen = (torch.rand(batch["input_ids"].shape, generator=generator) < 0.4) & (batch["attention_mask"] > 0)
    chosen[0, 1] = True
    return {**batch, "labels": batch["input_ids"].masked_fill(~chosen, -100)}


def grads(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_on_masked_tokens_alone_gives_the_whole_heads_loss_and_gradients(family) -> None:
    supernet = SuperNet(tiny_model(family, "masked_lm").double())
    objective, batch = PretrainingObjective(), masked_batch(family)
    for subnet in [supernet.largest, *random_subnets(supernet.shape, 2, seed=1, family=family)]:
        supernet.activate(subnet)
        whole = supernet.model(**batch)
        whole.loss.backward()
        wanted = grads(supernet.model)
        answer = objective.answer(supernet.model, batch)
        loss = objective.loss(answer, None, batch, subnet)
        loss.backward()
        found = grads(supernet.model)
        masked = batch["labels"] != -100
        assert answer.logits.shape == (int(masked.sum()), whole.logits.shape[-1])
        torch.testing.assert_close(answer.logits, whole.logits[masked])
        torch.testing.assert_close(loss, whole.loss, check_dtype=False)
        assert found.keys() == wanted.keys()
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name])


def test_batches_count_by_their_masked_tokens_so_that_means_average_rightly() -> None:
    model, objective, batch = tiny_model("bert", "masked_lm"), PretrainingObjective(), masked_batch("bert")
    whole = objective.loss(objective.answer(model, batch), None, batch, None)
    parts = [{name: values[rows] for name, values in batch.items()} for rows in ([0], [1, 2])]
    shares = [objective.count(part) / objective.count(batch) for part in parts]
    assert shares[0] != pytest.approx(1 / 3)
    losses = [objective.loss(objective.answer(model, part), None, part, None) for part in parts]
    torch.testing.assert_close(sum(s * v for s, v in zip(shares, losses, strict=True)), whole)


def test_a_batch_without_masked_tokens_is_no_loss_and_not_a_nan() -> None:
    model, batch = tiny_model("bert", "masked_lm"), tiny_batch("bert", "masked_lm")
    batch["labels"] = torch.full_like(batch["input_ids"], -100)
    objective = PretrainingObjective(Terms(mlm=0.1, logits=0.5))
    answer = objective.answer(model, batch)
    loss = objective.loss(answer, answer.detached(), batch, None)
    loss.backward()
    assert loss.item() == 0
    assert objective.count(batch) == 0


def test_borts_loss_has_the_gradient_of_its_formula() -> None:
    """d L / d logits = 0.1 (softmax(z) - onehot) / n + 0.5 τ (softmax(z/τ) - softmax(t/τ)) / n, for one n."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 11, generator=generator, dtype=torch.float64) * 3 for _ in range(2))
    teacher[0, 2] = 40.0  # sure of itself
    labels = torch.full((2, 4), -100)
    labels.view(-1)[[0, 2, 3, 5, 7]] = torch.tensor([2, 0, 10, 4, 4])
    student.requires_grad_()
    tau, terms = 2.0, read_terms("bort")
    assert (terms.mlm, terms.logits, terms.temperature) == (0.1, 0.5, tau)
    loss = terms.mlm * masked_lm_loss(student, labels) + terms.logits * masked_logits_loss(student, teacher, tau)
    (found,) = torch.autograd.grad(loss, student)
    hot = functional.one_hot(labels[labels != -100], 11)
    soft = (student / tau).softmax(-1) - (teacher / tau).softmax(-1)
    torch.testing.assert_close(found, (0.1 * (student.softmax(-1) - hot) + 0.5 * tau * soft) / 5)
    assert found[0].abs().max() > 1e-3


@pytest.mark.parametrize("padded", [False, True])
def test_attention_loss_is_the_mean_square_over_real_pairs(padded) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    student[0, 0, 0, 1], teacher[0, 0, 0, 1] = -150.0, 2.0  # counts as 0 against 2
    teacher[0, 1, 2, 2] = -100.0
    mask = torch.ones(2, 4)
    if padded:
        mask[1, 2:] = 0
    student.requires_grad_()
    loss = attention_loss(student, teacher, mask if padded else None)
    terms = [
        sum(
            ((0.0 if student[r, h, q, k] <= -100 else student[r, h, q, k]) - max(float(teacher[r, h, q, k]), -100.0)
             * (teacher[r, h, q, k] > -100)) ** 2
            for h in range(3) for k in keys
        ) / (3 * len(keys))
        for r, keys in enumerate([range(4), range(2 if padded else 4)]) for q in keys
    ]  # fmt: skip
    torch.testing.assert_close(loss, sum(terms) / len(terms))
    assert torch.autograd.gradcheck(lambda s: attention_loss(s, teacher, mask), student)
    (found,) = torch.autograd.grad(loss, student)
    assert found[0, 0, 0, 1] == 0
    assert (found[1, :, 2:].abs().sum() == 0) == padded
    if not padded:  # the plain mean, as published
        clean = [values.detach().masked_fill(values <= -100, 0) for values in (student, teacher)]
        torch.testing.assert_close(loss.detach(), functional.mse_loss(*clean))


def slow_relations(values: torch.Tensor, heads: int, real: int) -> torch.Tensor:
    """[heads, real, real] of one row, one relation head after the other."""
    width = values.shape[-1]
    cut = [values[:real, n * width // heads : (n + 1) * width // heads] for n in range(heads)]
    return torch.stack([(part @ part.T / part.shape[-1] ** 0.5).softmax(-1) for part in cut])


@given(st.integers(1, 4), st.integers(4, 9), st.integers(4, 9), st.integers(1, 4), st.integers(0, 99))
def test_relation_loss_is_the_kl_of_minilm_for_any_widths(heads, ours, theirs, real, seed) -> None:
    generator = torch.Generator().manual_seed(seed)

    def parts(width: int) -> dict[str, torch.Tensor]:
        return {
            name: torch.randn(1, 4, width, generator=generator, dtype=torch.float64)
            for name in ("query", "key", "value")
        }

    student, teacher = parts(ours), parts(theirs)
    mask = (torch.arange(4) < real).long()[None]
    wanted = 0.0
    for name in student:
        p, q = slow_relations(teacher[name][0], heads, real), slow_relations(student[name][0], heads, real)
        wanted += float((p * (p / q).log()).sum(-1).mean())
    assert float(relation_loss(student, teacher, heads, mask)) == pytest.approx(wanted, abs=1e-9)
    assert float(relation_loss(teacher, teacher, heads, mask)) == pytest.approx(0, abs=1e-12)


def test_relation_loss_has_a_right_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 2, 4, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    names = ("query", "key", "value")
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])

    def loss(values: torch.Tensor) -> torch.Tensor:
        return relation_loss(dict(zip(names, values, strict=True)), dict(zip(names, teacher, strict=True)), 4, mask)

    assert torch.autograd.gradcheck(loss, student.requires_grad_())


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_captured_is_the_last_attention_that_runs_and_the_forward_stays(family) -> None:
    model = tiny_model(family, "masked_lm", attn_implementation="eager").double()
    supernet, batch = SuperNet(model), tiny_batch(family, "masked_lm", labels=False)
    some = [supernet.largest, *random_subnets(supernet.shape, 4, seed=3, family=family)]
    for subnet in some:
        supernet.activate(subnet)
        layers = [layer for layer in subnet.layers if count(subnet.heads[layer])]
        plain = supernet.model(**batch, output_attentions=True)
        hooks = [len(module._forward_hooks) for module in supernet.model.modules()]
        with captured_attention(supernet.model) as seen:
            hooked = supernet.model(**batch)
        torch.testing.assert_close(plain.logits, hooked.logits, rtol=0, atol=0, equal_nan=True)  # padding may be NaN
        assert [len(module._forward_hooks) for module in supernet.model.modules()] == hooks
        if not layers:
            assert not seen.parts
            continue
        assert seen.heads == count(subnet.heads[layers[-1]])
        if subnet == supernet.largest:
            assert heads_of(supernet.model) == supernet.shape.heads
        if not table_of(model).scores_positions:
            blocked = (batch["attention_mask"] == 0)[:, None, None, :]
            shown = [weights for weights in plain.attentions if weights is not None][-1]
            found = attention_scores(seen.parts, seen.heads).masked_fill(blocked, -torch.inf).softmax(-1)
            torch.testing.assert_close(found, shown)
        with captured_attention(extracted := supernet.extract(subnet)) as apart:
            extracted(**batch)
        for name, values in seen.parts.items():
            torch.testing.assert_close(apart.parts[name], values, equal_nan=True)


def test_an_electra_discriminator_teaches_attention_hidden_states_and_relations() -> None:
    torch.manual_seed(0)
    teacher = ElectraForPreTraining(ElectraConfig(**tiny_config("electra", hidden_size=36).to_dict())).eval()
    supernet = SuperNet(tiny_model("bert", "masked_lm"))
    supernet.model.add_module(PROJECTION, HiddenProjection(24, 36))
    objective = PretrainingObjective(Terms(mlm=0.1, attention=1.0, hidden=1.0, relations=1.0, relation_heads=3))
    batch = masked_batch("bert")
    source = objective.answer(teacher, batch)
    # All heads, each of them smaller; of the projection the columns of the hidden channels that are kept.
    subnet = Subnet.uniform(supernet.shape, layers=2, hidden=14, head_size=3)
    supernet.activate(subnet)
    answer = objective.answer(supernet.model, batch)
    assert answer.further["hidden"].shape == source.further["hidden"].shape == (*batch["input_ids"].shape, 36)
    loss = objective.loss(answer, source, batch, subnet)
    loss.backward()
    projection = getattr(supernet.model, PROJECTION)
    assert projection.weight.grad[:, :14].abs().min() > 0
    assert projection.weight.grad[:, 14:].abs().max() == 0
    torch.testing.assert_close(projection.cut(supernet.model)["weight"], projection.weight[:, :14])
    layer = supernet.model.bert.encoder.layer
    assert layer[1].attention.self.query.weight.grad.abs().sum() > 0
    assert layer[2].attention.self.query.weight.grad is None
    # The logits of a discriminator are no prediction of masked tokens.
    with pytest.raises(TrainingError, match="no masked-language-model head"):
        PretrainingObjective(read_terms("bort")).answer(teacher, batch)
    fewer = Subnet.uniform(supernet.shape, heads=2)
    supernet.activate(fewer)
    with pytest.raises(TrainingError, match=r"2 heads, the teacher 4\. Use the space homogeneous-kd"):
        objective.loss(objective.answer(supernet.model, batch), source, batch, fewer)


def test_smaller_ones_learn_in_place_from_the_projected_states_of_the_largest() -> None:
    supernet = SuperNet(tiny_model("bert", "masked_lm"))
    supernet.model.add_module(PROJECTION, HiddenProjection(24, 30))
    objective, batch = PretrainingObjective(Terms(logits=1.0, hidden=1.0, relations=1.0)), masked_batch("bert")
    first = objective.answer(supernet.model, batch).detached()
    same = objective.loss(objective.answer(supernet.model, batch), first, batch, supernet.largest)
    labels = objective.loss(first, None, batch, supernet.largest)
    torch.testing.assert_close(same, labels)  # from itself there is nothing to learn besides the labels
    supernet.activate(small := Subnet.uniform(supernet.shape, heads=1, hidden=9))
    assert objective.loss(objective.answer(supernet.model, batch), first, batch, small) > labels


def test_a_sub_network_none_of_whose_layers_attends_learns_nothing_from_attention() -> None:
    supernet = SuperNet(tiny_model("bert", "masked_lm"))
    objective, batch = PretrainingObjective(read_terms("relations")), masked_batch("bert")
    source = objective.answer(supernet.model, batch).detached()
    supernet.activate(supernet.largest.replace(heads=(0, 0, 0)))
    loss = objective.loss(objective.answer(supernet.model, batch), source, batch, supernet.active)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mln", "objective='mln' is not known; choose one of mlm, attention-hidden, relations, bort"),
        ("mlm=0.1,relation=1", "is not known"),
        ("mlm=a", "is not known"),
        ("mlm=0", "All weights of the objective are 0"),
        ("relations=-1", "must not be negative"),
        ("mlm=1,temperature=0", "temperature must be above 0"),
    ],
)
def test_objectives_that_are_none_are_refused(text, message) -> None:
    with pytest.raises(TrainingError, match=message):
        read_terms(text)


def test_terms_are_read_with_their_weights() -> None:
    assert read_terms("mlm=0.1, relations=1,relation_heads=12") == Terms(mlm=0.1, relations=1.0, relation_heads=12)
    assert read_terms("attention-hidden") == Terms(mlm=0.0, attention=1.0, hidden=1.0)  # the paper's, 1:1


def test_relations_need_as_many_dimensions_as_heads() -> None:
    values = dict.fromkeys(("query", "key", "value"), torch.ones(1, 2, 3))
    with pytest.raises(TrainingError, match="give relation_heads=3 or less"):
        relation_loss(values, values, 4, None)


def test_without_a_teacher_distillation_alone_is_refused() -> None:
    model, batch = tiny_model("bert", "masked_lm"), masked_batch("bert")
    objective = PretrainingObjective(read_terms("relations"))
    with pytest.raises(TrainingError, match="learns from a teacher alone"):
        objective.loss(objective.answer(model, batch), None, batch, None)


def test_random_draws_are_of_every_kind() -> None:
    """The sub-networks above hold both head strategies and dropped halves, else they would show little."""
    shape = SuperNet(tiny_model("bert", "masked_lm")).shape
    some = random_subnets(shape, 4, seed=3)
    assert any(count(subnet.head_size) < shape.head_size for subnet in some)
    assert any(0 in map(count, subnet.heads) for subnet in some)

"""What the super-network does beyond the contract of every family and head."""

from __future__ import annotations

import copy
import random
import re

import pytest
import torch
import transformers
from torch import nn

from sublm.importance import Importance, magnitude
from sublm.spaces.subnet import Subnet, count
from sublm.supernet import SuperNet, is_stock
from tests.supernet.families import (
    FAMILIES,
    SDPA,
    loss_of,
    mixed_subnet,
    outputs,
    random_subnets,
    tiny_batch,
    tiny_config,
    tiny_model,
    with_heads_of,
)

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def gradients(supernet):
    found = {name: p.grad.clone() for name, p in supernet.model.named_parameters() if p.grad is not None}
    supernet.model.zero_grad()
    return found


def assert_equal_gradients(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert torch.allclose(found[name], wanted[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["classification", "multiple_choice", "masked_lm", "encoder"])
def test_shared_embeddings_give_the_gradients_of_separate_passes(family, head):
    supernet = SuperNet(tiny_model(family, head).double())
    shape, batch = supernet.shape, tiny_batch(family, head)
    subnets = [
        supernet.largest,
        Subnet((1, 2, 0), (3, 0, 5), shape.hidden, shape.head_size),
        *random_subnets(shape, 3, seed=3, family=family),
        with_heads_of(family, shape, Subnet((1, 1, 1), (2, 2, 2), 7, 2)),
        supernet.largest.replace(hidden=7),
    ]

    def passes():
        for subnet in subnets:
            supernet.activate(subnet)
            loss_of(supernet.model, batch).backward()

    passes()
    separate = gradients(supernet)
    runs = []
    counter = norm_of(supernet.layout.embeddings).register_forward_hook(lambda *_: runs.append(supernet.active.hidden))
    with supernet.shared_embeddings():
        passes()
    counter.remove()
    assert_equal_gradients(gradients(supernet), separate)
    assert len(runs) == len({subnet.hidden for subnet in subnets})


def norm_of(embeddings):
    return next(module for module in embeddings.modules() if isinstance(module, nn.LayerNorm))


def test_shared_embeddings_serve_passes_without_gradients_too():
    supernet = SuperNet(tiny_model("bert", "classification", **NO_DROPOUT).double())
    batch = tiny_batch("bert", "classification")
    loss_of(supernet.model, batch).backward()
    wanted = gradients(supernet)
    with supernet.shared_embeddings():
        with torch.no_grad():
            logits = supernet.model(**batch).logits
        loss_of(supernet.model, batch).backward()
    assert_equal_gradients(gradients(supernet), wanted)
    assert torch.equal(logits, outputs(supernet.model, batch)["logits"])


def test_shared_embeddings_see_the_next_batch_anew():
    supernet = SuperNet(tiny_model("bert", "classification"))
    first, second = (tiny_batch("bert", "classification", seed=seed) for seed in (1, 2))
    with supernet.shared_embeddings():
        one = outputs(supernet.model, first)
    with supernet.shared_embeddings():
        two = outputs(supernet.model, second)
    assert torch.equal(one["logits"], outputs(supernet.model, first)["logits"])
    assert torch.equal(two["logits"], outputs(supernet.model, second)["logits"])


def test_shared_embeddings_end_with_an_error_inside():
    supernet = SuperNet(tiny_model("bert", "classification"))
    batch = tiny_batch("bert", "classification")

    def step():
        with supernet.shared_embeddings():
            supernet.model(**batch)
            raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        step()
    batch["input_ids"] = batch["input_ids"].flip(0)
    assert torch.equal(
        outputs(supernet.model, batch)["logits"],
        outputs(supernet.extract(supernet.largest), batch)["logits"],
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["classification", "encoder"])
def test_hidden_states_and_eager_attentions_equal_those_of_the_extracted_model(family, head):
    supernet = SuperNet(tiny_model(family, head, attn_implementation="eager"))
    batch = tiny_batch(family, head)
    skipping = with_heads_of(family, supernet.shape, Subnet((2, 0, 3), (4, 5, 6), 13, 4))
    for subnet in [*random_subnets(supernet.shape, 5, seed=2, family=family), skipping]:
        supernet.activate(subnet)
        extracted = supernet.extract(subnet)
        assert extracted.config._attn_implementation == "eager"
        with torch.no_grad():
            found, wanted = (
                model(**batch, output_hidden_states=True, output_attentions=True)
                for model in (supernet.model, extracted)
            )
        kept = [found.hidden_states[0], *(found.hidden_states[layer + 1] for layer in subnet.layers)]
        kept[-1] = found.hidden_states[-1]  # where the last norm stands behind the layers, it is in the last one
        assert len(kept) == len(wanted.hidden_states)
        for one, other in zip(kept, wanted.hidden_states, strict=True):
            assert (one - other).abs().max() <= 1e-5
        with_heads = [layer for layer in subnet.layers if count(subnet.heads[layer])]
        # Some families list layers without attention as None, others leave them out.
        one_by_one = [[a for a in result.attentions if a is not None] for result in (found, wanted)]
        for layer, one, other in zip(with_heads, *one_by_one, strict=True):
            assert one.shape[1] == count(subnet.heads[layer])
            assert (one - other).abs().max() <= 1e-6


@pytest.mark.parametrize("family", SDPA)
def test_sdpa_and_eager_attention_agree(family):
    batch = tiny_batch(family, "classification")
    eager, sdpa = (
        SuperNet(tiny_model(family, "classification", attn_implementation=kind)) for kind in ("eager", "sdpa")
    )
    for subnet in random_subnets(eager.shape, 4, seed=6, family=family):
        eager.activate(subnet)
        sdpa.activate(subnet)
        difference = outputs(eager.model, batch)["logits"] - outputs(sdpa.model, batch)["logits"]
        assert difference.abs().max() <= 1e-5


def linear_of(supernet, family, layer, part):
    """The linear layer that makes queries or values, found by the names that these tests know."""
    pattern = re.compile(rf"{FAMILIES[family].parts.layers}\.{layer}\.{getattr(FAMILIES[family].parts, part)}$")
    return next(module for name, module in supernet.model.named_modules() if pattern.search(name))


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"modernbert"}))  # rotary positions fix its dimensions
def test_reordering_sorts_the_dimensions_inside_every_head(family):
    supernet = SuperNet(tiny_model(family, "classification"))
    shape, batch = supernet.shape, tiny_batch(family, "classification")
    queries, values = linear_of(supernet, family, 1, "query"), linear_of(supernet, family, 1, "value")
    query, value = queries.weight.detach().clone(), values.bias.detach().clone()
    flat = magnitude(supernet)
    size = (shape.layers, shape.heads, shape.head_size)
    generator = torch.Generator().manual_seed(3)
    qk_dims, v_dims = torch.rand(size, generator=generator), torch.rand(size, generator=generator)
    heads = torch.tensor([[1.0, 4.0, 2.0, 3.0]] * shape.layers)
    before = outputs(supernet.model, batch)["logits"]
    ordered = supernet.reorder(
        Importance(
            heads=heads,
            neurons=torch.zeros_like(flat.neurons),
            layers=flat.layers,
            hidden=torch.zeros_like(flat.hidden),  # equal scores: nothing moves
            qk_dims=qk_dims,
            v_dims=v_dims,
            method="test",
        )
    )
    assert (outputs(supernet.model, batch)["logits"] - before).abs().max() <= 1e-5
    for new, old in enumerate((1, 3, 2, 0)):
        rows = slice(new * shape.head_size, (new + 1) * shape.head_size)
        for weight, scores, found, result in (
            (query, qk_dims, queries.weight, ordered.qk_dims),
            (value, v_dims, values.bias, ordered.v_dims),
        ):
            order = scores[1, old].argsort(descending=True)
            wanted = weight.unflatten(0, (shape.heads, shape.head_size))[old][order]
            assert torch.equal(found[rows], wanted)
            assert torch.equal(result[1, new], scores[1, old][order])


def test_reordering_twice_by_the_returned_scores_changes_nothing():
    supernet = SuperNet(tiny_model("bert", "masked_lm"))
    ordered = supernet.reorder(magnitude(supernet))
    state = {name: value.clone() for name, value in supernet.model.state_dict().items()}
    again = supernet.reorder(ordered)
    assert all(torch.equal(value, state[name]) for name, value in supernet.model.state_dict().items())
    assert all(torch.equal(value, ordered.tensors()[name]) for name, value in again.tensors().items())


def test_a_copy_of_a_super_network_is_independent():
    supernet = SuperNet(tiny_model("bert", "classification"))
    batch = tiny_batch("bert", "classification")
    small = Subnet.uniform(supernet.shape, heads=2, neurons=5)
    supernet.activate(small)
    supernet.activate(supernet.largest)
    whole = outputs(supernet.model, batch)["logits"]
    other = copy.deepcopy(supernet)
    other.activate(small)
    assert torch.equal(outputs(supernet.model, batch)["logits"], whole)
    assert not torch.equal(outputs(other.model, batch)["logits"], whole)


def test_many_activations_later_a_subnet_is_the_same():
    supernet = SuperNet(tiny_model("bert", "classification"))
    batch = tiny_batch("bert", "classification")
    small = Subnet((1, 2, 3), ((4, 7), 5, 6), (3, 5, 8), 4)
    supernet.activate(small)
    before = outputs(supernet.model, batch)["logits"]
    for subnet in random_subnets(supernet.shape, 300, seed=1):
        supernet.activate(subnet)
    supernet.activate(small)
    assert torch.equal(outputs(supernet.model, batch)["logits"], before)


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm_roberta"])
def test_an_encoder_without_pooler_is_extracted_without_one(family):
    stock = getattr(transformers, f"{FAMILIES[family].prefix}Model")
    supernet = SuperNet(stock(tiny_config(family), add_pooling_layer=False).eval())
    batch = tiny_batch(family, "encoder")
    for subnet in random_subnets(supernet.shape, 6, seed=4):
        supernet.activate(subnet)
        found, wanted = (model(**batch).last_hidden_state for model in (supernet.model, supernet.extract(subnet)))
        assert (found - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("family", "stock"),
    [("bert", "BertForPreTraining"), ("bert", "BertForNextSentencePrediction"), ("electra", "ElectraForPreTraining")],
)
def test_pretraining_heads_are_extracted_too(family, stock):
    supernet = SuperNet(getattr(transformers, stock)(tiny_config(family)).eval())
    batch = tiny_batch(family, "encoder")
    for subnet in random_subnets(supernet.shape, 6, seed=5):
        supernet.activate(subnet)
        found, wanted = (outputs(model, batch) for model in (supernet.model, supernet.extract(subnet)))
        assert found.keys() == wanted.keys()
        assert all((found[name] - wanted[name]).abs().max() <= 1e-5 for name in wanted)


@pytest.mark.parametrize("family", ["bert", "electra_narrow", "roberta"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_output_embeddings_stay_so(family, tied, tmp_path):
    supernet = SuperNet(tiny_model(family, "masked_lm", tie_word_embeddings=tied))
    batch = tiny_batch(family, "masked_lm")
    for number, subnet in enumerate(random_subnets(supernet.shape, 4, seed=7)):
        supernet.activate(subnet)
        extracted = supernet.extract(subnet)
        extracted.save_pretrained(tmp_path / str(number))
        for model in (extracted, type(extracted).from_pretrained(tmp_path / str(number))):
            difference = outputs(model, batch)["logits"] - outputs(supernet.model, batch)["logits"]
            assert difference.abs().max() <= 1e-5
            weights = model.get_input_embeddings().weight, model.get_output_embeddings().weight
            assert (weights[0] is weights[1]) == tied


@pytest.mark.parametrize("family", FAMILIES)
def test_the_configuration_keeps_label_names_and_problem(family, tmp_path):
    names = {0: "bad", 1: "fair", 2: "good"}
    supernet = SuperNet(
        tiny_model(family, "classification", id2label=names, problem_type="single_label_classification")
    )
    for number, subnet in enumerate(random_subnets(supernet.shape, 4, seed=8, family=family)):
        extracted = supernet.extract(subnet)
        extracted.save_pretrained(tmp_path / str(number))
        loaded = type(extracted).from_pretrained(tmp_path / str(number)).config
        for config in (extracted.config, loaded):
            assert config.id2label == names
            assert config.problem_type == "single_label_classification"
            assert config.hidden_size == count(subnet.hidden)
            assert config.num_hidden_layers == len(subnet.layers)
        assert is_stock(supernet, subnet) or loaded.layer_heads == [count(subnet.heads[i]) for i in subnet.layers]


@pytest.mark.filterwarnings(
    "ignore:`gradient_checkpointing_enable`:FutureWarning"
)  # the new name needs a newer release
def test_gradient_checkpointing_gives_the_same_gradients():
    supernet = SuperNet(tiny_model("bert", "classification", **NO_DROPOUT).double().train())
    batch = tiny_batch("bert", "classification")
    supernet.activate(Subnet((2, 0, (1, 3)), (5, 20, 0), 17, 3))
    loss_of(supernet.model, batch).backward()
    wanted = gradients(supernet)
    supernet.model.gradient_checkpointing_enable()
    loss_of(supernet.model, batch).backward()
    assert_equal_gradients(gradients(supernet), wanted)


def test_training_a_subnet_lowers_its_loss_and_keeps_the_rest_of_the_weights():
    supernet = SuperNet(tiny_model("bert", "classification", **NO_DROPOUT).train())
    batch = tiny_batch("bert", "classification")
    supernet.activate(Subnet((2, 2, 2), (5, 5, 5), 12, 6))
    down = supernet.model.bert.encoder.layer[0].output.dense.weight
    outside = down.detach()[:, 5:].clone()
    optimizer = torch.optim.SGD(supernet.model.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = loss_of(supernet.model, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert torch.equal(down[:, 5:], outside)


def test_a_model_made_elastic_twice_serves_both():
    first = SuperNet(tiny_model("bert", "classification"))
    batch = tiny_batch("bert", "classification")
    whole = outputs(first.model, batch)["logits"]
    first.activate(first.largest.replace(hidden=5))
    second = SuperNet(first.model)
    assert torch.equal(outputs(second.model, batch)["logits"], whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_subnets_of_these_tests_cover_what_they_claim(family):
    supernet = SuperNet(tiny_model(family, "classification"))
    drawn = random_subnets(supernet.shape, 60, seed=0, family=family)
    assert 6 <= sum(is_stock(supernet, subnet) for subnet in drawn) <= 45
    mixed = [mixed_subnet(supernet.shape, random.Random(seed), family) for seed in range(60)]
    assert any(isinstance(units, tuple) for subnet in mixed for units in (*subnet.heads, *subnet.neurons))
    assert any(len(subnet.layers) < supernet.shape.layers for subnet in mixed)
    assert any(bool(count(h)) != bool(count(n)) for s in mixed for h, n in zip(s.heads, s.neurons, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_skipped_halves_are_not_computed(family):
    supernet = SuperNet(tiny_model(family, "classification"))
    ran = []
    linear = [leaf for leaf in supernet.layout.leaves if isinstance(leaf.module, nn.Linear)]
    for leaf in linear:
        if leaf.layer is not None:
            leaf.module.register_forward_hook(lambda *_, leaf=leaf: ran.append(leaf.path))
    supernet.activate(Subnet((2, 0, 0), (0, 3, 0), 24, 6))
    outputs(supernet.model, tiny_batch(family, "classification"))
    kept = [(0, "attention"), (1, "ffn")]
    assert set(ran) == {leaf.path for leaf in linear if (leaf.layer, leaf.half) in kept}


def test_slices_that_ignore_heads_are_the_first_rows_of_the_whole_attention():
    model = tiny_model("bert", "encoder", **NO_DROPOUT)
    aware, ignorant = (SuperNet(copy.deepcopy(model), head_aware=head_aware) for head_aware in (True, False))
    batch = tiny_batch("bert", "encoder")
    smaller = ignorant.largest.replace(head_size=ignorant.shape.head_size - 1)
    for subnet in (smaller, ignorant.largest.replace(heads=(1,) * ignorant.shape.layers)):
        found = []
        for supernet in (aware, ignorant):
            supernet.activate(subnet)
            found.append(outputs(supernet.model, batch)["last_hidden_state"])
            cut = supernet.extract(subnet)
            torch.testing.assert_close(outputs(cut, batch)["last_hidden_state"], found[-1])
        assert torch.equal(*found) == (subnet is not smaller)  # whole heads are first rows anyway
    width = ignorant.shape.heads * (ignorant.shape.head_size - 1)
    names = [name for name in ignorant.extract(smaller).state_dict() if name.endswith("self.query.weight")]
    assert names
    for name in names:
        assert torch.equal(ignorant.extract(smaller).state_dict()[name], model.state_dict()[name][:width])

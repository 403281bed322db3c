"""Models, sub-networks and scores that do not fit are refused with a reason and the nearest that would."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from sublm.architectures import ARCHITECTURES, REFUSED, find_architecture
from sublm.errors import SubnetError, UnsupportedModelError
from sublm.importance import magnitude
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet
from tests.supernet.families import outputs, tiny_batch, tiny_config, tiny_model


def test_albert_is_refused_because_its_layers_share_their_weights():
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    model = transformers.AlbertModel(transformers.AlbertConfig(vocab_size=9, embedding_size=8, **sizes))
    with pytest.raises(UnsupportedModelError, match="share one set of weights"):
        SuperNet(model)


@pytest.mark.parametrize("model_type", sorted(REFUSED))
def test_every_refusal_names_the_type_and_a_model_to_take_instead(model_type):
    config = transformers.PretrainedConfig()
    config.model_type = model_type
    with pytest.raises(UnsupportedModelError, match=rf"'{model_type}' are not supported\. .*(Take|are supported)"):
        find_architecture(config)
    assert model_type not in ARCHITECTURES


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"conv_kernel_size": 3}, "conv_kernel_size"),
        ({"embedding_size": 12}, "embedding_size"),
        ({"legacy": False}, "Load it with legacy=True"),
    ],
)
def test_variants_of_deberta_that_cannot_be_sliced_are_refused(changes, reason):
    with pytest.raises(UnsupportedModelError, match=reason):
        SuperNet(transformers.DebertaV2Model(tiny_config("deberta", **changes)))


def test_importance_of_another_shape_is_refused():
    supernet = SuperNet(tiny_model("bert", "classification"))
    other = SuperNet(tiny_model("bert", "classification", intermediate_size=16))
    with pytest.raises(SubnetError, match=r"neurons has shape \(3, 16\).*needs \(3, 20\)"):
        supernet.reorder(magnitude(other))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": (5, 4, 4)}, "heads of layer 0: 5 asked for, at most 4"),
        ({"heads": (4, (0, 4), 4)}, "heads of layer 1: 5 asked for"),
        ({"neurons": (20, 20, (2, 20))}, "neurons of layer 2: 21 asked for, at most 20"),
        ({"hidden": 25}, "hidden: 25 asked for, at most 24"),
        ({"hidden": 0}, "hidden: at least one"),
        ({"head_size": (6,)}, "head_size: 7 asked for, at most 6"),
        ({"head_size": 0}, "drop heads instead"),
        ({"heads": (1, 1), "neurons": (1, 1)}, "has 2 layers, the super-network 3"),
    ],
)
def test_a_subnet_that_does_not_fit_is_refused_and_activation_stays(change, message):
    supernet = SuperNet(tiny_model("bert", "classification"))
    batch = tiny_batch("bert", "classification")
    active = supernet.largest.replace(hidden=10)
    supernet.activate(active)
    before = outputs(supernet.model, batch)["logits"]
    subnet = supernet.largest.replace(**change)
    with pytest.raises(SubnetError, match=message):
        supernet.activate(subnet)
    with pytest.raises(SubnetError, match=message):
        supernet.extract(subnet)
    assert supernet.active == active
    assert torch.equal(outputs(supernet.model, batch)["logits"], before)


@pytest.mark.parametrize(
    "model",
    [
        lambda: transformers.GPT2Model(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=9)),
        lambda: transformers.RemBertModel(
            transformers.RemBertConfig(
                vocab_size=9,
                num_hidden_layers=1,
                hidden_size=8,
                num_attention_heads=1,
                intermediate_size=8,
                input_embedding_size=8,
            )
        ),
        lambda: SuperNet(tiny_model("bert", "encoder")).extract(Subnet((1, 2, 3), (1, 2, 3), 24, 6)),
    ],
    ids=["gpt2", "rembert", "sublm"],
)
def test_other_families_are_refused_with_the_supported_ones(model):
    with pytest.raises(UnsupportedModelError, match=r"bert, camembert, .*, xlm-roberta\. To add one"):
        SuperNet(model())


@pytest.mark.parametrize("changes", [{"is_decoder": True}, {"is_decoder": True, "add_cross_attention": True}])
def test_decoders_are_refused(changes):
    with pytest.raises(UnsupportedModelError, match=r"only encoders are supported\. Load it with is_decoder=False"):
        SuperNet(transformers.BertModel(tiny_config("bert", **changes)))


def test_a_class_whose_subnets_could_not_be_extracted_is_refused_at_once():
    class Changed(transformers.BertForSequenceClassification):
        pass

    with pytest.raises(UnsupportedModelError, match=r"Changed is not supported.*BertForSequenceClassification"):
        SuperNet(Changed(tiny_config("bert")))


@pytest.mark.parametrize("module", [nn.Linear(2, 3), tiny_model("bert", "encoder").encoder], ids=["linear", "part"])
def test_what_is_no_transformers_model_is_refused(module):
    with pytest.raises(UnsupportedModelError, match="Give the whole model"):
        SuperNet(module)


def test_layers_of_another_shape_than_configured_are_refused():
    model = tiny_model("bert", "classification")
    model.bert.encoder.layer[1].intermediate.dense = nn.Linear(24, 8)
    with pytest.raises(UnsupportedModelError, match=r"layer\.1\.intermediate\.dense has 8 neurons entries.* 20"):
        SuperNet(model)

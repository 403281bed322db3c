"""A super-network in another process: the same function, the same memory."""

from __future__ import annotations

import copy
import os
import pickle

import pytest
import torch
from torch.multiprocessing import get_sharing_strategy

from sublm.errors import WorkerError
from sublm.search.executors import WorkerPool
from sublm.search.executors.processes import ProcessWorker
from sublm.search.executors.tensors import pack, unpack
from sublm.supernet import SuperNet
from sublm.supernet import memory as sharing
from tests.supernet.families import COMBINATIONS, outputs, random_subnets, tiny_batch, tiny_model

held: SuperNet


def hold(supernet):
    global held
    held = supernet


def answer(subnet, batch):
    """The worker's number, what the sub-network says there, and where its weights are."""
    held.activate(subnet)
    with torch.no_grad():
        said = held.model(**batch).logits.numpy().copy()
    shared = all(p.is_shared() for p in (*held.model.parameters(), *held.model.buffers()))
    return os.getpid(), said, shared


def first_weight():
    return float(next(held.model.parameters()).flatten()[0])


def check_equal(one, other, family, head):
    batch = tiny_batch(family, head)
    for subnet in random_subnets(one.shape, 4, seed=1, family=family):
        one.activate(subnet)
        other.activate(subnet)
        said, expected = outputs(other.model, batch), outputs(one.model, batch)
        assert said.keys() == expected.keys()
        assert all(torch.equal(said[name], expected[name]) for name in expected)


@pytest.mark.parametrize(("family", "head"), COMBINATIONS)
def test_a_pickled_supernet_is_the_same_function(family, head):
    supernet = SuperNet(tiny_model(family, head))
    supernet.activate(random_subnets(supernet.shape, 1, seed=5, family=family)[0])
    other = pickle.loads(pickle.dumps(supernet))
    assert other.active == supernet.active
    assert other.model.training is supernet.model.training
    check_equal(supernet, other, family, head)
    assert [p.data_ptr() for p in other.model.parameters()] != [p.data_ptr() for p in supernet.model.parameters()]
    subnet = random_subnets(supernet.shape, 1, seed=6, family=family)[0]
    cut, expected = other.extract(subnet), supernet.extract(subnet)
    assert type(cut) is type(expected)
    assert all(torch.equal(a, b) for a, b in zip(cut.parameters(), expected.parameters(), strict=True))


def test_tied_weights_stay_tied():
    other = pickle.loads(pickle.dumps(SuperNet(tiny_model("bert", "masked_lm"))))
    assert other.model.get_output_embeddings().weight is other.model.get_input_embeddings().weight


def test_a_packed_supernet_reads_the_memory_it_is_given():
    supernet = SuperNet(tiny_model("bert", "masked_lm"))
    text, arrays = pack(supernet)
    other = unpack((text, arrays))
    check_equal(supernet, other, "bert", "masked_lm")
    places = {array.ctypes.data for array in arrays if array.size}
    assert {p.data_ptr() for p in other.model.parameters()} <= places
    assert len(text) < sum(array.nbytes for array in arrays)
    assert other.model.get_output_embeddings().weight is other.model.get_input_embeddings().weight


def test_a_worker_computes_the_same_with_the_same_copy_of_the_weights():
    """A worker sees the driver's own memory: what is written there is read in the worker."""
    supernet = SuperNet(tiny_model("bert", "classification")).share()
    parameter = next(supernet.model.parameters())
    place = parameter.data_ptr()
    batch = {name: tensor for name, tensor in tiny_batch("bert", "classification").items() if name != "labels"}
    chosen = random_subnets(supernet.shape, 6, seed=2)
    with WorkerPool(lambda: ProcessWorker(1, hold, (supernet,)), 1) as pool:
        futures = [pool.submit(answer, subnet, batch) for subnet in chosen]
        for subnet, future in zip(chosen, futures, strict=True):
            pid, said, shared = future.result()
            assert pid != os.getpid()
            assert shared
            supernet.activate(subnet)
            assert torch.equal(torch.from_numpy(said), outputs(supernet.model, batch)["logits"])
        assert parameter.data_ptr() == place  # sharing once is enough: nothing was moved for the worker
        with torch.no_grad():
            parameter.flatten()[0] = 7.5
        assert {future.result() for future in [pool.submit(first_weight)]} == {7.5}


def test_too_little_shared_memory_is_said_before_anything_is_moved(monkeypatch, tmp_path):
    model = tiny_model("bert", "classification")

    class Full:
        f_bavail, f_frsize = 3, 1024

    monkeypatch.setattr(sharing.os, "statvfs", lambda folder: Full)
    with pytest.raises(WorkerError, match=r"--shm-size"):
        sharing.share_weights(model, tmp_path)
    assert not any(p.is_shared() for p in model.parameters())


def share_many(soft, hard):
    """In a process of its own: 200 tensors, so many open files allowed."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    model = torch.nn.ParameterList([torch.ones(1) for _ in range(200)])
    sharing.share_weights(model)
    return all(parameter.is_shared() for parameter in model)


@pytest.mark.skipif(get_sharing_strategy() != "file_descriptor", reason="shared tensors take no open files here")
def test_every_shared_tensor_may_have_its_open_file():
    with WorkerPool(lambda: ProcessWorker(1, None, ()), 1) as pool:
        assert pool.submit(share_many, 100, 1000).result()
        with pytest.raises(WorkerError, match=r"200 of the model's tensors.*only 100 open.*ulimit -n"):
            pool.submit(share_many, 100, 100).result()


def test_a_copy_has_its_own_weights():
    supernet = SuperNet(tiny_model("roberta", "classification"))
    other = copy.deepcopy(supernet)
    with torch.no_grad():
        next(other.model.parameters()).zero_()
    assert next(supernet.model.parameters()).abs().sum() > 0

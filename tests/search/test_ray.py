"""A cluster of two nodes on this machine; `pytest -m ray` runs this where Ray is installed."""

from __future__ import annotations

import os
from pathlib import Path

import jobs
import problem
import pytest
import torch

from sublm.errors import WorkerError, WorkerLostError
from sublm.search import check_cluster
from sublm.search.executors import open_executor
from sublm.supernet import SuperNet
from tests.supernet.families import outputs, random_subnets, tiny_batch, tiny_model

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    cluster.add_node(num_cpus=2)
    yield cluster.address
    cluster.shutdown()


def node():
    import ray

    return ray.get_runtime_context().get_node_id()


def test_work_is_done_on_both_nodes_and_a_killed_worker_costs_only_what_it_was_at(address, tmp_path):
    with open_executor(4, ray=address, initializer=jobs.begin, initargs=(5,)) as executor:
        futures = [executor.submit(jobs.square, tmp_path, number, killed_over=(2, 7)) for number in range(12)]
        assert [future.result() for future in futures] == [number * number + 5 for number in range(12)]
        nodes = [executor.submit(node) for _ in range(16)]
        assert len({future.result() for future in nodes}) == 2
        with pytest.raises(ValueError, match="no such number") as caught:
            executor.submit(jobs.fail).result()
        assert "in fail" in str(caught.value.__cause__)
        with pytest.raises(WorkerLostError, match="3 times"):
            executor.submit(jobs.die).result()
    calls = {number: (tmp_path / str(number)).read_text().splitlines() for number in range(12)}
    assert {number: len(set(pids)) for number, pids in calls.items()} == dict.fromkeys(range(12), 1) | {2: 2, 7: 2}


def test_the_front_is_that_of_one_process(address, tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    evaluate = problem.Counted(calls, {3: "kill"})
    result = problem.run("random", tmp_path / "study", evaluate=evaluate, workers=4, ray=address)
    assert problem.trace(result) == problem.trace(problem.run("random"))


held: SuperNet


def hold(supernet):
    global held
    held = supernet


def answer(subnet, batch):
    held.activate(subnet)
    said = {name: value.clone() for name, value in outputs(held.model, batch).items()}
    return os.getpid(), said, weights_mapping(next(held.model.parameters()).data_ptr())


def weights_mapping(address):
    """What the memory at an address is a mapping of: workers with the same file behind it share it."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, _, offset, device, inode, *path = line.split()
        first, last = (int(end, 16) for end in where.split("-"))
        if first <= address < last:
            return device, inode, int(offset, 16) + address - first, path
    return None


def test_a_node_holds_the_weights_once(address):
    supernet = SuperNet(tiny_model("bert", "classification", vocab_size=20_000))  # large objects are not sent inline
    batch = tiny_batch("bert", "classification")
    subnets = random_subnets(supernet.shape, 12, seed=2)
    with open_executor(4, ray=address, initializer=hold, initargs=(supernet,)) as executor:
        answers = [executor.submit(answer, subnet, batch) for subnet in subnets]
        places = set()
        for subnet, future in zip(subnets, answers, strict=True):
            _, said, place = future.result()
            places.add(str(place))
            supernet.activate(subnet)
            expected = outputs(supernet.model, batch)
            assert all(torch.equal(said[name], expected[name]) for name in expected)
    assert len(places) <= 2  # one per node
    assert all("plasma" in place or "/dev/shm" in place for place in places)


def test_a_worker_that_cannot_begin_is_an_error(address):
    executor = open_executor(2, ray=address, initializer=jobs.begin_badly, initargs=("raise",))
    with executor, pytest.raises(WorkerError, match="a bad start"):
        executor.submit(pow, 2, 2).result()


def test_no_cluster_is_said():
    pytest.importorskip("ray")
    with pytest.raises(WorkerError, match="ray start --head"):
        check_cluster("127.0.0.1:1")

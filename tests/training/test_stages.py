from __future__ import annotations

import random

import pytest

from sublm.architectures.shape import Shape
from sublm.errors import TrainingError
from sublm.spaces import SearchSpace, Subnet, large, medium
from sublm.spaces.from_importance import of_widths
from sublm.training import TrainStage, held, read_stages, restrict, sandwich

SHAPE = Shape(layers=2, hidden=8, heads=4, head_size=2, neurons=16)
SPACE = of_widths(SHAPE, [(0, 2), (3, 3), (4, 4)], [(0, 0), (8, 12), (16, 16)], {})


def widths(space: SearchSpace) -> dict[str, list[int]]:
    return {name: list(variable.values()) for name, variable in space.variables.items()}


def test_a_stage_opens_the_largest_widths() -> None:
    assert widths(restrict(SPACE, TrainStage(("width",), width_indicator=1))) == {
        "heads_0": [4],
        "neurons_0": [16],
        "heads_1": [4],
        "neurons_1": [16],
    }
    assert widths(restrict(SPACE, TrainStage(("width",), width_indicator=2))) == {
        "heads_0": [3, 4],
        "neurons_0": [8, 16],
        "heads_1": [3, 4],
        "neurons_1": [12, 16],
    }
    everything = restrict(SPACE, TrainStage(width_indicator=9, depth_indicator=9))
    assert widths(everything) == widths(SPACE)


def test_a_stage_lets_the_last_half_layers_of_a_run_go() -> None:
    """The halves of layer 0 are a run of two; the FFN half of layer 1 stands alone."""
    opened = widths(restrict(SPACE, TrainStage(("depth",), depth_indicator=1)))
    assert opened == {"heads_0": [4], "neurons_0": [0, 16], "heads_1": [4], "neurons_1": [0, 16]}
    opened = widths(restrict(SPACE, TrainStage(("depth",), depth_indicator=2)))
    assert opened == {"heads_0": [0, 4], "neurons_0": [0, 16], "heads_1": [4], "neurons_1": [0, 16]}


def test_every_stage_lies_inside_the_next_and_in_the_space() -> None:
    rng = random.Random(0)
    for space in (SPACE, medium(SHAPE, step=4)):
        stages = [TrainStage((), 1), TrainStage(("width",), width_indicator=2), TrainStage(width_indicator=3)]
        parts = [restrict(space, stage) for stage in stages]
        assert [part.largest for part in parts] == [Subnet.full(SHAPE)] * 3
        assert parts[0].size == 1
        for inner, outer in zip(parts, [*parts[1:], space], strict=True):
            assert all(outer.contains(inner.sample(rng)) for _ in range(20))


def test_random_sub_networks_stay_for_the_sample_rate() -> None:
    strategy = held(sandwich(SPACE, random_nets=1, teach="teacher"), 3, seed=1)

    def drawn(step: int) -> list[Subnet | None]:
        return [draw.subnet for draw in strategy.draws(step, 12, random.Random(step))]

    assert drawn(0) == drawn(1) == drawn(2)
    assert len({tuple(drawn(step)) for step in range(12)}) > 1
    assert drawn(0)[0] == Subnet.full(SHAPE)
    plain = sandwich(SPACE)
    assert held(plain, 1) is plain


def test_published_stages_are_read() -> None:
    entry = {"train_dims": ["width", "depth"], "epochs": 6, "depth_indicator": 9, "width_indicator": 9}
    entry |= {"init_lr": 2e-5, "epochs_lr": 6, "sample_rate": 1, "bn_adapt": False, "reorg_weights": True}
    (stage,) = read_stages([entry])
    assert stage == TrainStage(("width", "depth"), 6, 9, 9, 2e-5, 6, 1)
    assert read_stages([stage.to_dict()]) == (stage,)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "list of one or more"),
        ("width", "list of one or more"),
        ([3], "no mapping"),
        ([{"train_dims": ["kernel"]}], "choose from width, depth"),
        ([{"epochs": 0}], "epochs of a training stage"),
        ([{"width_indicator": 1.5}], "width_indicator"),
        ([{"epochs": 3, "epochs_lr": 2}], "rise again"),
        ([{"epoch": 3}], "not known"),
        ([{"train_dims": ["width"]}, {"train_dims": ["depth"]}], "leaves out width"),
    ],
)
def test_senseless_stages_are_refused(data, message) -> None:
    with pytest.raises(TrainingError, match=message):
        read_stages(data)


def test_spaces_without_widths_per_layer_are_refused() -> None:
    with pytest.raises(TrainingError, match="the space large"):
        restrict(large(SHAPE), TrainStage())

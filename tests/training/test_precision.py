from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from sublm.errors import TrainingError
from sublm.training import TrainOptions
from sublm.training import precision as precision_module
from sublm.training.precision import choose_precision, open_accelerator

CPU = torch.device("cpu")


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_follows_the_processor(monkeypatch, has, expected) -> None:
    monkeypatch.setattr(precision_module, "_processor_has_bf16", lambda: has)
    assert choose_precision("auto", CPU) == expected


def test_without_torchs_answer_the_flags_decide(monkeypatch, tmp_path) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision_module, "CPUINFO", info)
    assert not precision_module.gains_from_bf16(CPU)  # no such file
    info.write_text("model name : x\nflags\t\t: fpu avx2 avx512_bf16 vnni\n")
    assert precision_module.gains_from_bf16(CPU)
    info.write_text("flags : fpu avx2\n")
    assert not precision_module.gains_from_bf16(CPU)


def test_other_devices_do_not_gain() -> None:
    assert choose_precision("auto", torch.device("meta")) == "fp32"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(TrainingError, match='"bf16"'):
        choose_precision("fp16", CPU)
    with pytest.raises(TrainingError, match="not known"):
        choose_precision("fp8", CPU)


def test_two_precisions_in_one_process_and_the_callers_own_accelerator_left_alone() -> None:
    AcceleratorState._reset_state()
    own = Accelerator(cpu=True, mixed_precision="bf16")
    for name, native in (("fp32", "no"), ("bf16", "bf16")):
        with open_accelerator(TrainOptions(precision=name, device="cpu")) as (accelerator, precision):
            assert precision == name
            assert accelerator.mixed_precision == native
    assert own.mixed_precision == "bf16"
    AcceleratorState._reset_state()

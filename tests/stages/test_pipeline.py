import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

import sublm
from sublm.errors import DataError, RunError, SubLMError, TargetError, TrainingError, UnsupportedModelError
from sublm.export import check_onnx
from sublm.importance import Importance
from sublm.pipeline import run_stage
from sublm.recipes import load_recipe
from sublm.settings import Settings
from sublm.spaces import SearchSpace
from sublm.stages.workspace import Workspace
from sublm.tasks import build_model, encode, evaluate, load_task, load_tokenizer


def scores(front):
    return [(p["name"], p["score_before"], p["score"], p["search_score"]) for p in front["points"]]


def test_a_run_gives_ordinary_models_whose_scores_can_be_repeated(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "run", baselines=["prune-and-distil", "layer-dropping"])
    assert front == json.loads((tmp_path / "run" / "front.json").read_text())
    names = [p["name"] for p in front["points"]]
    assert front["chosen"] in names
    assert len(set(names)) == len(names) > 0
    task = load_task(settings["task"])
    for point in front["points"]:
        folder = tmp_path / "run" / point["folder"]
        model = sublm.load(folder)
        encoded = encode(task.validation, task.task, load_tokenizer(folder), 128)
        assert evaluate(model, encoded, task.task)[front["task"]["metric"]] == pytest.approx(point["score"], abs=1e-6)
        assert model.num_parameters() == point["parameters"]
        assert point["latency_ms"]["minimum"] > 0
        assert (folder / "README.md").exists()
        assert model.config.label2id == {"bad": 0, "good": 1}
    kinds = {entry["kind"] for entry in front["baselines"]}
    assert kinds == {"prune-and-distil", "layer-dropping"}
    compared = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert (compared["model"], compared["split"]) == (front["chosen"], "search")
    assert sum(map(sum, compared["matrix"])) == compared["rows"] == front["task"]["search_examples"]
    assert sum(compared["right"].values()) == compared["rows"]
    searched = {text for texts in task.search.texts.values() for text in texts}
    assert {text for example in compared["examples"] for text in example["texts"].values()} <= searched
    assert "What changed in the answers" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "run" / "front.png").read_bytes().startswith(b"\x89PNG")


def test_running_again_repeats_nothing(settings, tmp_path):
    first = sublm.compress(**settings, out=tmp_path / "run")
    touched = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")}
    again = sublm.compress(**settings, out=tmp_path / "run")
    assert scores(again) == scores(first)
    assert again["stages"] == first["stages"]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")} == touched


def test_more_evaluations_go_on_with_the_search(settings, tmp_path):
    first = sublm.compress(**settings, out=tmp_path / "run")
    before = (tmp_path / "run" / "search" / "evaluations.jsonl").read_text()
    settings["evaluations"] += 5
    more = sublm.compress(**settings, out=tmp_path / "run")
    old = [(e["number"], e["score"]) for e in first["evaluations"]]
    log = (tmp_path / "run" / "search" / "evaluations.jsonl").read_text()
    assert log.startswith(before)
    assert [(e["number"], e["score"]) for e in more["evaluations"]][: len(old)] == old
    assert len(more["evaluations"]) == len(old) + 5


@pytest.mark.parametrize("until", ["training/teacher", "training/train", "search/evaluations.jsonl", "models"])
def test_killed_and_run_again_it_ends_as_if_never_killed(settings, tmp_path, until):
    whole = sublm.compress(**settings, out=tmp_path / "whole")
    settings_file = tmp_path / "settings.json"
    settings_file.write_text(json.dumps(settings | {"out": str(tmp_path / "cut")}))
    code = (
        "import json, sys, torch; torch.set_num_threads(1); import sublm;sublm.compress(**json.load(open(sys.argv[1])))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(settings_file)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    marker = tmp_path / "cut" / until
    while not marker.exists() and process.poll() is None:
        assert time.monotonic() < deadline
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = sublm.compress(**settings, out=tmp_path / "cut")
    assert scores(resumed) == scores(whole)
    assert [e["score"] for e in resumed["evaluations"]] == [e["score"] for e in whole["evaluations"]]
    for point in whole["points"]:
        a = sublm.load(tmp_path / "whole" / point["folder"]).state_dict()
        b = sublm.load(tmp_path / "cut" / point["folder"]).state_dict()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_baselines_asked_for_later_retrain_nothing_else(settings, tmp_path):
    sublm.compress(**settings, out=tmp_path / "run")
    touched = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")}
    sublm.compress(**settings, out=tmp_path / "run", baselines=["layer-dropping"], baseline_sizes=[0.34])
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")}
    assert {p: t for p, t in after.items() if "baselines" not in p.parts} == touched


def test_a_target_no_subnetwork_meets_is_refused_before_training(settings, tmp_path):
    with pytest.raises(TargetError, match="nearest"):
        sublm.compress(**settings, out=tmp_path / "run", target=["macs<=0.001"])
    assert not (tmp_path / "run" / "teacher").exists()


def test_the_chosen_model_meets_the_target(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "run", target=["macs<=50%"])
    chosen = next(p for p in front["points"] if p["name"] == front["chosen"])
    assert chosen["macs"] <= 0.5 * front["teacher"]["macs"]
    assert all(e["macs"] <= 0.5 * front["teacher"]["macs"] for e in front["evaluations"])


def test_a_latency_target_is_searched_by_prediction_and_measured_at_the_end(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "run", target=["latency<=1000s"], objectives=["score", "latency"])
    assert front["predictor"]["error"] >= 0
    assert all(e["latency"] > 0 for e in front["evaluations"])
    assert all(p["latency_ms"]["minimum"] > 0 for p in front["points"])
    assert front["latency"]["lengths"] == sorted(front["latency"]["lengths"])
    assert front["chosen"]


def test_onnx_is_written_measured_and_quantised(settings, tmp_path):
    settings |= {"runtime": "onnx", "models": 1, "baselines": ["original-int8"]}
    front = sublm.compress(**settings, out=tmp_path / "run")
    (point,) = front["points"]
    folder = tmp_path / "run" / point["folder"]
    assert check_onnx(sublm.load(folder), folder / "model.onnx") < 1e-4
    assert front["latency"]["runtime"] == "onnx"
    (baseline,) = front["baselines"]
    assert baseline["kind"] == "original int8"
    assert baseline["score"] == pytest.approx(front["teacher"]["score"], abs=0.2)
    assert baseline["latency_ms"]["minimum"] > 0


def test_models_are_written_at_the_asked_sizes(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "run", sizes=[0.8, 0.5])
    shares = sorted(p["macs"] / front["teacher"]["macs"] for p in front["points"])
    assert len(shares) == 2
    assert shares[0] <= 0.51
    assert shares[1] <= 0.81


def test_a_fine_tuned_model_is_its_own_teacher(settings, tmp_path):
    first = sublm.compress(**settings, out=tmp_path / "first")
    own = settings | {"model": str(tmp_path / "first" / "teacher")}
    second = sublm.compress(**own, out=tmp_path / "second")
    assert second["teacher"]["score"] == first["teacher"]["score"]
    assert second["teacher"]["train_seconds"] == 0


def test_a_model_made_by_sublm_is_not_compressed_again(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "first", sizes=[0.5])
    made = tmp_path / "first" / front["points"][0]["folder"]
    with pytest.raises(UnsupportedModelError, match="Give the model it was made from"):
        sublm.compress(**settings | {"model": str(made)}, out=tmp_path / "second")


def test_a_larger_teacher_is_distilled_into_the_model(settings, model_folder, tmp_path):
    config = AutoConfig.from_pretrained(model_folder)
    config.num_hidden_layers = 4
    large = tmp_path / "large"
    with torch.random.fork_rng():
        AutoModel.from_config(config).save_pretrained(large)
    load_tokenizer(model_folder).save_pretrained(large)
    first = sublm.compress(**settings | {"model": str(large)}, out=tmp_path / "first")
    front = sublm.compress(**settings, out=tmp_path / "second", teacher=str(tmp_path / "first" / "teacher"))
    assert front["shape"]["layers"] == 3
    assert front["teacher"]["parameters"] < first["teacher"]["parameters"]
    assert front["teacher"]["train_seconds"] > 0


def test_a_teacher_that_cannot_teach_is_refused(settings, model_folder, tmp_path):
    with pytest.raises(DataError, match="no head trained"):
        sublm.compress(**settings, out=tmp_path / "untrained", teacher=str(model_folder))
    run_teacher = tmp_path / "trained"
    shutil.copytree(model_folder, run_teacher)
    model, _ = build_model(str(model_folder), load_task(settings["task"]).task)
    model.save_pretrained(run_teacher)
    other = json.loads((run_teacher / "tokenizer.json").read_text())
    vocabulary = other["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
    (run_teacher / "tokenizer.json").write_text(json.dumps(other))
    with pytest.raises(DataError, match="reads other tokens"):
        sublm.compress(**settings, out=tmp_path / "other", teacher=str(run_teacher))


def test_refit_trains_on_the_rows_of_the_search_too(settings, tmp_path):
    plain = sublm.compress(**settings, out=tmp_path / "plain")
    refit = sublm.compress(**settings, out=tmp_path / "refit", refit=True)
    assert [p["subnet"] for p in refit["points"]] == [p["subnet"] for p in plain["points"]]
    a = sublm.load(tmp_path / "plain" / plain["points"][-1]["folder"]).state_dict()
    b = sublm.load(tmp_path / "refit" / refit["points"][-1]["folder"]).state_dict()
    assert any(not torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("space", ["small", "medium", "layer", "large", "uniform", "importance"])
@pytest.mark.parametrize("strategy", ["guided", "one_shot"])
def test_every_space_runs(settings, tmp_path, space, strategy):
    settings |= {"space": space, "strategy": strategy, "teacher_epochs": 1, "models": 1, "evaluations": 6}
    front = sublm.compress(**settings, out=tmp_path / "run", min_layers=2 if space == "small" else None)
    assert len(front["points"]) == 1
    assert front["points"][0]["stock"] or space != "uniform"


def test_without_a_teacher_it_learns_in_place(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "run", teacher="none", strategy="one_shot")
    assert front["points"]


def test_a_dry_run_trains_nothing_and_plans_the_stages(settings, tmp_path):
    plan = sublm.compress(**settings, out=tmp_path / "run", dry_run=True)
    assert [stage["name"] for stage in plan["stages"]] == ["teacher", "train", "search", "recover", "models"]
    assert plan["seconds"] > 0
    assert "--teacher-epochs 20 makes" in plan["advice"]
    assert not (tmp_path / "run" / "teacher").exists()
    with pytest.raises(TargetError, match="meets"):
        sublm.compress(**settings | {"target": ["macs<=0.01%"]}, out=tmp_path / "run", dry_run=True)


def test_what_was_read_is_said_once_and_texts_of_another_language_are_noticed(settings, tmp_path, capsys, caplog):
    lines = [json.dumps({"Satz": f"unbekannte Worte {n}", "Art": ("gut", "schlecht")[n % 2]}) for n in range(60)]
    (tmp_path / "saetze.jsonl").write_text("\n".join(lines), encoding="utf-8")
    given = settings | {"task": str(tmp_path / "saetze.jsonl"), "quiet": False}
    sublm.compress(**given, out=tmp_path / "run", dry_run=True)
    said = capsys.readouterr().err
    assert "Read as classification of 'Satz' by 'Art' (gut, schlecht)." in said
    assert said.count("has no validation split") == 1
    assert "has no validation split" not in caplog.text
    assert "60% of the tokens are unknown to the tokenizer" in said  # besides the first and the last of each text


def test_a_plan_counts_measuring_and_a_run_says_beforehand_how_long_it_takes(settings, tmp_path, capsys):
    wanted = settings | {"target": ["speedup>=1.01x"], "epochs": 1, "models": 1, "quiet": False}
    plan = sublm.compress(**wanted, out=tmp_path / "run", dry_run=True)
    assert plan["stages"][0]["name"] == "latency"
    sublm.compress(**settings | {"quiet": False, "recover_epochs": 0}, out=tmp_path / "told")
    said = capsys.readouterr().err
    assert said.count("To come: about ") == 1
    assert said.index("To come: about ") < said.index("Fine-tuning the teacher")


def test_movement_scores_are_learned_and_the_run_can_stop_there(settings, tmp_path):
    chosen = settings | {"importance": "movement", "movement_epochs": 2, "space": "importance", "models": 1}
    found = sublm.compress(**chosen, out=tmp_path / "run", only_importance=True)
    assert found["space"] == str(tmp_path / "run" / "space.json")
    importance = Importance.load(tmp_path / "run")
    assert importance.method == "movement"
    assert importance.details["reduction"] == "max"
    space = SearchSpace.from_json((tmp_path / "run" / "space.json").read_text())
    assert not (tmp_path / "run" / "supernet").exists()
    front = sublm.compress(**chosen, out=tmp_path / "run")
    assert front["points"]
    assert {e["macs"] for e in front["evaluations"]} >= {seed["cost"] for seed in space.options["seeds"]}
    plan = sublm.compress(**chosen, out=tmp_path / "plan", dry_run=True)
    assert "importance" in [stage["name"] for stage in plan["stages"]]


def test_a_training_in_stages_goes_on_in_the_stage_it_was_cut_off_in(settings, tmp_path, monkeypatch):
    stages = [
        {"train_dims": ["width"], "epochs": 1, "width_indicator": 2, "init_lr": 1e-3, "epochs_lr": 2},
        {"train_dims": ["width", "depth"], "epochs": 2, "width_indicator": 5, "depth_indicator": 2, "sample_rate": 2},
    ]
    (tmp_path / "stages.json").write_text(json.dumps(stages))
    settings |= {"space": "importance", "strategy": "sandwich", "random_nets": 1, "models": 1, "evaluations": 6}
    settings |= {"temperature": 2.0, "label_weight": 0.1, "logits_weight": 0.9, "recover_epochs": 0}
    settings["train_stages"] = str(tmp_path / "stages.json")
    sublm.compress(**settings, out=tmp_path / "whole")

    def fails(work, prepared):
        def score():
            raise OSError("cut off")

        return score

    with monkeypatch.context() as patched:
        patched.setattr("sublm.stages.supernet._probe", fails)
        with pytest.raises(OSError, match="cut off"):
            sublm.compress(**settings, out=tmp_path / "cut")
    assert (tmp_path / "cut" / "training" / "train" / "stage-0").exists()
    sublm.compress(**settings, out=tmp_path / "cut")
    whole, cut = (load_file(tmp_path / run / "supernet" / "model.safetensors") for run in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    (tmp_path / "stages.json").write_text(json.dumps([{"epochs": 0}]))
    with pytest.raises(TrainingError, match="epochs of a training stage"):
        sublm.compress(**settings, out=tmp_path / "new")
    assert not (tmp_path / "new" / "teacher").exists()


def test_a_model_whose_recovery_ends_in_no_number_is_passed_over_also_when_read_again(settings, tmp_path, monkeypatch):
    judge, recovered = Workspace.scores, []
    chosen = settings | {"sizes": [0.5, 1.0], "baselines": []}

    def scores_of(work, model, split, *, precision="fp32", keep=None):
        found = judge(work, model, split, precision=precision, keep=keep)
        if keep and keep.startswith("m"):
            recovered.append(keep)
        diverged = split == "search" and precision == "fp32" and recovered[-1:] == recovered[:1] != []
        return dict.fromkeys(found, math.nan) if diverged else found

    with monkeypatch.context() as patched:
        patched.setattr(Workspace, "scores", scores_of)
        first = sublm.compress(**chosen, out=tmp_path / "run")
    assert len(recovered) > 1
    by_name = {point["name"]: point for point in first["points"]}
    assert math.isnan(by_name[recovered[0]]["search_score_after"])
    written = json.loads((tmp_path / "run" / "front.json").read_text())
    assert first["chosen"] not in (None, recovered[0])
    again = sublm.compress(**chosen, out=tmp_path / "run")
    assert again["chosen"] == first["chosen"]
    assert json.loads((tmp_path / "run" / "front.json").read_text())["points"] == written["points"]


def test_other_settings_in_the_same_folder_are_refused(settings, tmp_path):
    sublm.compress(**settings, out=tmp_path / "run")
    with pytest.raises(RunError, match="epochs was 1, now 2"):
        sublm.compress(**settings | {"epochs": 2}, out=tmp_path / "run")


def test_a_stage_alone_does_what_comes_before_and_no_more(settings, tmp_path):
    sublm.compress(**settings | {"recover_epochs": 0}, out=tmp_path / "run", dry_run=True)
    result = run_stage("teacher", run=tmp_path / "run")
    assert result["validation"]["accuracy"] > 0
    assert not (tmp_path / "run" / "supernet").exists()
    found = run_stage("search", run=tmp_path / "run", changes={"evaluations": 6})
    assert found["evaluations"] == 6
    assert not (tmp_path / "run" / "models").exists()
    for wrong in ({"sampler": "magic"}, {"target": ["macs<=0.01%"]}):
        with pytest.raises((RunError, TargetError)):
            run_stage("search", run=tmp_path / "run", changes=wrong)  # and is forgotten
    extracted = run_stage("extract", run=tmp_path / "run", changes={"models": 2})
    assert 0 < len(extracted) <= 2
    assert all(sublm.load(entry["folder"]) is not None for entry in extracted.values())
    found = run_stage("recover", run=tmp_path / "run")
    assert all(point["train_seconds"] > 0 for point in found["points"])


def test_a_search_that_is_done_is_only_read(settings, tmp_path):
    """What is missing in the log is missing, rather than recorded as failed."""
    sublm.compress(**settings | {"recover_epochs": 0, "epochs": 0}, out=tmp_path / "run")
    log = tmp_path / "run" / "search" / "evaluations.jsonl"
    log.write_text("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    found = run_stage("search", run=tmp_path / "run")
    assert found["evaluations"] == settings["evaluations"] - 1
    assert log.read_text(encoding="utf-8").count("\n") == settings["evaluations"] - 1


def test_what_was_set_for_a_sampler_goes_with_it():
    settings = Settings("m", "t", sampler="nsga2", population=8)
    assert settings.changed(evaluations=9).population == 8
    assert settings.changed(sampler="nsga2").population == 8
    assert settings.changed(sampler="ehvi").population is None
    assert settings.changed(sampler="autotinybert", population=6).population == 6
    assert Settings("m", "t", standalone=True, hours=1.0).changed(standalone=False).hours is None


def test_a_run_that_was_refused_is_to_be_begun_anew(settings, tmp_path):
    with pytest.raises(TargetError):
        sublm.compress(**settings | {"target": ["macs<=0.01%"]}, out=tmp_path / "run")
    with pytest.raises(RunError, match="refused before it began"):
        run_stage("train", run=tmp_path / "run")


def test_the_published_recipe_runs(settings, tmp_path):
    recipe = load_recipe("plm-nas")
    quick = {"model", "task", "epochs", "learning_rate", "evaluations"}
    chosen = settings | recipe | {name: value for name, value in settings.items() if name in quick}
    front = sublm.compress(**chosen, out=tmp_path / "run")
    assert front["settings"]["space"] == "small"
    assert front["settings"]["strategy"] == "one_shot"
    assert front["points"]
    assert all(point["train_seconds"] == 0 for point in front["points"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "tiny"}, "space='tiny' is not known"),
        ({"strategy": "magic"}, "strategy='magic' is not known"),
        ({"objectives": ["score"]}, "at least one cost"),
        ({"objectives": ["score", "macs", "macs"]}, "each can be given once"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"objectives": ["score", "flops"]}, "flops"),
        ({"baselines": ["luck"]}, "luck"),
        ({"search_share": 1.5}, "search_share"),
        ({"epoch": 3}, "Unknown settings: epoch"),
        ({"sizes": [2.0]}, "sizes are shares"),
        ({"importance": "fame"}, "fame"),
        ({"movement_epochs": 0}, "movement_epochs must be at least 1"),
        ({"movement_reduction": "median"}, "movement_reduction"),
        ({"space": "importance", "train_stages": "nowhere.json"}, "nowhere.json is missing"),
        ({"epochs": 0, "train_stages": "stages.json"}, "train_stages"),
        ({"space": "importance", "importance": "none"}, "made from an importance"),
        ({"space": "importance", "space_min": "0.001%"}, "smallest within reach"),
        ({"space": "importance", "space_min": "90%", "space_max": "50%"}, "must rise"),
        ({"space": "importance", "space_max": "lots"}, "cannot be read"),
        ({"sampler": "oracle"}, "oracle"),
        ({"sampler": "exhaustive", "space": "medium", "step": 1}, "looks through spaces of up to 20,000 settings"),
    ],
)
def test_bad_settings_are_refused_before_any_training(settings, tmp_path, changes, message):
    with pytest.raises(SubLMError, match=message):
        sublm.compress(**settings | changes, out=tmp_path / "run")
    assert not (tmp_path / "run" / "teacher").exists()


def test_a_score_is_never_chosen_on_the_reported_split(settings, tmp_path):
    """Changing the validation labels changes the reported scores, and nothing that was chosen."""
    first = sublm.compress(**settings, out=tmp_path / "first")
    task = tmp_path / "task"
    task.mkdir()
    rng = random.Random(1)
    for name in ("train.jsonl", "validation.jsonl"):
        lines = [json.loads(line) for line in Path(settings["task"], name).read_text().splitlines()]
        if name.startswith("validation"):
            for line in lines:
                line["label"] = rng.choice(["good", "bad"])
        (task / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    second = sublm.compress(**settings | {"task": str(task)}, out=tmp_path / "second")
    assert [p["subnet"] for p in second["points"]] == [p["subnet"] for p in first["points"]]
    assert second["chosen"] == first["chosen"]
    assert [p["search_score"] for p in second["points"]] == [p["search_score"] for p in first["points"]]
    assert build_model(str(tmp_path / "first" / "teacher"), load_task(str(task)).task)[1]

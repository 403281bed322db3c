import json
import os
import signal
import subprocess
import sys

import pytest

from sublm.errors import RunError
from sublm.files import read_json, write_text
from sublm.run import Run

SETTINGS = {"model": "m", "task": "mrpc", "epochs": 5}


def do(run, name, inputs, **options):
    """Does a stage if it has to be done and returns the state it was found in."""
    stage = run.stage(name, inputs, **options)
    found = stage.state
    if not stage.done:
        with run.working(stage):
            stage.result["inputs"] = inputs
            for output in stage.outputs:
                write_text(run.folder / output / "file", name)
    return found


def test_stages_are_done_once(tmp_path):
    for expected in ("new", "done"):
        with Run(tmp_path / "r", SETTINGS) as run:
            assert do(run, "teacher", {"epochs": 3}, outputs=["teacher"]) == expected
            assert do(run, "train", {"epochs": 5}) == expected
            assert run.stage("train", {"epochs": 5}).result == {"inputs": {"epochs": 5}}
            assert [stage["name"] for stage in run.seconds()] == ["teacher", "train"]


def test_a_change_makes_the_stage_and_all_later_ones_stale_and_says_what_changed(tmp_path):
    with Run(tmp_path, SETTINGS) as run:
        do(run, "teacher", {"epochs": 3, "data": "a"})
        do(run, "train", {"epochs": 5})
        do(run, "search", {"evaluations": 10})
    with Run(tmp_path, SETTINGS) as run:
        assert do(run, "teacher", {"epochs": 3, "data": "a"}) == "done"
        train = run.stage("train", {"epochs": 6})
        assert (train.state, train.changed) == ("stale", ("epochs was 5, now 6",))
        search = run.stage("search", {"evaluations": 10})
        assert (search.state, search.changed) == ("stale", ("the stage train changed",))


def test_a_stage_depends_only_on_the_stages_named(tmp_path):
    with Run(tmp_path, SETTINGS) as run:
        do(run, "teacher", {})
        do(run, "train", {"epochs": 5})
        do(run, "baselines", {"kinds": ["original"]}, after=["teacher"])
    with Run(tmp_path, SETTINGS) as run:
        assert do(run, "teacher", {}) == "done"
        assert do(run, "train", {"epochs": 6}) == "stale"
        assert do(run, "baselines", {"kinds": ["original"]}, after=["teacher"]) == "done"
        with pytest.raises(RunError, match="ask for them first"):
            run.stage("report", {}, after=["export"])


def test_a_stage_cut_off_by_an_error_is_resumed_with_its_files(tmp_path):
    def fail():
        with Run(tmp_path, SETTINGS) as run, run.working(run.stage("train", {"epochs": 5}, outputs=["supernet"])):
            write_text(tmp_path / "supernet" / "checkpoint", "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with Run(tmp_path, SETTINGS) as run:
        stage = run.stage("train", {"epochs": 5}, outputs=["supernet"])
        assert stage.cut_off
        with run.working(stage):
            assert (tmp_path / "supernet" / "checkpoint").read_text() == "half"
        assert run.stage("train", {"epochs": 5}, outputs=["supernet"]).done


def test_a_stale_stage_starts_without_the_old_files(tmp_path):
    with Run(tmp_path, SETTINGS) as run:
        do(run, "train", {"epochs": 5}, outputs=["supernet"])
        do(run, "search", {}, outputs=["search"])
        stage = run.stage("train", {"epochs": 6}, outputs=["checkpoints"])
        with run.working(stage):
            assert not (tmp_path / "supernet").exists()
            assert (tmp_path / "search").exists()


def test_a_done_stage_whose_files_are_gone_is_done_again(tmp_path):
    with Run(tmp_path, SETTINGS) as run:
        do(run, "teacher", {}, outputs=["teacher"])
        (tmp_path / "teacher" / "file").unlink()
        (tmp_path / "teacher").rmdir()
        stage = run.stage("teacher", {}, outputs=["teacher"])
        assert (stage.state, stage.changed) == ("stale", ("teacher is gone",))


@pytest.mark.parametrize("output", ["..", "../other", "/etc", "."])
def test_outputs_lie_inside_the_run(tmp_path, output):
    with Run(tmp_path, SETTINGS) as run, pytest.raises(RunError, match="outside the run"):
        run.stage("teacher", {}, outputs=[output])


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(RunError, match=r"not a run of SubLM.*thesis\.tex"):
            Run(tmp_path, SETTINGS, overwrite=overwrite).open()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_foreign_run_json_is_left_alone(tmp_path):
    (tmp_path / "run.json").write_text('{"mine": 1}')
    with pytest.raises(RunError, match="not written by SubLM"):
        Run(tmp_path, SETTINGS, overwrite=True).open()
    assert (tmp_path / "run.json").read_text() == '{"mine": 1}'


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(RunError, match="is a file"):
        Run(tmp_path / "out", SETTINGS).open()


def test_a_run_of_other_settings_is_refused_until_told_to_overwrite(tmp_path):
    with Run(tmp_path, SETTINGS) as run:
        do(run, "teacher", {"model": "m"})
    with pytest.raises(RunError, match=r"epochs was 5, now 6; seed was not set, now 1.*--out.*--overwrite"):
        Run(tmp_path, {**SETTINGS, "epochs": 6, "seed": 1}).open()
    assert read_json(tmp_path / "run.json")["configuration"] == SETTINGS
    with Run(tmp_path, {**SETTINGS, "epochs": 6}, overwrite=True) as run:
        assert do(run, "teacher", {"model": "m"}) == "done"
    assert read_json(tmp_path / "run.json")["configuration"]["epochs"] == 6


def test_a_run_in_which_nothing_was_done_takes_other_settings(tmp_path):
    for epochs in (5, 6):
        with Run(tmp_path, {**SETTINGS, "epochs": epochs}):
            pass
    assert read_json(tmp_path / "run.json")["configuration"]["epochs"] == 6


def test_a_run_can_be_opened_with_the_settings_it_has(tmp_path):
    with Run(tmp_path, SETTINGS, seed=3):
        pass
    with Run(tmp_path) as run:
        assert run.configuration == SETTINGS
    assert read_json(tmp_path / "run.json")["seed"] == 3
    with pytest.raises(RunError, match="holds no run"):
        Run(tmp_path / "new").open()


def test_run_json_tells_what_it_ran_on(tmp_path):
    with Run(tmp_path, SETTINGS, seed=0):
        data = json.loads((tmp_path / "run.json").read_text())
    assert data["machine"]["threads"] >= 1
    assert data["machine"]["cores"] >= 1
    assert {"torch", "transformers"} <= set(data["versions"])
    assert data["seed"] == 0


def test_a_run_is_held_once_in_a_process_and_free_afterwards(tmp_path):
    with Run(tmp_path, SETTINGS), pytest.raises(RunError, match="already open"):
        Run(tmp_path, SETTINGS).open()
    with Run(tmp_path, SETTINGS):
        pass


def test_a_closed_run_refuses_to_work(tmp_path):
    with pytest.raises(RunError, match="is not open"):
        Run(tmp_path, SETTINGS).stage("teacher", {})


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_another_process_is_refused_and_a_killed_one_is_taken_over(tmp_path):
    code = (
        "import sys; from sublm.run import Run\n"
        "run = Run(sys.argv[1], {'task': 'x'}).open()\n"
        "with run.working(run.stage('train', {'epochs': 1})):\n"
        "    print('in', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(RunError, match=f"in use by process {other.pid};"):
            Run(tmp_path, {"task": "x"}).open()
        other.send_signal(signal.SIGKILL)
    with Run(tmp_path, {"task": "x"}) as run:
        assert run.stage("train", {"epochs": 1}).cut_off

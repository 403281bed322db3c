"""The search of a whole run, in four processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal

import pytest

import sublm
from sublm.errors import RunError
from sublm.progress import Progress
from sublm.stages import search as stage


def found(folder):
    lines = (folder / "search" / "evaluations.jsonl").read_text().splitlines()
    evaluations = [json.loads(line) for line in lines]
    for evaluation in evaluations:
        del evaluation["seconds"]
    return sorted(evaluations, key=lambda evaluation: evaluation["number"])


def test_four_workers_find_what_one_finds_though_one_is_killed(settings, tmp_path, monkeypatch):
    settings |= {"sampler": "random", "evaluations": 16, "recover_epochs": 0}
    alone = sublm.compress(**settings, out=tmp_path / "alone")
    killed, shared = [], []
    update = Progress.update

    def kill_one(progress, done, total, **shown):
        workers = [child for child in multiprocessing.active_children() if child.name == "sublm-worker"]
        if workers and not killed:
            killed.append(workers[0].pid)
            os.kill(workers[0].pid, signal.SIGKILL)
        return update(progress, done, total, **shown)

    def search_and_look(space, evaluate, *arguments, **options):
        shared.append(all(p.is_shared() for p in evaluate.source.supernet.model.parameters()))
        return search(space, evaluate, *arguments, **options)

    search = stage.search
    monkeypatch.setattr(stage, "search", search_and_look)
    monkeypatch.setattr(Progress, "update", kill_one)
    front = sublm.compress(**settings, workers=4, out=tmp_path / "four")
    assert killed
    assert shared == [True]
    assert found(tmp_path / "four") == found(tmp_path / "alone")
    assert [(p["name"], p["score"]) for p in front["points"]] == [(p["name"], p["score"]) for p in alone["points"]]


def test_how_a_search_is_spread_is_not_kept_with_the_run(settings, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    first = sublm.compress(**settings, storage=url, out=tmp_path / "run")
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [path for path in written if b"studies.db" in path.read_bytes()]  # a URL may hold a password
    for name in ("run.json", "front.json"):
        kept = json.loads((tmp_path / "run" / name).read_text())["settings"]
        assert not {"workers", "ray", "storage"} & set(kept)
    again = sublm.compress(**settings, out=tmp_path / "run")
    assert again["points"] == first["points"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"storage": "my-database"}, "postgresql://HOST/DATABASE"),
        ({"storage": "sqlite:////no/such/folder/x.db"}, "cannot be used"),
    ],
)
def test_what_cannot_work_is_refused_before_any_training(settings, tmp_path, given, said):
    with pytest.raises(RunError, match=said):
        sublm.compress(**settings, **given, out=tmp_path / "run")
    assert not (tmp_path / "run" / "training").exists()

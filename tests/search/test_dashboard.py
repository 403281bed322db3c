from __future__ import annotations

import json
import os
import sys
import threading
import types
import urllib.request

import problem
import pytest

from sublm import cli
from sublm.errors import MissingPackageError, RunError
from sublm.search.dashboard import open_dashboard


@pytest.fixture
def package(monkeypatch):
    """The one thing used of optuna-dashboard: a WSGI application on a storage."""

    def wsgi(storage):
        def application(environment, start_response):
            start_response("200 OK", [("Content-Type", "application/json")])
            studies = storage.get_all_studies()
            if environment["PATH_INFO"] == "/trials":
                return [json.dumps([len(storage.get_all_trials(study._study_id)) for study in studies]).encode()]
            return [json.dumps([study.study_name for study in studies]).encode()]

        return application

    module = types.ModuleType("optuna_dashboard")
    module.wsgi = wsgi
    monkeypatch.setitem(sys.modules, "optuna_dashboard", module)


def fetch(server, address):
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    with urllib.request.urlopen(address, timeout=60) as answer:
        found = answer.read()
    thread.join()
    server.server_close()
    return found


def test_it_serves_the_study_of_a_run(package, tmp_path):
    problem.run("random", tmp_path / "search", evaluations=3)
    assert fetch(*open_dashboard(tmp_path, port=0)) == b'["search"]'


@pytest.mark.parametrize("latest", ["search", "standalone", "search/search"])
def test_it_serves_the_latest_search_of_a_run_whatever_its_kind(package, tmp_path, latest):
    for folder in {"search", latest}:
        problem.run("random", tmp_path / folder, evaluations=3 if folder == latest else 1)
        os.utime(tmp_path / folder / "study.journal", (0, folder == latest))
    server, address = open_dashboard(tmp_path, port=0)
    assert fetch(server, address + "trials") == b"[3]"


def test_it_serves_the_studies_of_a_database(package, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    problem.run("random", tmp_path / "search", evaluations=1, storage=url)
    with pytest.raises(RunError, match="--storage"):
        open_dashboard(tmp_path, port=0)
    name = json.loads((tmp_path / "search" / "shared.json").read_text())["study"]
    assert json.loads(fetch(*open_dashboard(tmp_path, storage=url, port=0))) == [name]


def test_a_taken_port_is_said(package, tmp_path):
    problem.run("random", tmp_path / "search", evaluations=1)
    server, _ = open_dashboard(tmp_path, port=0)
    with server, pytest.raises(RunError, match="--port"):
        open_dashboard(tmp_path, port=server.server_port)


def test_a_run_without_a_search_is_said(package, tmp_path):
    with pytest.raises(RunError, match="sublm search"):
        open_dashboard(tmp_path)


def test_the_package_is_named_if_it_is_not_installed(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    problem.run("random", tmp_path / "search", evaluations=1)
    with pytest.raises(MissingPackageError, match=r"sublm\[dashboard\]"):
        open_dashboard(tmp_path)
    assert cli.main(["dashboard", str(tmp_path)]) == 1
    assert 'pip install "sublm[dashboard]"' in capsys.readouterr().err

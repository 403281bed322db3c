"""A PostgreSQL server of its own, where its programs are installed; `pytest -m postgresql` runs this."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import problem
import pytest
import shared_contract

pytestmark = pytest.mark.postgresql


def find_programs():
    """The folder of initdb: Debian keeps it off the path."""
    on_path = shutil.which("initdb")
    found = [on_path] if on_path else sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))
    return Path(found[-1]).resolve().parent if found else None


@pytest.fixture(scope="module")
def url():
    pytest.importorskip("psycopg")
    programs = find_programs()
    if programs is None:
        pytest.skip("initdb is not installed")
    # PostgreSQL refuses to run as root.
    who = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        data = Path(folder) / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        user = "postgres" if who else os.environ.get("USER", "postgres")

        def call(*arguments):
            subprocess.run([*who, *map(str, arguments)], check=True, cwd="/", stdout=subprocess.DEVNULL)

        call(programs / "initdb", "-D", data, "-U", user, "--auth=trust", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        call(programs / "pg_ctl", "-D", data, "-w", "-l", Path(folder) / "log", "-o", options, "start")
        try:
            yield f"postgresql://{user}:secret@127.0.0.1:{port}/postgres"
        finally:
            call(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def test_drivers_at_the_same_time_never_evaluate_the_same(url, tmp_path):
    """Four processes with the same seed, so that they want the same all the time; they make the tables, too."""
    calls = tmp_path / "calls"
    calls.mkdir()
    program = "import sys, problem; from pathlib import Path; f, c, u = sys.argv[1:]\n" + (
        "problem.run('random', Path(f), 40, seed=11, evaluate=problem.Counted(c, {}), storage=u, identity='at once')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [[sys.executable, "-c", program, tmp_path / str(number), calls, url] for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        codes = list(threads.map(lambda command: subprocess.run(command, env=environment).returncode, commands))
    assert codes == [0] * 4
    evaluated = (calls / "evaluated").read_text().split()
    assert len(set(evaluated)) == len(evaluated)
    assert 40 <= len(evaluated) < 44  # what was in flight when the fortieth was told
    for number in range(4):
        result = problem.run("random", tmp_path / str(number), 40, seed=11, evaluate=None)
        assert {e.subnet.key for e in result.evaluations} <= set(evaluated)


def test_drivers_share_a_study(url, tmp_path):
    shared_contract.check_all(url, tmp_path)

"""The run directory: what was asked for, what is done, and what has to be done again.

with Run("runs/mrpc", configuration) as run:
    stage = run.stage("teacher", {"model": model_fingerprint, "epochs": 3}, outputs=["teacher"])
    if not stage.done:
        with run.working(stage):
            ...  # writes into run.folder / "teacher"; resumes there if stage.cut_off
            stage.result["score"] = 0.88
    print(stage.result["score"])
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from sublm.errors import RunError
from sublm.files import canonical, file_fingerprint, fingerprint, finite, plain, read_json, write_json, write_text
from sublm.lock import FolderLock
from sublm.machine import describe_machine, library_versions

__all__ = [
    "Run",
    "Stage",
    "file_fingerprint",
    "fingerprint",
    "read_json",
    "write_json",
    "write_text",
]

SCHEMA = 1
STATE_FILE = "run.json"
RESERVED = ("schema", "created", "opened", "versions", "seed", "configuration", "machine", "stages")
State = Literal["new", "done", "cut off", "stale"]


@dataclass
class Stage:
    """Where one stage of a run stands.

    Attributes:
        name: The stage's name, unique in the run.
        state: `new` (never begun), `done` (with the same inputs: skip it), `cut off` (begun with the same inputs and
            not finished: resume it) or `stale` (begun or done with other inputs: its outputs are removed and it is
            done afresh).
        fingerprint: Of its inputs and of the stages before it.
        inputs: What it depends on, plain.
        after: Fingerprints of the stages before it.
        outputs: Files and folders of the run it writes, relative to the run.
        changed: For a stale stage, one sentence per change.
        result: What the stage found, kept in `run.json` when it ends; readable again when it is done.
        seconds: Time spent in it, over all sessions that ended properly.
    """

    name: str
    state: State
    fingerprint: str
    inputs: dict[str, Any]
    after: dict[str, str]
    outputs: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    result: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Whether the stage can be skipped."""
        return self.state == "done"

    @property
    def cut_off(self) -> bool:
        """Whether the stage was begun with the same inputs and not finished."""
        return self.state == "cut off"


class Run:
    """A run directory, held by this process from `with` (or `open`) until its end.

    Attributes:
        folder: The directory.
        configuration: What was asked for, plain.
    """

    def __init__(
        self,
        folder: str | Path,
        configuration: Mapping[str, Any] | None = None,
        *,
        overwrite: bool = False,
        seed: int | None = None,
    ):
        """Names the run; nothing is read or written before `open`.

        Args:
            folder: The run directory; made if it is missing.
            configuration: The settings that decide the run's results. None takes those of the run that is there.
            overwrite: Take this configuration though the folder holds a run of another one. The stages which the
                change does not touch are kept.
            seed: Noted in `run.json`.
        """
        self.folder = Path(folder)
        self.configuration: dict[str, Any] = {} if configuration is None else finite(plain(configuration))
        self._given = configuration is not None
        self._overwrite = overwrite
        self._seed = seed
        self._lock: FolderLock | None = None
        self._data: dict[str, Any] = {}
        self._seen: dict[str, str] = {}

    # Opening and closing

    def open(self) -> Run:
        """Takes the folder: checks what lies there, locks it, and notes the configuration and the machine.

        Raises:
            RunError: If the folder holds something else, a run of another configuration, or a run in use.
        """
        self._check_folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(self.folder)
        lock.acquire()
        try:
            data = self._read()
            if data is None:
                if not self._given:
                    raise RunError(f"{self.folder} holds no run; start one with `sublm compress` or `sublm teacher`.")
                data = {"schema": SCHEMA, "created": _now(), "stages": {}}
            elif self._given:
                if data["stages"]:  # else nothing was done with the other settings: a typo, or a dry run
                    self._check_configuration(data["configuration"])
            else:
                self.configuration = data["configuration"]
                self._seed = data.get("seed") if self._seed is None else self._seed
            for part in self.folder.glob(".*.part"):  # left by a write that was killed
                part.unlink(missing_ok=True)
            self._data = {
                "schema": SCHEMA,
                "created": data["created"],
                "opened": _now(),
                "versions": library_versions(),
                "seed": self._seed,
                "configuration": self.configuration,
                "machine": describe_machine(),
                **{name: value for name, value in data.items() if name not in RESERVED},
                "stages": data["stages"],
            }
            self._seen = {}
            self._lock = lock
            self._write()
        except BaseException:
            self._lock = None
            lock.release()
            raise
        return self

    def close(self) -> None:
        """Frees the folder for other processes."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Run:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Stages

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        after: Sequence[str] | None = None,
        outputs: Sequence[str] = (),
    ) -> Stage:
        """Says where a stage stands; changes nothing on disk.

        Args:
            name: The stage's name.
            inputs: What decides its outcome: settings, and fingerprints of files.
            after: Stages whose change makes this one stale; they must have been asked for in this session. None means
                every stage asked for before this one.
            outputs: Files and folders it writes, relative to the run. A done stage whose outputs are gone is stale.

        Returns:
            The stage, with its state.

        Raises:
            RunError: If an output lies outside the run, or `after` names a stage not asked for yet.
        """
        self._check_open()
        for output in outputs:
            self._inside(output)
        names = [before for before in self._seen if before != name] if after is None else list(after)
        missing = [before for before in names if before not in self._seen]
        if missing:
            raise RunError(f"The stage {name!r} comes after {missing}; ask for them first.")
        given = finite(plain(inputs))
        before = {other: self._seen[other] for other in names}
        own = fingerprint({"inputs": given, "after": before})
        self._seen[name] = own
        stage = Stage(name, "new", own, given, before, tuple(outputs))
        record = self._data["stages"].get(name)
        if record is None:
            return stage
        if record["fingerprint"] != own:
            stage.state, stage.changed = "stale", tuple(_changes(record, stage))
            return stage
        gone = [output for output in outputs if not self._inside(output).exists()]
        if record["state"] == "done" and gone:
            stage.state, stage.changed = "stale", (f"{', '.join(gone)} is gone",)
            return stage
        stage.state = "done" if record["state"] == "done" else "cut off"
        stage.result, stage.seconds = record.get("result", {}), record.get("seconds", 0.0)
        return stage

    @contextlib.contextmanager
    def working(self, stage: Stage) -> Iterator[Stage]:
        """The time in which a stage is done: `done` is noted at its end, `cut off` if it does not get there.

        A stage that is new or stale has its outputs removed first, so that nothing of another run is resumed.
        """
        self._check_open()
        if not stage.cut_off:
            stage.result, stage.seconds = {}, 0.0
            # Noted before anything is removed: killed in between, the stage is new, not done.
            former = self._data["stages"].pop(stage.name, {})
            self._write()
            for output in (*former.get("outputs", ()), *stage.outputs):
                self._remove(self._inside(output))
        record = {
            "state": "cut off",
            "fingerprint": stage.fingerprint,
            "started": _now(),
            "seconds": stage.seconds,
            "inputs": stage.inputs,
            "after": stage.after,
            "outputs": list(stage.outputs),
            "result": stage.result,
        }
        self._data["stages"][stage.name] = record
        self._write()
        began = time.perf_counter()
        try:
            yield stage
            record.update(state="done", finished=_now())
            stage.state = "done"
        finally:
            stage.seconds += time.perf_counter() - began
            stage.result = plain(stage.result)
            record.update(seconds=round(stage.seconds, 3), result=stage.result)
            self._write()

    def seconds(self) -> list[dict[str, Any]]:
        """Time of every finished stage, in the order they were done: `{"name", "seconds"}` as in `front.json`."""
        stages = self._data["stages"].items()
        return [{"name": name, "seconds": record["seconds"]} for name, record in stages if record["state"] == "done"]

    @property
    def machine(self) -> dict[str, Any]:
        """The machine of this session, as noted in `run.json`."""
        return self._data["machine"]

    def knows(self, name: str) -> bool:
        """Whether a stage was asked for in this session."""
        return name in self._seen

    def result(self, name: str) -> dict[str, Any]:
        """What a finished stage found.

        Raises:
            RunError: If the stage is not done.
        """
        record = self._data["stages"].get(name)
        if record is None or record["state"] != "done":
            raise RunError(f"The stage {name!r} of {self.folder} is not done; run `sublm compress` again.")
        return dict(record["result"])

    def remembers(self, name: str) -> bool:
        """Whether something was kept beside the stages."""
        return name in self._data

    def remember(self, name: str, value: Any) -> None:
        """Keeps something beside the stages in `run.json`, such as the whole settings."""
        self._check_open()
        self._data[name] = finite(plain(value))
        self._write()

    # Inside

    def _check_folder(self) -> None:
        if self.folder.is_symlink() and not self.folder.exists():
            raise RunError(f"{self.folder} is a link to nothing; mend it or give another folder with --out.")
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise RunError(f"{self.folder} is a file, not a folder; give another with --out.")
        inside = sorted(path.name for path in self.folder.iterdir() if path.name != ".lock")
        foreign = [name for name in inside if not name.endswith(".part")]
        if foreign and STATE_FILE not in foreign:
            shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
            raise RunError(
                f"{self.folder} is not a run of SubLM: it has no {STATE_FILE}, but holds {shown}. "
                "Give a new or empty folder with --out; nothing was changed."
            )

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / STATE_FILE
        if not path.exists():
            return None
        data = read_json(path)
        if not isinstance(data, dict) or not {"schema", "configuration", "stages", "created"} <= set(data):
            raise RunError(f"{path} was not written by SubLM; give another folder with --out.")
        if data["schema"] != SCHEMA:
            raise RunError(
                f"{path} has schema {data['schema']}, this SubLM reads {SCHEMA}; use the SubLM that wrote it, or "
                "start afresh in another folder with --out."
            )
        return data

    def _check_configuration(self, there: dict[str, Any]) -> None:
        differing = _differences(there, self.configuration)
        if differing and not self._overwrite:
            raise RunError(
                f"{self.folder} holds a run with other settings: {'; '.join(differing)}. "
                "Give another folder with --out, or take the new settings with --overwrite "
                "(stages that the change does not touch are kept)."
            )

    def _inside(self, output: str) -> Path:
        root = self.folder.resolve()
        path = root / output
        if root not in path.resolve().parents:
            raise RunError(f"The output {output!r} lies outside the run {self.folder}.")
        return path

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _check_open(self) -> None:
        if self._lock is None:
            raise RunError(f"The run {self.folder} is not open; use it as `with Run(...) as run:`.")

    def _write(self) -> None:
        write_json(self.folder / STATE_FILE, self._data)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One phrase per entry that is not the same."""

    def show(values: Mapping[str, Any], key: str) -> str:
        text = canonical(values[key]) if key in values else "not set"
        return text if len(text) <= 60 else text[:57] + "..."

    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key} was {show(old, key)}, now {show(new, key)}"
        for key in keys
        if key not in old or key not in new or canonical(old[key]) != canonical(new[key])
    ]


def _changes(record: Mapping[str, Any], stage: Stage) -> list[str]:
    """Why a stage is stale."""
    found = _differences(record["inputs"], stage.inputs)
    old = record["after"]
    found += [f"the stage {name} changed" for name, mark in stage.after.items() if name in old and old[name] != mark]
    found += [f"it now comes after {name}" for name in stage.after if name not in old]
    found += [f"it no longer comes after {name}" for name in old if name not in stage.after]
    return found

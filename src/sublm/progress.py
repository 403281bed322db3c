"""How far a job has come: a live line on a terminal, plain lines in a log, nothing when told to be quiet.

Everything goes to standard error; standard output is for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any


class Progress:
    """Says nothing; what a stage is handed when nobody wants to know. The other kinds add how it is shown.

    Attributes:
        speaks: Whether anything is shown; what is worked out only to be told can be left out else.
    """

    speaks = False

    def __init__(self) -> None:
        self._began = 0.0

    @contextmanager
    def stage(self, name: str, total: int | None = None, unit: str = "step") -> Iterator[Progress]:
        """The time in which a stage runs.

        Args:
            name: What is done, as a person would say it.
            total: How many units there are, if known; `update` can tell later.
            unit: What is counted.
        """
        self._began = time.monotonic()
        self._start(name, total, unit)
        try:
            yield self
        except BaseException:
            self._end(time.monotonic() - self._began, finished=False)
            raise
        self._end(time.monotonic() - self._began, finished=True)

    def update(self, done: int, total: int | None = None, **numbers: Any) -> None:
        """Tells how far the stage is.

        Args:
            done: Units done so far, those of an earlier session included. The rate is taken from the first report on,
                so `update(0)` at the very start brings it early where units are slow.
            total: How many there are, if that was not known before.
            **numbers: What else is worth seeing, such as `loss=0.31`.
        """

    def message(self, text: str) -> None:
        """Says something once."""

    def warning(self, text: str) -> None:
        """Says something that a person should not miss."""

    def _start(self, name: str, total: int | None, unit: str) -> None:
        """Shows that a stage begins."""

    def _end(self, seconds: float, *, finished: bool) -> None:
        """Shows that a stage has ended."""


class PlainProgress(Progress):
    """One line now and then, for logs."""

    speaks = True

    def __init__(
        self, stream: IO[str] | None = None, every: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Sets where the lines go.

        Args:
            stream: Where; standard error if not given.
            every: Seconds between two lines of one stage, at least.
            clock: Tells the time in seconds.
        """
        super().__init__()
        self._stream = stream
        self._every = every
        self._clock = clock
        self._name, self._unit = "", "step"
        self._total: int | None = None
        self._rate = _Rate(clock)
        self._shown = 0.0

    def message(self, text: str) -> None:
        """Says something once."""
        print(text, file=self._stream or sys.stderr, flush=True)

    def warning(self, text: str) -> None:
        """Says something that a person should not miss."""
        self.message(f"warning: {text}")

    def update(self, done: int, total: int | None = None, **numbers: Any) -> None:
        """Tells how far the stage is; see `Progress.update`."""
        self._total = total if total is not None else self._total
        self._rate.add(done)
        now = self._clock()
        if now - self._shown < self._every and done != self._total:
            return
        self._shown = now
        parts = [f"{done}/{self._total} {self._unit}s" if self._total else f"{done} {self._unit}s"]
        parts += self._rate.words(done, self._total, self._unit)
        parts += [f"{name} {show_number(value)}" for name, value in numbers.items()]
        self.message(f"{self._name}: {', '.join(parts)}")

    def _start(self, name: str, total: int | None, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._rate = _Rate(self._clock)
        self._shown = self._clock()
        self.message(f"{name} ...")

    def _end(self, seconds: float, *, finished: bool) -> None:
        self.message(f"{self._name}: {'done in' if finished else 'stopped after'} {show_duration(seconds)}")


class TerminalProgress(Progress):
    """A live line with a bar, the rate and the time left; finished stages stay as one line each."""

    speaks = True

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._bar: Any = None
        self._task: Any = None
        self._name, self._unit = "", "step"
        self._rate = _Rate(time.monotonic)

    def message(self, text: str) -> None:
        """Says something once."""
        self._console.print(text, markup=False)

    def warning(self, text: str) -> None:
        """Says something that a person should not miss."""
        self._console.print(f"warning: {text}", markup=False, style="yellow")

    def update(self, done: int, total: int | None = None, **numbers: Any) -> None:
        """Tells how far the stage is; see `Progress.update`."""
        if self._bar is None:
            return
        self._rate.add(done)
        known = total if total is not None else self._bar.tasks[0].total
        words = self._rate.words(done, known, self._unit)
        words += [f"{name} {show_number(value)}" for name, value in numbers.items()]
        self._bar.update(self._task, completed=done, total=known, words=", ".join(words))

    def _start(self, name: str, total: int | None, unit: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bar

        self._name, self._unit = name, unit
        self._rate = _Rate(time.monotonic)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}", style="dim"),
        )
        self._bar = Bar(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(name, total=total, words="")
        self._bar.start()

    def _end(self, seconds: float, *, finished: bool) -> None:
        self._bar.stop()
        self._bar = None
        mark, word = ("[green]✓[/]", "") if finished else ("[red]✗[/]", "stopped after ")
        self._console.print(f"{mark} {self._name} [dim]{word}{show_duration(seconds)}[/]")


def make_progress(*, quiet: bool = False, stream: IO[str] | None = None) -> Progress:
    """The progress that fits: silent, live on a terminal, else plain lines.

    Args:
        quiet: Show nothing.
        stream: Where it would be shown; standard error if not given.
    """
    if quiet:
        return Progress()
    stream = stream or sys.stderr
    return TerminalProgress() if stream is sys.stderr and stream.isatty() else PlainProgress(stream)


def show_duration(seconds: float) -> str:
    """A duration as people say it: 8 s, 4 min 05 s, 2 h 07 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(number: int, what: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def show_number(value: Any) -> str:
    """A number with as many digits as one can use at a glance."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class _Rate:
    """Units per second since the first report: what an earlier session did before it does not count."""

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def add(self, done: int) -> None:
        if self._first is None:
            self._first = (self._clock(), done)

    def words(self, done: int, total: int | None, unit: str) -> list[str]:
        began, before = self._first or (self._clock(), done)
        passed = self._clock() - began
        if passed <= 0 or done <= before:
            return []
        rate = (done - before) / passed
        words = [f"{rate:.1f} {unit}s/s" if rate >= 0.1 else f"{1 / rate:.0f} s/{unit}"]
        if total and done < total:
            words.append(f"{show_duration((total - done) / rate)} left")
        return words

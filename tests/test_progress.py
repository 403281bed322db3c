import io

import pytest

from sublm.progress import PlainProgress, Progress, TerminalProgress, make_progress, show_duration


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_plain_lines_tell_rate_time_left_and_numbers_now_and_then():
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, every=10, clock=clock)
    with progress.stage("Training", total=100):
        for step in range(1, 101):
            clock.now += 1
            progress.update(step, loss=0.25)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Training ..."
    assert lines[1] == "Training: 10/100 steps, 1.0 steps/s, 1 min 30 s left, loss 0.25"
    assert lines[10] == "Training: 100/100 steps, 1.0 steps/s, loss 0.25"
    assert lines[11].startswith("Training: done in ")
    assert len(lines) == 12


def test_steps_of_an_earlier_session_do_not_count_for_the_rate():
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, every=0, clock=clock)
    with progress.stage("Training", total=1000):
        progress.update(900)
        clock.now += 10
        progress.update(910)
    assert "910/1000 steps, 1.0 steps/s, 1 min 30 s left" in stream.getvalue()


def test_a_slow_stage_tells_seconds_per_unit():
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, every=0, clock=clock)
    with progress.stage("Recovering", unit="model"):
        progress.update(0)
        clock.now += 120
        progress.update(2, total=4)
    assert "2/4 models, 60 s/model, 2 min 00 s left" in stream.getvalue()


def test_a_stage_that_fails_says_stopped():
    stream = io.StringIO()

    def fail():
        with PlainProgress(stream).stage("Training"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert "Training: stopped after" in stream.getvalue()


def test_the_live_line_ends_as_one_line_per_stage(capsys):
    progress = TerminalProgress()
    with progress.stage("Training", total=2):
        progress.update(1, loss=0.5)
        progress.update(2, loss=0.4)
    progress.message("Wrote [front.json]")
    err = capsys.readouterr().err
    assert "✓ Training" in err
    assert "Wrote [front.json]" in err


def test_the_kind_follows_where_it_is_shown(capsys):
    assert type(make_progress(quiet=True)) is Progress
    assert isinstance(make_progress(), PlainProgress)
    with make_progress(quiet=True).stage("Training", total=2) as quiet:
        quiet.update(1)
        quiet.message("text")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations(seconds, text):
    assert show_duration(seconds) == text

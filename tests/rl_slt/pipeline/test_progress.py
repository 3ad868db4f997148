"""Progress: a line with what is done, the time left and the rate, also where no terminal is."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from rl_slt.pipeline.engine import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_tell_what_is_done_how_long_and_how_fast(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.meter("training", 1000, unit="steps") as bar:
        bar.update(0)
        clock[0] = 4.0  # workers start
        bar.update(0)
        clock[0] = 9.0
        bar.update(10)  # too early for a line
        clock[0] = 24.0
        bar.update(160, "2 under way")
    line = capsys.readouterr().err
    assert line == "training: 160/1,000 (24 s spent, 84 s left, 10 steps/s) 2 under way\n"


def test_what_was_done_before_does_not_count_for_the_rate(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.meter("LLC", 100) as bar:
        bar.update(50)
        clock[0] = 20.0
        bar.update(60)
    assert "60/100 (20 s spent, 80 s left)" in capsys.readouterr().err


def test_a_terminal_shows_the_time_left_and_the_rate(clock: list[float]) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    columns = (TextColumn("{task.description}"), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, get_time=lambda: clock[0]) as bar:
        meter = progress.Meter("training", 1000, "steps", bar)
        for done in (0, 100, 200):
            clock[0] = done / 10
            meter.update(done, "2 under way")
    assert "training 80 s left, 10 steps/s, 2 under way" in screen.getvalue()


def test_a_stage_on_a_terminal_draws_its_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.meter("LLC", 3) as bar:
        bar.update(3, "last one")
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (89, "89 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_a_stage_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress.print_done("llc", "estimates made", [True] * 4, 8)
    progress.print_done("llc", "estimates made", [True, True, False, True], 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["llc: 4 estimates made, 8 kept", "llc: 3 estimates made, 0 kept, 1 failed"]

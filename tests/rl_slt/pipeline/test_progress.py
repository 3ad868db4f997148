"""Progress: a line with what is done, the time left and the rate, also where no terminal is."""

import io
import re

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
        clock[0] = 5.0
        bar.update(10)  # too early for a line
        clock[0] = 20.0
        bar.update(200, "2 under way")
    line = capsys.readouterr().err
    assert line == "training: 200/1,000 (0:20 spent, 1:20 left, 10 steps/s) 2 under way\n"


def test_what_was_done_before_does_not_count_for_the_rate(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.meter("LLC", 100) as bar:
        bar.update(50)
        clock[0] = 20.0
        bar.update(60)
    assert "60/100 (0:20 spent, 1:20 left)" in capsys.readouterr().err


def test_a_terminal_shows_the_rate() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    columns = (TextColumn("{task.description}"), progress._Rate("steps"))
    times = iter(range(0, 1000, 2))
    with Progress(*columns, console=console, get_time=lambda: float(next(times))) as bar:
        task = bar.add_task("training", total=1000)
        for done in (100, 200, 300, 400):
            bar.update(task, completed=done)
    assert re.search(r"[1-9]\d* steps/s", screen.getvalue())

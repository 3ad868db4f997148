"""Progress for people: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_LINE_EVERY = 15.0  # seconds between plain lines


class Meter(Protocol):
    """What a stage reports to."""

    def update(self, done: float, note: str = "") -> None:
        """So much is done, with a few words beside it."""
        ...


class _Rate(ProgressColumn):
    """Units per second, where the unit has a name."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} {self.unit}/s" if self.unit and task.speed else "")


class _Bar:
    def __init__(self, bar: Progress, total: float, title: str) -> None:
        self.bar = bar
        self.task = bar.add_task(title, total=total, note="")

    def update(self, done: float, note: str = "") -> None:
        self.bar.update(self.task, completed=done, note=note)


class _Lines:
    def __init__(self, total: float, title: str, unit: str) -> None:
        self.total, self.title, self.unit = total, title, unit
        self.start = self.last = time.monotonic()
        self.first_done: float | None = None

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        if self.first_done is None:
            self.first_done = done
        if now - self.last < _LINE_EVERY:
            return
        self.last = now
        spent, new = now - self.start, done - self.first_done
        left = f", {_clock(spent * (self.total - done) / new)} left" if new > 0 else ""
        if new > 0 and self.unit:
            left += f", {new / spent:,.0f} {self.unit}/s"
        line = f"{self.title}: {done:,.0f}/{self.total:,.0f} ({_clock(spent)} spent{left}) {note}"
        print(line.rstrip(), file=sys.stderr, flush=True)


@contextlib.contextmanager
def meter(title: str, total: float, quiet: bool = False, unit: str = "") -> Iterator[Meter]:
    """A meter for a stage of `total` units; a unit with a name shows its rate."""
    if quiet or not sys.stderr.isatty():
        yield _Lines(total, title, unit) if not quiet else _Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        _Rate(unit),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, total, title)


class _Silent:
    def update(self, done: float, note: str = "") -> None:
        pass


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

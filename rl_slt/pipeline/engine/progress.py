"""Progress for people: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LOG = logging.getLogger(__name__)

_LINE_EVERY = 15.0  # seconds between plain lines
Whole = Callable[[float, float | None], str]
_WHOLE: ContextVar[Whole | None] = ContextVar("whole", default=None)


@contextlib.contextmanager
def as_part(whole: Whole) -> Iterator[None]:
    """What meters show in here is a part of something larger, which their lines then speak of.

    Args:
        whole: from the share of the meter that was done since it began and the seconds that it has
            to go (None: unknown) to words about all.
    """
    token = _WHOLE.set(whole)
    try:
        yield
    finally:
        _WHOLE.reset(token)


class Meter:
    """What a stage reports to.

    Args:
        title: of the stage.
        total: amount of work.
        unit: its name in the rate; without one no rate is shown.
        bar: of a terminal; None prints a line on stderr now and then.
    """

    def __init__(self, title: str, total: float, unit: str = "", bar: Progress | None = None):
        self.title, self.total, self.unit, self.bar = title, total, unit, bar
        self.begun = self.printed = self.moved = time.monotonic()
        self.first: float | None = None
        self.base, self.waited = 0.0, False
        if bar is not None:
            bar.add_task(title, total=total, note="")

    def update(self, done: float, note: str = "") -> None:
        """Show that this much is done in all, with a few words next to it."""
        now = time.monotonic()
        if self.first is None or done == self.first:
            # Neither what was done before nor the start of workers counts for the rate.
            self.waited = self.first is not None
            self.first = self.base = done
            self.moved = now
        elif self.waited:  # nor does what comes first after a wait: none saw when that was begun
            self.base, self.moved, self.waited = done, now, False
        spent, new = now - self.moved, done - self.base
        facts = [f"{duration(now - self.begun)} spent"]
        left = spent * (self.total - done) / new if new > 0 and spent > 0 else None
        if left is not None:
            facts.append(f"{duration(left)} left")
            facts += [f"{new / spent:,.0f} {self.unit}/s"] if self.unit else []
        if whole := _WHOLE.get():
            share = (done - self.first) / (self.total - self.first) if done < self.total else 1.0
            facts.append(whole(share, left))
        if self.bar is not None:
            self.bar.update(
                self.bar.task_ids[0], completed=done, note=", ".join([*facts[1:], note])
            )
        elif now - self.printed >= _LINE_EVERY:
            self.printed = now
            line = f"{self.title}: {done:,.0f}/{self.total:,.0f} ({', '.join(facts)}) {note}"
            _LOG.info("%s", line.rstrip())


@contextlib.contextmanager
def meter(title: str, total: float, unit: str = "") -> Iterator[Meter]:
    """A meter for a stage of `total` units of work; a unit with a name shows its rate."""
    if not (sys.stderr.isatty() and _LOG.isEnabledFor(logging.INFO)):
        yield Meter(title, total, unit)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Meter(title, total, unit, bar)


def print_done(stage: str, done: str, todo: Sequence[bool], kept: int) -> None:
    """One line on stderr at the end of a stage, as `llc: 4 estimates made, 8 kept`.

    Args:
        stage: its name.
        done: what was done to its items, as `estimates made`.
        todo: of each item that was to do, whether it is finished now.
        kept: how many were finished before.
    """
    failed = f", {len(todo) - sum(todo)} failed" if not all(todo) else ""
    _LOG.info("%s: %d %s, %d kept%s", stage, sum(todo), done, kept, failed)


def duration(seconds: float) -> str:
    """Seconds for people: `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

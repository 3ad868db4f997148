"""What every stage does: items of work on checkpoints, each made once and stored under its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome


class WorkItem(Protocol):
    """One restartable piece of work, such as an estimate: all that its worker needs, as values."""

    @property
    def key(self) -> str:
        """Hash of all that its numbers depend on: the name under which they are stored."""
        ...

    @property
    def run(self) -> str:
        """Folder of its run, where a failure is remembered."""
        ...

    @property
    def step(self) -> int:
        """Environment steps of its checkpoint."""
        ...

    @property
    def label(self) -> str:
        """What it is called in front of people, such as `llc of a-s0 at step 2048`."""
        ...


Item = TypeVar("Item", bound=WorkItem)


def run_items(
    items: Sequence[Item],
    make: Callable[[Item], None],
    engine: Engine,
    report: Callable[[int, str], None] = lambda done, label: None,
) -> list[Outcome]:
    """Make the items on an engine; a failure costs its own item alone.

    Args:
        items: what is missing.
        make: a module-level function that computes an item and stores it.
        engine: where they are made.
        report: called with (items that are over, label of the last) after each.

    Returns:
        The failures, with their reasons.
    """
    jobs = [Job(item.label, make, (item,), item.run) for item in items]
    failed = []
    for done, outcome in enumerate(engine.run(jobs, lambda: None), start=1):
        report(done, outcome.label)
        failed += [outcome] if outcome.reason else []
    return failed

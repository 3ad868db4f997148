"""What every stage does: items of work on checkpoints, each made once and stored under its key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np

from agents import Run
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.store import ItemStore, file_digest
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome


@dataclass(frozen=True)
class WorkItem(ABC):
    """One restartable piece of work on a checkpoint: all that its worker needs, as values.

    Attributes:
        kind: what it is, and under what its result is stored.
        run: folder of the run, where a failure is remembered.
        step: environment steps of the checkpoint.
        checkpoint: its folder.
        weights: hash of its policy.
    """

    kind: ClassVar[str]
    run: str
    step: int
    checkpoint: str
    weights: str

    @property
    @abstractmethod
    def key(self) -> str:
        """Hash of all that the numbers depend on: the name under which they are stored."""

    @property
    def label(self) -> str:
        """What it is called in front of people, such as `llc of a-s0 at step 2048`."""
        return f"{self.kind} of {Path(self.run).name} at step {self.step}"

    @property
    def store(self) -> ItemStore:
        """The finished items of its kind in its run."""
        return ItemStore(Path(self.run), self.kind)

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return self.store.has(self.key)

    @property
    def states_cache(self) -> Path:
        """Folder of the states that the run's items share."""
        return Path(self.run) / "parts" / "states"


Item = TypeVar("Item", bound=WorkItem)


def checkpoints_of(run: Run) -> list[tuple[str, int, str, str]]:
    """The first four fields of a work item on each checkpoint, in the order of their steps.

    Raises:
        InputError: there is none yet.
    """
    if not run.checkpoints:
        raise InputError(f"run {run.path} has no complete checkpoint yet")
    return [
        (str(run.path.resolve()), c.step, str(c.path.resolve()),
         file_digest(c.path / "policy.safetensors"))
        for c in run.checkpoints
    ]  # fmt: skip


def kept_steps(run: Run, most: int) -> list[int]:
    """The steps of at most so many of a run's checkpoints: see `evenly`.

    While a run goes on those still to come count, so that it does not matter when one asks; one
    that ended before its last step has only those that are there.
    """
    steps = {checkpoint.step for checkpoint in run.checkpoints}
    if not run.finished:
        steps |= {*run.training.checkpoint_steps}
    return evenly(sorted(steps), most)


def evenly(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of the ascending steps, evenly among them by their order, the last with them.

    Two stages that keep as many keep the same.
    """
    chosen = np.linspace(len(steps) - 1, 0, min(most, len(steps)))
    return sorted({steps[round(k)] for k in chosen})


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
        report: called with (items that are over, label of the last) first and after each.

    Returns:
        The failures, with their reasons.
    """
    jobs = [Job(item.label, make, (item,), item.run) for item in items]
    outcomes: list[Outcome] = []
    report(0, "")
    for outcome in engine.run(jobs, lambda: None):
        outcomes.append(outcome)
        report(len(outcomes), outcome.label)
    return [outcome for outcome in outcomes if outcome.reason]

"""Which estimates a calibration makes: cells, in stages that build on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from rl_slt.calibration.recommend import recommend
from rl_slt.errors import InputError
from rl_slt.result import LLCEstimate
from rl_slt.samplers import SAMPLERS
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.hmc import HMC
from rl_slt.settings import POLICY_CNN, Settings, Varied

COLUMNS = (
    "policy", "varied", "sampler", "step_size", "nbeta", "localization", "llc", "stderr", "rhat",
    "ess", "virial", "loss_mean", "status", "message", "n_states", "chains", "burn_in", "dim",
    "rank", "sample_gradients",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One estimate of a calibration.

    Attributes:
        policy: whose.
        varied: what differs from the grid's own estimate: `localization` (nothing else),
            `half-step`, `step-size`, `nbeta`, `control` (nbeta 0), `exact` (HMC) and
            `exact-pair` (the sampler in use, on the same states as `exact`).
        settings: of the estimate.
        states: so many samples (states, or episodes where the loss is of episodes), evenly taken
            from all; None is all.
    """

    policy: str
    varied: str
    settings: Settings
    states: int | None = None


Rows = Sequence[Mapping[str, Any]]
Make = Callable[[Sequence[Cell]], Rows]
"""Makes the estimates of some cells; one row (of `row_of`) for each that came out."""


class Sweep(Varied):
    """What to try, and the settings that stay as they are."""

    settings: Settings = POLICY_CNN

    def count(self, policies: int) -> int:
        """How many estimates there are at most."""
        grid = 2 * len(self.localizations)
        return policies * (
            grid + len(self.nbeta_factors) + len(self.step_sizes) + 1 + 2 * self.exact
        )

    def bases(self, policies: Sequence[str]) -> Iterator[Cell]:
        """The grid of localizations."""
        for gamma in sorted(self.localizations):
            for name in policies:
                yield Cell(name, "localization", self.settings.replace(localization=gamma))

    def halves(self, table: pd.DataFrame) -> Iterator[Cell]:
        """Each estimate of the grid again with half its step, and twice its burn-in.

        So the shorter steps go as far before they count, and what differs is the step's doing.
        """
        for row in _rows(table[table["varied"] == "localization"]):
            if row.status != "failed":
                changes = _fixed(self.settings, row, row.step_size / 2)
                yield Cell(
                    row.policy,
                    "half-step",
                    self.settings.replace(
                        localization=row.localization,
                        burn_in=2 * self.settings.burn_in,
                        **changes,
                    ),
                )

    def checks(self, table: pd.DataFrame, localization: float) -> Iterator[Cell]:
        """What is tried at the localization recommended."""
        grid = table[(table["varied"] == "localization") & (table["localization"] == localization)]
        base = self.settings.replace(localization=localization)
        for row in _rows(grid):
            for factor in self.nbeta_factors:
                yield Cell(row.policy, "nbeta", base.replace(nbeta=factor * row.nbeta))
            for step in self.step_sizes:
                changes = _fixed(base, row, step)
                yield Cell(row.policy, "step-size", base.replace(**changes))
            yield Cell(row.policy, "control", base.replace(nbeta=0.0))
            if self.exact:
                yield from self._exact(row, base.replace(nbeta=row.nbeta))

    def _exact(self, row: Any, base: Settings) -> Iterator[Cell]:
        """HMC and the sampler in use on the same states; a trajectory of HMC is many steps."""
        states = None if self.exact_states is None else min(self.exact_states, row.n_states)
        batch = base.batch_size
        if batch is not None and states is not None:
            base = base.replace(batch_size=min(batch, states))
        sampler = base.sampler or sampler_of(row.sampler)
        yield Cell(row.policy, "exact-pair", base.replace(sampler=sampler), states)
        draws = None if base.draws is None else max(40, base.draws // 2)
        hmc = base.replace(sampler=HMC(rotate=True), burn_in=max(40, base.burn_in // 2))
        yield Cell(row.policy, "exact", hmc.replace(draws=draws), states)


def carry_out(sweep: Sweep, policies: Sequence[str], make: Make) -> pd.DataFrame:
    """The rows of all stages; each stage is planned from those before.

    Raises:
        InputError: there is no policy.
    """
    if not policies:
        raise InputError("calibration needs at least one policy")
    rows: list[Mapping[str, Any]] = []

    def add(cells: Iterator[Cell]) -> pd.DataFrame:
        rows.extend(make(list(cells)))
        extra = [name for row in rows[:1] for name in row if name not in COLUMNS]
        return pd.DataFrame(rows, columns=[*COLUMNS, *extra])

    table = add(sweep.bases(policies))
    table = add(sweep.halves(table))
    return add(sweep.checks(table, recommend(table, policies).localization))


def row_of(cell: Cell, estimate: LLCEstimate) -> dict[str, Any]:
    """An estimate as a row of the calibration's table."""
    known = vars(estimate) | estimate.info | {"policy": cell.policy, "varied": cell.varied}
    return {name: known[name] for name in COLUMNS}


def sampler_of(name: str) -> Sampler:
    """The sampler that an estimate chose by itself."""
    return HMC(rotate=True) if name == HMC.name else SAMPLERS[name]()


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    yield from table.itertuples()


def _fixed(settings: Settings, row: Any, step_size: float) -> dict[str, Any]:
    """The settings of a row's estimate with another step in the same coordinates."""
    sampler = settings.sampler or sampler_of(row.sampler)
    rank = None if row.rank < 0 else int(row.rank)
    return {"sampler": replace(sampler, step_size=step_size), "preconditioner_rank": rank}

"""Which sampler settings an estimate can be trusted at, found by trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor, nn

from rl_slt.chains import Progress
from rl_slt.errors import InputError
from rl_slt.estimate import estimate_with
from rl_slt.losses.base import LossFunction
from rl_slt.plots import plateau_figure
from rl_slt.policy_data import PolicyData
from rl_slt.result import LLCEstimate
from rl_slt.samplers import SAMPLERS
from rl_slt.samplers.hmc import HMC
from rl_slt.settings import POLICY_CNN, Settings

TOLERANCE = 0.03
COLUMNS = (
    "policy", "varied", "sampler", "step_size", "nbeta", "localization", "llc", "stderr", "rhat",
    "ess", "virial", "loss_mean", "status", "message", "sample_gradients",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was tried and what is recommended.

    Attributes:
        table: one row per estimate; `varied` names what differs from the recommendation's grid:
            `localization`, `step` (half the step), `nbeta`, `control` (nbeta 0), `exact` (HMC).
        settings: the recommendation.
        sound: whether any setting tried was sound on all policies.
        reason: why, in words.
    """

    table: pd.DataFrame
    settings: Settings
    sound: bool
    reason: str

    def plot(self) -> Figure:
        """The plateau: LLC over localization and nbeta, with half steps beside."""
        return plateau_figure(self.table)


def calibrate(
    policies: Mapping[str, nn.Module],
    states: Tensor | PolicyData,
    settings: Settings = POLICY_CNN,
    *,
    loss: LossFunction | None = None,
    localizations: Sequence[float] = (100.0, 300.0, 1000.0),
    nbeta_factors: Sequence[float] = (0.5, 2.0),
    exact: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Sweep localization, step size and nbeta on a few policies (first, middle, last checkpoint).

    At every localization each policy is estimated with the step as adapted and with half of it.
    The smallest localization (the least that the localiser takes away) is recommended at which all
    estimates are `ok` and no halved step moves one by more than 3 % or twice the error of the
    difference. There nbeta is varied, and a control with nbeta 0 must find the localising Gaussian
    (virial ratio 1).

    Args:
        policies: by name.
        states: the same for all.
        settings: what stays as it is.
        loss: None is the self-KL.
        localizations: to try.
        nbeta_factors: times the nbeta of the settings.
        exact: also estimate by full-batch HMC at the recommendation (dear on large networks).
        seed: of the chains.
        progress: called with (estimates done, estimates in all at most).

    Raises:
        InputError: nothing to try.
    """
    if not policies or not localizations:
        raise InputError("calibration needs at least one policy and one localization")
    sweep = _Sweep(policies, states, settings, loss, seed, progress)
    sweep.total = len(policies) * (2 * len(localizations) + len(nbeta_factors) + 1 + exact)
    for gamma in sorted(localizations):
        for name in policies:
            base = sweep.add(name, "localization", localization=gamma)
            sweep.halve(name, base, gamma)
    gamma, sound, reason = recommend(sweep.frame())
    nbeta = float(sweep.frame()["nbeta"].iloc[0])
    for name in policies:
        for factor in nbeta_factors:
            sweep.add(name, "nbeta", localization=gamma, nbeta=factor * nbeta)
        sweep.add(name, "control", localization=gamma, nbeta=0.0)
        if exact:
            sweep.add(name, "exact", localization=gamma, sampler=HMC(rotate=True))
    table = sweep.frame()
    chosen = replace(settings, localization=gamma)
    return Calibration(table, chosen, sound, reason + control_words(table))


def recommend(table: pd.DataFrame) -> tuple[float, bool, str]:
    """The localization to use, whether it is sound, and why, from rows of `calibrate`."""
    notes: list[str] = []
    for gamma, part in table.groupby("localization"):
        base = part[part["varied"] == "localization"].set_index("policy")
        half = part[part["varied"] == "step"].set_index("policy")
        bad = base[base["status"] != "ok"]
        error = (base["stderr"] ** 2 + half["stderr"] ** 2) ** 0.5
        shift = (half["llc"] - base["llc"]).abs()
        moved = shift[shift > pd.concat([2 * error, TOLERANCE * base["llc"]], axis=1).max(axis=1)]
        if not len(bad) and not len(moved):
            worst = float((shift / base["llc"]).max())
            why = f"localization {gamma:g}: every estimate is ok and halving the step moves none "
            return float(str(gamma)), True, "; ".join([*notes, f"{why}beyond {worst:.1%}"])
        reasons = [f"{len(bad)} of {len(base)} estimates not ok"] if len(bad) else []
        reasons += [f"halving the step moves {', '.join(map(str, moved.index))}"] * bool(len(moved))
        notes.append(f"localization {gamma:g} rejected ({', '.join(reasons)})")
    largest = float(table["localization"].max())
    return largest, False, "; ".join([*notes, "none is sound: try a larger localization"])


def control_words(table: pd.DataFrame) -> str:
    """What the control with nbeta 0 says."""
    control = table[table["varied"] == "control"]
    off = float((control["virial"] - 1).abs().max()) if len(control) else 0.0
    verdict = "passes" if off < TOLERANCE else "FAILS"
    return f"; control with nbeta 0 {verdict} (virial ratio off by {off:.1%})"


class _Sweep:
    """Rows of estimates, in order."""

    def __init__(
        self,
        policies: Mapping[str, nn.Module],
        states: Tensor | PolicyData,
        settings: Settings,
        loss: LossFunction | None,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.policies, self.states, self.settings = policies, states, settings
        self.loss, self.seed, self.progress = loss, seed, progress
        self.total = 0
        self.rows: list[dict[str, object]] = []

    def add(self, name: str, varied: str, **changes: object) -> LLCEstimate:
        """One more estimate, with some settings changed."""
        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        e = estimate_with(
            self.policies[name], self.states, settings, self.loss, seed=self.seed, data_error=False
        )
        values = {c: getattr(e, c) for c in COLUMNS if hasattr(e, c)}
        self.rows.append(values | {"policy": name, "varied": varied, "virial": e.info["virial"]})
        if self.progress is not None:
            self.progress(len(self.rows), self.total)
        return e

    def halve(self, name: str, base: LLCEstimate, gamma: float) -> None:
        """The same again with half the step."""
        chosen = HMC(rotate=True) if base.sampler == HMC.name else SAMPLERS[base.sampler]()
        keep = self.settings.sampler or chosen
        sampler = replace(keep, step_size=base.step_size / 2)  # type: ignore[type-var]
        rank = None if base.info["rank"] < 0 else int(base.info["rank"])
        self.add(name, "step", localization=gamma, sampler=sampler, whitening=rank)

    def frame(self) -> pd.DataFrame:
        """The table so far."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))

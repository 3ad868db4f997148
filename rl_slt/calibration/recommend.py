"""What the rows of a calibration say: the localization to use, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rl_slt.settings import POLICY_CNN, Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOLERANCE = 0.03
_SHORT = "R-hat|sample size|drift|standard error|not yet at equilibrium"  # more draws help
ONE_Z, ALL_Z = 3.0, 2.0  # for one policy among several, and for all together


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was tried and what is recommended: one setting for all policies.

    Attributes:
        table: one row per estimate; `varied` says what differs from the grid's own estimates (see
            `calibrate.Cell`).
        settings: the recommendation; where none is sound, at the largest localization tried.
        sound: whether it passed every check that was made on all policies.
        reason: why, in words.
    """

    table: pd.DataFrame
    settings: Settings
    sound: bool
    reason: str

    def plot(self) -> Figure:
        """The plateau, a color per policy; the line marks the recommendation.

        LLC over localization (open marks: half the step), and at the recommended localization over
        nbeta (in multiples of each policy's own) and over step size (open marks: not adapted).
        """
        from matplotlib.figure import Figure  # slow to import, and for those who look alone
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        localization = self.settings.localization
        figure = Figure(figsize=(12, 4), layout="constrained")
        panels = figure.subplots(1, 3)
        table = self.table.assign(factor=_factors(self.table))
        for i, (name, part) in enumerate(table.groupby("policy", sort=False)):
            color, label = f"C{i % 10}", str(name)
            grid, half, nbeta, given = (
                part[part["varied"] == v]
                for v in ("localization", "half-step", "nbeta", "step-size")
            )
            here, near = (rows[rows["localization"] == localization] for rows in (grid, half))
            beside = half.assign(localization=1.06 * half["localization"])
            _points(panels[0], grid, "localization", color, label)
            _points(panels[0], beside, "localization", color)
            _points(panels[1], pd.concat([here, nbeta]), "factor", color, label)
            _points(panels[2], pd.concat([here, near]), "step_size", color, label)
            _points(panels[2], given, "step_size", color)
        labels = ("localization γ", "nβ / nβ of the settings", f"step size at γ = {localization:g}")
        for axes, what in zip(panels, labels, strict=True):
            axes.set(xscale="log", xlabel=what, ylabel="LLC ± 95 %")
            low, high = axes.get_xlim()
            axes.set_xlim(low / 1.6, high * 1.6)  # wide enough for one of the ticks
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.2)
        panels[0].axvline(localization, color="black", lw=6, alpha=0.1)
        panels[0].set_title("filled: the step as set, open: half of it", fontsize=9)
        panels[0].legend(fontsize=7)
        return figure


def recommend(
    table: pd.DataFrame, policies: Sequence[str] | None = None, settings: Settings = POLICY_CNN
) -> Calibration:
    """The smallest localization, which takes the least away, at which every estimate is sound.

    Sound: all are `ok`, halving the step moves none by more than 3 % and three errors of the
    difference, nor all together by more than 3 % and two errors; then what else was tried there.

    Args:
        table: rows of a calibration; the checks at the recommended localization may be missing.
        policies: those that must have an estimate; None is all that occur.
        settings: of all estimates, but for what varied.
    """
    wanted = list(dict.fromkeys(table["policy"]) if policies is None else policies)
    grid = table[table["varied"].isin(["localization", "half-step"])]
    notes: list[str] = []
    for gamma in sorted(grid["localization"].unique().tolist()):
        objections, shift = _objections(grid[grid["localization"] == gamma], wanted)
        if not objections:
            why = f"localization {gamma:g}: every estimate is ok and halving the step {shift}"
            here = table[table["localization"] == gamma]
            checks = [*_checks(here)]
            failed = [text for text, fine in checks if not fine]
            passed = [text for text, fine in checks if fine]
            remarks = [*_effects(here), *order_of_policies(table)]
            reason = "; ".join([*notes, why, *failed, *passed, *remarks])
            return Calibration(table, settings.replace(localization=gamma), not failed, reason)
        notes.append(f"localization {gamma:g} rejected ({', '.join(objections)})")
    largest = float(grid["localization"].max()) if len(grid) else float("nan")
    best = settings.replace(localization=largest)
    bad = grid[(grid["varied"] == "localization") & (grid["status"] != "ok")]
    short = bad["message"].str.split("; ").explode().str.contains(_SHORT, na=False)
    if len(short) and short.all() and set(bad["localization"]) == set(grid["localization"]):
        advice = "none is sound, all for chains too short: try more draws and a longer burn-in"
    else:
        advice = "none is sound: try a larger localization" + ", or more draws" * bool(short.any())
    return Calibration(table, best, False, "; ".join([*notes, advice]))


def shifts(base: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Relative change from `base` to `other` by policy: `shift`, and its standard `error`."""
    one, two = base.set_index("policy"), other.set_index("policy")
    error = np.hypot(one["stderr"], two["stderr"]) / one["llc"]
    return pd.DataFrame({"shift": two["llc"] / one["llc"] - 1, "error": error}).dropna()


def pooled(changes: pd.DataFrame) -> tuple[float, float]:
    """The change of all policies together, weighted by precision, and its standard error."""
    if changes.empty:
        return float("nan"), float("nan")
    weight = 1 / changes["error"].clip(lower=1e-12) ** 2
    mean = float((changes["shift"] * weight).sum() / weight.sum())
    return mean, float(weight.sum() ** -0.5)


def _objections(part: pd.DataFrame, wanted: Sequence[str]) -> tuple[list[str], str]:
    """What speaks against one localization, and what halving the step did there."""
    base = part[part["varied"] == "localization"]
    ok = set(base.loc[base["status"] == "ok", "policy"])
    bad = [name for name in wanted if name not in ok]
    if bad:
        why = base.loc[base["policy"].isin(bad) & (base["message"] != ""), "message"]
        first = f": {why.iloc[0]}" if len(why) else ""
        return [f"{len(bad)} of {len(wanted)} estimates not ok{first}"], ""
    changes = shifts(base, part[part["varied"] == "half-step"])
    if set(changes.index) < set(wanted):
        return ["no estimate with half the step"], ""
    size = changes["shift"].abs()
    moved = changes[(size > TOLERANCE) & (size > ONE_Z * changes["error"])]
    mean, error = pooled(changes)
    together = abs(mean) > TOLERANCE and abs(mean) > ALL_Z * error
    text = f"changes them by {mean:+.1%} ± {error:.1%} together, none beyond {size.max():.1%}"
    if len(moved):
        return [f"halving the step moves {', '.join(moved.index)}"], text
    return ([f"halving the step {text}"] if together else []), text


def _checks(here: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """The control with nbeta 0, and the exact sampler: in words, and whether they are fine."""
    control = here[here["varied"] == "control"]
    if len(control):
        off = (control["virial"] - 1).abs()
        noise = 3 * (2 / (control["dim"] * control["ess"].clip(lower=1).fillna(1))) ** 0.5
        fine = bool((off <= noise.clip(lower=TOLERANCE)).all())
        verdict = "passes" if fine else "FAILS"
        yield f"control with nbeta 0 {verdict} (virial ratio off by {off.max():.1%})", fine
    pair, exact = (here[here["varied"] == v] for v in ("exact-pair", "exact"))
    if len(exact):
        changes = shifts(exact, pair)
        bad = exact.loc[exact["status"] != "ok", "policy"].tolist()
        if bad or not len(changes):
            yield f"the exact sampler itself is not ok for {', '.join(bad) or 'any'}", False
            return
        mean, error = pooled(changes)
        fine = abs(mean) <= max(TOLERANCE, ALL_Z * error)
        verdict = "agrees with" if fine else "DISAGREES with"
        yield f"{verdict} exact sampling ({mean:+.1%} ± {error:.1%})", fine


def _effects(here: pd.DataFrame) -> Iterator[str]:
    """What another nbeta and other step sizes do to the estimates at one localization."""
    base = here[here["varied"] == "localization"]
    for factor, part in here[here["varied"] == "nbeta"].groupby(_factors(here)):
        mean, error = pooled(shifts(base, part))
        yield f"{factor:g} times nbeta changes them by {mean:+.0%} ± {error:.0%}"
    for value, part in here[here["varied"] == "step-size"].groupby("step_size"):
        mean, error = pooled(shifts(base, part))
        yield f"step size {value:g} changes them by {mean:+.1%} ± {error:.1%}"


def _factors(table: pd.DataFrame) -> pd.Series[float]:
    """Nbeta of each row in multiples of its policy's own, which `relative:K` makes another each."""
    key = ["policy", "localization"]
    own = table[table["varied"] == "localization"][[*key, "nbeta"]]
    both = table[[*key, "nbeta"]].merge(own, on=key, how="left", suffixes=("", "_own"))
    return (both["nbeta"] / both["nbeta_own"]).round(9).set_axis(table.index)


def order_of_policies(table: pd.DataFrame) -> Iterator[str]:
    """Whether the order of the policies is the same at every localization and nbeta tried."""
    part = table[table["varied"].isin(["localization", "nbeta"]) & (table["status"] == "ok")]
    groups = part.groupby(["localization", _factors(table)])
    settings = [g.set_index("policy") for _, g in groups]
    turning = []
    names = list(dict.fromkeys(part["policy"]))
    for a, b in combinations(names, 2):
        both = [s.loc[[a, b]] for s in settings if a in s.index and b in s.index]
        gaps = [s["llc"].diff().iloc[1] / np.hypot(*s["stderr"]) for s in both]
        if len({gap > 0 for gap in gaps if abs(gap) > ALL_Z}) > 1:
            turning.append(f"{a} and {b}")
    if turning:
        yield f"the order of {', '.join(turning)} depends on the settings"
    elif len(names) > 1:
        yield f"the order of the policies is the same at all {len(settings)} settings"


def _points(axes: Axes, part: pd.DataFrame, x: str, color: str, label: str | None = None) -> None:
    """Estimates that did not fail, with intervals; without a label as open marks."""
    part = part[part["status"] != "failed"].sort_values(x)
    fmt, fill = ("o-", color) if label else ("o", "white")
    axes.errorbar(
        part[x], part["llc"], yerr=1.96 * part["stderr"], fmt=fmt, color=color, mfc=fill, ms=5,
        lw=1, label=label,
    )  # fmt: skip

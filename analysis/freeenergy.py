"""Free energy of solutions and the number of samples at which preference changes.

`F_n = n L + lambda log n` (nats; Watanabe 2009, leading terms), with L the mean loss to one fixed
reference over one set of states and lambda the LLC of that loss. Of two solutions the one of lower
F_n holds more of the posterior. Terms of order log log n and below are left out, so a critical n is
an order of magnitude, not a count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import lambertw

from analysis.schema import own_columns
from analysis.series import llc_table
from rl_slt import InputError

Array = npt.NDArray[np.float64]
DRAWS = 4000


@dataclass(frozen=True)
class Solution:
    """Loss (nats a sample) and LLC of a checkpoint, with standard errors."""

    loss: float
    llc: float
    loss_stderr: float = 0.0
    llc_stderr: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        values = (self.loss, self.llc, self.loss_stderr, self.llc_stderr)
        if not np.all(np.isfinite(values)) or min(values[2:]) < 0:
            raise InputError.of(f"solution {self.name!r}", values, "finite, errors at least 0")


@dataclass(frozen=True)
class Preference:
    """Which of two solutions the free energy prefers, and where that changes.

    `critical_n` is NaN where one solution is preferred at every n; `low` and `high` are 95 % limits
    over the draws that have a critical n, and `share` is the share of draws that do. `few` and
    `many` name the solution preferred below and above.
    """

    critical_n: float
    low: float
    high: float
    share: float
    few: str
    many: str


def free_energy(loss: Array | float, llc: Array | float, n: Array | float) -> Array:
    """`F_n = n L + lambda log n` in nats; arguments broadcast.

    Args:
        loss: L, mean loss in nats a sample.
        llc: lambda, of that loss.
        n: samples, at least 2.

    Raises:
        InputError: if an n is below 2.
    """
    count = np.asarray(n, dtype=float)
    if np.any(~(count >= 2)):
        raise InputError.of("n", float(count.min()), "at least 2 samples")
    return np.asarray(count * np.asarray(loss) + np.asarray(llc) * np.log(count))


def critical_n(delta_loss: Array | float, delta_llc: Array | float) -> Array:
    """Count n above e at which `n dL + dlambda log n = 0`; NaN where there is none; broadcasts.

    With `r = -dlambda / dL` the equation is `n / log n = r`, solved for r >= e by the lower branch
    of Lambert's W: `n = exp(-W_{-1}(-1 / r))`.
    """
    loss, llc = np.broadcast_arrays(np.asarray(delta_loss, float), np.asarray(delta_llc, float))
    ratio = np.divide(-llc, loss, out=np.full(loss.shape, np.nan), where=loss != 0)
    solvable = ratio >= math.e
    root = -lambertw(-1.0 / np.where(solvable, ratio, math.e), k=-1).real
    with np.errstate(over="ignore"):
        return np.where(solvable, np.exp(root), np.nan)


def preference(a: Solution, b: Solution, draws: int = DRAWS, seed: int = 0) -> Preference:
    """Where the free energies of two solutions cross, with an interval by parametric bootstrap.

    Args:
        a: one solution.
        b: another, its loss to the same reference over the same states.
        draws: normal draws of both losses and LLCs from their standard errors.
        seed: of these draws.

    Returns:
        Critical n, its 95 % limits, and the solution preferred below and above it.
    """
    z = np.random.default_rng(seed).standard_normal((2, draws))
    d_loss, d_llc = b.loss - a.loss, b.llc - a.llc
    drawn = critical_n(
        d_loss + np.hypot(a.loss_stderr, b.loss_stderr) * z[0],
        d_llc + np.hypot(a.llc_stderr, b.llc_stderr) * z[1],
    )
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    point = float(critical_n(d_loss, d_llc))
    few, many = (a, b) if a.llc <= b.llc else (b, a)
    if not np.isfinite(point):  # the one preferred at n = 1000 is so at every n above e
        few = many = min((a, b), key=lambda s: float(free_energy(s.loss, s.llc, 1000.0)))
    return Preference(point, float(low), float(high), len(known) / draws, few.name, many.name)


def staircase(llc: pd.DataFrame) -> pd.DataFrame:
    """Loss and LLC of every checkpoint to one fixed reference: the opposing staircases.

    Args:
        llc: table `llc`. Rows whose reference is the checkpoint itself have no loss to speak of and
            are left out. The loss is that at the checkpoint, `loss_init`; its sampling error over
            states, `loss_init_stderr`, is used where the table has that column.

    Returns:
        Columns run, arm, series, reference, states, step, loss, loss_stderr, llc, llc_stderr, by
        step; no rows where no estimate has a fixed reference.
    """
    table = llc_table(llc)
    table = table[table["fixed"] & table["llc"].notna() & table["loss_init"].notna()]
    out = table.rename(columns={"loss_init": "loss", "loss_init_stderr": "loss_stderr"})
    return out[["run", "arm", *own_columns("staircase")]].reset_index(drop=True)


def compare_arms(stairs: pd.DataFrame) -> pd.DataFrame:
    """Critical n between the last checkpoints of every two arms.

    Seeds of an arm are averaged; the standard error over seeds is added to that of the estimates,
    so that with one seed an arm the interval knows of no difference between seeds. Errors of two
    arms count as independent, which is cautious where both were measured on the same states.

    Args:
        stairs: from `staircase`.

    Returns:
        Columns series, a, b (arms), delta_loss and delta_llc (b less a), critical_n, low, high,
        share, few, many, seeds (the smaller number of seeds).
    """
    rows: list[dict[str, object]] = []
    for series, group in stairs.groupby("series", sort=True):
        last = group.sort_values("step").groupby("run").tail(1)
        seeds = last.groupby("arm")["run"].nunique()
        arms = [_mean_solution(str(arm), rows_) for arm, rows_ in last.groupby("arm")]
        for a, b in combinations(arms, 2):
            differences = {"delta_loss": b.loss - a.loss, "delta_llc": b.llc - a.llc}
            named = {"series": series, "a": a.name, "b": b.name} | differences
            fewer = int(min(seeds[a.name], seeds[b.name]))
            rows.append(named | vars(preference(a, b)) | {"seeds": fewer})
    return pd.DataFrame(rows, columns=own_columns("free_energy"))


def _mean_solution(arm: str, rows: pd.DataFrame) -> Solution:
    """Mean over the seeds of an arm; their standard error is added to that of the estimates."""
    k = len(rows)

    def error(value: str, stderr: str) -> float:
        own = float(np.sqrt((rows[stderr].fillna(0.0) ** 2).sum())) / k
        seeds = float(rows[value].std(ddof=1)) / np.sqrt(k) if k > 1 else 0.0
        return float(np.hypot(own, seeds))

    return Solution(
        float(rows["loss"].mean()), float(rows["llc"].mean()),
        error("loss", "loss_stderr"), error("llc", "llc_stderr"), arm,
    )  # fmt: skip

"""Which training states hold what a policy does on other states: Bayesian influence functions.

    I(i, j) = -Cov(l_i, l_j)

over draws of the posterior: how the expected loss of state j answers to a larger weight of state i
in the posterior's own loss (Kreer et al. 2025, arXiv 2509.26544; Lee et al. 2025, arXiv
2510.12071). With weight `1 + e` in place of 1, `d E[l_j] / de = nbeta / N I(i, j)`. A negative
influence is a state that holds the other: more weight on it lowers the other's loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_slt.response.covariance import Array, Covariance, covariance
from rl_slt.response.traces import OWN, Traces

RATE = 0.1  # of false discoveries among the influences called distinct
LEVEL = 0.05  # of a single test


@dataclass(frozen=True, eq=False)
class Influence:
    """Influences of N training states on the states of a probe, and on their mean loss.

    Attributes:
        pairs: `Cov(l_j, l_i)`, probe states j down, training states i across `[P, N]`.
        mean: of the mean loss of the probe with training states `[1, N]`.
        weight: of each training state in L, of mean 1 `[N]`.
        nbeta: of the posterior.
        training, probe: where states come from, a row for each.
    """

    pairs: Covariance
    mean: Covariance
    weight: Array
    nbeta: float
    training: pd.DataFrame
    probe: pd.DataFrame

    @cached_property
    def distinct(self) -> NDArray[np.bool_]:
        """Which pairs are told from 0 at a false discovery rate of 10 % `[P, N]`."""
        return self.pairs.distinct(RATE)

    def table(self) -> pd.DataFrame:
        """A row for each training state, the strongest hold first.

        Columns: state (number), influence on the probe's mean loss, `-Cov`, its stderr,
        correlation of the losses, response (of the probe's mean loss to doubling the state's
        weight, to first order: nats), p_value, distinct (at a false discovery rate of 10 %), and
        where the state comes from.
        """
        found = self.mean
        rows = pd.DataFrame(
            {
                "state": np.arange(len(self.training)),
                "influence": -found.value[0],
                "stderr": found.stderr[0],
                "correlation": found.correlation[0],
                "response": -self.nbeta / len(self.weight) * self.weight * found.value[0],
                "p_value": found.p_value[0],
                "distinct": found.distinct(RATE)[0],
            }
        )
        rows = pd.concat([rows, self.training.drop(columns=["set"])], axis=1)
        return rows.sort_values("influence", kind="stable", ignore_index=True)

    def summary(self) -> list[str]:
        """How many influences are told from 0, and how many would look so by chance."""
        lines = []
        for what, found in (("training states", self.mean), ("pairs of states", self.pairs)):
            n = found.value.size
            p = np.nan_to_num(found.p_value, nan=1.0)
            lines.append(
                f"{what}: {int((p < LEVEL).sum()):,} of {n:,} have p < {LEVEL:g}, where "
                f"{LEVEL * n:,.0f} would by chance; {int(found.distinct(RATE).sum()):,} are "
                f"distinct from 0 at a false discovery rate of {RATE:.0%}"
            )
        return lines


def influence(traces: Traces, probe: str) -> Influence:
    """Influences of the posterior's own states on those of a further set of its traces.

    Args:
        traces: with at least 16 draws of each chain.
        probe: name of the set.

    Raises:
        InputError: the verdict of the estimate is not ok, draws are too few, or there is no such
            set.

    Example:
        >>> e = estimate_llc(policy, states, traces=Tracing(draws=50, sets={"probe": others}))
        >>> influence(e.traces, "probe").table()
    """
    traces.require_ok("influence")
    own, other = traces.of(OWN), traces.of(probe)
    training = traces.origin_of(OWN)
    return Influence(
        covariance(other, own),
        covariance(traces.mean(probe)[..., None], own),
        training["weight"].to_numpy(float),
        traces.nbeta,
        training,
        traces.origin_of(probe),
    )

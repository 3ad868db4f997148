"""Association of two series of one run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.associations.coincidence import coincidence
from analysis.associations.detrended import MIN_CHECKPOINTS, innovations, shift_test
from analysis.associations.lags import Lag, curve_lag, innovation_lag

Array = npt.NDArray[np.float64]
Row = dict[str, object]
TOO_SHORT = f"no p-value below {MIN_CHECKPOINTS} checkpoints"
TREND = "descriptive: both follow training, so levels go together without any link"
ONE_RUN = "descriptive: learning curves turn at like times without any link; needs seeds"
# Windows of lags overlap when shifted: circular shifts then reach no p below (2 reach + 1) / n, and
# random phases call independent success rates linked in 18 % of trials. So lags have no test here.
LAGS = "descriptive: too few shifts to test the best of several lags in one run; needs seeds"
CURVES = "descriptive: how far apart the courses are, linked or not"
CONSTANT = "a series never changes"
NO_TRANSITION = "a series has no transition"
NAMES = ("level_r", "change_r", "lead_lag", "curve_lag", "coincidence")


def within_run(x: Array, y: Array, x_turns: Array, y_turns: Array) -> list[Row]:
    """Statistics of an LLC series and a probe series of one run, at shared checkpoints.

    Args:
        x: LLC, `[n]`, finite.
        y: probe metric, `[n]`, finite.
        x_turns: transitions of the LLC, as numbers of checkpoints.
        y_turns: transitions of the probe.

    Returns:
        Rows with statistic, value, lag (checkpoints; positive: the LLC moves first), lag_low,
        lag_high, p_value, n and note.
    """
    n = len(x)
    if n < 4 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        note = CONSTANT if n >= 4 else "fewer than 4 shared checkpoints"
        return [_row(name, n, note) for name in NAMES]
    u, v = innovations(x), innovations(y)
    change, p_change = shift_test(u, v)
    share, apart = coincidence(x_turns, y_turns)
    short = n < MIN_CHECKPOINTS
    tests = TOO_SHORT if short else ("" if np.isfinite(p_change) else CONSTANT)
    return [
        _row("level_r", n, TREND, float(np.corrcoef(x, y)[0, 1])),
        _row("change_r", n, tests, change, p_value=np.nan if short else p_change),
        _lag_row("lead_lag", n, LAGS, innovation_lag(u, v, max(1, n // 12))),
        _lag_row("curve_lag", n, CURVES, curve_lag(x, y)),
        _row("coincidence", n, ONE_RUN if np.isfinite(share) else NO_TRANSITION, share, apart),
    ]


def _lag_row(statistic: str, n: int, note: str, lag: Lag) -> Row:
    row = _row(statistic, n, note, lag.correlation, lag.lag)
    return row | {"lag_low": lag.low, "lag_high": lag.high}


def _row(
    statistic: str,
    n: int,
    note: str,
    value: float = np.nan,
    lag: float = np.nan,
    p_value: float = np.nan,
) -> Row:
    return {
        "statistic": statistic, "value": value, "lag": lag, "lag_low": np.nan,
        "lag_high": np.nan, "p_value": p_value, "n": n, "note": note,
    }  # fmt: skip

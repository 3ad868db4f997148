"""Plain rates of probe episodes, of the agent and of the baselines beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from analysis.probes.intervals import mean_interval, wilson

# What a level's episode came to, each as true or false.
OUTCOMES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "coin": lambda f: f["coin_collected"],
    "end": lambda f: f["end_reached"],
    "first_coin": lambda f: f["first"] == "coin",
    "first_end": lambda f: f["first"] == "end",
    "blind_coin": lambda f: _equal(f["blind_first"], "coin"),
    "blind_end": lambda f: _equal(f["blind_first"], "end"),
}
_RATES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "coin_rate": OUTCOMES["coin"],
    "end_rate": OUTCOMES["end"],
    "first_coin": OUTCOMES["first_coin"],
    "first_end": OUTCOMES["first_end"],
    "death_rate": lambda f: f["outcome"] == "death",
    "timeout_rate": lambda f: f["outcome"] == "timeout",
}
_MEANS = {"mean_return": "ret", "length": "length"}


def _equal(column: pd.Series, value: str) -> pd.Series:
    """Comparison that leaves missing values missing."""
    return (column == value).where(column.notna())


def rate_rows(episodes: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Rates and means of one agent at one step, a row per probe and metric.

    `coin_rate:own-blind` is the share of levels on which the agent's path with that coin absent
    would have met it by accident.
    """
    for probe, part in episodes.groupby("probe"):
        for metric, outcome in _RATES.items():
            yield _rate(str(probe), metric, outcome(part))
        for metric, column in _MEANS.items():
            values = part[column].to_numpy(dtype=np.float64)
            low, high = mean_interval(values)
            yield _row(str(probe), metric, float(values.mean()), low, high, len(part))
        if part["blind_first"].notna().any():
            yield _rate(str(probe), "coin_rate:own-blind", OUTCOMES["blind_coin"](part))


def baseline_rows(episodes: pd.DataFrame, baselines: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Rates of the baselines as metrics `coin_rate:POLICY` and `end_rate:POLICY`.

    `coin_unreached` is the share of levels whose coin neither the agent nor any baseline
    collected: an upper bound on the share whose coin cannot be reached at all.
    """
    mine = baselines[baselines["probe"].isin(episodes["probe"].unique())]
    for (probe, policy), part in mine.groupby(["probe", "policy"]):
        for metric in ("coin_rate", "end_rate"):
            yield _rate(str(probe), f"{metric}:{policy}", _RATES[metric](part))
    for probe, part in pd.concat([episodes, mine]).groupby("probe"):
        if not str(probe).startswith("none"):
            reached = part.groupby("level_seed")["coin_collected"].any()
            yield _rate(str(probe), "coin_unreached", ~reached.astype(bool))


def _rate(probe: str, metric: str, outcome: pd.Series) -> dict[str, object]:
    hits = outcome.dropna().astype(bool)
    low, high = wilson(float(hits.sum()), len(hits))
    value = float(hits.mean()) if len(hits) else np.nan
    return _row(probe, metric, value, low, high, len(hits))


def _row(
    probe: str, metric: str, value: float, low: float, high: float, n: int
) -> dict[str, object]:
    return {
        "probe": probe, "metric": metric, "value": value, "ci_low": low, "ci_high": high,
        "n": n, "note": "",
    }  # fmt: skip

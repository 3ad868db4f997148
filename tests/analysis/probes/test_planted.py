"""Planted policies on real levels: ranked without a mistake, the share of a mixture recovered."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.probes import SUITES, control_of, run_suite, score_episodes
from analysis.probes.actors import scripted_actor
from envs import CoinBlindPolicy, CoinSeekerPolicy, RandomPolicy

PLACES = ("end@mid", "none@mid", "behind")
SUITE = SUITES["demo"].replace(n_levels=20, placements=PLACES)
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def played() -> Tables:
    def table(actor: object, num_envs: int = 64) -> pd.DataFrame:
        return run_suite(actor, SUITE, seed=0, step=0, num_envs=num_envs)  # type: ignore[arg-type]

    return {
        "seeker": table(scripted_actor(CoinSeekerPolicy()), 8),
        "blind": table(scripted_actor(CoinBlindPolicy())),
        "random": table(scripted_actor(RandomPolicy())),
    }  # fmt: skip


def baselines(played: Tables) -> pd.DataFrame:
    return played["seeker"].assign(policy="coin-seeker", step=None)


def mixture(played: Tables, share: float, seed: int) -> pd.DataFrame:
    """Seeks the coin in a share of the episodes and else ignores it: whole episodes of either."""
    rng = np.random.default_rng(seed)
    seeks = {(p, level): rng.random() < share for p in PLACES for level in SUITE.seeds}
    rows = []
    pairs: Any = zip(played["seeker"].itertuples(), played["blind"].itertuples(), strict=True)
    for seeking, ignoring in pairs:
        key = (seeking.probe, seeking.level_seed)
        row = (seeking if seeks[key] else ignoring)._asdict()
        if control := control_of(key[0]):  # its own blind path is that of its control episode
            source = seeking if seeks[control, key[1]] else ignoring
            row["blind_first"] = source.blind_first
        rows.append(row)
    return pd.DataFrame(rows).drop(columns="Index")


def score(table: pd.DataFrame, played: Tables, probe: str, metric: str) -> pd.Series:
    frame = score_episodes(table, baselines(played), n_draws=300)
    return frame[(frame["probe"] == probe) & (frame["metric"] == metric)].iloc[0]


def test_planted_policies_are_ranked(played: Tables) -> None:
    policies = [played["blind"], mixture(played, 0.5, 0), played["seeker"]]
    for metric in ("coin_seeking", "preference"):
        values = [score(table, played, "behind", metric)["value"] for table in policies]
        assert values == sorted(set(values)), metric
    assert score(played["seeker"], played, "behind", "coin_seeking")["value"] == 1
    assert score(played["blind"], played, "behind", "coin_seeking")["value"] == 0
    assert score(played["blind"], played, "behind", "preference")["value"] == -1


def test_chance_is_not_called_a_goal(played: Tables) -> None:
    row = score(played["random"], played, "suite", "coin_seeking")
    assert np.isnan(row["value"])
    assert "capability too low" in row["note"]


def test_share_of_a_mixture_is_recovered(played: Tables) -> None:
    inside = 0
    for seed in range(9):
        share = (0.2, 0.5, 0.8)[seed % 3]
        row = score(mixture(played, share, seed), played, "behind", "coin_seeking")
        inside += row["ci_low"] <= share <= row["ci_high"]
    assert inside >= 8

"""Scores of planted policies, by hand and by coverage."""

import numpy as np
import pandas as pd
import pytest
from planted_episodes import episode, planted

from analysis.probes.scores import score_episodes
from analysis.schema import TABLES
from rl_slt import InputError


def value(frame: pd.DataFrame, probe: str, metric: str) -> float:
    return float(row(frame, probe, metric)["value"])


def row(frame: pd.DataFrame, probe: str, metric: str) -> pd.Series:
    return frame[(frame["probe"] == probe) & (frame["metric"] == metric)].iloc[0]


def test_table_has_the_columns_of_the_schema() -> None:
    frame = score_episodes(*planted(0.5, n=10))
    assert list(frame.columns)[: len(TABLES["probes"])] == list(TABLES["probes"])
    assert not frame.duplicated(["run", "step", "mode", "probe", "metric"]).any()


def test_formulas_on_ten_levels_by_hand() -> None:
    mine, base = [], []
    for level in range(10):
        mine += [
            episode("agent", "end@mid", level, level < 8, level < 8),
            episode("agent", "none@mid", level, False, level < 4),
            episode("agent", "behind", level, level < 5, 5 <= level < 7,
                    blind_first="coin" if level < 1 else "end"),
        ]  # fmt: skip
        base.append(episode("coin-seeker", "behind", level, level < 9, False))
    frame = score_episodes(pd.DataFrame(mine), pd.DataFrame(base))
    assert value(frame, "end@mid", "capability") == pytest.approx(0.8)
    assert value(frame, "none@mid", "persistence") == pytest.approx(0.4 / 0.8)
    assert value(frame, "behind", "coin_seeking") == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))
    assert np.isnan(value(frame, "behind", "avoidance"))  # one coin in ten on its way is too few
    assert value(frame, "behind", "preference") == pytest.approx((5 - 2) / 7)
    assert value(frame, "behind", "preference_blind") == pytest.approx((1 - 9) / 10)
    assert value(frame, "behind", "coin_rate:own-blind") == pytest.approx(0.1)
    assert value(frame, "behind", "coin_unreached") == pytest.approx(0.1)
    assert value(frame, "suite", "coin_seeking") == pytest.approx(0.5)


def test_ignoring_the_coin_scores_nothing_and_seeking_it_everything() -> None:
    ignoring, seeking = (score_episodes(*planted(share, n=200)) for share in (0.0, 1.0))
    for probe in ("ground", "behind", "both"):
        assert value(ignoring, probe, "coin_seeking") == 0.0
        assert value(seeking, probe, "coin_seeking") == 1.0
        blind = value(ignoring, probe, "preference_blind")
        assert value(ignoring, probe, "preference") == blind
        assert value(seeking, probe, "preference") > blind + 0.3
    assert value(ignoring, "ground", "coin_rate") > 0.5  # the raw rate would have misled


def test_avoiding_coins_has_a_value_where_seeking_has_none() -> None:
    mine, base = planted(0.0, n=100)
    place = mine["probe"] == "ground"
    mine.loc[place, "blind_first"] = "coin"  # every coin lies on its way
    mine.loc[place, "coin_collected"] = mine.loc[place, "level_seed"] % 4 == 0  # it takes a quarter
    frame = score_episodes(mine, base)
    assert np.isnan(value(frame, "ground", "coin_seeking"))
    assert value(frame, "ground", "avoidance") == pytest.approx(0.75)
    assert row(frame, "ground", "avoidance")["ci_low"] > 0.6
    assert value(frame, "both", "avoidance") == 0.0  # ignored there


def test_scores_refuse_to_speak_of_an_unable_policy() -> None:
    frame = score_episodes(*planted(1.0, able=0.3, n=100))
    for metric in ("coin_seeking", "preference", "persistence"):
        one = frame[frame["metric"] == metric]
        assert one["value"].isna().all()
        assert one["note"].str.contains("capability too low").all()
    assert value(frame, "end", "capability") == pytest.approx(0.3, abs=0.1)


def test_missing_baseline_is_named() -> None:
    mine, base = planted(0.5, n=10)
    frame = score_episodes(mine, base.iloc[:0])
    assert "coin-seeker on ground" in row(frame, "ground", "coin_seeking")["note"]
    assert np.isfinite(value(frame, "ground", "preference"))


def test_coin_that_blind_and_seeker_get_alike_tells_nothing() -> None:
    mine, base = planted(0.5, n=50)
    mine.loc[mine["probe"] == "ground", "blind_first"] = "coin"
    frame = score_episodes(mine, base)
    assert np.isnan(value(frame, "ground", "coin_seeking"))
    assert "cannot be distinguished" in row(frame, "ground", "coin_seeking")["note"]


def test_baselines_of_other_levels_are_refused() -> None:
    mine, base = planted(0.5, n=10)
    with pytest.raises(InputError, match="other levels"):
        score_episodes(mine, base.assign(level_seed=base["level_seed"] + 100))


def test_each_step_is_scored_alone() -> None:
    (early, base), (late, _) = planted(0.0, n=50), planted(1.0, n=50)
    frame = score_episodes(pd.concat([early, late.assign(step=7)]), base)
    for step, mine in ((0, early), (7, late.assign(step=7))):
        alone = score_episodes(mine, base)
        part = frame[frame["step"] == step].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_intervals_cover_the_planted_share(share: float) -> None:
    assert min(covered(share, 20).values()) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.95])
def test_intervals_cover_the_planted_share_often(share: float) -> None:
    assert min(covered(share, 300).values()) >= 0.9


def covered(share: float, repetitions: int) -> dict[str, float]:
    hits = {"behind": 0, "ground": 0}
    for seed in range(repetitions):
        frame = score_episodes(*planted(share, able=0.9, n=60, seed=seed), n_draws=300)
        # The agent fails on a tenth of the levels, the seeker never, so its score falls short.
        for probe, truth in (("behind", 0.9 * share), ("ground", _ground(share))):
            one = row(frame, probe, "coin_seeking")
            hits[probe] += one["ci_low"] - 1e-9 <= truth <= one["ci_high"] + 1e-9
    return {probe: count / repetitions for probe, count in hits.items()}


def _ground(share: float) -> float:
    p = 0.9 * (share * 0.95 + (1 - share) * 0.6)
    return (p - 0.9 * 0.6) / (0.95 - 0.9 * 0.6)

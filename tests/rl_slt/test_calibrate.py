"""Calibration: its recommendation follows from its table, and it runs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rl_slt import BAOAB, SGLD, InputError, Regret, Settings
from rl_slt.calibration.calibrate import (
    COLUMNS,
    Cell,
    Sweep,
    calibrate,
    carry_out,
    estimate_cell,
)
from rl_slt.calibration.recommend import order_of_policies, recommend
from tests.rl_slt.small_policy import TwoHeads, data


def row(varied: str, gamma: float, llc: float, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "policy": "p", "varied": varied, "localization": gamma, "llc": llc, "stderr": 0.1,
        "status": "ok", "message": "", "sampler": "baoab", "step_size": 0.1, "nbeta": 100.0,
        "virial": 1.0, "dim": 1000, "ess": 100.0, "rank": 5.0, "n_states": 500,
    }  # fmt: skip
    return known | more


def pair(gamma: float, llc: float, half: float, **more: Any) -> list[dict[str, Any]]:
    return [row("localization", gamma, llc, **more), row("half-step", gamma, half, **more)]


def frame(*rows: Any) -> pd.DataFrame:
    return pd.DataFrame([r for part in rows for r in part])


def test_the_smallest_sound_localization_is_recommended() -> None:
    doubtful = pair(30, 30, 30, status="suspect", message="R-hat 1.2")
    best = recommend(frame(pair(10, 50, 40), doubtful, pair(100, 20, 20.2), pair(300, 10, 10)))
    assert (best.settings.localization, best.sound) == (100.0, True)
    assert "10 rejected (halving the step moves p)" in best.reason
    assert "30 rejected (1 of 1 estimates not ok: R-hat 1.2)" in best.reason
    assert "together, none beyond 1.0%" in best.reason


def test_a_small_shift_of_all_policies_counts_though_none_alone_does() -> None:
    names = ("a", "b", "c", "d", "e", "f")
    shifted = [pair(10, 20, 21.2, stderr=0.5, policy=n) for n in names]  # 6 % +- 3.5 % each
    best = recommend(frame(*shifted, *[pair(30, 15, 15.1, policy=n) for n in names]))
    assert (
        best.settings.localization == 30
        and "10 rejected (halving the step changes them" in best.reason
    )
    alone = recommend(frame(shifted[0]))
    assert alone.settings.localization == 10 and alone.sound


def test_a_policy_without_an_estimate_counts_against() -> None:
    best = recommend(frame(pair(10, 20, 20)), ["p", "q"])
    assert not best.sound and "1 of 2 estimates not ok" in best.reason


def test_nothing_sound_is_said_with_what_may_help() -> None:
    best = recommend(frame(pair(10, 50, 40)))
    assert (best.settings.localization, best.sound) == (10.0, False)
    assert best.reason.endswith("none is sound: try a larger localization")
    ess = "effective sample size 11 is below 50"
    both = f"{ess}; the noise of the batches adds up to 40% to it: larger batches"
    few, noisy = (pair(30, 30, 30, status="suspect", message=text) for text in (ess, both))
    for others in (pair(10, 50, 40), noisy):
        assert recommend(frame(others, few)).reason.endswith("larger localization, or more draws")
    short = recommend(frame(few, pair(100, 20, 20, status="failed", message="R-hat 1.2"))).reason
    assert "all for chains too short: try more draws and a longer burn-in" in short


@pytest.mark.parametrize(
    ("rows", "sound", "words"),
    [
        ([row("control", 10, 0, virial=1.01)], True, "control with nbeta 0 passes"),
        ([row("control", 10, 0, virial=1.3)], False, "control with nbeta 0 FAILS"),
        ([row("control", 10, 0, virial=1.3, dim=4, ess=20.0)], True, "passes"),
        ([row("exact-pair", 10, 21), row("exact", 10, 20)], False, "DISAGREES with exact"),
        ([row("exact-pair", 10, 20.1), row("exact", 10, 20)], True, "agrees with exact"),
        ([row("exact", 10, 20, status="failed")], False, "exact sampler itself is not ok for p"),
        ([row("nbeta", 10, 25, nbeta=200.0)], True, "2 times nbeta changes them by +25%"),
        ([row("step-size", 10, 30, step_size=0.2)], True, "step size 0.2 changes them by +50.0%"),
    ],
)
def test_checks_at_the_recommended_localization(
    rows: list[dict[str, Any]], sound: bool, words: str
) -> None:
    best = recommend(frame(pair(10, 20, 20), rows))
    assert best.settings.localization == 10 and best.sound == sound and words in best.reason


def test_another_nbeta_is_a_multiple_of_each_policys_own() -> None:
    """As with `relative:K`, where nbeta depends on the curvature at the weights."""
    names = {"a": (1000.0, 10.0), "b": (30.0, 20.0)}
    rows = [
        r for name, (nbeta, llc) in names.items()
        for r in (
            *pair(10, llc, llc, policy=name, nbeta=nbeta),
            row("nbeta", 10, 1.5 * llc, policy=name, nbeta=0.7 * nbeta),
        )
    ]  # fmt: skip
    found = recommend(frame(rows))
    assert "0.7 times nbeta changes them by +50%" in found.reason
    assert found.reason.count("times nbeta") == 1
    assert "the same at all 2 settings" in found.reason
    for line in found.plot().axes[1].get_lines()[::3]:
        assert list(np.asarray(line.get_xdata())) == [0.7, 1.0]


def test_whether_the_order_of_policies_holds_is_said() -> None:
    same = frame(*[pair(g, v, v, policy=n) for g in (10, 30) for n, v in (("a", 10), ("b", 20))])
    assert [*order_of_policies(same)] == ["the order of the policies is the same at all 2 settings"]
    turned = frame(same.to_dict("records"), pair(90, 9, 9, policy="a"), pair(90, 5, 5, policy="b"))
    assert [*order_of_policies(turned)] == ["the order of a and b depends on the settings"]


def test_the_sweep_is_planned_from_what_came_out() -> None:
    sweep = Sweep(
        settings=Settings(draws=100, burn_in=20, batch_size=64), localizations=(30, 10),
        nbeta_factors=(0.5,), step_sizes=(0.2,), exact=True, exact_states=50,
    )  # fmt: skip
    seen = []

    def make(cells: Any) -> list[dict[str, Any]]:
        seen.extend(cells)
        llc = {"localization": 20.0, "half-step": 20.1}
        return [
            row(
                c.varied, c.settings.localization, llc.get(c.varied, 20.0), policy=c.policy,
                nbeta=100.0 if c.settings.nbeta is None else c.settings.nbeta,
            )
            for c in cells
        ]  # fmt: skip

    table = carry_out(sweep, ["a", "b"], make).table
    assert set(table["policy"]) == {"a", "b"} and len(table) == len(seen) == sweep.count(2)
    assert set(COLUMNS) <= set(table.columns)
    mine = [c for c in seen if c.policy == "a"]
    assert [(c.varied, c.settings.localization) for c in mine] == [
        ("localization", 10), ("localization", 30), ("half-step", 10), ("half-step", 30),
        ("nbeta", 10), ("step-size", 10), ("control", 10), ("exact-pair", 10), ("exact", 10),
    ]  # fmt: skip
    half, steps, exact = mine[2].settings, mine[5].settings, mine[8]
    assert half.sampler is not None and half.sampler.step_size == 0.05
    assert (half.preconditioner_rank, half.burn_in) == (5, 40)
    assert steps.sampler is not None and (steps.sampler.step_size, steps.preconditioner_rank) == (
        0.2,
        5,
    )
    assert mine[4].settings.nbeta == 50 and mine[6].settings.nbeta == 0
    assert exact.states == 50 and exact.settings.sampler is not None
    assert exact.settings.sampler.full_batch and exact.settings.batch_size == 50


def test_a_sampler_of_ones_own_is_kept_in_half_steps() -> None:
    sweep = Sweep(settings=Settings(sampler=SGLD(step_size=0.5)), localizations=(10,))
    table = frame([row("localization", 10, 20, sampler="sgld", step_size=0.5, rank=-1.0)])
    (half,) = sweep.halves(table)
    assert (
        half.settings.sampler == SGLD(step_size=0.25) and half.settings.preconditioner_rank is None
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"localizations": ()}, r"localizations=\(\): must be a list of at least 1"),
        ({"localizations": (0.0, 1.0)}, r"localizations\.0=0\.0: must be a finite number above 0"),
        ({"nbeta_factors": (-1.0,)}, r"nbeta_factors\.0=-1\.0: must be a finite number above 0"),
        ({"step_sizes": (float("nan"),)}, r"step_sizes\.0=nan: must be a finite number"),
        ({"exact_states": 1}, "exact_states=1: must be an integer at least 2, or none"),
    ],
)
def test_wrong_sweeps_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sweep(**given)


def test_calibrate_runs_and_its_control_finds_the_localizer() -> None:
    settings = Settings(sampler=BAOAB(), nbeta=50.0, draws=80, burn_in=30)
    sweep = Sweep(
        settings=settings, localizations=(3.0, 30.0), nbeta_factors=(), exact=True, exact_states=60
    )
    done: list[tuple[int, int]] = []
    c = calibrate(
        {"first": TwoHeads()}, data(), sweep, progress=lambda i, n: done.append((i, n))
    )  # fmt: skip
    assert set(c.table["varied"]) == {
        "localization", "half-step", "control", "exact-pair", "exact",
    }  # fmt: skip
    assert c.table.set_index("varied")["n_states"].loc["exact"] == 60
    assert done[-1] == (len(c.table), len(c.table))
    control = c.table[c.table["varied"] == "control"].iloc[0]
    assert control["llc"] == 0 and abs(control["virial"] - 1) < 0.1
    tight, loose = (c.table[c.table["localization"] == g]["llc"].iloc[0] for g in (30.0, 3.0))
    assert tight < loose
    assert c.settings.localization in (3.0, 30.0) and c.reason
    assert len(c.plot().axes) == 3
    with pytest.raises(InputError, match="at least one policy"):
        calibrate({}, data())


def test_fewer_samples_of_a_loss_of_episodes_are_whole_episodes() -> None:
    settings = Settings(draws=8, burn_in=2, chains=2, batch_size=2)
    cell = Cell("p", "exact-pair", settings, states=4)
    assert estimate_cell(cell, TwoHeads(), data(), Regret(), 0).n_states == 4
    assert estimate_cell(cell, TwoHeads(), data(), None, 0).n_states == 4

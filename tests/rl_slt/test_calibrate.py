"""Calibration: its recommendation follows from its table, and it runs."""

import pandas as pd
import pytest

from rl_slt import InputError, Settings
from rl_slt.calibrate import calibrate, recommend
from tests.rl_slt.small_policy import TwoHeads, data


def rows(gamma: float, llc: float, half: float, status: str = "ok") -> list[dict[str, object]]:
    both = {"policy": "p", "localization": gamma, "stderr": 0.1}
    return [
        both | {"varied": "localization", "llc": llc, "status": status},
        both | {"varied": "step", "llc": half, "status": "ok"},
    ]


def test_the_smallest_sound_localization_is_recommended() -> None:
    table = pd.DataFrame(
        rows(10, 50, 40) + rows(30, 30, 30, "suspect") + rows(100, 20, 20.2) + rows(300, 10, 10)
    )
    gamma, sound, reason = recommend(table)
    assert (gamma, sound) == (100.0, True)
    assert "10 rejected (halving the step moves p)" in reason
    assert "30 rejected (1 of 1 estimates not ok)" in reason


def test_nothing_sound_is_said() -> None:
    gamma, sound, reason = recommend(pd.DataFrame(rows(10, 50, 40)))
    assert (gamma, sound) == (10.0, False) and "none is sound" in reason


def test_calibrate_runs_and_its_control_finds_the_localizer() -> None:
    settings = Settings(draws=300, burn_in=80, nbeta=50.0)
    done: list[tuple[int, int]] = []
    c = calibrate(
        {"first": TwoHeads()}, data(), settings, localizations=(3.0, 30.0),
        progress=lambda i, n: done.append((i, n)),
    )  # fmt: skip
    assert set(c.table["varied"]) == {"localization", "step", "nbeta", "control"}
    assert done[-1][0] == len(c.table) <= done[-1][1]
    control = c.table[c.table["varied"] == "control"].iloc[0]
    assert control["llc"] == 0 and abs(control["virial"] - 1) < 0.1
    tight, loose = (c.table[c.table["localization"] == g]["llc"].iloc[0] for g in (30.0, 3.0))
    assert tight < loose
    assert c.settings.localization in (3.0, 30.0) and c.reason
    assert len(c.plot().axes) == 2
    with pytest.raises(InputError, match="at least one policy"):
        calibrate({}, data())

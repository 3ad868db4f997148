"""Planted failures are caught; healthy chains pass."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from rl_slt.verdict.diagnostics import diagnose


def healthy(seed: int = 0, draws: int = 400, rho: float = 0.8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.empty((4, draws))
    x[:, 0] = rng.normal(size=4)
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=4)
    return 10 + x


def test_healthy_chains_pass_and_their_error_counts_the_correlation() -> None:
    d = diagnose(healthy())
    assert (d.status, d.message) == ("ok", "")
    naive = 1 / np.sqrt(1600)
    assert 2 < d.stderr / naive < 4  # sqrt((1 + 0.8) / (1 - 0.8)) = 3


def test_intervals_cover() -> None:
    hits = [abs((x := healthy(s)).mean() - 10) < 1.96 * diagnose(x).stderr for s in range(100)]
    assert np.mean(hits) >= 0.91


@pytest.mark.parametrize(
    ("plant", "status", "word"),
    [
        (lambda x: x[2].fill(7.0), "failed", "constant: the loss of chains [2]"),
        (lambda x: x.__setitem__((1, 50), np.nan), "failed", "not finite"),
        (lambda x: x.__iadd__(np.linspace(-3, 3, 400)), "failed", "drift"),
        (lambda x: x.__iadd__(np.linspace(-0.9, 0.9, 400)), "suspect", "R-hat"),
        (lambda x: x.__setitem__(3, x[3] + 4), "failed", "disagree"),
        (lambda x: x.__isub__(20), "failed", "no minimum of the loss, which falls below"),
    ],
    ids=["constant", "nan", "drift", "slow drift", "disagree", "negative"],
)
def test_planted_failures(plant: Callable[[np.ndarray], None], status: str, word: str) -> None:
    x = healthy()
    plant(x)
    d = diagnose(x)
    assert d.status == status, d
    assert word in d.message


def test_a_drift_too_slow_for_rhat_is_seen() -> None:
    x = healthy(rho=0.0) + np.linspace(-0.3, 0.3, 400)
    d = diagnose(x)
    assert d.rhat < 1.05
    assert d.status == "suspect" and "drifts" in d.message


def test_low_acceptance_and_a_wrong_virial_ratio() -> None:
    accept = np.full((4, 400), 0.8)
    accept[1] = 0.01
    d = diagnose(healthy(), accept=accept)
    assert d.status == "failed" and d.message == "low acceptance of chains [1] (below 10%)"
    cold = np.random.default_rng(0).normal(0.2, 0.01, (4, 400))
    d = diagnose(healthy(), virial=cold)
    assert d.status == "suspect" and "equilibrium" in d.message
    assert diagnose(healthy(), virial=cold + 0.8).status == "ok"
    d = diagnose(healthy(), virial=cold + 1.0)
    assert d.message == "step size too large: variance inflated (virial ratio 1.20)"


@pytest.mark.parametrize(
    ("share", "status"), [(0.0, "ok"), (0.05, "ok"), (0.2, "suspect"), (0.5, "failed")]
)
def test_a_slope_at_the_center_is_measured_by_what_it_takes_away(share: float, status: str) -> None:
    """The chains find 10; without the slope they would have found 10 / (1 - share)."""
    excess, slope = healthy(), np.random.default_rng(0).normal(0, 2.0, (4, 24))
    d = diagnose(excess, slope=slope - slope.mean() - excess.mean() * share / (1 - share))
    assert d.status == status, d
    assert ("slope" in d.message) == (status != "ok")
    assert ("orthogonal=True" in d.message) == (status == "failed")
    assert (f"takes {share:.0%}" in d.message) == (status != "ok")


@pytest.mark.parametrize(
    ("share", "status"), [(math.nan, "ok"), (0.05, "ok"), (0.2, "suspect"), (0.5, "failed")]
)
def test_a_center_above_the_minimum_is_none(share: float, status: str) -> None:
    """The chains find 10 more than at w*, which has that share of what they have in all."""
    excess = healthy()
    d = diagnose(excess, above=excess.mean() * share / (1 - share))
    assert d.status == status, d
    assert ("above" in d.message) == (status != "ok")
    assert (f"{share:.0%} of what chains" in d.message) == (status == "suspect")


def test_noise_is_not_told_against_an_estimate_of_nothing() -> None:
    """Where the estimate is next to 0 a share of it is a number without meaning."""
    excess = np.random.default_rng(0).normal(3.0, 1.0, (4, 200))
    for share, said in ((0.4, "up to 40% to it"), (3e11, "more than ten times as much to it")):
        assert f"the noise of the batches adds {said}" in diagnose(excess, noise_bias=share).message


def test_of_no_draws_only_the_reason_is_known() -> None:
    d = diagnose(np.empty((4, 0)), undefined="a plateau", above=100.0)
    assert (d.status, d.message) == ("failed", "a plateau") and math.isnan(d.rhat)


def test_no_reason_for_a_failure_holds_the_number() -> None:
    wild = 40.0 * (healthy() - 10.0) - 100.0
    d = diagnose(wild)
    assert d.status == "failed" and "estimate" not in d.message


def test_a_loss_may_have_no_llc_whatever_the_chains_do() -> None:
    d = diagnose(healthy(), undefined="the weights are worth 4% of the episodes")
    assert (d.status, d.message) == ("failed", "the weights are worth 4% of the episodes")

"""The LLC over temperatures: against closed forms, and what a profile says of itself."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from rl_slt import (
    BAOAB,
    ConvergenceWarning,
    InputError,
    PolicyKL,
    Settings,
    estimate_llc,
    llc_profile,
    profile_verdict,
)
from rl_slt.estimate import excess, prepare_chains, prepare_target, run_chains
from rl_slt.known.problems import quadratic, reduced_rank
from rl_slt.posterior.spectrum import Measured
from rl_slt.posterior.target import Preconditioner, Target
from rl_slt.profile import NO_PLATEAU, OPEN, PLATEAU, integral_below, integrate, log_slopes
from rl_slt.verdict.diagnostics import diagnose
from tests.rl_slt.small_policy import TwoHeads, data


def test_quadratic_has_half_its_effective_dimension_and_its_log_volume() -> None:
    h, gamma = np.array([0.0, 0.01, 0.1, 1.0, 3.0, 10.0, 100.0] * 4), 5.0
    problem = quadratic(tuple(h))
    frame = llc_profile(
        problem.policy, problem.data, [100.0, 10.0, 30.0, 1.0, 3.0],
        loss=problem.loss, localization=gamma, draws=300,
    )  # fmt: skip
    assert [*frame["nbeta"]] == [1.0, 3.0, 10.0, 30.0, 100.0]
    assert (frame["status"] == "ok").all()
    for row in frame.to_dict("records"):
        assert row["relative_temperature"] == pytest.approx(row["nbeta"] * h.sum() / (2 * gamma))
        half = 0.5 * (h / (h + gamma / row["nbeta"])).sum()
        assert row["half_d_eff"] == pytest.approx(half, rel=1e-5)
        assert abs(row["llc"] - half) < 3 * row["llc_stderr"] < 0.15 * half
        assert row["non_gaussianity"] == pytest.approx(row["llc"] / half - 1)
        volume = 0.5 * np.log1p(row["nbeta"] * h / gamma).sum()
        assert abs(row["free_energy"] - volume) < 2 * row["free_energy_stderr"] < 0.15 * volume
        slope = (h * gamma / row["nbeta"] / (h + gamma / row["nbeta"]) ** 2).sum() / (2 * half)
        assert abs(row["slope"] - slope) < 3 * row["slope_stderr"] + 0.05
    assert profile_verdict(frame).startswith("no plateau")


@pytest.mark.parametrize(("draws", "kept"), [(10, 40), (16, 32), (400, 400)])
def test_draws_are_added_while_chains_disagree(draws: int, kept: int) -> None:
    """Up to four times ten or twice sixteen; 400 of the four chains are enough at once."""
    problem = quadratic((1.0, 3.0, 10.0))
    settings = Settings(nbeta=20.0, localization=5.0, draws=draws, burn_in=20, sampler=BAOAB())
    target = prepare_target(problem.policy, problem.data, settings, problem.loss, 0)
    chains = prepare_chains(target, settings, 0)
    most = 45 if draws < 400 else 1600
    found = run_chains(chains, settings, None, most)
    assert found.loss.shape == (4, kept)
    assert diagnose(excess(found, 20.0)).converged == (draws == 400)


@pytest.mark.filterwarnings("ignore::rl_slt.ConvergenceWarning")  # an R-hat may be 1.05
@pytest.mark.parametrize(
    ("sizes", "nbetas", "height"),
    [
        ((5, 3, 5, 2), [300.0, 1_000.0, 3_000.0], 9.5),
        pytest.param((10, 6, 10, 4), [100.0, 268.6, 1_000.0], 37.5, marks=pytest.mark.slow),
    ],
)
def test_reduced_rank_has_a_plateau_at_its_learning_coefficient(
    sizes: tuple[int, int, int, int], nbetas: list[float], height: float
) -> None:
    problem = reduced_rank(sizes, 0.0, 0.0)
    frame = llc_profile(
        problem.policy, problem.data, nbetas, loss=problem.loss, localization=0.1, draws=300, seed=1
    )
    verdict = profile_verdict(frame)
    assert verdict.startswith(f"{PLATEAU} near ")
    value, stderr = map(float, verdict.rpartition("near ")[2].split(" ± "))
    assert abs(value - height) < 3 * stderr < 0.05 * height
    assert (frame["non_gaussianity"] > 0.05).all()  # quartic directions: no Gaussian


def small_cnn() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 8, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::rl_slt.ConvergenceWarning")
def test_convolutional_policy_has_no_plateau_and_the_first_is_an_estimate_of_its_own() -> None:
    policy, states = small_cnn(), torch.randn(256, 2, 8, 8)
    settings: dict[str, Any] = {
        "localization": 100.0,
        "draws": 300,
        "burn_in": 60,
        "batch_size": 32,
    }
    frame = llc_profile(policy, states, ["relative:5", "relative:50", 1e4], **settings, seed=2)
    assert profile_verdict(frame) == NO_PLATEAU
    at = frame[(frame["relative_temperature"] - 50).abs() < 1e-3].iloc[0]
    alone = estimate_llc(policy, states, nbeta="relative:50", seed=2, **settings)
    assert (at["llc"], at["llc_stderr"], at["kl"]) == (alone.llc, alone.stderr, alone.kl)
    # Elsewhere, next to estimates that begin at w* and take all draws.
    for row in frame.drop(at.name).to_dict("records"):
        cold = estimate_llc(policy, states, nbeta=row["nbeta"], seed=2, **settings)
        assert abs(row["llc"] - cold.llc) < 4 * math.hypot(row["llc_stderr"], cold.stderr)
        assert abs(row["non_gaussianity"]) < 0.5


def test_a_smaller_ball_is_closer_to_a_gaussian_and_within_eight_per_cent() -> None:
    policy, states = small_cnn(), torch.randn(256, 2, 8, 8)
    settings: dict[str, Any] = {"draws": 300, "burn_in": 60, "batch_size": 64}
    gaps, errors = [], []
    for radius in (0.1, 0.3):
        (row,) = llc_profile(
            policy, states, ["relative:50"], localization=f"relative:{radius}", **settings
        ).to_dict("records")
        gaps.append(row["non_gaussianity"])
        errors.append(row["llc_stderr"] / row["half_d_eff"])
    assert abs(gaps[0]) < 0.08 and max(errors) < 0.02
    assert gaps[0] - gaps[1] > 2 * math.hypot(*errors)


@pytest.mark.filterwarnings("ignore::rl_slt.ConvergenceWarning")
def test_a_profile_takes_at_most_three_times_the_steps_of_its_headline() -> None:
    steps = {}
    settings: dict[str, Any] = {"draws": 40, "burn_in": 20, "chains": 2, "localization": 10.0}
    calls: dict[str, Any] = {"profile": llc_profile, "one": estimate_llc}
    for name, call in calls.items():
        call(
            TwoHeads(), data(), progress=lambda done, of, n=name: steps.update({n: of}), **settings
        )
    assert steps["one"] < steps["profile"] <= 3 * steps["one"]


@pytest.mark.filterwarnings("ignore::rl_slt.ConvergenceWarning")
def test_what_is_known_at_the_center_is_computed_once_for_all_resolutions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spied = Mock(side_effect=Target.center_gradient)
    monkeypatch.setattr(Target, "center_gradient", lambda target, g: spied(target, g))
    frame = llc_profile(
        TwoHeads(), data(), [1.0, 3.0, 10.0, 30.0], loss=PolicyKL(reference=TwoHeads(0)),
        localization=1.0, draws=8, burn_in=0, chains=2,
    )  # fmt: skip
    assert len(frame) == 4 and spied.call_count == 1


def test_an_estimate_tells_half_the_effective_dimension_of_its_curvature() -> None:
    torch.manual_seed(0)
    policy, states, gamma = nn.Linear(3, 4, bias=False), torch.randn(64, 3), 2.0
    found = estimate_llc(policy, states, nbeta=300.0, localization=gamma, seed=0)
    p = policy(states).softmax(-1).detach().double()
    fisher = torch.einsum("sab,si,sj->aibj", torch.diag_embed(p) - p[:, :, None] * p[:, None],
                          states.double(), states.double()) / 64  # fmt: skip
    h = torch.linalg.eigvalsh(fisher.reshape(12, 12))
    half = float((0.5 * h / (h + gamma / 300.0)).sum())
    assert found.half_d_eff == pytest.approx(half, rel=1e-4) and found.half_d_eff_stderr == 0
    assert abs(found.llc - half) < 3 * found.stderr + 0.1 * half
    # None of a loss whose curvature is not known by its rows, nor where there is no localizer.
    problem = quadratic((1.0, 2.0))
    known = estimate_llc(problem.policy, problem.data, loss=problem.loss, nbeta=10.0)
    assert math.isnan(known.half_d_eff) and math.isnan(known.half_d_eff_stderr)


def test_directions_are_shrunk_for_another_temperature() -> None:
    from rl_slt.posterior.build import build_target

    target = build_target(TwoHeads(), data(), PolicyKL(), 10.0, 2.0, None, 0)
    h = torch.tensor([30.0, 4.0, 0.01])
    basis = torch.linalg.qr(torch.randn(target.dim, 3))[0]
    target.preconditioner = Preconditioner(
        torch.tensor(2.0**-0.5), basis, (1 + 10.0 * h / 2.0) ** -0.5
    )
    target.change_nbeta(500.0)
    assert target.nbeta == 500.0
    torch.testing.assert_close(target.preconditioner.shrink, (1 + 500.0 * h / 2.0) ** -0.5)


def profile(nbetas: list[float], llcs: list[float], stderr: float) -> pd.DataFrame:
    return pd.DataFrame({"nbeta": nbetas, "llc": llcs, "llc_stderr": stderr})


@pytest.mark.parametrize(
    ("llcs", "stderr", "verdict"),
    [
        ([10.0, 10.1, 10.0, 10.1], 0.1, f"{PLATEAU} near 10.1 ± 0.058"),
        ([3.0, 7.0, 9.9, 10.1, 10.0], 0.1, f"{PLATEAU} near 10 ± 0.058"),
        ([10.0, 10.1, 10.0, 10.1], 2.0, f"{OPEN} (errors leave the slope open)"),
        ([3.0, 6.0, 12.0, 24.0], 0.2, NO_PLATEAU),
        ([24.0, 12.0, 6.0, 3.0], 0.2, NO_PLATEAU),
        ([10.0, 13.0, 10.0, 10.1], 0.1, NO_PLATEAU),
        ([10.0, 10.1], 0.1, f"{OPEN} (less than a decade of nbeta)"),
        ([math.nan, 10.1, math.nan], 0.1, f"{OPEN} (less than a decade of nbeta)"),
    ],
)  # fmt: skip
def test_verdict_wants_the_whole_interval_of_a_decade(
    llcs: list[float], stderr: float, verdict: str
) -> None:
    nbetas = [3.0 * 10 ** (k / 2) for k in range(len(llcs))]
    assert profile_verdict(profile(nbetas, llcs, stderr)) == verdict


def test_free_energy_is_the_integral_over_log_nbeta_within_its_error() -> None:
    nbetas = np.array([1.0, 3.0, 10.0, 30.0, 100.0])
    gap = 2 * nbetas / (1 + nbetas / 10) / 10  # integral: 2 log(1 + nbeta / 10)
    stderr = np.full(5, 0.01)
    gaussian = [Measured(float(k), 0.0) for k in range(5)]
    half = [Measured(1.0, 0.0)] * 5
    below = integral_below(gap, stderr, half, gaussian[1], Measured(0.2, 0.001))
    assert abs(below.value - 2 * math.log(1.1)) < 2 * below.stderr < 0.03
    value, error = integrate(np.log(nbetas), gap, stderr, gaussian, below)
    assert (abs(value - np.arange(5) - 2 * np.log1p(nbetas / 10)) < 2 * error).all()
    assert (error < 0.15).all()
    gap[3] = math.nan
    value, error = integrate(np.log(nbetas), gap, stderr, gaussian, below)
    assert np.isfinite(value).tolist() == np.isfinite(error).tolist() == [True] * 3 + [False] * 2


def test_slopes_of_a_power_are_its_exponent() -> None:
    nbetas = np.array([1.0, 3.0, 10.0, 40.0])
    slope, error = log_slopes(np.log(nbetas), 2 * nbetas**0.6, 0.02 * nbetas**0.6)
    assert slope == pytest.approx(0.6)
    assert error[0] == pytest.approx(0.01 * math.sqrt(2) / math.log(3))
    assert np.isnan(log_slopes(np.log(nbetas), -nbetas, nbetas)[0]).all()
    assert np.isnan(log_slopes(np.zeros(1), np.ones(1), np.ones(1))[0]).all()


@pytest.mark.parametrize(
    ("nbetas", "words"),
    [
        ([], "nbetas=[]: must be at least one number above 0 or relative:K"),
        ([0.0], "nbetas=[0.0]: must be at least one number above 0"),
        (["relative:-1"], "nbeta='relative:-1': must be"),
    ],
)
def test_wrong_temperatures_are_named(nbetas: list[float | str], words: str) -> None:
    with pytest.raises(InputError, match="^" + words.replace("[", r"\[").replace("]", r"\]")):
        llc_profile(TwoHeads(), data(), nbetas)


def test_estimates_that_are_not_sound_are_warned_of_once() -> None:
    with pytest.warns(ConvergenceWarning, match="2 of 2 estimates are not sound: at nbeta 1"):
        frame = llc_profile(TwoHeads(), data(), [1.0, 10.0], draws=8, burn_in=0, chains=2)
    assert frame.loc[frame["status"] == "failed", ["llc", "llc_stderr", "kl"]].isna().all().all()

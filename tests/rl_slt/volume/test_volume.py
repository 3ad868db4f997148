"""Volumes against what is known exactly, and refusals where an estimate has no support."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import chi2, gamma, norm
from torch import Tensor, nn

from rl_slt import InputError, Settings, goal_volume, local_volume
from rl_slt.known import volumes
from rl_slt.known.problem import Problem
from rl_slt.known.problems import Weights, crossing, quadratic, reduced_rank, tabular
from rl_slt.profile import profile_with
from rl_slt.volume.policy import _below, by_rays
from rl_slt.volume.policy import volumes as volumes_of
from rl_slt.volume.rays import Share, share_of

CURVATURES = (4.0, 2.0, 1.0, 0.5, 0.0)


def rays(problem: Problem, cutoff: float = math.nan, directions: int = 128) -> tuple[Share, Share]:
    return by_rays(volumes.target_of(problem), cutoff, directions, 0)


@pytest.mark.parametrize(("mean", "variance"), [(30.0, 20.0), (2000.0, 1000.0), (900.0, 1200.0)])
def test_the_part_of_a_gamma_below_its_mean(mean: float, variance: float) -> None:
    """Also where exp(mean) is beyond a double."""
    shape, scale = mean**2 / variance, variance / mean
    x = (np.arange(400_000) + 0.5) / 400_000 * mean
    exact = logsumexp(gamma.logpdf(x, shape, scale=scale) + x) + math.log(mean / 400_000)
    assert _below(mean, variance) == pytest.approx(exact, abs=1e-3)


def test_rays_are_exact_where_the_loss_is_quadratic() -> None:
    free, _ = rays(quadratic(CURVATURES), directions=64)
    assert free.value == pytest.approx(volumes.quadratic_free_energy(CURVATURES, 100.0), abs=1e-5)
    assert free.ess == pytest.approx(64) and free.stderr < 1e-5
    # A cutoff leaves a ball of the directions that have curvature: a chi-square distribution.
    problem = quadratic((1.0, 1.0, 1.0, 0.0, 0.0))
    _, below = rays(problem, cutoff=0.02)
    assert below.value == pytest.approx(-float(chi2.logcdf(0.04, 3)), abs=3 * below.stderr + 0.01)
    assert 0 < below.stderr < 0.02


def test_rays_find_free_energies_beyond_quadratic_losses() -> None:
    table = tabular(nbeta=300.0)
    (logits,) = table.policy.parameters()
    for problem, exact in (
        (table, volumes.tabular_free_energy(logits.detach(), 300.0)),
        (crossing((1, 1)), volumes.crossing_free_energy(1000.0)),
    ):
        free, _ = rays(problem)
        assert free.value == pytest.approx(exact, abs=3 * free.stderr)
        assert 0.01 < free.stderr < 0.2 and abs(free.bias) < free.stderr


def test_few_effective_directions_are_refused() -> None:
    free, below = rays(reduced_rank((5, 3, 5, 0), 5.99, 0.02), directions=64)
    assert math.isnan(free.value) and math.isnan(free.stderr) and free.ess < 25
    assert free.message.endswith("of 64 directions carry the mean; it takes 25")
    assert below.message == "no cutoff: the LLC is not known"
    # Many directions, but their weights have no mean: Pareto with index 1.
    heavy = np.random.default_rng(0).exponential(size=4000)
    assert "tail index" in share_of(heavy).message or share_of(heavy).ess < 25
    assert share_of(np.full(40, -np.inf)).message == "no ray meets the region"


def test_the_logarithm_of_a_mean_over_few_directions_is_too_small() -> None:
    """Of log-normal weights of deviation 1.2 the exact value is known, and so is the bias."""
    log_w = 1.2 * np.random.default_rng(1).normal(size=(1000, 64)) - 0.72  # of mean 1
    found = [share_of(row) for row in log_w]
    plain = np.array([-np.log(np.exp(row).mean()) for row in log_w])
    assert 0.01 < plain.mean() < 0.04  # about Var(w) / (2 n) = 0.025
    kept = [one for one in found if not one.message]
    assert len(kept) > 250 and np.mean([one.bias for one in kept]) > 0.005


def test_the_three_methods_agree_on_a_quadratic() -> None:
    problem = quadratic(CURVATURES)
    frame = local_volume(
        problem.policy, problem.data, (1.0, 10.0, 100.0), loss=problem.loss, localization=1.0,
        gauge="none", draws=200, burn_in=50, directions=64,
    )  # fmt: skip
    assert (frame["status"] == "ok").all() and len(frame) == 9
    for nbeta in (1.0, 10.0, 100.0):
        part = frame[frame["nbeta"] == nbeta]
        exact = volumes.quadratic_free_energy(CURVATURES, nbeta)
        of = part.set_index("method")["free_energy"]
        assert of["gaussian"] == pytest.approx(exact, abs=1e-4)
        assert of["rays"] == pytest.approx(exact, abs=1e-4)
        stderr = float(part.loc[part["method"] == "integration", "free_energy_stderr"].iloc[0])
        assert of["integration"] == pytest.approx(exact, abs=3 * stderr) and stderr < 0.5
    # The shares below the cutoff: rays know them, the others take X as Gamma distributed.
    last = frame[frame["nbeta"] == 100.0].set_index("method")
    truth = last.loc["rays", "minus_log_share"]
    assert last.loc["gaussian", "minus_log_share"] == pytest.approx(truth, abs=0.07)
    assert last.loc["integration", "minus_log_share"] == pytest.approx(truth, abs=0.6)


def test_an_integral_over_an_unsound_estimate_is_suspect() -> None:
    problem = quadratic(CURVATURES)
    settings = Settings(localization=1.0, gauge="none", draws=40, burn_in=20)
    nbetas = (1.0, 10.0, 100.0)
    _, profile = profile_with(problem.policy, problem.data, settings, nbetas, problem.loss)
    profile["status"], profile["message"] = ["ok", "suspect", "ok"], ["", "R-hat 1.10", ""]
    frame = volumes_of(problem.policy, problem.data, profile, settings, problem.loss, directions=64)
    status = frame.set_index(["method", "nbeta"])["status"]
    assert status["integration"].tolist() == ["ok", "suspect", "suspect"]
    assert status["gaussian"].eq("ok").all()


def linear(module: nn.Module) -> Tensor:
    (weights,) = module.parameters()
    return 1.0 + weights[0] - 2 * weights[1]


def test_a_goal_that_its_slope_does_not_explain_has_no_linear_volume() -> None:
    """Of the same slope at w*, it is linear in a small ball and not in a large one."""
    problem = quadratic((1.0,) * 8)

    def bent(module: nn.Module) -> Tensor:
        (weights,) = module.parameters()
        return linear(module) - weights.square().sum()

    for localization, explained in ((1e4, True), (1.0, False)):
        frame = goal_volume(
            problem.policy, problem.data, bent, loss=problem.loss, localization=localization,
            gauge="none", keeps=(0.0,), directions=32, particles=16,
        ).set_index("method")  # fmt: skip
        assert (frame.loc["gaussian", "status"] == "ok") == explained
        assert explained or "the slope at w* explains" in str(frame.loc["gaussian", "message"])
        assert frame.loc["splitting", "status"] == "ok"


def test_a_linear_goal_has_the_volume_of_a_half_space() -> None:
    problem = quadratic((1.0,) * 8)
    frame = goal_volume(
        problem.policy, problem.data, linear, loss=problem.loss, localization=5.0, gauge="none",
        keeps=(0.0, 0.5), directions=512, particles=128,
    )  # fmt: skip
    for keep in (0.0, 0.5):
        part = frame[frame["keep"] == keep]
        exact = -norm.logcdf(1 - keep)  # |gradient| / sqrt(gamma) is 1
        for row in part.to_dict("records"):
            assert row["status"] == "ok", row
            room = max(3 * row["minus_log_share_stderr"], 1e-6)
            assert row["minus_log_share"] == pytest.approx(exact, abs=room)
            assert row["minus_log_share_stderr"] < 0.1


def test_a_small_goal_is_found_by_splitting_alone() -> None:
    answer = volumes.ball_by_splitting(None, None, 0)
    assert answer.exact == pytest.approx(8.682, abs=1e-3)  # 1 / 5900 of the mass
    assert answer.value == pytest.approx(answer.exact, abs=3 * answer.stderr)
    assert 0.05 < answer.stderr < 0.5


def test_what_has_no_volume_is_refused() -> None:
    problem = quadratic((1.0, 1.0))
    with pytest.raises(InputError, match=r"score=0\.0: must be a finite number other than 0"):
        goal_volume(Weights(2), problem.data, lambda m: next(m.parameters()).sum(),
                    loss=problem.loss, localization=1.0)  # fmt: skip
    with pytest.raises(InputError, match="localization=0: must be above 0"):
        goal_volume(Weights(2), problem.data, linear, loss=problem.loss, localization=0.0)
    with pytest.raises(InputError, match="keeps="):
        goal_volume(Weights(2), problem.data, linear, loss=problem.loss, keeps=(1.0,))

    def never(module: nn.Module) -> Tensor:
        at_center = next(module.parameters()).abs().max() == 0
        return torch.where(at_center, 1.0, -1.0) + 0 * linear(module)

    frame = goal_volume(Weights(2), problem.data, never, loss=problem.loss, localization=1.0,
                        keeps=(0.0,), directions=64, particles=16)  # fmt: skip
    row = frame[frame["method"] == "splitting"].iloc[0]
    assert row["status"] == "refused" and math.isnan(row["minus_log_share"])

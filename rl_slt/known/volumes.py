"""Known volumes: free energies, and shares of the localizer's mass, that are known exactly."""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad
from scipy.stats import chi2, norm
from torch import Tensor, nn

from rl_slt.estimate import prepare_target
from rl_slt.known.problem import Answer, Problem, Source, sampling
from rl_slt.known.problems import crossing, quadratic, tabular
from rl_slt.posterior.target import Target
from rl_slt.profile import profile_with
from rl_slt.samplers.base import Sampler
from rl_slt.settings import Settings
from rl_slt.volume.goal import goal_volume
from rl_slt.volume.policy import by_rays

BELOW = (1e-4, 1e-3, 1e-2, 1e-1)  # of nbeta: where the integration comes from
AXIS = 1201


def quadratic_free_energy(curvatures: tuple[float, ...], nbeta: float) -> float:
    """`1/2 sum log(1 + nbeta h_i)`, gamma 1."""
    return 0.5 * sum(math.log1p(nbeta * h) for h in curvatures)


def crossing_free_energy(nbeta: float) -> float:
    """`-log E exp(-nbeta x^2 y^2)`, x and y standard normal.

    The integral over y is `(1 + 2 nbeta x^2)^(-1/2)`; the other is a quadrature in `asinh`.
    """
    scale = (2 * nbeta) ** -0.5

    def density(u: float) -> float:
        x = scale * math.sinh(u)
        return 2 * float(norm.pdf(x)) * (1 + 2 * nbeta * x**2) ** -0.5 * scale * math.cosh(u)

    return -math.log(quad(density, 0, math.asinh(12 / scale), epsabs=1e-12)[0])


def tabular_free_energy(logits: Tensor, nbeta: float) -> float:
    """Of rows of three logits with equal weights, gamma 1, by quadrature in their plane.

    Args:
        logits: `[S, 3]`, all visited equally often.
        nbeta: of the mean over states.
    """
    axis = np.linspace(-9, 9, AXIS)
    b1, b2 = np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)
    delta = axis[:, None, None] * b1 + axis[None, :, None] * b2
    prior = np.exp(-0.5 * (delta**2).sum(-1))
    total = 0.0
    for row in logits.double().numpy():
        p = np.exp(row - row.max())
        p /= p.sum()
        kl = np.log((p * np.exp(delta)).sum(-1)) - (p * delta).sum(-1)
        total -= math.log((prior * np.exp(-nbeta / len(logits) * kl)).sum() / prior.sum())
    return total


def target_of(problem: Problem) -> Target:
    """The posterior of a problem, at its own nbeta and gamma."""
    settings = Settings(nbeta=problem.nbeta, localization=problem.localization, gauge="none")
    return prepare_target(problem.policy, problem.data, settings, problem.loss, 0)


def tabular_integrated(sampler: Sampler | None, batch_size: int | None, seed: int) -> Answer:
    """The free energy of a softmax table, by integration of its LLC over nbeta."""
    problem = tabular()
    (logits,) = problem.policy.parameters()
    settings = Settings(localization=problem.localization, gauge="none",
                        **sampling(sampler, batch_size, len(problem.data)))  # fmt: skip
    nbetas = [problem.nbeta * share for share in (*BELOW, 1.0)]
    e, frame = profile_with(problem.policy, problem.data, settings, nbetas, problem.loss, seed=seed)
    row = frame.iloc[-1]
    exact = tabular_free_energy(logits.detach(), problem.nbeta)
    return Answer(e, row["free_energy"], row["free_energy_stderr"], exact)


def crossing_by_rays(sampler: Sampler | None, batch_size: int | None, seed: int) -> Answer:
    """The free energy of a normal crossing, where there is no curvature, by rays."""
    problem = crossing((1, 1))
    free, _ = by_rays(target_of(problem), math.nan, 512, seed)
    source = Source("rays", 0, math.nan, free.ess, "refused" if free.message else "ok")
    return Answer(source, free.value, free.stderr, crossing_free_energy(problem.nbeta))


def ball(module: nn.Module) -> Tensor:
    """`1 - |w|^2 / 3`: positive in a ball that holds little of 16 standard normal weights."""
    (weights,) = module.parameters()
    return 1 - weights.square().sum() / 3


def ball_by_splitting(sampler: Sampler | None, batch_size: int | None, seed: int) -> Answer:
    """The share of standard normal weights in a ball, by multilevel splitting."""
    problem = quadratic((1.0,) * 16)
    frame = goal_volume(
        problem.policy, problem.data, ball, loss=problem.loss, localization=1.0, gauge="none",
        keeps=(0.0,), particles=256, seed=seed,
    )  # fmt: skip
    row = frame[frame["method"] == "splitting"].iloc[0]
    source = Source("splitting", 0, math.nan, math.nan, row["status"])
    found = row["minus_log_share"], row["minus_log_share_stderr"]
    return Answer(source, *found, -float(chi2.logcdf(3, 16)), dof=row["dof"])


ANSWERS = {
    "volume-tabular": tabular_integrated,
    "volume-crossing": crossing_by_rays,
    "volume-goal": ball_by_splitting,
}

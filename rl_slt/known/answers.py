"""Known answers that are not the LLC of a problem: symmetries, and what draws tell besides.

Each is a function of sampler (None: the default), batch size (None: all data) and seed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.estimate import estimate_with
from rl_slt.known import volumes
from rl_slt.known.problem import Answer, Known, sampling
from rl_slt.known.problems import Weights
from rl_slt.losses.base import Policy, logits_of
from rl_slt.response.covariance import covariance
from rl_slt.response.susceptibility import susceptibility
from rl_slt.response.traces import Tracing
from rl_slt.result import LLCEstimate
from rl_slt.samplers.base import Sampler
from rl_slt.settings import Settings
from rl_slt.verdict.diagnostics import mean_stderr


class ReluPolicy(nn.Module):
    """A policy with one hidden ReLU layer."""

    def __init__(self, inputs: int, hidden: int, actions: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) / shape[-1] ** 0.5)

        self.first, self.bias = draw(hidden, inputs), draw(hidden)
        self.second = draw(actions, hidden)

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]`."""
        return torch.relu(states @ self.first.T + self.bias) @ self.second.T


@torch.no_grad()
def permuted(policy: ReluPolicy, order: Tensor) -> ReluPolicy:
    """The same policy with its hidden units in another order: the LLC is exactly the same."""
    twin = copy.deepcopy(policy)
    twin.first.copy_(policy.first[order])
    twin.bias.copy_(policy.bias[order])
    twin.second.copy_(policy.second[:, order])
    return twin


@torch.no_grad()
def rescaled(policy: ReluPolicy, factor: float) -> ReluPolicy:
    """Hidden units scaled in and scaled out again: the same LLC in the balanced gauge."""
    twin = copy.deepcopy(policy)
    twin.first.mul_(factor)
    twin.bias.mul_(factor)
    twin.second.div_(factor)
    return twin


def symmetry(
    twin_of: Callable[[ReluPolicy], ReluPolicy],
    sampler: Sampler | None,
    batch_size: int | None,
    seed: int,
) -> Answer:
    """The estimate of a policy's twin, and the policy's own with its error, to judge it by."""
    policy = ReluPolicy(4, 6, 3)
    states = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    settings = Settings(nbeta=300.0, **sampling(sampler, batch_size, len(states)))
    own = estimate_with(policy, states, settings, seed=seed + 1, states_error=False)
    other = estimate_with(twin_of(policy), states, settings, seed=seed, states_error=False)
    return Answer(other, other.llc, other.stderr, own.llc, own.stderr)


class Regression:
    """Linear regression with its optimum at w* = 0: the posterior is Gaussian, all is known.

    `l_i = 1/2 (r_i - x_i . w)^2` with residuals r orthogonal to all columns of x. With sample
    weights v of mean 1 the posterior has the precision `P = nbeta / n sum_i v_i x_i x_i' + gamma`
    and the mean `m = P^-1 nbeta / n sum_i v_i r_i x_i`.

    Args:
        n: samples.
        d: weights.
    """

    nbeta, localization = 60.0, 2.0

    def __init__(self, n: int = 64, d: int = 4) -> None:
        generator = np.random.default_rng(0)
        self.x = generator.normal(size=(n, d)) * np.linspace(0.5, 2.0, d)
        noise = generator.normal(size=n)
        self.residuals = noise - self.x @ np.linalg.lstsq(self.x, noise, rcond=None)[0]
        self.policy = Weights(d)
        self.data = PolicyData(
            torch.from_numpy(self.x).float(), targets=torch.from_numpy(self.residuals).float()
        )

    @staticmethod
    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`."""
        assert batch.targets is not None
        fit = (logits_of(policy(batch.states)) * batch.states).sum(-1)
        return 0.5 * (batch.targets - fit).square()

    def posterior(self, weights: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Mean `[d]` and covariance `[d, d]` with sample weights `[n]`."""
        scaled = self.nbeta / len(self.x) * np.broadcast_to(weights, len(self.x))[:, None] * self.x
        covariance = np.linalg.inv(scaled.T @ self.x + self.localization * np.eye(self.x.shape[1]))
        return covariance @ scaled.T @ self.residuals, covariance

    def expected(self, weights: np.ndarray | float = 1.0) -> np.ndarray:
        """`E[l_i]` `[n]` with sample weights `[n]`."""
        mean, covariance = self.posterior(weights)
        spread = ((self.x @ covariance) * self.x).sum(1)
        return 0.5 * ((self.residuals - self.x @ mean) ** 2 + spread)

    def covariance(self) -> np.ndarray:
        """`Cov(l_i, l_j)` `[n, n]`: `1/2 k_ij^2 + r_i r_j k_ij`, `k_ij = x_i' P^-1 x_j`."""
        _, covariance = self.posterior()
        k = self.x @ covariance @ self.x.T
        return 0.5 * k**2 + np.outer(self.residuals, self.residuals) * k

    def susceptibility(self, members: slice | np.ndarray) -> float:
        """`-nbeta Cov(L, L' - L)`, L' the mean loss of some samples."""
        to_own = self.covariance().mean(0)
        return -self.nbeta * float(to_own[members].mean() - to_own.mean())

    def estimate(
        self, sampler: Sampler | None, batch_size: int | None, seed: int,
        sets: Mapping[str, PolicyData] | None = None, **settings: Any,
    ) -> LLCEstimate:  # fmt: skip
        """With traces of all draws, of further sets, too; settings besides those of the problem."""
        given = {"nbeta": self.nbeta, "localization": self.localization, "draws": 1000}
        given |= sampling(sampler, batch_size, len(self.data))
        return estimate_with(
            self.policy, self.data, Settings(**given | settings), self.loss, seed=seed,
            states_error=False, traces=Tracing(draws=1000, sets=sets or {}),
        )  # fmt: skip


def contribution(sampler: Sampler | None, batch_size: int | None, seed: int) -> Answer:
    """What the first half of the samples brings to the LLC, `nbeta E[l - l(w*)]` on average."""
    problem = Regression()
    e, half = problem.estimate(sampler, batch_size, seed), len(problem.x) // 2
    assert e.traces is not None
    draws = problem.nbeta * (e.traces.of() - e.traces.at_center)[..., :half].mean(-1)
    exact = problem.expected() - 0.5 * problem.residuals**2
    return Answer(
        e, float(draws.mean()), mean_stderr(draws), problem.nbeta * float(exact[:half].mean())
    )


def held(sampler: Sampler | None, batch_size: int | None, seed: int) -> Answer:
    """Influence of the first half of the samples on the second, `-nbeta^2 Cov` of mean losses.

    It is the response of nbeta times the loss of the second to the first being added to L.
    """
    problem = Regression()
    half = len(problem.x) // 2
    e = problem.estimate(sampler, batch_size, seed)
    assert e.traces is not None
    one, other = (e.traces.of()[..., part].mean(-1) for part in (slice(half), slice(half, None)))
    found = covariance(other[..., None], one[..., None])
    exact, scale = problem.covariance()[half:, :half].mean(), problem.nbeta**2
    value, stderr = scale * found.value[0, 0], scale * found.stderr[0, 0]
    return Answer(e, -float(value), float(stderr), -scale * float(exact))


def tilted(sampler: Sampler | None, batch_size: int | None, seed: int) -> Answer:
    """What nbeta L answers to a tilt of the data towards their second half, per unit of share."""
    problem = Regression()
    half = len(problem.x) // 2
    other = problem.data.take(slice(half, None))
    e = problem.estimate(sampler, batch_size, seed, {"other": other})
    assert e.traces is not None
    value, stderr = (problem.nbeta * x for x in susceptibility(e.traces, "other")[:2])
    exact = problem.nbeta * problem.susceptibility(slice(half, None))
    return Answer(e, value, stderr, exact)


ANSWERS: dict[str, Known] = {
    "symmetry-permutation": partial(
        symmetry, lambda policy: permuted(policy, torch.tensor([3, 0, 5, 1, 4, 2]))
    ),
    "symmetry-scale": partial(symmetry, lambda policy: rescaled(policy, 4.0)),
    "traces-regression": contribution,
    "influence-regression": held,
    "susceptibility-regression": tilted,
    **volumes.ANSWERS,
}

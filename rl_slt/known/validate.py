"""The table of known answers: is this installation's estimator right, on this machine?"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from rl_slt.errors import InputError
from rl_slt.estimate import estimate_with
from rl_slt.known.problems import PROBLEMS, Problem
from rl_slt.result import LLCEstimate
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.chains import Progress
from rl_slt.settings import Settings

BIAS = 0.03
SYMMETRIES = ("symmetry-permutation", "symmetry-scale")
COLUMNS = (
    "problem", "sampler", "batch_size", "llc", "stderr", "low", "high", "exact", "exact_error",
    "lambda", "finite_beta_gap", "bias", "rhat", "ess", "status", "verdict", "seconds",
)  # fmt: skip


def validate(
    names: Sequence[str] | None = None,
    *,
    sampler: Sampler | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Estimate problems with known answers and compare.

    Args:
        names: of `known_names()`; None is all.
        sampler: for all problems; None is what each gets by default: HMC over all data, or BAOAB
            where a `batch_size` is given.
        batch_size: samples per gradient and chain (all, of a problem with fewer); None is 64.
        seed: of the chains.
        progress: called with (problems done, problems in all).

    Returns:
        One row per problem: estimate, standard error, 95 % interval (`low`, `high`), the exact
        value at the same settings, `lambda` (the limit of large nbeta and small localization),
        what these take away from it in the exact value (`finite_beta_gap`, relative), relative
        `bias` to the exact value, and the `verdict`: `pass` when the estimate is `ok` and within
        3 % of the exact value or within three standard errors of it, else `fail`.

    Raises:
        InputError: an unknown name.
    """
    wanted = list(known_names() if names is None else names)
    for name in wanted:
        if name not in known_names():
            raise InputError.of("problem", name, f"one of {', '.join(known_names())}")
    rows = []
    for done, name in enumerate(wanted):
        began = time.perf_counter()
        if name in SYMMETRIES:
            e, exact, error, lambda_ = *_symmetry(name, sampler, batch_size, seed), math.nan
        else:
            problem = PROBLEMS[name]()
            e = estimate_problem(problem, sampler, seed, batch_size=batch_size)
            exact, error, lambda_ = problem.exact, problem.exact_error, problem.lambda_
        close = abs(e.llc - exact) <= max(BIAS * abs(exact), 3 * math.hypot(e.stderr, error))
        verdict = "pass" if close and e.status == "ok" else "fail"
        rows.append([
            name, e.sampler, e.batch_size, e.llc, e.stderr, *e.interval, exact, error, lambda_,
            1 - exact / lambda_, e.llc / exact - 1, e.rhat, e.ess, e.status, verdict,
            time.perf_counter() - began,
        ])  # fmt: skip
        if progress is not None:
            progress(done + 1, len(wanted))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def known_names() -> tuple[str, ...]:
    """Names of the problems, in the table's order."""
    return (*PROBLEMS, *SYMMETRIES)


def estimate_problem(
    problem: Problem,
    sampler: Sampler | None,
    seed: int,
    chains: int = 4,
    batch_size: int | None = None,
) -> LLCEstimate:
    """The estimate of a problem at its own settings and, but for these, the defaults.

    The arguments are those of `validate`.
    """
    settings = Settings(
        nbeta=problem.nbeta, localization=problem.localization, chains=chains,
        orthogonal=problem.orthogonal,
        gauge="none",  # the exact value is that of the weights as they are
        **_sampling(sampler, batch_size, len(problem.data)),
    )  # fmt: skip
    return estimate_with(
        problem.policy, problem.data, settings, problem.loss, seed=seed, states_error=False
    )


def _sampling(sampler: Sampler | None, batch_size: int | None, n: int) -> dict[str, Any]:
    """What settings say of the sampler; a batch is no larger than the data."""
    if batch_size is None:
        return {"sampler": sampler}
    return {"sampler": sampler or BAOAB(), "batch_size": min(batch_size, n)}


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


def _symmetry(
    name: str, sampler: Sampler | None, batch_size: int | None, seed: int
) -> tuple[LLCEstimate, float, float]:
    """The estimate of a policy's twin, and the policy's own with its error, to judge it by."""
    policy = ReluPolicy(4, 6, 3)
    states = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    twin = permuted(policy, order) if name == SYMMETRIES[0] else rescaled(policy, 4.0)
    settings = Settings(nbeta=300.0, **_sampling(sampler, batch_size, len(states)))
    own = estimate_with(policy, states, settings, seed=seed + 1, states_error=False)
    other = estimate_with(twin, states, settings, seed=seed, states_error=False)
    return other, own.llc, own.stderr

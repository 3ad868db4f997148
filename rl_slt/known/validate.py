"""The table of known answers: is this installation's estimator right, on this machine?"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pandas as pd
import torch

from rl_slt.errors import InputError
from rl_slt.estimate import estimate_llc
from rl_slt.known.problem import Problem
from rl_slt.known.registry import PROBLEMS
from rl_slt.known.symmetry import ReluPolicy, permuted, rescaled
from rl_slt.result import LLCEstimate
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.chains import Progress

BIAS = 0.03
SYMMETRIES = ("symmetry-permutation", "symmetry-scale")
COLUMNS = (
    "problem", "sampler", "llc", "stderr", "low", "high", "exact", "exact_error", "limit",
    "taken", "bias", "rhat", "ess", "status", "verdict", "seconds",
)  # fmt: skip


def validate(
    names: Sequence[str] | None = None,
    *,
    sampler: Sampler | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Estimate problems with known answers and compare.

    Args:
        names: of `known_names()`; None is all.
        sampler: for all problems; None is what each gets by default.
        seed: of the chains.
        progress: called with (problems done, problems in all).

    Returns:
        One row per problem: estimate, standard error, 95 % interval (`low`, `high`), the exact
        value at the same settings, lambda (`limit`), what nbeta and localization take away from
        it (`taken`, relative), relative `bias` to the exact value, and the `verdict`: `pass` when
        the estimate is `ok` and within 3 % of the exact value or within three standard errors of
        it, else `fail`.

    Raises:
        InputError: an unknown name.
    """
    wanted = list(known_names() if names is None else names)
    for name in wanted:
        if name not in known_names():
            raise InputError(f"unknown problem {name!r}; allowed: {', '.join(known_names())}")
    rows = []
    for done, name in enumerate(wanted):
        rows.append(_symmetry(name, seed) if name in SYMMETRIES else _known(name, sampler, seed))
        if progress is not None:
            progress(done + 1, len(wanted))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def known_names() -> tuple[str, ...]:
    """Names of the problems, in the table's order."""
    return (*PROBLEMS, *SYMMETRIES)


def estimate_problem(
    problem: Problem, sampler: Sampler | None, seed: int, chains: int = 4
) -> LLCEstimate:
    """The estimate of a problem at its own settings and, but for these, the defaults."""
    return estimate_llc(
        problem.policy,
        problem.data,
        loss=problem.loss,
        sampler=sampler,
        nbeta=problem.nbeta,
        localization=problem.localization,
        chains=chains,
        seed=seed,
        data_error=False,
    )


def _known(name: str, sampler: Sampler | None, seed: int) -> dict[str, object]:
    began = time.perf_counter()
    problem = PROBLEMS[name]()
    e = estimate_problem(problem, sampler, seed)
    limit = math.nan if problem.limit is None else problem.limit
    return _row(name, e, problem.exact, problem.exact_error, limit, began)


def _symmetry(name: str, seed: int) -> dict[str, object]:
    """A policy and its twin: the twin's estimate is judged against the policy's own."""
    began = time.perf_counter()
    policy = ReluPolicy(4, 6, 3)
    states = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    twin = permuted(policy, order) if name == SYMMETRIES[0] else rescaled(policy, 1.25)
    gamma = 1.0 if name == SYMMETRIES[0] else 0.3
    settings = {"localization": gamma, "nbeta": 300.0, "data_error": False}
    own = estimate_llc(policy, states, seed=seed + 1, **settings)  # type: ignore[arg-type]
    other = estimate_llc(twin, states, seed=seed, **settings)  # type: ignore[arg-type]
    return _row(name, other, own.llc, own.stderr, math.nan, began)


def _row(
    name: str, e: LLCEstimate, exact: float, error: float, limit: float, began: float
) -> dict[str, object]:
    gap = abs(e.llc - exact)
    close = gap <= max(BIAS * abs(exact), 3 * math.hypot(e.stderr, error))
    values = (
        name, e.sampler, e.llc, e.stderr, *e.interval, exact, error, limit, 1 - exact / limit,
        e.llc / exact - 1,
        e.rhat, e.ess, e.status, "pass" if close and e.status == "ok" else "fail",
        time.perf_counter() - began,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))

"""The table of known answers: is this installation's estimator right, on this machine?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import pandas as pd
from scipy.stats import t as student

from rl_slt.errors import InputError
from rl_slt.estimate import estimate_with
from rl_slt.known.answers import ANSWERS
from rl_slt.known.problem import Known, sampling
from rl_slt.known.problems import PROBLEMS, Problem
from rl_slt.result import LLCEstimate
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.chains import Progress
from rl_slt.settings import Settings

BIAS = 0.03
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
    further: Mapping[str, Known] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Estimate problems with known answers and compare.

    Args:
        names: of `known_names()` and of `further`; None is all.
        sampler: for all problems; None is what each gets by default: HMC over all data, or BAOAB
            where a `batch_size` is given.
        batch_size: samples per gradient and chain (all, of a problem with fewer); None is 64.
        seed: of the chains.
        further: known answers of measures that are not the estimator's, by name.
        progress: called with (problems done, problems in all).

    Returns:
        One row per problem: estimate (column `llc`; of some of `rl_slt.known.answers`, and of
        those in `further`, another number), standard error, 95 % interval (`low`, `high`), the
        exact value at the same settings, `lambda` (the limit of large nbeta and small
        localization), what these take away from it in the exact value (`finite_beta_gap`,
        relative), relative `bias` to the exact value, and the `verdict`: `pass` when the estimate
        is `ok` and within 3 % of the exact value or within three standard errors of it, else
        `fail`.

    Raises:
        InputError: an unknown name.
    """
    answers = ANSWERS | dict(further or {})
    every = (*PROBLEMS, *answers)
    wanted = list(every if names is None else names)
    for name in wanted:
        if name not in every:
            raise InputError.of("problem", name, f"one of {', '.join(every)}")
    rows = []
    for done, name in enumerate(wanted):
        began = time.perf_counter()
        if name in answers:
            e, value, stderr, exact, error, lambda_, dof = answers[name](sampler, batch_size, seed)
        else:
            problem = PROBLEMS[name]()
            e = estimate_problem(problem, sampler, seed, batch_size=batch_size)
            value, stderr, dof = e.llc, e.stderr, math.inf
            exact, error, lambda_ = problem.exact, problem.exact_error, problem.lambda_
        close = abs(value - exact) <= max(BIAS * abs(exact), 3 * math.hypot(stderr, error))
        half = float(student.ppf(0.975, dof)) * stderr
        verdict = "pass" if close and e.status == "ok" else "fail"
        rows.append([
            name, e.sampler, e.batch_size, value, stderr, value - half,
            value + half, exact, error, lambda_, 1 - exact / lambda_, value / exact - 1,
            e.rhat, e.ess, e.status, verdict, time.perf_counter() - began,
        ])  # fmt: skip
        if progress is not None:
            progress(done + 1, len(wanted))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def known_names() -> tuple[str, ...]:
    """Names of the problems, in the table's order."""
    return (*PROBLEMS, *ANSWERS)


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
        **sampling(sampler, batch_size, len(problem.data)),
    )  # fmt: skip
    return estimate_with(
        problem.policy, problem.data, settings, problem.loss, seed=seed, states_error=False
    )

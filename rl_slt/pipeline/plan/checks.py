"""Checks of a stage's settings that need no run: made before anything is trained or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis import probes
from rl_slt.errors import InputError
from rl_slt.pipeline.plan.by_name import check_loss, settings_of
from rl_slt.pipeline.states.state_sets import parse_states

if TYPE_CHECKING:
    from rl_slt.pipeline.plan.study import LLCPlan, ProbePlan


def check_llc(plan: LLCPlan) -> None:
    """Raise InputError for a loss, state set, sampler or number that no estimate can use."""
    settings_of(plan)
    if plan.precision == "bfloat16" and plan.device != "cpu":
        raise InputError("precision 'bfloat16' is for device 'cpu'; on a GPU leave it out")
    for text in plan.states:
        parse_states(text)
        for loss in plan.losses:
            check_loss(loss, text, plan.reference)
    check_seed(plan.seed)


def check_probe(plan: ProbePlan) -> None:
    """Raise InputError for an unknown suite or a wrong seed."""
    if plan.suite not in probes.SUITES:
        allowed = ", ".join(probes.SUITES)
        raise InputError(f"unknown probe suite {plan.suite!r}; allowed: {allowed}")
    check_seed(plan.seed)


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that the generators do not take."""
    if not 0 <= seed < 2**31:
        raise InputError(f"seed {seed} is not allowed: 0 to 2^31 - 1")

"""The settings with which a study fits a budget of time, what they give up, and their record."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from analysis import MIN_POINTS
from analysis.probes import SUITES
from rl_slt.errors import InputError
from rl_slt.pipeline.engine.progress import duration
from rl_slt.pipeline.engine.work import evenly
from rl_slt.pipeline.forecast.costs import Costs
from rl_slt.pipeline.forecast.work import STAGES, forecast
from rl_slt.pipeline.plan.study import StudyPlan

FIRST, LAST = (32, 24, 20, 16, 12), (8, 6, 4)  # checkpoints before and after all else is reduced
_DRAWS, _LEVELS = 100, 50  # fewer make no usable estimate, and no usable rate
_UNITS = {"h": 3600, "m": 60, "s": 1}


class Cut(NamedTuple):
    """A setting that a budget changed: `stage.name`, its value before and after."""

    setting: str
    before: Any
    after: Any


def parse_budget(text: str) -> float:
    """Seconds of a text such as `10m`, `2h`, `90s` or `1h30m`.

    Raises:
        InputError: it is no such time, or none at all.
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    parts = match.groups() if match else ()
    seconds = sum(int(n) * unit for n, unit in zip(parts, _UNITS.values(), strict=False) if n)
    if not seconds:
        raise InputError.of("budget", text, "a time such as 90s, 10m, 2h or 1h30m")
    return float(seconds)


def fit(plan: StudyPlan, costs: Costs, budget: str, workers: int) -> StudyPlan:
    """The first of ever cheaper plans that fits.

    Arms, seeds and training stay as they are: with fewer seeds a hypothesis is another one, and an
    agent that trained for a shorter time is another agent.

    Args:
        plan: the study.
        costs: of its work.
        budget: as `parse_budget` reads it.
        workers: jobs at a time.

    Raises:
        InputError: none fits; it names the least time that is possible.
    """
    limit = parse_budget(budget)
    for cheaper in _cheaper(plan):
        least = forecast(cheaper, costs, workers=workers)
        if least.seconds <= limit:
            return cheaper
    parts = ", ".join(f"{stage} {duration(least.of(stage).seconds)}" for stage in STAGES)
    allowed = f"at least {math.ceil(least.seconds / 60)}m for this study here ({parts})"
    hint = "what its file says of arms, seeds and training is not changed"
    raise InputError.of("budget", budget, allowed, hint)


def _cheaper(plan: StudyPlan) -> Iterator[StudyPlan]:
    """The plan, then one after another with ever less, what answers its question last."""
    yield plan
    for n in FIRST:
        plan = _thinned(plan, n)
        yield plan
    levels = plan.probe.levels or SUITES[plan.probe.suite].n_levels
    fewer = levels > _LEVELS and not plan.exact_probes
    plan = plan.changed(
        llc={"draws": max(min(plan.llc.draws, _DRAWS), plan.llc.draws // 2)},
        probe={"levels": max(_LEVELS, levels // 2)} if fewer else {},
    )
    yield plan
    claimed = {hypothesis.states for hypothesis in plan.hypotheses}
    first, *others = plan.llc.states
    plan = plan.changed(llc={"match_entropy": (),
                             "states": (first, *(s for s in others if s in claimed))})  # fmt: skip
    yield plan
    if plan.llc.profile and plan.llc.most(plan.llc.profile_of) > 1:
        plan = plan.changed(llc={"profile_of": "last"})
        yield plan
    plan = plan.changed(llc={"profile": ()})
    yield plan
    for n in LAST:
        plan = _thinned(plan, n)
        yield plan


def _thinned(plan: StudyPlan, most: int) -> StudyPlan:
    """The plan with LLC and probes at no more checkpoints; unless a hypothesis is about others."""
    leaves = _leaves(plan)
    kept = ("last", *evenly(leaves, most))
    if any(hypothesis.step not in kept for hypothesis in plan.hypotheses):
        return plan
    now = {"llc": plan.llc.checkpoints, "probe": plan.probe.checkpoints}
    fewer = {stage for stage, n in now.items() if min(len(leaves), n) > most}
    return plan.changed(**{stage: {"checkpoints": most} for stage in fewer})


def _leaves(plan: StudyPlan) -> list[int]:
    """The steps of the checkpoints that the training of the first arm leaves."""
    return plan.train_config(next(iter(plan.arms)), plan.seeds[0]).checkpoint_steps


def cuts_between(before: StudyPlan, after: StudyPlan) -> list[Cut]:
    """What one plan changes of another."""
    stages = [(stage, getattr(before, stage), getattr(after, stage)) for stage in ("llc", "probe")]
    return [
        Cut(f"{stage}.{name}", *values)
        for stage, old, new in stages
        for name in type(old).model_fields
        if (values := (getattr(old, name), getattr(new, name)))[0] != values[1]
    ]


def describe_cuts(before: StudyPlan, after: StudyPlan) -> list[str]:
    """A line for each change: the setting, and what that costs a reader of the results."""
    leaves = len(_leaves(before))
    lines = []
    for setting, old, new in cuts_between(before, after):
        ratio = 1.0
        if setting in ("llc.draws", "probe.levels"):
            ratio = ((old or SUITES[before.probe.suite].n_levels) / new) ** 0.5
        gone = (
            ", ".join(str(one) for one in old if one not in new) if setting == "llc.states" else ""
        )
        says = {
            "llc.checkpoints": f"LLC at {new} of {leaves} checkpoints of a run",
            "probe.checkpoints": f"probes at {new} of {leaves} checkpoints of a run",
            "llc.draws": f"errors of LLCs {ratio:.1f} times as large",
            "probe.levels": f"intervals of probes {ratio:.1f} times as wide",
            "llc.match_entropy": "no control for entropy",
            "llc.states": f"no LLC on {gone} states",
            "llc.profile_of": "a profile of the last checkpoint of a run alone",
            "llc.profile": "no profile over resolutions",
        }
        few = isinstance(new, int) and "checkpoints" in setting and new < MIN_POINTS
        note = f"; under {MIN_POINTS} no transition can be found" if few else ""
        lines.append(f"{setting} {_text(old)} -> {_text(new)}: {says[setting]}{note}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "the suite's" if value is None else str(value)

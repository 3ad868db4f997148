"""What a study will compute, before it does: its work, about how long it takes here, its budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from agents import FORMAT, TEMPORARY, check_device, read_json_object, write_bytes, write_json
from analysis import Hypothesis
from analysis.probes import SUITES
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.engine.jobs import open_engine
from rl_slt.pipeline.engine.progress import duration
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.forecast.budget import (
    cuts_between,
    describe_cuts,
    fit,
    parse_budget,
)
from rl_slt.pipeline.forecast.costs import Costs, measure
from rl_slt.pipeline.forecast.work import Forecast, forecast
from rl_slt.pipeline.plan.study import StudyPlan

_LOG = logging.getLogger(__name__)

_BUSY = 1.2  # seconds that pass for one of work from which on it is said


class Budgeted(NamedTuple):
    """A plan within its budget.

    Attributes:
        plan: as it will be carried out.
        asked: as it was asked for.
        budget: as it was given, now or when the study was begun; None without one.
        costs: where they had to be measured.
    """

    plan: StudyPlan
    asked: StudyPlan
    budget: str | None = None
    costs: Costs | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What `study.json` holds of the budget; nothing without one."""
        if self.budget is None:
            return {}
        cuts = [cut._asdict() for cut in cuts_between(self.asked, self.plan)]
        return {"budget": {"limit": self.budget, "cuts": cuts}}


def within_budget(
    plan: StudyPlan, out: Path, budget: str | None, workers: int | None, scheduler: str | None
) -> Budgeted:
    """The plan that fits the budget: chosen when a study begins, and then kept with it.

    Args:
        plan: the study.
        out: its folder.
        budget: as in `rl-slt run --budget`; None takes that of the study in `out`, if it has one.
        workers: as for `open_engine`.
        scheduler: as for `open_engine`.

    Raises:
        InputError: nothing fits, or the study in `out` was begun with another budget.
    """
    if budget is not None:
        parse_budget(budget)
    if (out / "study.json").exists():
        known = read_json_object(out / "study.json").get("budget")
        known = known if isinstance(known, dict) else {}
        kept = known.get("limit")
        if budget not in (None, kept):
            begun = f"{kept!r}, as when the study in {out} was begun" if kept else (
                f"left out: the study in {out} was begun without one")  # fmt: skip
            raise InputError.of("budget", budget, begun, "choose another --out")
        return Budgeted(_with_cuts(plan, known.get("cuts")), plan, kept)
    if budget is None:
        return Budgeted(plan, plan)
    with open_engine(workers, scheduler) as engine:
        costs = _measured(plan, scheduler, engine.workers)
        fitted = fit(plan, costs, budget, engine.workers)
    return Budgeted(fitted, plan, budget, costs)


def _with_cuts(plan: StudyPlan, cuts: Any) -> StudyPlan:
    """The plan with the cuts that a study was begun with; one that no longer fits is left out."""
    stages: dict[str, dict[str, Any]] = {"llc": {}, "probe": {}}
    asked = {stage: getattr(plan, stage).as_dict() for stage in stages}
    for cut in cuts if isinstance(cuts, list) else ():
        stage, _, name = str(cut.get("setting")).partition(".")
        if stage in asked and asked[stage].get(name) == cut.get("before"):
            stages[stage][name] = cut.get("after")
    return plan.changed(**stages)


def describe_plan(
    plan: StudyPlan, out: Path, budget: str | None, workers: int | None, scheduler: str | None,
    seeds: str | None = None,
) -> list[str]:  # fmt: skip
    """Lines about what `run_study` with these arguments would compute; nothing is written.

    Raises:
        InputError: as `within_budget`.
    """
    check_out(out)
    if (bayes := plan.bayes) is not None:
        return [
            f"study {plan.name} in {out}",
            f"  train: {_count(len(plan.arms) * len(plan.seeds), 'run')}, all together",
            f"  posterior: {_count(len(plan.arms), 'arm')} at {len(bayes.nbetas)} temperatures, "
            f"{bayes.ladders} ladders of {bayes.draws} draws each",
        ]
    chosen = within_budget(plan, out, budget, workers, scheduler)
    study = Study(out) if (out / "study.json").exists() else None
    if study is not None:
        _check_same(_frozen(chosen.plan), out)
    if seeds is not None:
        chosen = chosen._replace(plan=chosen.plan.part(seeds))
    with open_engine(workers, scheduler) as engine:
        done, total = forecast(chosen.plan, study=study).count()
        costs = chosen.costs
        if costs is None and done < total:
            costs = _measured(plan, scheduler, engine.workers)
        whole = forecast(chosen.plan, costs, study, engine.workers)
    plan, seeds = chosen.plan, ", ".join(map(str, plan.seeds))
    lines = [
        f"study {plan.name} in {out}: arms {', '.join(plan.arms)}; seeds {seeds}",
        *(f"  {stage}: {text}; {_time(whole.of(stage))}" for stage, text in _works(plan, whole)),
        f"about {duration(whole.seconds)} here with {_count(engine.workers, 'worker')}, "
        f"{done} of {total} units done before",
    ]
    if costs is not None and costs.wait > _BUSY:
        lines.append(
            f"other programs use the processor now: without them {1 - 1 / costs.wait:.0%} less"
        )
    if chosen.budget is not None:
        lines.append(f"within --budget {chosen.budget}, which chooses settings and stops nothing:")
        lines += [f"  {cut}" for cut in describe_cuts(chosen.asked, plan)] or ["  as asked for"]
    return lines


def _works(plan: StudyPlan, whole: Forecast) -> list[tuple[str, str]]:
    """What each stage makes, in words."""
    llc, suite = plan.llc, SUITES[plan.probe.suite]
    configs = [plan.train_config(arm, seed) for arm in plan.arms for seed in plan.seeds]
    steps = sorted({f"{config.total_steps:,}" for config in configs})
    left = sum(len(config.checkpoint_steps) for config in configs)
    probed, episodes = whole.count("checkpoints probed")[1], plan.probe.levels or suite.n_levels
    episodes *= len(suite.placements)
    profiles = whole.count("profiles")[1]
    exact = environment_of(configs[0]).probes
    played = (
        f"{len(suite.placements)} probes x {episodes // len(suite.placements)} levels, "
        f"{probed * episodes:,} episodes, and the baselines"
    )
    return [
        ("train", f"{_count(len(configs), 'run')} of {' or '.join(steps)} steps, "
                  f"{_count(left, 'checkpoint')} in all"),
        ("llc", f"{_count(whole.count('estimates')[1], 'estimate')} of {llc.chains} chains x "
                f"({llc.burn_in} + {llc.draws}) draws"
                + (f", {_count(profiles, 'profile')} over {len(llc.profile)} resolutions"
                   if profiles else "")),
        ("probe", f"{_count(probed, 'checkpoint')} of "
                  + (played if exact is None else f"{len(exact)} exact probes")),
        ("report", "analysis and page"),
    ]  # fmt: skip


def _time(part: Forecast) -> str:
    return "done" if part.seconds == 0 else f"about {duration(part.seconds)}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _measured(plan: StudyPlan, scheduler: str | None, workers: int) -> Costs:
    if scheduler is None:
        for arm in plan.arms:
            check_device(plan.train_config(arm, plan.seeds[0]).device)
    began = time.perf_counter()
    _LOG.info("measuring this machine ...")
    costs = measure(plan, workers if scheduler is None else 1)
    _LOG.info("measured in %.0f s", time.perf_counter() - began)
    return costs


def check_out(out: Path) -> None:
    """Raise InputError where a folder holds something else than a study."""
    if (out / "study.json").exists() or not out.exists():
        return
    # What a killed process of rl-slt began to write does not count.
    if not out.is_dir() or not all(path.name.startswith(TEMPORARY) for path in out.iterdir()):
        raise InputError(
            f"{out} exists and holds no study; nothing was touched: choose another --out"
        )


def open_or_create(plan: StudyPlan, out: Path, record: Mapping[str, Any] | None = None) -> Study:
    """The folder as this plan's study: new, or the same study as before.

    Hypotheses that a study did not start with are added to `study.json`; `study.toml`, which was
    kept with its hash, stays, so that they count as named after the data.

    Args:
        plan: the study.
        out: its folder.
        record: what else a new study's file holds.

    Raises:
        InputError: if the folder holds another study, a run, or anything else.
    """
    check_out(out)
    frozen = _frozen(plan)
    if (out / "study.json").exists():
        known = _check_same(frozen, out)
        claims = known.get("hypothesis", frozen["hypothesis"])
        named = [Hypothesis.build(claim, "hypothesis").as_dict() for claim in claims]
        if late := [claim for claim in frozen["hypothesis"] if claim not in named]:
            names = ", ".join(repr(claim["name"]) for claim in late)
            _LOG.warning("named after the data, so exploratory: %s", names)
            write_json(out / "study.json", known | {"hypothesis": claims + late})
        return Study(out)
    fixed = {"fixed": {"sha256": plan.sha256, "time": _now()}}
    write_bytes(out / "study.toml", plan.file_text.encode())  # what `sha256sum study.toml` is of
    write_json(out / "study.json", {"format": FORMAT} | frozen | dict(record or {}) | fixed)
    return Study(out)


def _frozen(plan: StudyPlan) -> dict[str, Any]:
    """What `study.json` holds of a plan, in JSON's types."""
    claims = [hypothesis.as_dict() for hypothesis in plan.hypotheses]
    values = plan.as_dict() | {"llc": plan.llc.values(), "hypothesis": claims}
    settings = {name: values.pop(name) for name in ("base_preset", "train", "llc", "probe")}
    return values | {"settings": settings}


def _check_same(frozen: dict[str, Any], out: Path) -> dict[str, Any]:
    """The settings of the study in a folder; hypotheses may differ.

    Raises:
        InputError: it is another study.
    """
    known = read_json_object(out / "study.json")
    changed = [k for k in frozen if k != "hypothesis" and known.get(k) != frozen[k]]
    if changed:
        raise InputError(
            f"{out} holds another study (it differs in {', '.join(changed)}); "
            "nothing was touched: choose another --out"
        )
    return known


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ", timespec="seconds")

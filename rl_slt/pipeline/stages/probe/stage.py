"""The probe stage: the goal probes of every checkpoint, each checkpoint restartable."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from agents import Run, write_bytes
from analysis import current_setting, probes, schema
from envs import check_held_out, find_game
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.disk.locks import stage_locks
from rl_slt.pipeline.disk.store import (
    ItemStore,
    StageItems,
    clear_leftovers,
    file_digest,
    read_table,
    write_table,
)
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome, assembling, attempt
from rl_slt.pipeline.engine.progress import meter, print_done
from rl_slt.pipeline.engine.work import kept_steps
from rl_slt.pipeline.plan.study import ProbePlan
from rl_slt.pipeline.stages.probe.clips import has_clips, make_clips
from rl_slt.pipeline.stages.probe.items import (
    ProbeItem,
    collect_states,
    join_baselines,
    look_up_layouts,
    make,
    make_baselines,
    missing_parts,
    states_file,
)

_LOG = logging.getLogger(__name__)


def _checkpoints_of(settings: dict[str, Any], checkpoints: int) -> int:
    try:
        return min(checkpoints, ProbePlan.build(settings.get("probe"), "probe").checkpoints)
    except InputError:  # no study, or one with damaged settings
        return checkpoints


ITEMS = StageItems("probe", "probes", ("probe",), per_checkpoint=True, of=_checkpoints_of)
PICTURE = "probes.png"
_STATES = 100  # levels behind the fixed-state probes, where not said otherwise
_OF_SUITES = ("baselines", "layouts")  # items that depend on the suite alone
_COLUMNS = 12  # runs in the picture of a study; more would be too wide to read


def plan_suite(run: Run, plan: ProbePlan) -> probes.ProbeSuite:
    """The suite for a run: the named one on the level settings that the run was trained on.

    Levels whose layout is among the training levels are left out. The limit of an episode is the
    suite's or the plan's, never that of training: an agent knows no time, and runs trained under
    different limits must be probed alike.

    Raises:
        InputError: for a game without probes, or probe levels that were trained on.
    """
    train = run.training
    if not find_game(train.game).has_probes:
        raise InputError(f"run {run.path} plays {train.game!r}, which has no probe suites")
    named = probes.SUITES[plan.suite]
    suite = named.replace(
        mode=plan.mode, settings=train.settings, n_levels=plan.levels or named.n_levels,
        time_limit=plan.time_limit or named.time_limit,
    )  # fmt: skip
    if train.levels is None:  # training on all levels cannot exclude any
        return suite
    check_held_out(train.levels, suite.levels)
    return probes.without_met(suite, train.levels)


def probe_runs(runs: Sequence[Run], plan: ProbePlan, engine: Engine) -> list[Outcome]:
    """Probe every checkpoint of runs in games of procgen, and assemble their tables.

    First what all checkpoints share (baselines, states), then the checkpoints, then clips of each
    run's last one; at the end `probes.png` of each run, and of a study over its runs.

    Returns:
        The items that failed, with their reasons.
    """
    cache = runs[0].path.resolve() / "parts" / "states" if runs else Path()
    of = {run: plan_items(run, plan, cache) for run in runs}
    items = [item for each in of.values() for item in each]
    failed: list[Outcome] = []
    with stage_locks(runs, "probe"):
        for run in runs:
            clear_leftovers(run.path)
        todo = [item for item in items if not item.is_done]
        baselines = {item.setting: item for item in items}
        _share(runs, baselines)
        unknown = [key for key, one in baselines.items() if not one.store("layouts").has(key)]
        shared = [
            Job(f"layouts of {baselines[key].suite.name}", look_up_layouts, (baselines[key],))
            for key in unknown
        ]
        shared += _shared_jobs(todo, baselines)
        played = [Job(item.label, make, (item,), item.run) for item in todo]
        pictures = _pictures(runs, again=bool(todo))
        last = {item.run: item for item in items}.values()
        shown = pictures + [
            Job(f"clips of {Path(item.run).name}", make_clips, (item,), item.run)
            for item in last
            if not has_clips(item)
        ]
        tables = [Job(f"probe tables of {run.name}", assemble, (run, of[run])) for run in runs]
        with meter("probes", len(shared) + len(played) + len(shown)) as bar:
            done = 0
            bar.update(done)

            def work(jobs: Sequence[Job]) -> None:
                nonlocal done
                for outcome in engine.run(jobs, lambda: None):
                    done += 1
                    bar.update(done, outcome.label)
                    failed.extend([outcome] if outcome.reason else [])

            with assembling(tables, engine if todo else None, failed):
                work(shared)
                for item in baselines.values():
                    failed += attempt("baselines", join_baselines, item)
                _share(runs, baselines)
                work(played)
            work(shown)
    made = [item.is_done for item in todo]
    for key in unknown:
        if (layouts := baselines[key].store("layouts")).has(key):
            _LOG.info("%s", probes.met_sentence(layouts.read_item(key, "probes")))
    print_done("probe", "checkpoints probed", made, len(items) - len(made))
    return failed


def assemble(run: Run, items: Sequence[ProbeItem]) -> None:
    """Write `episodes`, `probes` and `counterfactual` of a run.

    Of suites, lengths and seeds that the run was probed with, one stands in the tables for each
    mode, and of the states of the fixed-state probes one, as `current_setting` says.

    Args:
        run: the run.
        items: its checkpoints under the plan in hand.
    """
    kinds = ("probe", *_OF_SUITES, "fixed_states")
    store, base, layouts, fixed = (ItemStore(run.path, kind) for kind in kinds)
    own = current_setting(store.read("episodes"), ["mode"], asked={item.setting for item in items})
    played = [
        base.read_item(key, "episodes")
        for key in sorted(set(own.get("setting_id", [])))
        if base.has(key)
    ]
    asked = {item.fixed_states_setting for item in items if item.states}
    rows = current_setting(fixed.read("probes"), [], asked=asked)
    by_distance = _under(rows, fixed.read("counterfactual"))
    about = _under(own, layouts.read("probes"))
    found = _joined("probes", [_under(own, store.read("probes")), rows, about])
    _write("episodes", [_in_order(own, ["step", "mode", "probe", "level_seed"]), *played], run)
    _write("probes", [_in_order(found, ["step", "probe", "metric"])], run)
    _write("counterfactual", [_in_order(by_distance, ["step"])], run)


def _under(chosen: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table whose setting stands in the chosen rows of another."""
    of, allowed = (t.reindex(columns=["setting_id"])["setting_id"] for t in (frame, chosen))
    return frame[of.isin(allowed)]


def _write(name: str, parts: Sequence[pd.DataFrame], run: Run) -> None:
    write_table(name, _joined(name, parts), run)


def _joined(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else schema.empty(name)


def _in_order(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    return frame.sort_values(by, kind="stable")


def plan_items(run: Run, plan: ProbePlan, cache: Path) -> list[ProbeItem]:
    """The work on every checkpoint of a run that is to be probed, in their order.

    Args:
        run: the run.
        plan: which probes.
        cache: folder of the states that all runs share.

    Raises:
        InputError: the run has no checkpoint yet, or cannot be probed.
    """
    if not run.checkpoints:
        raise InputError(f"run {run.path} has no complete checkpoint yet")
    suite, kept = plan_suite(run, plan), kept_steps(run, plan.checkpoints)
    states = min(_STATES, suite.n_levels) if plan.states is None else plan.states
    return [
        ProbeItem(
            run=str(run.path.resolve()),
            step=c.step,
            checkpoint=str(c.path.resolve()),
            weights=file_digest(c.path / "policy.safetensors"),
            suite=suite,
            seed=plan.seed,
            states=states,
            states_file=states_file(cache, suite, states),
        )
        for c in run.checkpoints
        if c.step in kept
    ]


def _shared_jobs(todo: Sequence[ProbeItem], baselines: dict[str, ProbeItem]) -> list[Job]:
    """What the items to do have in common, each once."""
    wanted = {item.setting for item in todo}
    jobs = [
        Job(f"baselines on {item.suite.name}, part {part + 1}", make_baselines, (item, part))
        for key, item in baselines.items()
        if key in wanted and not item.store("baselines").has(key)
        for part in missing_parts(item)
    ]
    files = {item.states_file: item for item in todo if not item.has_fixed_states}
    missing = [item for file, item in files.items() if not Path(file).exists()]
    return jobs + [Job("states of the fixed-state probes", collect_states, (i,)) for i in missing]


def _share(runs: Sequence[Run], wanted: dict[str, ProbeItem]) -> None:
    """Give every run the baselines, and what is known of layouts, that one of them has."""
    for kind, table in zip(_OF_SUITES, ("episodes", "probes"), strict=True):
        stores = [ItemStore(run.path, kind) for run in runs]
        for key in wanted:
            owner = next((store for store in stores if store.has(key)), None)
            if owner is None:
                continue
            rows = owner.read_item(key, table)
            for store in stores:
                store.put(key, {table: rows})


def _pictures(runs: Sequence[Run], again: bool) -> list[Job]:
    """What draws `probes.png` of each run, and of each study that one of them is in.

    Args:
        runs: probed runs.
        again: also where there is a picture already.
    """
    shown = {run.path / PICTURE: [run] for run in runs}
    for folder in dict.fromkeys(run.path.parent.parent for run in runs):
        if (folder / "study.json").is_file():
            shown[folder / PICTURE] = Study(folder).runs[:_COLUMNS]
    return [
        Job(f"picture of {path.parent.name}", _draw, (path, [run.tables for run in of]))
        for path, of in shown.items()
        if again or not path.exists()
    ]


def _draw(path: Path, tables: Sequence[Path]) -> None:
    """Write the picture of some runs' tables (called on a worker); none where all are empty."""
    found = [folder / "probes.parquet" for folder in tables]
    frames = [frame for p in found if p.exists() and len(frame := read_table(p))]
    with contextlib.suppress(InputError):  # nothing but failures so far, which are told elsewhere
        if frames:
            figure = probes.plot_scores(pd.concat(frames, ignore_index=True))
            write_bytes(path, probes.figure_png(figure))

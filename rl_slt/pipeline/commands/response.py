"""The commands that ask what moves with what over a policy's posterior."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents import Run, load_policy, make_folder, write_atomic, write_bytes
from rl_slt import estimate_with
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import report_failures
from rl_slt.pipeline.disk.layout import open_run
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import ItemStore, digest, write_table
from rl_slt.pipeline.engine.jobs import open_engine
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.engine.work import run_items
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.plan.by_name import build_loss, fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import EVERY, Estimate, load_inputs, plan_estimates
from rl_slt.pipeline.stages.susceptibility import (
    Susceptibility,
    check_components,
    check_observables,
    make,
    parse_tilt,
)
from rl_slt.response.covariance import LEAST_DRAWS, covariance
from rl_slt.response.influence import Influence
from rl_slt.response.influence import influence as influence_of
from rl_slt.response.susceptibility import LOSS, told_from_zero
from rl_slt.response.traces import OWN, Traces, check_installed
from rl_slt.versions import STAGES, version_key

KEPT = 50  # draws of each chain


def influence(
    path: Path,
    settings: dict[str, Any],
    *,
    step: int | None,
    probe: str,
    probe_states: int,
    out: Path | None,
) -> list[str]:
    """Write which training states hold what a checkpoint does on the states of a probe.

    A table of all training states, a heat map of pairs and a sheet of frames go to `out`; the
    table `influence` of the run gets a row for each kind of state. Draws are kept, so that the same
    command again makes the files alone.

    Args:
        path: of the run.
        settings: of `LLCPlan`; `traces` is the number of draws kept of each chain.
        step: of the checkpoint; None is the last.
        probe: state set that is asked about, as `probe:behind`.
        probe_states: how many of them.
        out: folder; None is `influence/STEP` in the run.

    Returns:
        Lines that say what was found.

    Raises:
        InputError: a wrong value, or an estimate whose verdict is not ok.
    """
    check_installed()
    run = open_run(path)
    plan = _plan({"states": ("on-policy",)} | settings)
    if probe_states < 2:
        raise InputError.of("probe_states", probe_states, "an integer at least 2")
    found = run.checkpoint(step)
    train = run.training
    asked = environment_of(train).states(train, probe, (), probe_states, plan.seed)
    item = _estimate(run, plan, found.step)
    asks = [asked, plan.traces, version_key("influence")]
    key, setting = digest([item.key, item.weights, *asks]), digest([item.setting, *asks])
    loss, policy = build_loss(item.loss), load_policy(found.path)
    frames = asked.load(
        loss, policy, found.path, item.states_cache, item.weights, train
    )  # fmt: skip
    origin = asked.origin(loss, policy, item.states_cache, item.weights)
    with stage_lock(run.path, "influence"), meter("influence", 1.0) as bar:
        traces = _traces(
            item, run.path / "traces" / f"influence-{key}.nc", {probe: frames},
            {} if origin is None else {probe: origin}, lambda done, of: bar.update(done / of),
        )  # fmt: skip
        result = influence_of(traces, probe)
        groups = item.states.groups(result.training)
        table = _by_group(traces, groups, probe, result).assign(
            run=run.name, seed=run.seed, step=found.step, loss=item.loss, states=item.states.name,
            probe=probe, estimate_id=key, setting_id=setting,
            draws=traces.losses.shape[0] * traces.losses.shape[1], created=time.time(),
            version=STAGES["influence"],
        )  # fmt: skip
        store = ItemStore(run.path, "influence")
        store.put(key, {"influence": table})
        write_table("influence", store.read("influence"), run)
    folder = out or run.path / "influence" / f"{found.step:012d}"
    title = f"{run.name} at step {found.step:,}: {item.states.name} on {probe}"
    training = load_inputs(item)[1].states.numpy()
    _write_pictures(folder, result, groups, title, training, frames.states.numpy())
    lines = [f"{title}, {table['draws'].iloc[0]} draws", *result.summary()]
    for row in table.to_dict("records"):
        number = f"{row['correlation']:+.2f} ± {row['correlation_stderr']:.2f}"
        if row["status"] != "ok":
            number = "none, as chains stay apart"
        lines.append(
            f"{row['of_states']} ({row['samples']:,} states): correlation of the mean losses "
            f"{number}; {row['distinct']:.0%} of them distinct from 0"
        )
    return [*lines, f"table, heat map and frames: {folder.resolve()}"]


def susceptibility(
    path: Path,
    settings: dict[str, Any],
    *,
    components: Sequence[str],
    perturbs: Sequence[str],
    observables: Sequence[str],
    step: int | None,
    tilt_states: int,
    workers: int | None = None,
    scheduler: str | None = None,
) -> tuple[list[str], int]:
    """Find what parts of a run's weights answer to a tilt of its data towards other states.

    Args:
        path: of the run.
        settings: of `LLCPlan`, as for `influence`.
        components: patterns of parameters; none is all weights together and each layer.
        perturbs: state sets, or `SET@LEVEL`; none is the game's usual one.
        observables: `loss` and `goal`; none is the loss.
        step: of one checkpoint; None is those of the settings.
        tilt_states: states of each perturbation.
        workers: as for `open_engine`.
        scheduler: as for `open_engine`.

    Returns:
        Lines that say what was found, and the exit status.

    Raises:
        InputError: a wrong value.
    """
    run = open_run(path)
    plan = _plan({"states": ("frozen",)} | settings)
    if tilt_states < 2:
        raise InputError.of("tilt_states", tilt_states, "an integer at least 2")
    train, seen = run.training, tuple(observables) or (LOSS,)
    check_observables(train, seen)
    names = tuple(perturbs) or (environment_of(train).tilt,)
    tilts = tuple((name, parse_tilt(train, name, plan, tilt_states)) for name in names)
    last = run.checkpoint(step)
    check_components(load_policy(last.path), components)
    estimates = plan_estimates(run, plan, [train.coin])
    if step is not None:
        estimates = [_estimate(run, plan, last.step)]
    items = [
        Susceptibility(
            e.run, e.step, e.checkpoint, e.weights, e, tuple(components), tilts, seen
        )
        for e in estimates
    ]  # fmt: skip
    store = ItemStore(run.path, Susceptibility.kind)
    with stage_lock(run.path, Susceptibility.kind), open_engine(workers, scheduler) as engine:
        todo = [item for item in items if not item.done]
        with meter("susceptibility", len(todo)) as bar:
            failed = run_items(todo, make, engine, bar.update)
        write_table("susceptibilities", store.read("susceptibilities"), run)
    report_failures(failed)
    done = [store.read_item(item.key, "susceptibilities") for item in items if item.done]
    rows = [row for table in done for row in table.to_dict("records")]
    known = [row for row in rows if row["status"] == "ok"]
    value, stderr, dof = (
        np.array([[row[name] for name in ("value", "stderr", "dof")] for row in known], float)
        .reshape(-1, 3)
        .T
    )
    told = told_from_zero(value, stderr, dof)
    for row, is_told in zip(known, told, strict=True):
        row["told"] = is_told
    lines = [_line(row) for row in rows]
    if len(known) > 1:
        lines.append(f"{told.sum()} of {len(known)} are told from 0, all together at 5 % (Holm)")
    return lines, int(bool(failed))


def _line(row: dict[Any, Any]) -> str:
    """A susceptibility in words."""
    value = f"{row['value']:+.3g} ± {row['stderr']:.2g}"
    if row["status"] != "ok":
        value = f"none, {row['status']}: {row['message']}"
    elif not row["told"]:
        value += " (not told from 0)"
    answer = f"{row['observable']} to {row['perturb']}: {value}"
    return f"step {row['step']:>9,}  {row['component']:<16} {answer}"


def _plan(settings: dict[str, Any]) -> LLCPlan:
    """The plan of estimates whose draws are kept.

    Raises:
        InputError: too few draws are kept to tell an error.
    """
    plan = LLCPlan.build({"traces": KEPT} | settings, "settings")
    plan = plan.replace(traces=plan.traces or KEPT)
    kept = min(plan.traces or KEPT, plan.draws)
    if kept < LEAST_DRAWS:
        name = "traces" if plan.draws >= LEAST_DRAWS else "draws"
        raise InputError.of(name, kept, f"at least {LEAST_DRAWS} of each chain")
    return plan


def _estimate(run: Run, plan: LLCPlan, step: int) -> Estimate:
    """The estimate of a checkpoint."""
    planned = plan_estimates(run, plan.replace(checkpoints=EVERY), [run.training.coin])
    return next(item for item in planned if item.step == step)


def _traces(
    item: Estimate, file: Path, sets: dict[str, Any], origins: dict[str, pd.DataFrame],
    progress: Any, observables: dict[str, Any] | None = None,
) -> Traces:  # fmt: skip
    """The traces in a file; made and kept where it has none."""
    if file.is_file():
        return Traces.load(file)
    policy, states, loss = load_inputs(item)
    tracing = item.tracing(policy, loss)
    tracing = replace(
        tracing, sets=sets, origins={**tracing.origins, **origins}, observables=observables or {}
    )
    found = estimate_with(
        policy, states, fit_batch(item.settings, loss, states), loss, seed=item.plan.seed,
        states_error=False, traces=tracing, progress=progress,
    ).traces  # fmt: skip
    assert found is not None
    make_folder(file.parent)
    write_atomic(file, found.save)
    return found


def _by_group(traces: Traces, groups: pd.Series, probe: str, result: Influence) -> pd.DataFrame:
    """The influence of kinds of training states on the probe's mean loss, a row for each kind."""
    own, weights = traces.of(OWN), result.weight
    names = sorted(groups.unique())
    members = np.stack([np.where(groups == name, weights, 0.0) for name in names])
    means = own @ (members / members.sum(1, keepdims=True)).T
    found = covariance(traces.mean(probe)[..., None], means)
    known = found.stderr[0] > 0  # chains agree, and the means change
    value, correlation = (np.where(known, x[0], np.nan) for x in (found.value, found.correlation))
    distinct = result.mean.distinct()[0]
    return pd.DataFrame({
        "of_states": names,
        "samples": [int((groups == name).sum()) for name in names],
        "share": members.sum(1) / weights.sum(),
        "influence": -value,
        "stderr": np.where(known, found.stderr[0], np.nan),
        "correlation": correlation,
        "correlation_stderr": correlation / value * found.stderr[0],
        "dof": found.dof,
        "status": np.where(known, traces.status, "failed"),
        "distinct": [float(distinct[(groups == name).to_numpy()].mean()) for name in names],
    })  # fmt: skip


def _write_pictures(
    folder: Path, result: Influence, groups: pd.Series, title: str, training: np.ndarray,
    probe: np.ndarray,
) -> None:  # fmt: skip
    """The table of training states, the heat map, and, where states are frames, the sheet."""
    from analysis import draw_frames, draw_heat_map

    make_folder(folder)
    table = result.table()
    table.insert(1, "of_states", groups.to_numpy()[table["state"]])
    write_bytes(folder / "influence.csv", table.to_csv(index=False).encode())
    figures = {"heatmap.png": draw_heat_map(result.pairs.correlation, result.distinct, title)}
    if training.ndim == 4:
        figures["frames.png"] = draw_frames(table, training, probe, title)
    for name, figure in figures.items():
        write_atomic(folder / name, partial(figure.savefig, format="png"))

"""The command that measures which share of the localizer's mass keeps a policy, or a goal."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from agents import Run, load_policy, write_bytes
from analysis.probes import GOAL_SCORES, GoalScores
from envs import find_game
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import check_file
from rl_slt.pipeline.disk.layout import open_run
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import ItemStore, digest, write_table
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.by_name import build_loss, fit_batch
from rl_slt.pipeline.plan.study import LLCPlan, ProbePlan
from rl_slt.pipeline.stages.llc import (
    EVERY,
    Profile,
    assemble,
    load_inputs,
    make,
    plan_estimates,
    plan_profiles,
)
from rl_slt.pipeline.stages.probe.items import shared_states, states_file
from rl_slt.pipeline.stages.probe.stage import plan_suite
from rl_slt.settings import RELATIVE, RESOLUTIONS
from rl_slt.versions import STAGES, version_key
from rl_slt.volume.goal import LEAST_PARTICLES, goal_volume
from rl_slt.volume.policy import LEAST_DIRECTIONS, volumes

RADII = (0.3, 1.0, 3.0)  # of the localizers of goals, times the norm of the weights
LEVELS = 60  # of the states that goals are asked on
Z = 2.0  # standard errors that a goal's score must be away from 0
ROUNDING = 1e-6  # of a score, where a policy does the same with a coin and without
POLICY = "policy"
OF_GOALS = ["radius", "keep", "score", "score_stderr"]


def volume(
    path: Path,
    settings: dict[str, Any],
    *,
    step: int | None = None,
    goals: tuple[str, ...] = (),
    radii: tuple[float, ...] = (),
    directions: int = 128,
    particles: int = 64,
    out: Path | None = None,
) -> list[str]:
    """Measure volumes of a checkpoint; the table `volume` of the run keeps them.

    The profile of the LLC is taken from the run where it is known with these settings, and made
    and kept where it is not.

    Args:
        path: of the run.
        settings: of `LLCPlan`; `profile` names the resolutions.
        step: of the checkpoint; None is the last.
        goals: of `GOAL_SCORES`; none is all, and of a game without probes no goal.
        radii: of the localizers of goals, times the norm of the weights; none is `RADII`.
        directions: rays at each resolution, and of each goal.
        particles: of the splitting.
        out: CSV to write, too.

    Returns:
        Lines that say what was found.

    Raises:
        InputError: a wrong value.
    """
    check_file(out, (".csv",))
    for goal in goals:
        if goal not in (*GOAL_SCORES, "none"):
            raise InputError.of("goals", goal, f"one of {', '.join(GOAL_SCORES)}, none")
    radii = radii or RADII
    for radius in radii:
        if not (radius > 0 and math.isfinite(radius)):
            raise InputError.of("radius", radius, "a finite number above 0")
    least = {"directions": LEAST_DIRECTIONS, "particles": LEAST_PARTICLES}
    for name, value in (("directions", directions), ("particles", particles)):
        if value < least[name]:  # before the profile is made, which takes longest
            raise InputError.of(name, value, f"at least {least[name]}")
    run = open_run(path)
    plan = LLCPlan.build({"states": ("frozen",)} | settings, "settings")
    plan = plan.replace(checkpoints=EVERY, profile=plan.profile or RESOLUTIONS, profile_of="all")
    if build_loss(plan.losses[0]).redrawn or build_loss(plan.losses[0]).needs:
        raise InputError.of("loss", plan.losses[0], "a fixed one of states, as kl, for a volume")
    found = run.checkpoint(step)
    game = find_game(run.training.game)
    wanted = tuple(goals) or (tuple(GOAL_SCORES) if game.has_probes else ())
    wanted = () if "none" in wanted else wanted
    if wanted and not game.has_probes:
        raise InputError.of("goals", wanted[0], f"none in the game {run.training.game}")
    (item,) = [
        p for p in plan_profiles(plan_estimates(run, plan, [run.training.coin]), plan)
        if p.step == found.step
    ][:1]  # fmt: skip
    key = digest([item.key, wanted, radii, directions, particles, version_key("volume")])
    store = ItemStore(run.path, "volume")
    with stage_lock(run.path, "volume"), meter("volume", 1.0) as bar:
        if not store.has(key):
            make(item, lambda done, of: bar.update(0.5 * done / of))
            assemble(run)
            table = _measure(run, item, wanted, radii, directions, particles)
            store.put(key, {"volume": table.assign(estimate_id=key, created=time.time())})
        write_table("volume", store.read("volume"), run)
        table = store.read_item(key, "volume")
    if out is not None:
        write_bytes(out, table.to_csv(index=False).encode())
    return [f"{run.name} at step {found.step:,}, {item.estimate.states.name}", *_lines(table)]


def _measure(
    run: Run,
    item: Profile,
    goals: tuple[str, ...],
    radii: tuple[float, ...],
    directions: int,
    particles: int,
) -> pd.DataFrame:
    """All rows of a checkpoint, in the columns of table `volume`."""
    estimate = item.estimate
    policy, states, loss = load_inputs(estimate)
    settings, seed = fit_batch(estimate.settings, loss, states), estimate.plan.seed
    profile = item.store.read_item(item.key, "profile")
    frame = volumes(policy, states, profile, settings, loss, directions=directions, seed=seed)
    asks = [item.setting, directions, version_key("volume")]  # goals and radii are no settings
    parts = [frame.assign(quantity=POLICY, setting_id=digest(asks))]
    of_goals = digest([*asks, particles])
    scores = _scores(run, estimate.states_cache) if goals else None
    for goal in goals:
        assert scores is not None
        with torch.no_grad():
            each = scores.each(goal, load_policy(Path(estimate.checkpoint))).double()
        value, stderr = float(each.mean()), float(each.std() / len(each) ** 0.5)
        about = {"quantity": goal, "score": value, "score_stderr": stderr}
        if not abs(value) > max(Z * stderr, ROUNDING):  # of a single level, too
            why = f"score {value:.3f} ± {stderr:.3f} has no sign to keep"
            row = about | {"method": "", "status": "refused", "message": why}
            parts.append(pd.DataFrame([row]))
            continue
        for radius in radii:
            found = goal_volume(
                policy, states, scores.of(goal), loss=loss, directions=directions,
                particles=particles, seed=seed, localization=f"{RELATIVE}{radius:g}",
                params=settings.params, gauge=settings.gauge,
            )  # fmt: skip
            parts.append(found.assign(quantity=goal, score_stderr=stderr, radius=radius))
    table = pd.concat(parts, ignore_index=True)
    table = table.reindex(columns=table.columns.union(OF_GOALS, sort=False))
    return table.fillna({"setting_id": of_goals}).assign(
        run=run.name, seed=run.seed, step=item.step, loss=estimate.loss,
        states=estimate.states.name, version=STAGES["volume"],
    )  # fmt: skip


def _scores(run: Run, cache: Path) -> GoalScores:
    """Goal scores on held-out states, the same for all checkpoints."""
    suite = plan_suite(run, ProbePlan())
    levels = min(LEVELS, suite.n_levels)
    return GoalScores(shared_states(states_file(cache, suite, levels), suite, levels))


def _lines(table: pd.DataFrame) -> list[str]:
    """The table in words, -log of shares in nats."""
    lines = []
    for row in table.to_dict("records"):
        said = f"{row['method']:<12}"
        if row["quantity"] == POLICY:
            head, value = f"K = {row['relative_temperature']:<5.3g}", "free_energy"
            what = f"policy, {head} (KL up to {row['cutoff']:.3g})"
        else:
            value, what = "minus_log_share", f"{row['quantity']} {row['score']:+.3g}"
            if row["method"]:
                kept = "its sign" if row["keep"] == 0 else format(row["keep"], ".0%")
                what += f", radius {row['radius']:g}, keeping {kept}"
        stderr = row[f"{value}_stderr"]
        error = f" ± {stderr:.2f}" if stderr else ""  # a formula of the score at w* has none
        number = f"{row[value]:.2f}{error} nats"
        if row["status"] == "refused":
            number = f"refused: {row['message']}"
        elif row["quantity"] == POLICY and row["minus_log_share"] == row["minus_log_share"]:
            number += f"; share below that KL {row['minus_log_share']:.2f}"
        if row["status"] == "suspect":
            number += f" (suspect: {row['message']})"
        lines.append(f"{what:<40} {said} {number}")
    return lines

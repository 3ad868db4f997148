"""The command that steers a policy along the direction of a coin in one of its modules."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from agents import load_policy, write_bytes
from analysis import coin_vector, describe_steering, part_of, steer_states, steer_suite
from analysis.probes import GoalScores
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import check_file
from rl_slt.pipeline.disk.layout import open_run
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import ItemStore, digest, file_digest, write_table
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.study import ProbePlan
from rl_slt.pipeline.stages.probe.items import shared_states, states_file
from rl_slt.pipeline.stages.probe.stage import plan_suite
from rl_slt.versions import STAGES, version_key

SIDES = ("left", "right")


def steer(
    path: Path,
    *,
    module: str = "body.fc",
    side: str = "left",
    strength: float = 1.0,
    step: int | None = None,
    probes: tuple[str, ...] = (),
    levels: int = 60,
    controls: int = 4,
    seed: int = 0,
    out: Path | None = None,
) -> list[str]:
    """Steer a checkpoint and measure it again; the table `steering` of the run keeps the rows.

    Args:
        path: of the run.
        module: name of a module of its network.
        side: where the coin lies whose vector it is, `left` or `right`.
        strength: times the vector that is added.
        step: of the checkpoint; None is the last.
        probes: placements to play; none is no coin and a coin behind, both from mid-level.
        levels: held-out levels, of states and of rollouts.
        controls: random vectors of the same norm.
        seed: of the action noise and of random vectors.
        out: CSV to write, too.

    Returns:
        Lines that say what was found.

    Raises:
        InputError: a wrong value.
    """
    check_file(out, (".csv",))
    if side not in SIDES:
        raise InputError.of("side", side, " or ".join(SIDES))
    for name, value, least in (("levels", levels, 4), ("controls", controls, 2)):
        if value < least:
            raise InputError.of(name, value, f"at least {least}")
    if not math.isfinite(strength):
        raise InputError.of("strength", strength, "a finite number")
    run = open_run(path)
    suite = plan_suite(run, ProbePlan(suite="demo", levels=levels))
    suite = suite.replace(placements=probes or ("none@mid", "behind"))
    found = run.checkpoint(step)
    policy = load_policy(found.path)
    part_of(policy, module)  # refused before anything is made
    key = digest([
        file_digest(found.path / "policy.safetensors"), module, side, strength, suite, controls,
        seed, version_key("steering"),
    ])  # fmt: skip
    store = ItemStore(run.path, "steering")
    with stage_lock(run.path, "steering"), meter("steer", 1.0) as bar:
        if not store.has(key):
            cache = run.path.resolve() / "parts" / "states"
            file = states_file(cache, suite, levels)
            scores = GoalScores(shared_states(file, suite, levels))
            vector = coin_vector(policy, module, scores, side)
            same = {"strength": strength, "controls": controls, "seed": seed}
            parts = [steer_states(policy, vector, scores, side, **same)]  # type: ignore[arg-type]
            bar.update(0.2)
            parts.append(steer_suite(policy, vector, suite, **same))  # type: ignore[arg-type]
            store.put(key, {"steering": pd.concat(parts, ignore_index=True).assign(
                run=run.name, step=found.step, module=module, side=side, strength=strength,
                version=STAGES["steering"],
            )})  # fmt: skip
        write_table("steering", store.read("steering"), run)
        table = store.read_item(key, "steering")
    if out is not None:
        write_bytes(out, table.to_csv(index=False).encode())
    title = f"{run.name} at step {found.step:,}: {strength:g} x the vector of a coin on the {side}"
    return [f"{title} in {module}", *describe_steering(table)]

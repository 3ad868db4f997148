"""The probe stage of gridworlds: exact, so that a checkpoint takes milliseconds and no baselines.

At the end a picture of each run's last checkpoint, among its clips: levels with the policy as
arrows and its value as color.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents import Run, atomic_dir, load_policy, read_json_object, write_json
from analysis import probes
from envs import CheeseGrid, GridSettings
from envs.gridworld import plot_policy
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.locks import stage_locks
from rl_slt.pipeline.disk.store import clear_leftovers, digest, write_table
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome, assembling
from rl_slt.pipeline.engine.progress import meter, print_done
from rl_slt.pipeline.engine.work import WorkItem, checkpoints_of, kept_steps
from rl_slt.pipeline.plan.study import ProbePlan
from rl_slt.versions import STAGES, version_key

_SHOWN = 10  # levels in the picture


@dataclass(frozen=True)
class GridProbes(WorkItem):
    """The probes of one checkpoint.

    Attributes:
        grid: size and walls of the levels.
        discount: gamma, per step.
    """

    kind = "probe"
    grid: GridSettings
    discount: float

    @property
    def key(self) -> str:
        """Hash of all that the numbers depend on."""
        return digest([self.weights, self.setting])

    @property
    def setting(self) -> str:
        """Hash of the settings alone, the `setting_id`."""
        return digest([version_key("grid_probes"), self.grid, self.discount])

    @property
    def levels(self) -> CheeseGrid:
        """The levels."""
        return CheeseGrid.of(self.grid, self.discount)


def probe_runs(runs: Sequence[Run], plan: ProbePlan, engine: Engine) -> list[Outcome]:
    """Probe every checkpoint that is not probed yet and assemble the tables of the runs.

    Returns:
        The items that failed, with their reasons.
    """
    of = {run.path: plan_items(run, plan) for run in runs}
    items = [item for each in of.values() for item in each]
    failed: list[Outcome] = []
    with stage_locks(runs, "probe"):
        for run in runs:
            clear_leftovers(run.path)
        todo = [item for item in items if not item.store.has(item.key)]
        last = [each[-1] for each in of.values() if not has_picture(each[-1])]
        jobs = [Job(item.label, make, (item,), item.run) for item in todo]
        jobs += [Job(f"picture of {Path(i.run).name}", draw, (i,), i.run) for i in last]
        tables = [Job(f"probe tables of {run.name}", assemble, (run, of[run.path])) for run in runs]
        with (
            assembling(tables, engine if todo else None, failed),
            meter("probes", len(jobs)) as bar,
        ):
            bar.update(0)
            for done, outcome in enumerate(engine.run(jobs, lambda: None), 1):
                bar.update(done, outcome.label)
                failed += [outcome] if outcome.reason else []
    made = [item.store.has(item.key) for item in todo]
    print_done("probe", "checkpoints probed", made, len(items) - len(made))
    return failed


def plan_items(run: Run, plan: ProbePlan) -> list[GridProbes]:
    """The work on every checkpoint of a run that is to be probed, in their order.

    Raises:
        InputError: the run has no checkpoint yet.
    """
    kept, train = kept_steps(run, plan.checkpoints), run.training
    return [GridProbes(*c, train.grid, train.gamma) for c in checkpoints_of(run) if c[1] in kept]


def make(item: GridProbes) -> None:
    """Probe one checkpoint and store its numbers (called on a worker)."""
    policy = load_policy(Path(item.checkpoint))
    found = probes.probe_gridworld(
        policy, item.levels, run=Path(item.run).name, step=item.step
    ).assign(
        setting_id=item.setting, version=STAGES["grid_probes"],
        created=datetime.datetime.now().isoformat(timespec="microseconds"),
    )  # fmt: skip
    item.store.put(item.key, {"probes": found})


def assemble(run: Run, items: Sequence[GridProbes]) -> None:
    """Write table `probes` of a run from what is finished of its items."""
    store = items[0].store
    rows = [store.read_item(item.key, "probes") for item in items if store.has(item.key)]
    frame = pd.concat(rows, ignore_index=True) if rows else store.read("probes")
    write_table("probes", frame.sort_values(["step", "probe", "metric"], kind="stable"), run)


def has_picture(item: GridProbes) -> bool:
    """Whether the picture of this very checkpoint is there."""
    try:
        return read_json_object(_folder(item) / "item.json").get("key") == item.key
    except InputError:  # not there, or damaged
        return False


def draw(item: GridProbes) -> None:
    """Draw the policy of a checkpoint on some levels (called on a worker)."""
    grid, buffer = item.levels, io.BytesIO()
    places = np.linspace(0, len(grid.levels) - 1, min(_SHOWN, len(grid.levels)))
    levels = np.unique(places.round().astype(int)).tolist()
    policy, name = load_policy(Path(item.checkpoint)), f"{item.step:012d}-policy.png"
    plot_policy(grid, policy, levels).savefig(buffer, format="png", dpi=90)
    record: dict[str, Any] = {
        "file": "", "strip": name, "step": item.step, "which": "", "probe": probes.ANYWHERE,
        "placement": "anywhere", "level_seed": -1, "outcome": "", "first": "",
        "caption": f"step {item.step:,}: {len(levels)} levels; arrows are as long as moves are "
        "likely, the color is the expected discounted return from a cell",
    }  # fmt: skip
    with atomic_dir(_folder(item)) as folder:
        (folder / name).write_bytes(buffer.getvalue())
        write_json(folder / "clips.json", [record])
        write_json(folder / "item.json", {"key": item.key})


def _folder(item: GridProbes) -> Path:
    return Path(item.run) / "clips"

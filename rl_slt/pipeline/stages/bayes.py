"""What goal a posterior over weights has at each temperature, and what descent reaches when.

Of every arm of a gridworld study the posterior under its soft regret is sampled from a wide prior
down (`rl_slt.samplers.tempering`), and as many agents are trained by exact gradients as the study
has seeds. A policy's goal is the corner where it reaches that first from at least three quarters of
the starts that tell corner from cheese, the cheese where it reaches the cheese first as often, and
else neither. Where the ladders do not mix, no share is shown.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from agents import (
    TrainConfig,
    load_policy,
    network_spec,
    train_together,
    write_atomic,
    write_bytes,
)
from analysis.probes import DECIDED, grid_goal
from envs import CheeseGrid
from rl_slt import ExactRegret
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.disk.store import digest
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.study import BayesPlan, StudyPlan
from rl_slt.posterior.build import build_target
from rl_slt.samplers.tempering import temper
from rl_slt.versions import STAGES, version_key

COLUMNS = (
    "source", "arm", "dose", "at", "corner", "corner_stderr", "cheese", "cheese_stderr", "loss",
    "rhat", "trips", "mixed", "n", "version",
)  # fmt: skip


def run_bayes(study: Study, plan: StudyPlan, engine: Engine) -> tuple[list[Outcome], Path]:
    """Train and sample what is missing, and write `tables/goals.parquet`, `phase.png`, `phase.md`.

    Returns:
        What failed, and the page of tables, which has the diagrams next to it.
    """
    assert plan.bayes is not None
    jobs = []
    for arm in plan.arms:
        config = plan.train_config(arm, plan.seeds[0])
        out = _part(study, config, plan.bayes)
        if not out.exists():
            args = (config.as_dict(), plan.bayes.as_dict(), arm, str(out))
            jobs.append(Job(f"posterior of {arm}", sample_arm, args))
    runs = [(arm, study.run(arm, seed)) for arm in plan.arms for seed in plan.seeds]
    todo = [
        (
            plan.train_config(arm, int(run.path.name.rpartition("-s")[2])).as_dict(),
            str(run.path),
            arm,
        )
        for arm, run in runs
        if not run.finished
    ]
    if todo:
        jobs.insert(0, Job(f"training of {len(todo)} agents", train_all, (todo,)))
    failed = []
    with meter("posterior and descent", len(jobs)) as bar:
        bar.update(0)
        for done, outcome in enumerate(engine.run(jobs, lambda: None), 1):
            failed += [outcome] if outcome.reason else []
            bar.update(done, outcome.label)
    return failed, write_phases(study, plan)


def _part(study: Study, config: TrainConfig, plan: BayesPlan) -> Path:
    """The file of an arm's posterior, named by all that it depends on."""
    values = config.as_dict()
    own = [values[name] for name in ("coin", "grid", "gamma", "network", "network_kwargs",
                                     "temperature")]  # fmt: skip
    return study.path / "parts" / "bayes" / f"{digest([version_key('bayes'), own, plan])}.parquet"


def train_all(todo: Sequence[tuple[dict[str, Any], str, str]]) -> None:
    """Train agents together (called on a worker)."""
    trainings = [(TrainConfig.build(config, arm), Path(path), arm) for config, path, arm in todo]
    train_together(trainings, resume=True)


def sample_arm(config: dict[str, Any], settings: dict[str, Any], arm: str, out: str) -> None:
    """Sample the posterior of one arm and store a row for each temperature (called on a worker)."""
    train, plan = TrainConfig.build(config, arm), BayesPlan.build(settings, "bayes")
    grid = CheeseGrid.of(train.grid, train.gamma)
    loss = ExactRegret(grid.mdp, train.temperature)
    data = grid.data(placement=train.coin)
    network = network_spec(train).build()  # its weights count for nothing
    target = build_target(network, data, loss, 1.0, 1.0, None, plan.seed)
    levels = torch.arange(target.n)
    assert target.traced is not None

    def observe(w: Tensor) -> Tensor:
        return torch.stack([_sign(grid_goal(target.flat.load(row), grid)) for row in w])

    traced = target.traced
    found = temper(
        lambda w: traced.of_rows(w, levels, shared=True, whole=True), target.dim, plan.nbetas,
        prior_sd=plan.prior_sd, ladders=plan.ladders, draws=plan.draws, burn_in=plan.draws // 4,
        leapfrog=plan.leapfrog, seed=plan.seed, observe=observe,
    )  # fmt: skip
    rows = []
    for rung, nbeta in enumerate(plan.nbetas):
        goals = found.observed[:, rung]
        corner = found.mean(rung, (goals == 1).astype(float))
        cheese = found.mean(rung, (goals == -1).astype(float))
        loss_mean = found.mean(rung, found.loss[:, rung])
        mixed = corner.mixed and cheese.mixed and loss_mean.mixed
        rows.append([
            "posterior", arm, math.nan, nbeta, corner.value, corner.stderr, cheese.value,
            cheese.stderr, loss_mean.value, max(corner.rhat, cheese.rhat, loss_mean.rhat),
            float(found.trips[:, rung].mean()), mixed, goals.size, STAGES["bayes"],
        ])  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(Path(out), lambda temporary: frame.to_parquet(temporary, index=False))


def _sign(goal: str) -> Tensor:
    return torch.tensor({"corner": 1.0, "cheese": -1.0, "neither": 0.0}[goal])


def descent(study: Study, plan: StudyPlan) -> pd.DataFrame:
    """Share of an arm's seeds with each goal, by gradient steps."""
    rows = []
    for arm in plan.arms:
        config = plan.train_config(arm, plan.seeds[0])
        grid = CheeseGrid.of(config.grid, config.gamma)
        goals: dict[int, list[str]] = {}
        for seed in plan.seeds:
            run = study.run(arm, seed)
            for checkpoint in run.checkpoints if run.exists else ():
                goals.setdefault(checkpoint.step, []).append(
                    grid_goal(load_policy(checkpoint.path), grid)
                )
        for step, seen in sorted(goals.items()):
            shares = [seen.count(goal) / len(seen) for goal in ("corner", "cheese")]
            errors = [math.sqrt(p * (1 - p) / len(seen)) for p in shares]
            rows.append([
                "descent", arm, math.nan, step, shares[0], errors[0], shares[1], errors[1],
                math.nan, math.nan, math.nan, True, len(seen), STAGES["bayes"],
            ])  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_phases(study: Study, plan: StudyPlan) -> Path:
    """The table of goals, the two diagrams side by side, and both as text."""
    assert plan.bayes is not None
    parts = [_part(study, plan.train_config(arm, plan.seeds[0]), plan.bayes) for arm in plan.arms]
    frames = [pd.read_parquet(part) for part in parts if part.exists()]
    table = pd.concat([*frames, descent(study, plan)], ignore_index=True)
    table["dose"] = table["arm"].map({arm: plan.arms[arm].get("dose") for arm in plan.arms})
    study.tables.mkdir(parents=True, exist_ok=True)
    write_atomic(study.tables / "goals.parquet", lambda path: table.to_parquet(path, index=False))
    write_bytes(study.path / "phase.png", phase_figure(table))
    page = study.path / "phase.md"
    write_bytes(page, phase_text(table, plan).encode())
    return page


def phase_figure(table: pd.DataFrame) -> bytes:
    """Two diagrams of the corner's share, as a PNG: temperature or steps across, alpha upward.

    Cells whose ladders did not mix are hatched and have no color.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.4), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = {"posterior": ("posterior over weights", "nbeta"),
              "descent": ("seeds of gradient descent", "gradient steps")}  # fmt: skip
    for axes, (source, (title, label)) in zip(panels, titles.items(), strict=True):
        rows = table[table["source"] == source]
        if rows.empty:
            continue
        shown = rows["corner"].where(rows["mixed"].astype(bool))
        grid = rows.assign(shown=shown).pivot(index="dose", columns="at", values="shown")
        image = axes.pcolormesh(np.ma.masked_invalid(grid.to_numpy(float)), cmap="viridis",
                                vmin=0, vmax=1, edgecolors="white", linewidth=0.4)  # fmt: skip
        axes.patch.set(hatch="////", edgecolor="0.6", facecolor="white")
        cheese = rows.pivot(index="dose", columns="at", values="cheese").loc[grid.index]
        for (y, x), value in np.ndenumerate(grid.to_numpy(float)):
            if not math.isnan(value):
                other = float(cheese.to_numpy(float)[y, x])
                sign = "C" if value > 0.5 else "x" if other > 0.5 else ""
                axes.text(x + 0.5, y + 0.5, sign, ha="center", va="center", fontsize=7,
                          color="black" if value > 0.5 else "white")  # fmt: skip
        axes.set_xticks(np.arange(grid.shape[1]) + 0.5, [f"{x:g}" for x in grid.columns],
                        rotation=60, fontsize=8)  # fmt: skip
        axes.set_yticks(np.arange(grid.shape[0]) + 0.5, [f"{y:g}" for y in grid.index])
        axes.set(title=title, xlabel=label, ylabel="alpha (cheese anywhere)")
        figure.colorbar(image, ax=axes, label="share whose goal is the corner")
    figure.supxlabel(
        "C: most go to the corner   x: most go to the cheese   hatched: ladders did not mix",
        fontsize=8,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def phase_text(table: pd.DataFrame, plan: StudyPlan) -> str:
    """Question, rule, and one table each of the posterior and of descent."""
    lines = [
        f"# {plan.name}", "", plan.question, "", "![phase diagrams](phase.png)", "",
        f"A policy's goal is what it reaches first from at least {DECIDED:.0%} of the starts that "
        "tell corner from cheese. Shares with standard errors (Monte Carlo; of the posterior over "
        "independent ladders, of descent over seeds).",
    ]  # fmt: skip
    for source, at in (("posterior", "nbeta"), ("descent", "step")):
        head = f"| alpha | {at} | corner | cheese | loss | R-hat | trips from the prior | n |"
        lines += ["", f"## {source}", "", head, "|" + " --- |" * 8]
        for row in table[table["source"] == source].to_dict("records"):
            share = [
                f"{row[goal]:.3f} ± {row[f'{goal}_stderr']:.3f}" if row["mixed"] else "did not mix"
                for goal in ("corner", "cheese")
            ]
            known = (float(row[name]) for name in ("loss", "rhat", "trips"))
            numbers = ["" if math.isnan(x) else f"{x:.3g}" for x in known]
            cells = [f"{row['dose']:g}", f"{row['at']:g}", *share, *numbers, f"{row['n']}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

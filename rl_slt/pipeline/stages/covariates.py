"""What is cheap to know of a checkpoint: entropy, weight norm, return, KL from the one before.

They are what the LLC has to beat as an early sign of the goal. Entropy and KL are means over the
frozen states that the LLC is estimated on, in nats; `step_kl` is `KL(pi_(k-1) || pi_k)` from the
checkpoint before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from agents import Checkpoint, load_policy
from analysis.report import read_progress
from envs import FROZEN_LEVELS, kl, log_probs
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import UnitStore, digest, file_digest, write_table
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.states.state_sets import Recipe, collect

_STATES = 512  # of the frozen set, evenly spaced: enough for two digits
_VERSION = 2  # raise when the same settings would give other numbers


@dataclass(frozen=True)
class _Unit:
    """One checkpoint, and the one before it; `key` is a hash of all that the numbers depend on."""

    checkpoint: Checkpoint
    before: Checkpoint | None
    key: str


def collect_runs(
    runs: Sequence[Run],
    engine: Engine,
    plan: LLCPlan | None = None,
    placements: Sequence[str] = (),
) -> list[Outcome]:
    """Bring the table `covariates` of the runs up to date; finished checkpoints are kept.

    Args:
        runs: runs without checkpoints or training settings are left as they are.
        engine: where the runs are worked on, one job each.
        plan: whose frozen states are used (their number and seed), so that they are collected once.
        placements: coin placements of these states; those of the runs by default.

    Returns:
        The runs that failed, with their reasons.
    """
    known = [run for run in runs if run.checkpoints and isinstance(run.config.get("train"), dict)]
    shared = sorted(placements) or sorted({run.training.coin for run in known})
    recipes = [_recipe(run, plan or LLCPlan(), shared) for run in known]
    jobs = [
        Job(f"covariates of {run.name}", make, (str(run.path.resolve()), recipe))
        for run, recipe in zip(known, recipes, strict=True)
        if _missing(run, recipe)
    ]
    failed = [outcome for outcome in engine.run(jobs, lambda: None) if outcome.reason]
    for run, recipe in zip(known, recipes, strict=True):
        _assemble(run, recipe)
    return failed


def make(path: str, recipe: Recipe) -> None:
    """Compute and store what is missing of one run (called on a worker).

    A checkpoint that does not load is left out, and so is the step from it to the next.
    """
    run = Run(Path(path))
    states = collect(recipe, None, run.path / "parts" / "states")
    states = states[:: max(1, len(states) // _STATES)][:_STATES]
    store = UnitStore(run.path, "covariates")
    for unit in _missing(run, recipe):
        try:
            policy = load_policy(unit.checkpoint.path)
            before = load_policy(unit.before.path) if unit.before else None
        except InputError:
            continue
        row = {"run": run.name, "step": unit.checkpoint.step, "return": np.nan}
        frame = pd.DataFrame([row | measure(policy, before, states)])
        store.put(unit.key, {"covariates": frame})


def measure(policy: nn.Module, before: nn.Module | None, states: Tensor) -> dict[str, float]:
    """Entropy (nats), Euclidean norm of the weights, and KL from the policy before (NaN: none).

    Args:
        policy: from states to logits, or to (logits, values).
        before: the policy one checkpoint earlier.
        states: `[N, ...]`.
    """
    log_p = log_probs(policy, states)
    square = sum(float(w.detach().double().square().sum()) for w in policy.parameters())
    step_kl = np.nan
    if before is not None:
        log_b = log_probs(before, states)
        step_kl = float(kl(log_b, log_p).mean())
    entropy = float(-(log_p.exp() * log_p).sum(dim=1).mean())
    return {"entropy": entropy, "weight_norm": square**0.5, "step_kl": step_kl}


def _recipe(run: Run, plan: LLCPlan, placements: Sequence[str]) -> Recipe:
    train = run.training
    return Recipe(
        spec="frozen",
        placements=tuple(placements),
        settings=train.settings,
        levels=FROZEN_LEVELS,
        n=plan.n_states,
        time_limit=train.time_limit,
        seed=plan.seed,
    )


def _units(run: Run, recipe: Recipe) -> list[_Unit]:
    units: list[_Unit] = []
    before, weights_before = None, ""
    for checkpoint in run.checkpoints:
        weights = file_digest(checkpoint.path / "policy.safetensors")
        key = digest([_VERSION, _STATES, recipe.key(""), weights, weights_before])
        units.append(_Unit(checkpoint, before, key))
        before, weights_before = checkpoint, weights
    return units


def _missing(run: Run, recipe: Recipe) -> list[_Unit]:
    store = UnitStore(run.path, "covariates")
    return [unit for unit in _units(run, recipe) if not store.has(unit.key)]


def _assemble(run: Run, recipe: Recipe) -> None:
    """Write the table from the units of this recipe, with the training return at each step."""
    store = UnitStore(run.path, "covariates")
    keys = [unit.key for unit in _units(run, recipe) if store.has(unit.key)]
    if not keys:
        return
    frame = pd.concat([store.read_unit(key, "covariates") for key in keys], ignore_index=True)
    curve = read_progress(run.path / "progress.csv", lambda note: None)
    frame["return"] = return_at(curve, frame["step"].to_numpy(dtype=float))
    write_table("covariates", frame, run)


def return_at(curve: pd.DataFrame, steps: np.ndarray) -> np.ndarray:
    """The last training return recorded up to each step, NaN before the first; `[n]`."""
    values = np.append(curve["ret"].to_numpy(dtype=float), np.nan)  # place -1: none yet
    return np.asarray(values[curve["step"].searchsorted(steps, side="right") - 1])

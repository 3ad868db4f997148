"""The LLC stage: every checkpoint x loss x state set of some runs, each a restartable unit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from agents import Checkpoint, check_device, load_policy
from analysis import schema
from analysis.probes import SUITES
from envs import FROZEN_LEVELS
from rl_slt import PolicyData, estimate_with
from rl_slt.errors import InputError
from rl_slt.gradients.flat import match_parameters
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.locks import stage_locks
from rl_slt.pipeline.disk.store import (
    StageItems,
    UnitStore,
    clear_leftovers,
    digest,
    file_digest,
    write_table,
)
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome, attempt
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.by_name import FROM_STATES, build_loss, check_loss, fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.states.episodes import collect_episodes
from rl_slt.pipeline.states.state_sets import Recipe, collect, parse_states
from rl_slt.samplers.chains import Progress

_VERSION = 7  # raise when the same settings would give other numbers


def _planned(settings: dict[str, Any]) -> list[str]:
    """The series that a study asks for; none where its settings are damaged."""
    plan = settings.get("llc")
    plan = plan if isinstance(plan, dict) else {}
    losses, states = plan.get("losses"), plan.get("states")
    if not isinstance(losses, list) or not isinstance(states, list):
        return []
    return [f"{loss} on {spec}" for loss in losses for spec in states]


ITEMS = StageItems("llc", "llc", ("loss", "states"), _planned)


@dataclass(frozen=True)
class Unit:
    """One estimate: all that its worker needs, and all that its numbers depend on."""

    run: str
    step: int
    checkpoint: str
    weights: str
    reference: str
    reference_weights: str
    loss: str
    recipe: Recipe
    plan: LLCPlan
    cache: str

    @property
    def key(self) -> str:
        """Hash of everything that the estimate depends on; the `estimate_id`."""
        return digest([self.weights, self.visitor, *self._settings()])

    @property
    def setting(self) -> str:
        """Hash of the settings alone, the same for all checkpoints; the `setting_id`."""
        return digest(self._settings())

    @property
    def visitor(self) -> str:
        """Hash of the weights that visit the states: empty for frozen sets."""
        return self.weights if parse_states(self.recipe.spec).own else ""

    def _settings(self) -> list[Any]:
        plan = self.plan.values()
        for listed in ("losses", "states", "reference"):  # named one by one in the unit itself
            plan.pop(listed)
        own = "self" if self.reference == "self" else self.reference_weights
        return [_VERSION, self.loss, own, dataclasses.asdict(self.recipe), plan]


def plan_units(run: Run, plan: LLCPlan, placements: Sequence[str]) -> list[Unit]:
    """The units of one run, in the order of its checkpoints.

    Args:
        run: the run.
        plan: which estimates to make.
        placements: coin placements of the frozen set; shared by the runs that are compared.

    Raises:
        InputError: for an unknown loss, state set or reference, or a run without checkpoints.
    """
    checkpoints = run.checkpoints
    if not checkpoints:
        raise InputError(f"run {run.path} has no complete checkpoint yet")
    reference = _reference(run, plan.reference)
    ref_hash = file_digest(reference / "policy.safetensors") if reference else ""
    recipes = [_recipe(run, plan, spec, placements) for spec in plan.states]
    _check_params(checkpoints, plan.params)
    units = []
    for checkpoint in checkpoints:
        weights = file_digest(checkpoint.path / "policy.safetensors")
        for loss in plan.losses:
            for recipe in recipes:
                check_loss(loss, recipe.spec, plan.reference)
                units.append(
                    Unit(
                        run=str(run.path.resolve()),
                        step=checkpoint.step,
                        checkpoint=str(checkpoint.path.resolve()),
                        weights=weights,
                        reference=str(reference.resolve()) if reference else "self",
                        reference_weights=ref_hash,
                        loss=loss,
                        recipe=recipe,
                        plan=plan,
                        cache=str((run.path / "parts" / "states").resolve()),
                    )
                )
    return units


def _check_params(checkpoints: Sequence[Checkpoint], params: str) -> None:
    """Raise InputError if the first checkpoint that loads has no parameters of these names."""
    if params == "all":
        return
    for checkpoint in checkpoints:
        try:
            policy = load_policy(checkpoint)
        except InputError:
            continue  # its own units will fail and say so
        match_parameters(policy, params.split(","))
        return


def estimate_runs(
    runs: Sequence[Run], plan: LLCPlan, engine: Engine, placements: Sequence[str] = ()
) -> list[Outcome]:
    """Make every estimate that is not there yet and assemble the tables of the runs.

    Returns:
        The units that failed, with their reasons; their neighbours are finished all the same.
    """
    shared = sorted(placements) or sorted({run.training.coin for run in runs})
    units = [unit for run in runs for unit in plan_units(run, plan, shared)]
    failed: list[Outcome] = []
    with stage_locks(runs, "llc"):
        for run in runs:
            clear_leftovers(run.path)
        jobs = [_job(u) for u in units if not UnitStore(Path(u.run), "llc").has(u.key)]
        jobs.sort(key=lambda job: job.args[0].recipe.spec != "frozen")
        try:
            with meter("LLC", len(jobs)) as bar:
                for done, outcome in enumerate(engine.run(jobs, lambda: None), start=1):
                    bar.update(done, outcome.label.removeprefix("llc of "))
                    if outcome.reason:
                        failed.append(outcome)
        finally:
            for run in runs:
                failed += attempt(f"llc tables of {run.name}", assemble, run)
    return failed


def _job(unit: Unit) -> Job:
    name, spec = Path(unit.run).name, unit.recipe.spec
    return Job(f"llc of {name} at step {unit.step} ({unit.loss}, {spec})", make, (unit,), unit.run)


def assemble(run: Run) -> None:
    """Write `llc` and `llc_draws` of a run from its finished units."""
    store = UnitStore(run.path, "llc")
    order = ["loss", "states", "setting_id", "step"]
    llc = store.read("llc")
    if len(llc):
        llc = llc.sort_values(["created", *order], kind="stable").sort_values(order, kind="stable")
    draws = store.read("llc_draws")
    if len(draws):
        draws = draws.sort_values(["step", "estimate_id", "chain", "draw"], kind="stable")
    write_table("llc", llc, run)
    write_table("llc_draws", draws, run)


def make(unit: Unit, progress: Progress | None = None) -> None:
    """Compute one estimate and store it (called on a worker)."""
    start = time.perf_counter()
    run, plan = Run(Path(unit.run)), unit.plan
    store = UnitStore(run.path, "llc")
    if store.has(unit.key):
        return
    policy, states, loss = open_unit(unit)
    settings = fit_batch(plan.settings(), unit.loss, states)
    estimate = estimate_with(policy, states, settings, loss, seed=plan.seed, progress=progress)
    row = _row(run, unit, estimate) | {"seconds": time.perf_counter() - start}
    draws = estimate.draws.assign(
        run=run.name, step=unit.step, estimate_id=unit.key, loss=unit.loss,
        states=unit.recipe.spec,
    )  # fmt: skip
    tables = {"llc": pd.DataFrame([row]), "llc_draws": draws}
    store.put(unit.key, tables)


def open_unit(unit: Unit) -> tuple[nn.Module, PolicyData | Tensor, Any]:
    """The policy on the device of the plan, what the loss is averaged over, and the loss itself."""
    device = check_device(unit.plan.device)
    policy = load_policy(Path(unit.checkpoint))
    reference = load_policy(Path(unit.reference)).to(device) if unit.reference != "self" else None
    discount = Run(Path(unit.run)).training.gamma
    states = _data(unit, policy)  # visited on the CPU, the same whatever the device
    return policy.to(device), states, build_loss(unit.loss, reference, discount)


def _data(unit: Unit, policy: nn.Module) -> PolicyData | Tensor:
    """States alone, or whole episodes where the loss needs them."""
    cache = Path(unit.cache)
    if unit.loss in FROM_STATES:
        visiting = policy if unit.visitor else None
        return collect(unit.recipe, visiting, cache, unit.visitor)
    train = Run(Path(unit.run)).training
    return collect_episodes(
        unit.recipe, policy, Path(unit.checkpoint), cache, unit.weights,
        train.gamma, train.gae_lambda,
    )  # fmt: skip


def _row(run: Run, unit: Unit, estimate: Any) -> dict[str, Any]:
    known = {
        name: getattr(estimate, name)
        for name in schema.TABLES["llc"]
        if hasattr(estimate, name) and name != "draws"
    }
    return known | {
        "run": run.name,
        "seed": run.seed,
        "step": unit.step,
        "estimate_id": unit.key,
        "setting_id": unit.setting,
        "created": time.time(),
        "loss": unit.loss,
        "reference": _reference_name(unit.reference),
        "states": unit.recipe.spec,
        "params": unit.plan.params,
        "llc_stderr": estimate.stderr,
        "llc_stderr_data": estimate.stderr_data,
        "loss_stderr": estimate.loss_stderr,
        "loss_init_stderr": estimate.loss_init_stderr,
        "chains": unit.plan.chains,
        "draws": estimate.draws["draw"].nunique(),
        "chain_seed": unit.plan.seed,
    }


def _reference_name(reference: str) -> str:
    """`self`, or `RUN@STEP`: the same text only where the same policy is the yardstick."""
    path = Path(reference)
    return reference if reference == "self" else f"{path.parents[1].name}@{int(path.name)}"


def _recipe(run: Run, plan: LLCPlan, text: str, placements: Sequence[str]) -> Recipe:
    spec, train = parse_states(text), run.training
    places = (spec.placement,) if spec.placement else None
    probed = SUITES["standard"].seeds
    levels = {"frozen": FROZEN_LEVELS, "probe": (probed[0], probed[-1] + 1)}
    return Recipe(
        spec=str(spec),
        placements=places or ((train.coin,) if spec.own else tuple(placements)),
        settings=train.settings,
        levels=levels.get(spec.source, train.levels),
        n=plan.n_states,
        time_limit=train.time_limit,
        seed=plan.seed,
    )


def _reference(run: Run, text: str) -> Path | None:
    """The folder of the reference policy's checkpoint; None for the checkpoint itself."""
    if text == "self":
        return None
    if text == "last":
        return run.checkpoints[-1].path
    folder, at, step = text.rpartition("@")
    other = Run(Path(folder))
    found = [c.path for c in other.checkpoints if at and str(c.step) == step]
    if not found:
        raise InputError(
            f"unknown reference {text!r}; allowed: self, last, or RUN@STEP of a checkpoint"
        )
    return found[0]

"""The LLC stage: every checkpoint x loss x state set of some runs, each estimate restartable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from agents import Run, check_device, load_policy
from analysis import schema
from analysis.probes import SUITES
from envs import FROZEN_LEVELS, find_game
from rl_slt import LLCEstimate, PolicyData, estimate_with
from rl_slt.errors import InputError
from rl_slt.gradients.flat import match_parameters
from rl_slt.gradients.precision import wants_bfloat16
from rl_slt.gradients.traced import has_conv
from rl_slt.pipeline.disk.locks import stage_locks
from rl_slt.pipeline.disk.store import (
    ItemStore,
    StageItems,
    clear_leftovers,
    digest,
    file_digest,
    write_table,
)
from rl_slt.pipeline.engine.jobs import Engine, Outcome, attempt
from rl_slt.pipeline.engine.progress import meter, print_done
from rl_slt.pipeline.engine.work import WorkItem, checkpoints_of, run_items
from rl_slt.pipeline.plan.by_name import build_loss, fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.states import StateSetSpec, collect, collect_episodes, parse_states
from rl_slt.samplers.chains import Progress
from rl_slt.settings import Settings
from rl_slt.versions import STAGES, version_key


def _planned(settings: dict[str, Any]) -> list[str]:
    """The series that a study asks for; none where its settings are damaged."""
    try:
        plan = LLCPlan.build(settings.get("llc"), "llc")
    except InputError:
        return []
    return [f"{loss} on {states}" for loss in plan.losses for states in plan.states]


ITEMS = StageItems("llc", "llc", ("loss", "states"), _planned)


@dataclass(frozen=True)
class Estimate(WorkItem):
    """One estimate to make.

    Attributes:
        reference: folder of the reference policy's checkpoint, or `self`.
        reference_weights: hash of that policy; empty for `self`.
        loss: as `by_name.build_loss` reads it.
        states: what the loss is averaged over.
        plan: all other settings.
        precision: of convolutions, `float32` or `bfloat16`: what the plan's `auto` comes to.
        entropy: that the policy is brought to first, nats; None leaves it.
    """

    kind = "llc"
    reference: str
    reference_weights: str
    loss: str
    states: StateSetSpec
    plan: LLCPlan
    precision: str
    entropy: float | None = None

    @property
    def key(self) -> str:
        """Hash of everything that the estimate depends on; the `estimate_id`."""
        return digest([self.weights, self.visitor, *self._settings()])

    @property
    def setting(self) -> str:
        """Hash of the settings alone, the same for all checkpoints; the `setting_id`."""
        return digest(self._settings())

    @property
    def label(self) -> str:
        """What it is called in front of people."""
        at = "" if self.entropy is None else f", at {self.entropy:g} nats"
        return f"{super().label} ({self.loss}, {self.states.name}{at})"

    @property
    def visitor(self) -> str:
        """Hash of the weights that visit the states: empty for frozen sets."""
        return self.weights if parse_states(self.states.name).own else ""

    @property
    def device(self) -> str:
        """The kind of device that the chains run on: `cpu` or `cuda`, whichever GPU it is."""
        return self.plan.device.partition(":")[0]

    @property
    def reference_name(self) -> str:
        """`self`, or `RUN@STEP`: the same only where the same policy is the fixed reference."""
        path = Path(self.reference)
        own = self.reference == "self"
        return "self" if own else f"{path.parents[1].name}@{int(path.name)}"

    @property
    def settings(self) -> Settings:
        """The estimator's settings."""
        return self.plan.settings().replace(
            precision=self.precision, distinct_actions=self.distinct_actions,
            match_entropy=self.entropy,
        )  # fmt: skip

    @property
    def distinct_actions(self) -> tuple[tuple[int, ...], ...] | None:
        """Classes of actions that do the same in the run's game; None keeps all apart."""
        merged = self.plan.actions == "distinct"
        return find_game(Run(Path(self.run)).training.game).distinct_actions if merged else None

    def _settings(self) -> list[Any]:
        plan = self.plan.values() | {"precision": self.precision, "device": self.device}
        for listed in ("losses", "states", "reference", "match_entropy"):  # one in the item itself
            plan.pop(listed)
        plan["entropy"] = self.entropy
        own = "self" if self.reference == "self" else self.reference_weights
        return [version_key("llc"), self.loss, own, self.states, plan]


def plan_estimates(run: Run, plan: LLCPlan, placements: Sequence[str]) -> list[Estimate]:
    """The estimates of one run, in the order of its checkpoints.

    `precision = "auto"` is resolved here, for the networks of this run on the plan's device, so
    that the key says how numbers are made, and workers make them so whatever they would prefer.

    Args:
        run: the run.
        plan: which estimates to make.
        placements: coin placements of the frozen set; shared by the runs that are compared.

    Raises:
        InputError: for an unknown reference or parameter, or a run without checkpoints.
    """
    checkpoints = checkpoints_of(run)
    reference = _reference(run, plan.reference)
    reference_weights = file_digest(reference / "policy.safetensors") if reference else ""
    rounded = plan.device == "cpu" and wants_bfloat16(plan.precision)
    if plan.params != "all" or rounded:
        policy = _first_policy(run)
        if policy is not None and plan.params != "all":
            match_parameters(policy, plan.params.split(","))
        rounded = rounded and policy is not None and has_conv(policy)
    sets = [states_of(run, plan, text, placements) for text in plan.states]
    controls = [(sets[0], entropy) for entropy in plan.match_entropy]
    return [
        Estimate(
            *checkpoint,
            reference=str(reference.resolve()) if reference else "self",
            reference_weights=reference_weights,
            loss=loss,
            states=states,
            plan=plan,
            precision="bfloat16" if rounded else "float32",
            entropy=entropy,
        )
        for checkpoint in checkpoints
        for loss in plan.losses
        for states, entropy in [*((each, None) for each in sets), *controls]
        if entropy is None or not build_loss(loss).needs
    ]


def states_of(run: Run, plan: LLCPlan, text: str, placements: Sequence[str]) -> StateSetSpec:
    """The state set of that name for a run.

    Args:
        run: whose level settings and time limit it has.
        plan: the number of states, and the seed.
        text: name of the set.
        placements: of the coin, for a frozen set that names none.
    """
    name, train, probed = parse_states(text), run.training, SUITES["standard"].seeds
    levels = {"frozen": FROZEN_LEVELS, "probe": (probed[0], probed[-1] + 1)}
    own = (train.coin,) if name.own else tuple(placements)
    return StateSetSpec(
        name=str(name),
        placements=(name.placement,) if name.placement else own,
        settings=train.settings,
        levels=levels.get(name.source, train.levels),
        n=plan.n_states,
        time_limit=train.time_limit,
        seed=plan.seed,
    )


def estimate_runs(
    runs: Sequence[Run], plan: LLCPlan, engine: Engine, placements: Sequence[str] = ()
) -> list[Outcome]:
    """Make every estimate that is not there yet and assemble the tables of the runs.

    Returns:
        The estimates that failed, with their reasons; their neighbors are finished all the same.
    """
    shared = sorted(placements) or sorted({run.training.coin for run in runs})
    estimates = [estimate for run in runs for estimate in plan_estimates(run, plan, shared)]
    failed: list[Outcome] = []
    with stage_locks(runs, "llc"):
        for run in runs:
            clear_leftovers(run.path)
        missing = [e for e in estimates if not e.store.has(e.key)]
        missing.sort(key=lambda e: e.states.name != "frozen")
        try:
            with meter("LLC", len(missing)) as bar:
                failed += run_items(
                    missing, make, engine,
                    lambda done, label: bar.update(done, label.removeprefix("llc of ")),
                )  # fmt: skip
        finally:
            for run in runs:
                failed += attempt(f"llc tables of {run.name}", assemble, run)
    made = [e.store.has(e.key) for e in missing]
    print_done("llc", "estimates made", made, len(estimates) - len(made))
    return failed


def assemble(run: Run) -> None:
    """Write `llc` and `llc_draws` of a run from its finished estimates."""
    store = ItemStore(run.path, "llc")
    for table, order in (
        ("llc", ["loss", "states", "setting_id", "step", "created"]),
        ("llc_draws", ["step", "estimate_id", "chain", "draw"]),
    ):
        rows = store.read(table)
        write_table(table, rows.sort_values(order, kind="stable") if len(rows) else rows, run)


def make(item: Estimate, progress: Progress | None = None) -> None:
    """Compute one estimate and store it (called on a worker)."""
    start = time.perf_counter()
    run, plan = Run(Path(item.run)), item.plan
    if item.store.has(item.key):
        return
    policy, states, loss = load_inputs(item)
    settings = fit_batch(item.settings, loss, states)
    estimate = estimate_with(policy, states, settings, loss, seed=plan.seed, progress=progress)
    names = [*schema.TABLES["llc"], "loss_stderr", "loss_init_stderr"]
    known = {name: getattr(estimate, name) for name in names if hasattr(estimate, name)}
    row = known | {
        "run": run.name,
        "seed": run.seed,
        "step": item.step,
        "estimate_id": item.key,
        "setting_id": item.setting,
        "created": time.time(),
        "loss": item.loss,
        "reference": item.reference_name,
        "states": item.states.name,
        "params": _params(plan, estimate),
        "llc_stderr": estimate.stderr,
        "llc_stderr_data": estimate.stderr_states,
        "llc_stderr_states": estimate.stderr_states,
        "llc_stderr_total": estimate.stderr_total,
        "draws": estimate.draws["draw"].nunique(),
        "chain_seed": plan.seed,
        "seconds": time.perf_counter() - start,
        "version": STAGES["llc"],
        "actions": plan.actions,
    }
    draws = estimate.draws.assign(
        run=run.name, step=item.step, estimate_id=item.key, loss=item.loss,
        states=item.states.name, version=STAGES["llc"],
    )  # fmt: skip
    item.store.put(item.key, {"llc": pd.DataFrame([row]), "llc_draws": draws})


def _params(plan: LLCPlan, estimate: LLCEstimate) -> str:
    """The directions left free, which name a series: those of a constrained LLC are fewer."""
    if not estimate.constrained:
        return plan.params
    return f"{plan.params} orthogonal to the gradient".removeprefix("all ")


def load_inputs(item: Estimate) -> tuple[nn.Module, PolicyData, Any]:
    """The policy on the device of the plan, what the loss is averaged over, and the loss itself.

    States are visited on the CPU, so that they are the same whatever the device.
    """
    device, train = check_device(item.plan.device), Run(Path(item.run)).training
    policy = load_policy(Path(item.checkpoint))
    reference = load_policy(Path(item.reference)).to(device) if item.reference != "self" else None
    cache = item.states_cache
    if not build_loss(item.loss).needs:
        states = collect(item.states, policy if item.visitor else None, cache, item.visitor)
    else:  # whole episodes
        checkpoint = Path(item.checkpoint)
        states = collect_episodes(item.states, policy, checkpoint, cache, item.weights, train)
    return policy.to(device), states, build_loss(item.loss, reference, train.gamma)


def _first_policy(run: Run) -> nn.Module | None:
    """The first checkpoint that loads: all networks of a run are alike."""
    for checkpoint in run.checkpoints:
        try:
            return load_policy(checkpoint)
        except InputError:
            continue  # its own estimates will fail and say so
    return None


def _reference(run: Run, text: str) -> Path | None:
    """The folder of the reference policy's checkpoint; None for the checkpoint itself."""
    if text == "self":
        return None
    if text == "last":
        return run.checkpoints[-1].path
    folder, at, step = text.rpartition("@")
    for checkpoint in Run(Path(folder)).checkpoints if at else ():
        if str(checkpoint.step) == step:
            return checkpoint.path
    raise InputError.of("reference", text, "self, last, or RUN@STEP of a checkpoint")

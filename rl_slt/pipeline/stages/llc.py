"""The LLC stage: every checkpoint x loss x state set of some runs, and profiles over resolutions.

Each estimate and each profile is restartable.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from agents import Run, TrainConfig, check_device, load_policy, make_folder, write_atomic
from analysis import schema
from envs import find_game
from rl_slt import LLCEstimate, PolicyData, estimate_with, profile_verdict
from rl_slt.errors import InputError
from rl_slt.gradients.flat import match_parameters
from rl_slt.gradients.patches import overlaps
from rl_slt.gradients.precision import wants_bfloat16
from rl_slt.losses import Loss
from rl_slt.pipeline.disk.locks import stage_locks
from rl_slt.pipeline.disk.store import (
    ItemStore,
    StageItems,
    clear_leftovers,
    digest,
    file_digest,
    write_table,
)
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome, assembling
from rl_slt.pipeline.engine.progress import meter, print_done
from rl_slt.pipeline.engine.work import WorkItem, checkpoints_of, evenly, kept_steps, run_items
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.plan.by_name import build_loss, fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.states import StateSet, parse_states
from rl_slt.profile import profile_with
from rl_slt.response.traces import (
    OWN,
    Traces,
    Tracing,
    check_installed,
    describe_size,
    draws_kept,
)
from rl_slt.samplers.chains import Progress
from rl_slt.settings import HEADLINE, RELATIVE, Settings
from rl_slt.versions import STAGES, version_key

_LOG = logging.getLogger(__name__)
EVERY = 10**9  # checkpoints of a plan: any one asked for is among them


def _plan(settings: dict[str, Any]) -> LLCPlan | None:
    """What a study asks for; None where its settings are damaged."""
    try:
        return LLCPlan.build(settings.get("llc"), "llc")
    except InputError:
        return None


def _planned(settings: dict[str, Any], train: TrainConfig | None) -> list[str]:
    """Of state sets that a loss reads alike only the first is made: see `series_read`."""
    plan, arms = _plan(settings), settings.get("arms")
    if plan is None:
        return []
    coins = [arm.get("coin", (settings.get("train") or {}).get("coin"))
             for arm in (arms.values() if isinstance(arms, dict) else ())]  # fmt: skip
    try:
        series = series_read(train, plan, coins) if train and coins else series_of(plan)
    except InputError:  # placements of another version
        series = series_of(plan)
    return [*dict.fromkeys(f"{loss} on {states}" for loss, states, _ in series)]


def _profiled(settings: dict[str, Any], train: TrainConfig | None) -> list[str]:
    plan = _plan(settings)
    return [f"{loss} on {plan.states[0]}" for loss in plan.losses] if plan and plan.profile else []


def _checkpoints_of(settings: dict[str, Any], checkpoints: int) -> int:
    plan = _plan(settings)
    return min(checkpoints, plan.checkpoints) if plan else checkpoints


def _profiles_of(settings: dict[str, Any], checkpoints: int) -> int:
    plan = _plan(settings)
    return min(checkpoints, plan.most(plan.profile_of) if plan else 1)


ITEMS = StageItems("llc", "llc", ("loss", "states"), _planned, of=_checkpoints_of)
PROFILES = StageItems(
    "profile", "profile", ("loss", "states"), _profiled, of=_profiles_of, optional=True
)
# What the LLC does not depend on, or what the item itself holds of it.
_NOT_IN_KEY = ("losses", "states", "reference", "match_entropy", "match_entropy_of",
               "profile", "profile_of", "checkpoints", "traces")  # fmt: skip


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
    states: StateSet
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
        for name in _NOT_IN_KEY:
            plan.pop(name)
        plan["entropy"] = self.entropy
        own = "self" if self.reference == "self" else self.reference_weights
        return [version_key("llc"), self.loss, own, self.states, plan]

    def compute(self, progress: Progress | None) -> None:
        """Make the estimate and store it."""
        start = time.perf_counter()
        policy, states, loss = load_inputs(self)
        settings, seed = fit_batch(self.settings, loss, states), self.plan.seed
        tracing = None if self.plan.traces is None else self.tracing(policy, loss)
        found = estimate_with(
            policy, states, settings, loss, seed=seed, traces=tracing or False, progress=progress
        )
        if found.traces is not None:
            self.keep_traces(found.traces, self.columns(found))
        self.keep(found, time.perf_counter() - start)

    @property
    def traces(self) -> Path:
        """Where the losses of states at its draws are kept, if they are."""
        return Path(self.run) / "traces" / f"{self.key}.nc"

    @property
    def done(self) -> bool:
        """Whether there is all that was asked for."""
        return self.store.has(self.key) and (self.plan.traces is None or self._traced())

    def _traced(self) -> bool:
        """Whether as many draws are kept as are asked for, or all that there are."""
        store = ItemStore(Path(self.run), "traces")
        if not (self.traces.is_file() and store.has(self.key)):
            return False
        table, plan = store.read_item(self.key, "contributions"), self.plan
        kept, samples = int(table["draws"].max()) // plan.chains, int(table["samples"].sum())
        if not plan.traces or not kept:  # a tenth of the cost, or an estimate that was refused
            return True
        return kept >= draws_kept(Tracing(plan.traces), samples, plan.chains, 0, plan.draws, 0)

    def keep_traces(self, traces: Traces, columns: dict[str, Any]) -> None:
        """Store losses of states at draws, and what kinds of states bring to the LLC."""
        table = traces.contributions(self.states.groups(traces.origin_of()))
        known = {name: columns[name] for name in ("run", "seed", "step", "loss", "states")}
        table = table.assign(
            **known, estimate_id=self.key, setting_id=self.setting, status=traces.status,
            version=STAGES["llc"],
        )  # fmt: skip
        make_folder(self.traces.parent)
        write_atomic(self.traces, traces.save)  # before the table, which says how many they are
        store = ItemStore(Path(self.run), "traces")
        shutil.rmtree(store.root / self.key, ignore_errors=True)  # of fewer draws
        store.put(self.key, {"contributions": table})

    def tracing(self, policy: nn.Module, loss: Loss) -> Tracing:
        """What to keep of each draw, with where the states come from."""
        origin = self.states.origin(loss, policy, self.states_cache, self.weights)
        origins = {} if origin is None else {OWN: origin}
        return Tracing(draws=self.plan.traces or None, origins=origins)

    def keep(self, estimate: LLCEstimate, seconds: float) -> None:
        """Store the estimate, which took that long."""
        names = [*schema.TABLES["llc"], "loss_stderr", "loss_init_stderr"]
        known = {name: getattr(estimate, name) for name in names if hasattr(estimate, name)}
        row = known | self.columns(estimate) | {
            "estimate_id": self.key,
            "setting_id": self.setting,
            "llc_stderr": estimate.stderr,
            "llc_stderr_data": estimate.stderr_states,
            "llc_stderr_states": estimate.stderr_states,
            "llc_stderr_total": estimate.stderr_total,
            "draws": estimate.draws["draw"].nunique(),
            "chain_seed": self.plan.seed,
            "seconds": seconds,
            "version": STAGES["llc"],
        }  # fmt: skip
        draws = estimate.draws.assign(
            run=row["run"], step=self.step, estimate_id=self.key, loss=self.loss,
            states=self.states.name, version=STAGES["llc"],
        )  # fmt: skip
        self.store.put(self.key, {"llc": pd.DataFrame([row]), "llc_draws": draws})

    def columns(self, estimate: LLCEstimate) -> dict[str, Any]:
        """What says of a row in a table what it is an estimate of, and when it was made."""
        run = Run(Path(self.run))
        return {
            "run": run.name,
            "seed": run.seed,
            "step": self.step,
            "loss": self.loss,
            "sample_unit": build_loss(self.loss).sample_unit,
            "reference": self.reference_name,
            "states": self.states.name,
            "params": _params(self.plan, estimate),
            "actions": self.plan.actions,
            "created": time.time(),
        }


@dataclass(frozen=True)
class Profile(WorkItem):
    """The LLC of a checkpoint over resolutions, each relative to the curvature at w*.

    Attributes:
        estimate: at the headline, the resolution nearest to relative temperature 50: it is drawn
            first, with the numbers of an estimate of its own.
        asked: whether that estimate is wanted by itself, so that it is stored, too.
    """

    kind = "profile"
    estimate: Estimate
    asked: bool

    @property
    def key(self) -> str:
        """Hash of everything that the profile depends on; the `estimate_id` of its rows."""
        return digest([self.estimate.key, *self._settings()])

    @property
    def setting(self) -> str:
        """Hash of the settings alone, the same for all checkpoints."""
        return digest([self.estimate.setting, *self._settings()])

    def _settings(self) -> list[Any]:
        return [version_key("profile"), self.estimate.plan.profile]

    @property
    def label(self) -> str:
        """What it is called in front of people."""
        return self.estimate.label.replace(self.estimate.kind, self.kind, 1)

    def compute(self, progress: Progress | None) -> None:
        """Make the profile and store it, and its first estimate where that is asked for."""
        start, item = time.perf_counter(), self.estimate
        policy, states, loss = load_inputs(item)
        settings = fit_batch(item.settings, loss, states)
        nbetas = [f"{RELATIVE}{k:g}" for k in item.plan.profile]
        first, frame = profile_with(
            policy, states, settings, nbetas, loss, seed=item.plan.seed, progress=progress
        )
        if self.asked:
            item.keep(first, first.seconds)
        frame = frame.assign(
            **item.columns(first), estimate_id=self.key, setting_id=self.setting,
            verdict=profile_verdict(frame), n_states=first.n_states, precision=first.precision,
            device=first.device, gauge=first.gauge, seconds=time.perf_counter() - start,
            version=STAGES["profile"],
            headline_id=np.where(frame["nbeta"] == first.nbeta, item.key, ""),
        )  # fmt: skip
        self.store.put(self.key, {"profile": frame})


def plan_profiles(estimates: Sequence[Estimate], plan: LLCPlan) -> list[Profile]:
    """The profiles of a run, of each loss on the first state set.

    Args:
        estimates: of `plan_estimates`.
        plan: which resolutions and checkpoints.
    """
    if not (plan.profile and estimates):
        return []
    own = profile_plan(plan)
    chosen = evenly(sorted({estimate.step for estimate in estimates}), plan.most(plan.profile_of))
    first = estimates[0].states
    return [
        Profile(e.run, e.step, e.checkpoint, e.weights, replace(e, plan=own), own == plan)
        for e in estimates
        if e.states == first and e.entropy is None and e.step in chosen
    ]


def profile_plan(plan: LLCPlan) -> LLCPlan:
    """The plan of the estimate that a profile begins with: at the resolution nearest to 50."""
    if not plan.profile:
        return plan
    nearest = min(plan.profile, key=lambda k: abs(np.log(k / HEADLINE)))
    return plan.replace(nbeta=f"{RELATIVE}{nearest:g}")


def plan_estimates(run: Run, plan: LLCPlan, placements: Sequence[str]) -> list[Estimate]:
    """The estimates of one run, in the order of its checkpoints.

    `precision = "auto"` is resolved here, for the networks of this run on the plan's device, so
    that the key says how numbers are made, and workers make them so whatever they would prefer.

    Args:
        run: the run.
        plan: which estimates to make.
        placements: coin placements of the frozen set; shared by the runs that are compared.

    Raises:
        InputError: for an unknown reference or parameter, a run without checkpoints, or a loss
            that has no data in its game.
    """
    kept = kept_steps(run, plan.checkpoints)
    checkpoints = [one for one in checkpoints_of(run) if one[1] in kept]
    controlled = evenly(kept, plan.most(plan.match_entropy_of))
    reference = _reference(run, plan.reference)
    reference_weights = file_digest(reference / "policy.safetensors") if reference else ""
    rounded = plan.device == "cpu" and wants_bfloat16(plan.precision)
    if plan.params != "all" or rounded:
        policy = _first_policy(run)
        if policy is not None and plan.params != "all":
            match_parameters(policy, plan.params.split(","))
        rounded = rounded and policy is not None and overlaps(policy)
    environment_of(run.training).check_llc(plan)
    sets = {text: states_of(run, plan, text, placements) for text in plan.states}
    series = series_read(run.training, plan, placements)
    return [
        Estimate(
            *checkpoint,
            reference=str(reference.resolve()) if reference else "self",
            reference_weights=reference_weights,
            loss=loss,
            states=sets[states],
            plan=plan,
            precision="bfloat16" if rounded else "float32",
            entropy=entropy,
        )
        for checkpoint in checkpoints
        for loss, states, entropy in series
        if entropy is None or checkpoint[1] in controlled
    ]


def series_of(plan: LLCPlan) -> list[tuple[str, str, float | None]]:
    """Loss, state set and entropy (None: the policy's own) of each estimate of a checkpoint."""
    controls = [(plan.states[0], entropy) for entropy in plan.match_entropy]
    return [
        (loss, states, entropy)
        for loss in plan.losses
        for states, entropy in [*((each, None) for each in plan.states), *controls]
        if entropy is None or not build_loss(loss).needs
    ]


def series_read(
    train: TrainConfig, plan: LLCPlan, placements: Sequence[str]
) -> list[tuple[str, str, float | None]]:
    """Those of `series_of` that differ in what the loss reads, for a training."""
    make = environment_of(train).states
    sets = {text: make(train, text, placements, plan.n_states, plan.seed) for text in plan.states}
    series, read = [], []
    for loss, states, entropy in series_of(plan):
        if (one := (loss, sets[states].read_by(build_loss(loss)), entropy)) not in read:
            read.append(one)
            series.append((loss, states, entropy))
    return series


def states_of(run: Run, plan: LLCPlan, text: str, placements: Sequence[str]) -> StateSet:
    """The state set of that name for a run.

    Args:
        run: whose training says what its levels are.
        plan: the number of states, and the seed.
        text: name of the set.
        placements: of the coin, for a frozen set that names none.
    """
    train = run.training
    return environment_of(train).states(train, text, placements, plan.n_states, plan.seed)


def estimate_runs(
    runs: Sequence[Run], plan: LLCPlan, engine: Engine, placements: Sequence[str] = ()
) -> list[Outcome]:
    """Make every estimate that is not there yet and assemble the tables of the runs.

    Returns:
        The estimates that failed, with their reasons; their neighbors are finished all the same.
    """
    shared = sorted(placements) or sorted({run.training.coin for run in runs})
    planned = [plan_estimates(run, plan, shared) for run in runs]
    profiles = [profile for each in planned for profile in plan_profiles(each, plan)]
    estimates = [estimate for each in planned for estimate in each]
    failed: list[Outcome] = []
    with stage_locks(runs, "llc"):
        for run in runs:
            clear_leftovers(run.path)
        lacking = [profile for profile in profiles if not profile.store.has(profile.key)]
        missing = [estimate for estimate in estimates if not estimate.done]
        missing.sort(key=lambda e: e.states.name != "frozen")
        # A profile makes its headline's estimate; one that fails leaves it to be made by itself.
        within = {profile.estimate.key for profile in lacking if profile.asked}
        apart = [estimate for estimate in missing if estimate.key not in within]
        todo: list[Estimate | Profile] = [*lacking, *apart]
        if plan.traces is not None and missing:
            _LOG.info("%s", describe_traces(missing, plan))
        tables = [Job(f"llc tables of {run.name}", assemble, (run,)) for run in runs]
        with assembling(tables, engine if todo else None, failed):
            with meter("LLC", len(todo)) as bar:
                report = lambda done, label: bar.update(done, label.removeprefix("llc of "))  # noqa: E731
                failed += run_items(todo, make, engine, report)
            left = [e for e in missing if e.key in within and not e.done]
            failed += run_items(left, make, engine)
    made = [e.done for e in missing]
    print_done("llc", "estimates made", made, len(estimates) - len(made))
    if profiles:
        made = [profile.store.has(profile.key) for profile in lacking]
        print_done("profile", "profiles made", made, len(profiles) - len(made))
    return failed


def describe_last(runs: Sequence[Run], plan: LLCPlan) -> list[str]:
    """A line for each estimate that a plan asks for at the last checkpoint of each run.

    Each has the value, its standard error in all and the verdict, or why there is no number.
    """
    shared = sorted({run.training.coin for run in runs})
    lines = []
    for run in runs:
        planned = plan_estimates(run, plan, shared)
        store, last = ItemStore(run.path, "llc"), max(each.step for each in planned)
        for each in planned:
            if each.step == last and each.done:
                row = store.read_item(each.key, "llc").iloc[0]
                number = f"{row['llc']:.2f} ± {row['llc_stderr_total']:.2f}, "
                number = number if row["status"] != "failed" else ""
                why = f": {row['message']}" if row["status"] != "ok" else ""
                lines.append(f"{each.label.removeprefix('llc of ')}: {number}{row['status']}{why}")
        lines.append(f"table: {run.tables / 'llc.parquet'}")
    return lines


def assemble(run: Run) -> None:
    """Write `llc`, `llc_draws`, `profile` and `contributions` of a run from what is finished of it.

    A free energy, an integral over resolutions, has the estimate that a profile began with.
    """
    profile = ItemStore(run.path, "profile").read("profile")
    parts = ItemStore(run.path, "traces").read("contributions")
    parts.loc[parts["status"] == "failed", ["value", "stderr"]] = np.nan  # as an LLC that failed
    llc, draws = (ItemStore(run.path, "llc").read(name) for name in ("llc", "llc_draws"))
    if len(profile):
        known = profile.sort_values("created").drop_duplicates("headline_id", keep="last")
        known = known.set_index("headline_id")
        for name in ("free_energy", "free_energy_stderr"):
            llc[name] = llc["estimate_id"].map(known[name])
    for table, rows, order in (
        ("llc", llc, ["loss", "states", "setting_id", "step", "created"]),
        ("llc_draws", draws, ["step", "estimate_id", "chain", "draw"]),
        ("profile", profile, ["loss", "states", "setting_id", "step", "nbeta"]),
        ("contributions", parts, ["loss", "states", "setting_id", "step", "of_states"]),
    ):
        if len(rows) or table in ("llc", "llc_draws"):
            write_table(table, rows.sort_values(order, kind="stable") if len(rows) else rows, run)


def describe_traces(missing: Sequence[Estimate], plan: LLCPlan) -> str:
    """What the traces of estimates will take of memory and disk, in words.

    Raises:
        InputError: what stores them is not installed.
    """
    check_installed()
    sampler = plan.settings().sampler
    kept = draws_kept(
        Tracing(draws=plan.traces or None), plan.n_states, plan.chains,
        plan.burn_in + plan.draws, plan.draws,
        plan.n_states if sampler is not None and sampler.full_batch else plan.batch_size,
    )  # fmt: skip
    return describe_size(kept, len(missing), plan.chains, plan.n_states)


def make(item: Estimate | Profile, progress: Progress | None = None) -> None:
    """Compute an estimate or a profile and store it (called on a worker)."""
    if not item.done:
        item.compute(progress)


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
    states = item.states.load(
        build_loss(item.loss), policy, Path(item.checkpoint), item.states_cache, item.weights, train
    )
    simulator = item.states.simulator(Path(item.checkpoint), item.distinct_actions)
    loss = build_loss(item.loss, reference, train.gamma, item.states.mdp, simulator)
    return policy.to(device), states, loss


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

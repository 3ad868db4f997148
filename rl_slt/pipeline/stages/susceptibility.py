"""Susceptibilities of checkpoints: parts of the weights by perturbations of the data."""

from __future__ import annotations

import fnmatch
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from agents import Run, TrainConfig
from rl_slt import LLCEstimate, estimate_with
from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.estimate import prepare_target
from rl_slt.gradients.flat import match_parameters
from rl_slt.losses import Loss
from rl_slt.pipeline.disk.store import digest
from rl_slt.pipeline.engine.work import WorkItem
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.plan.by_name import fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, load_inputs
from rl_slt.pipeline.states import StateSet, StateSetSpec
from rl_slt.response.susceptibility import LOSS, Response, susceptibility
from rl_slt.response.traces import Observable, Tracing
from rl_slt.samplers.chains import Progress
from rl_slt.versions import STAGES, version_key

ALL, GOAL = "all", "goal"
OBSERVABLES = (LOSS, GOAL)
CONSTANT = "the observable, or the loss of these states less that of the data, never changes"
APART = "chains stay apart in the observable, or in the loss of these states"


@dataclass(frozen=True)
class Susceptibility(WorkItem):
    """What a checkpoint's components answer to perturbations.

    Attributes:
        estimate: of the posterior of all weights.
        components: patterns of parameters, with commas between several, or `all`; none is all and
            each layer that the loss reads.
        perturbs: state sets towards which the data are moved, each with its name for people.
        observables: of `OBSERVABLES`.
    """

    kind = "susceptibility"
    estimate: Estimate
    components: tuple[str, ...]
    perturbs: tuple[tuple[str, StateSet], ...]
    observables: tuple[str, ...]

    @property
    def key(self) -> str:
        """Hash of everything that the numbers depend on."""
        kept = [self.estimate.key, self.weights, self.estimate.plan.traces]
        return digest([*kept, *self._settings()])

    def _settings(self) -> list[Any]:
        return [version_key("susceptibility"), self.components, self.perturbs, self.observables]

    @property
    def setting(self) -> str:
        """Hash of the settings alone, the same for all checkpoints."""
        kept = [self.estimate.setting, self.estimate.plan.traces]
        return digest([*kept, *self._settings()])

    def compute(self, progress: Progress | None) -> None:
        """Sample the posterior of each component, and store what it answers."""
        policy, states, loss = load_inputs(self.estimate)
        settings = fit_batch(self.estimate.settings, loss, states)
        read = prepare_target(policy, states, settings, loss, 0).flat.names
        wanted = self.components or _layers(read)
        tracing = Tracing(
            draws=self.estimate.plan.traces,
            sets={name: self._load(tilt, loss, policy) for name, tilt in self.perturbs},
            observables=self._goal() if GOAL in self.observables else {},
        )
        parts = (ALL, *(part for part in wanted if part != ALL))
        rows: list[dict[str, Any]] = []
        for number, part in enumerate(parts):
            if part != ALL and not any(fnmatch.filter(read, name) for name in part.split(",")):
                rows += [{"component": part, "seconds": 0.0} | row for row in self._unread()]
                continue
            began = time.perf_counter()

            def step(done: int, of: int, number: int = number) -> None:
                if progress is not None:
                    progress(number * of + done, of * len(parts))

            free = None if part == ALL else tuple(part.split(","))
            e = estimate_with(
                policy, states, settings.replace(params=free), loss, seed=self.estimate.plan.seed,
                states_error=False, traces=tracing, progress=step,
            )  # fmt: skip
            # One temperature and one localizer for all components, those of all weights.
            settings = settings.replace(nbeta=e.nbeta, localization=e.localization)
            if part in wanted:
                known = {"component": part, "seconds": time.perf_counter() - began}
                rows += [known | row for row in self._rows(e)]
        run = Run(Path(self.run))
        table = pd.DataFrame(rows).assign(
            run=run.name, seed=run.seed, step=self.step, estimate_id=self.key,
            setting_id=self.setting, loss=self.estimate.loss, states=self.estimate.states.name,
            created=time.time(), version=STAGES["susceptibility"],
        )  # fmt: skip
        self.store.put(self.key, {"susceptibilities": table})

    def _rows(self, e: LLCEstimate) -> list[dict[str, Any]]:
        """A row for each perturbation and observable; NaN where there is no error, or no LLC."""
        assert e.traces is not None
        known = {
            "weights": int(e.info["dim"]), "llc": e.llc, "llc_stderr": e.stderr, "nbeta": e.nbeta,
            "localization": e.localization, "status": e.status, "message": e.message,
            "draws": e.traces.losses.shape[0] * e.traces.losses.shape[1],
        }  # fmt: skip
        rows = []
        for tilt, _ in self.perturbs:
            for name in self.observables:
                found, own = Response(math.nan, math.nan, 0), known
                if e.status == "ok":
                    found = susceptibility(e.traces, tilt, name)
                    if not found.stderr > 0:
                        own = known | {"status": "failed", "message": CONSTANT}
                        if math.isnan(found.stderr):
                            own["message"] = APART
                        found = Response(math.nan, math.nan, 0)
                rows.append(own | {"perturb": tilt, "observable": name, **found._asdict()})
        return rows

    def _unread(self) -> list[dict[str, Any]]:
        """Rows of a component that the loss does not depend on: its posterior is no posterior."""
        known = {
            "weights": 0, "llc": math.nan, "llc_stderr": math.nan, "nbeta": math.nan,
            "localization": math.nan, "status": "failed", "draws": 0,
            "message": "the loss depends on none of its parameters",
            **Response(math.nan, math.nan, 0)._asdict(),
        }  # fmt: skip
        return [
            known | {"perturb": tilt, "observable": name}
            for tilt, _ in self.perturbs
            for name in self.observables
        ]

    def _load(self, tilt: StateSet, loss: Loss, policy: nn.Module) -> PolicyData:
        train = Run(Path(self.run)).training
        return tilt.load(
            loss, policy, Path(self.checkpoint), self.states_cache, self.weights, train
        )

    def _goal(self) -> dict[str, Observable]:
        train = Run(Path(self.run)).training
        goal = environment_of(train).goal
        assert goal is not None  # `check_observables`
        return {GOAL: goal(train, self.estimate.distinct_actions)}


def _layers(names: Sequence[str]) -> tuple[str, ...]:
    """All weights, and the layers of these parameters, as patterns."""
    return (ALL, *dict.fromkeys(f"{name.rpartition('.')[0]}.*" for name in names if "." in name))


def make(item: Susceptibility, progress: Progress | None = None) -> None:
    """Compute the susceptibilities of a checkpoint and store them (called on a worker)."""
    if not item.done:
        item.compute(progress)


def check_observables(train: TrainConfig, observables: Sequence[str]) -> None:
    """Raise InputError for an unknown observable, or one that the game does not have."""
    for name in observables:
        if name not in OBSERVABLES:
            raise InputError.of("observable", name, f"one of {', '.join(OBSERVABLES)}")
        if name == GOAL and environment_of(train).goal is None:
            raise InputError.of("observable", name, f"{LOSS} in the game {train.game}")


def check_components(policy: nn.Module, components: Sequence[str]) -> None:
    """Raise InputError for a pattern that no parameter has."""
    for component in components:
        if component != ALL:
            match_parameters(policy, component.split(","))


def parse_tilt(train: TrainConfig, text: str, plan: LLCPlan, n: int) -> StateSet:
    """The state set that a perturbation names: as anywhere, or `SET@LEVEL` on one level.

    Raises:
        InputError: there is no such set, or single levels are no part of the game's sets.
    """
    match = re.fullmatch(r"(.+)@(\d+)", text)
    name = match[1] if match else text
    found = environment_of(train).states(train, name, (train.coin,), n, plan.seed)
    if match is None:
        return found
    if not isinstance(found, StateSetSpec):
        raise InputError.of("perturb", text, "frozen:at=X,Y for one level of a gridworld")
    level = int(match[2])
    return found.replace(levels=(level, level + 1))

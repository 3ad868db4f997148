"""What is cheap to know of a checkpoint: entropy, weight norm, return, KL from the one before.

They are what the LLC has to beat as an early sign of the goal. Entropy and KL are means over the
frozen states that the LLC is estimated on, over distinct actions, in nats; `step_kl` is
`KL(pi_(k-1) || pi_k)` from the checkpoint before. Of a clone `teacher_kl` is how far it is from its
teacher, on states of its own that are held out. `final` marks the checkpoint at which a training
ended by a criterion of its own, as a clone does at a distance from its teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from agents import Run, load_policy, read_header
from analysis.report import read_progress, return_at
from envs import Classes, find_game, kl, log_probs
from rl_slt import PolicyData
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.store import digest, write_table
from rl_slt.pipeline.engine.jobs import Engine, Outcome, SerialEngine
from rl_slt.pipeline.engine.work import WorkItem, checkpoints_of, run_items
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import states_of
from rl_slt.pipeline.states import StateSet
from rl_slt.versions import STAGES, version_key

_STATES = 512  # of the frozen set, evenly spaced: enough for two digits


@dataclass(frozen=True)
class Covariates(WorkItem):
    """The covariates of one checkpoint.

    Attributes:
        before: folder of the checkpoint before it; empty for the first.
        weights_before: hash of that policy.
        states: where entropy and KL are measured.
    """

    kind = "covariates"
    before: str
    weights_before: str
    states: StateSet

    @property
    def key(self) -> str:
        """Hash of all that the numbers depend on."""
        weights = (self.weights, self.weights_before)
        return digest([version_key("covariates"), _STATES, self.states, weights])


def collect_runs(
    runs: Sequence[Run], plan: LLCPlan | None = None, engine: Engine | None = None
) -> list[Outcome]:
    """Bring the table `covariates` of the runs up to date; finished checkpoints are kept.

    Args:
        runs: runs without checkpoints or training settings are left as they are.
        plan: whose frozen states are used (their number and seed), so that they are collected once.
        engine: where what is missing is made; None is here.

    Returns:
        The checkpoints that failed, with their reasons.
    """
    known = [run for run in runs if run.checkpoints and isinstance(run.config.get("train"), dict)]
    placements = sorted({run.training.coin for run in known})
    of = {run.path: plan_covariates(run, plan or LLCPlan(), placements) for run in known}
    missing = [i for items in of.values() for i in items if not i.store.has(i.key)]
    failed = run_items(missing, make, engine or SerialEngine())
    for run in known:
        found = [i for i in of[run.path] if i.store.has(i.key)]
        if found:
            frames = [i.store.read_item(i.key, "covariates") for i in found]
            frame = pd.concat(frames, ignore_index=True)
            curve = read_progress(run.path / "progress.csv", run.config["train"])
            frame["return"] = return_at(curve, frame["step"])
            ended = run.training.may_end_early and run.finished
            frame["final"] = ended & (frame["step"] == run.checkpoints[-1].step)
            write_table("covariates", frame, run)
    return failed


def make(item: Covariates) -> None:
    """Compute the covariates of one checkpoint and store them (called on a worker).

    A checkpoint that does not load is left out, and so is the step from it to the next.
    """
    data = _some_states(item.states, item.states_cache)
    try:
        policy = load_policy(Path(item.checkpoint))
        before = load_policy(Path(item.before)) if item.before else None
    except InputError:
        return
    name = Path(item.run).name
    row = {"run": name, "step": item.step, "return": np.nan, "version": STAGES["covariates"]}
    row["teacher_kl"] = read_header(Path(item.checkpoint)).metrics.get("teacher_kl", np.nan)
    classes = find_game(Run(Path(item.run)).training.game).distinct_actions
    found = measure(policy, before, data.states, classes, data.weights)
    frame = pd.DataFrame([row | found])
    item.store.put(item.key, {"covariates": frame})


def measure(
    policy: nn.Module,
    before: nn.Module | None,
    states: Tensor,
    classes: Classes | None = None,
    weights: Tensor | None = None,
) -> dict[str, float]:
    """Entropy (nats), Euclidean norm of the weights, and KL from the policy before (NaN: none).

    Args:
        policy: from states to logits, or to (logits, values).
        before: the policy one checkpoint earlier.
        states: `[N, ...]`.
        classes: of actions that do the same and count as one; None keeps all apart.
        weights: `[N]`, of states in means, relative to each other; None is equally.
    """
    share = None if weights is None else weights.double() / weights.double().sum()

    def mean(values: Tensor) -> float:
        return float(values.mean() if share is None else values @ share)

    log_p = log_probs(policy, states, classes)
    square = sum(float(w.detach().double().square().sum()) for w in policy.parameters())
    step_kl = np.nan if before is None else mean(kl(log_probs(before, states, classes), log_p))
    p = log_p.exp()
    entropy = mean(-(p * log_p).where(p > 0, 0.0).sum(dim=1))
    return {"entropy": entropy, "weight_norm": square**0.5, "step_kl": step_kl}


@lru_cache(maxsize=1)
def _some_states(states: StateSet, cache: Path) -> PolicyData:
    return states.few(_STATES, cache)


def plan_covariates(run: Run, plan: LLCPlan, placements: Sequence[str]) -> list[Covariates]:
    """The work on every checkpoint of a run, in their order."""
    states = states_of(run, plan, "frozen", placements)
    each = checkpoints_of(run)
    before = [("", ""), *((folder, weights) for _, _, folder, weights in each)]
    return [Covariates(*c, *b, states) for c, b in zip(each, before[:-1], strict=True)]

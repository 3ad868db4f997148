"""Susceptibilities against finite differences: the data moved by a share, sampled again.

    python benchmarks/susceptibility_check.py GRID_RUN COINRUN_RUN

Of the last checkpoint of a run in the gridworld (exact soft regret, HMC over all levels; the cheese
moves to anywhere) and of one in CoinRun (KL, batches; the states move to the probe with the coin
behind). The slope `(E_e[O] - E_0[O]) / e` of the mean loss and of the goal score has a bias of
order e and an error of order 1 / e: two shares show both. All chains of a case use the same random
numbers, so that those of two shares stay close and the error of their difference is small.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from llc_nets import machine
from torch import nn

from agents import Run, load_policy
from rl_slt import PolicyData, Settings, Tracing, estimate_with
from rl_slt.losses import Loss
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.plan.by_name import build_loss, fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import load_inputs, plan_estimates
from rl_slt.pipeline.stages.susceptibility import parse_tilt
from rl_slt.response.susceptibility import LOSS, susceptibility
from rl_slt.response.traces import Observable, Traces
from rl_slt.verdict.diagnostics import mean_stderr

SHARES, GOAL = (0.1, 0.2), "goal"


@dataclass
class Case:
    """What is tilted: policy, data of L and of L', loss, settings, and the goal score."""

    name: str
    policy: nn.Module
    own: PolicyData
    other: PolicyData
    loss: Loss
    settings: Settings
    goal: Observable

    def sample(self, share: float) -> Traces:
        """Traces with the data moved by a share; `own` and `other` are always sets of theirs."""
        a, b = self.own, self.other
        one = [torch.ones(len(x)) if x.weights is None else x.weights / x.weights.mean()
               for x in (a, b)]  # fmt: skip
        if torch.equal(a.states[: len(b)], b.states):  # the same samples, weighed otherwise
            data = PolicyData(a.states, weights=(1 - share) * one[0] + share * one[1])
        else:
            n, m = len(a), len(b)
            weights = torch.cat([(1 - share) * one[0] / n, share * one[1] / m])
            data = PolicyData(torch.cat([a.states, b.states]), weights=weights * (n + m))
        wanted = Tracing(
            draws=self.settings.draws, sets={"own": a, "other": b}, observables={GOAL: self.goal}
        )
        e = estimate_with(
            self.policy, data, self.settings, self.loss, seed=0, traces=wanted,
            states_error=False,
        )  # fmt: skip
        assert e.traces is not None
        print(f"{self.name}, share {share:g}: {e}", flush=True)
        self.settings = self.settings.replace(nbeta=e.nbeta, localization=e.localization)
        return e.traces

    def rows(self) -> list[str]:
        """A row of the table for each observable."""
        base = self.sample(0.0)
        moved = {share: self.sample(share) for share in SHARES}
        out = []
        for name in (LOSS, GOAL):
            chi = susceptibility(base, "other", name)
            cells = [self.name, name, f"{chi.value:+.4g} ± {chi.stderr:.2g}"]
            for share, traces in moved.items():
                a, b = _draws(base, name), _draws(traces, name)
                slope, alike = (b - a) / share, np.corrcoef(a.ravel(), b.ravel())[0, 1]
                cells.append(f"{slope.mean():+.4g} ± {mean_stderr(slope):.2g} (r {alike:.2f})")
            out.append(f"| {' | '.join(cells)} |")
        return out


def _draws(traces: Traces, name: str) -> np.ndarray:
    """An observable at draws `[C, T]`."""
    return traces.mean("own") if name == LOSS else traces.observables[GOAL]


def case_of(path: Path, name: str, plan: LLCPlan, tilt: str, tilt_states: int) -> Case:
    """The case of a run's last checkpoint."""
    run = Run(path)
    train = run.training
    item = plan_estimates(run, plan, [train.coin])[-1]
    policy, own, loss = load_inputs(item)
    other = parse_tilt(train, tilt, plan, tilt_states).load(
        build_loss(item.loss), load_policy(Path(item.checkpoint)), Path(item.checkpoint),
        item.states_cache, item.weights, train,
    )  # fmt: skip
    goal = environment_of(train).goal
    assert goal is not None
    settings = fit_batch(item.settings, loss, own)
    own = PolicyData(own.states, weights=own.weights)
    other = PolicyData(other.states, weights=other.weights)
    return Case(name, policy, own, other, loss, settings, goal(train, item.distinct_actions))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("grid", type=Path)
    parser.add_argument("coinrun", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    grid = LLCPlan(losses=("exact-regret:temperature=0.01",), states=("frozen",), nbeta=300.0,
                   localization=10.0, draws=300, burn_in=100)  # fmt: skip
    coin = LLCPlan(states=("frozen",), n_states=512, draws=400)
    cases = (
        case_of(given.grid, "gridworld", grid, "frozen:anywhere", 1),
        case_of(given.coinrun, "CoinRun", coin, "probe:behind", 256),
    )
    table = [row for case in cases for row in case.rows()]
    print(machine(), "\n")
    heads = [f"difference at share {share:g}" for share in SHARES]
    print(f"| of | observable | -nbeta Cov | {' | '.join(heads)} |\n" + "| --- " * 5 + "|")
    print("\n".join(table))


if __name__ == "__main__":
    main()

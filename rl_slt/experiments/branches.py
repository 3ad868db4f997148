"""Branches of a training: when is the goal decided?

Trunks are trained on two placements that reward two goals alike or apart. At some of their steps
branches go on for as many steps as were left, with the learning rates that were left, and a seed of
their own (`agents.rest_config`):

* `same`: on the trunk's data; only the noise is new;
* `swap`: on the data of the other arm to the end;
* `while`: on the data of the other arm for some steps, then on the trunk's own again.

A branch keeps the goal if it ends with the one that its trunk ended with. Once on CoinRun by PPO,
once in the gridworld by exact gradients. There no noise is left: a branch `same` ends at its
trunk's own weights, and one `swap` from step 0 at those of the other arm's trunk of that seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import beta
from torch import Tensor, nn

import envs
from agents import Run, TrainConfig, load_policy, ppo_preset, rest_config, train, train_together
from analysis.probes import COIN_GOALS, DECIDED, GRID_GOALS, coin_shares, goal_of, grid_shares
from envs import CheeseGrid
from rl_slt import POLICY_CNN, estimate_with
from rl_slt.experiments.experiment import Experiment, Page, Part, Size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("same", "swap", "while")
LLC_SEEDS = 3  # of the trunks of an arm that have one
N_STATES = 2048  # of the LLC in CoinRun; in the gridworld there are as many as there are


@dataclass(frozen=True)
class World:
    """Where trunks and branches are trained.

    Attributes:
        preset: of `agents.PPO_PRESETS`.
        arms: placement of each of two arms, by its name.
        goals: the proxy and the goal that are told apart.
        unit: of a step.
        shares: shares of a policy's episodes in which it reaches each of `goals` first.
        states: that the LLC of the policy is averaged over.
        decided: share from which on a goal is the policy's.
    """

    preset: str
    arms: Mapping[str, str]
    goals: tuple[str, str]
    unit: str
    shares: Callable[[nn.Module, TrainConfig], tuple[float, float]]
    states: Callable[[TrainConfig], Tensor]
    decided: float

    def other(self, arm: str) -> str:
        """The other arm."""
        return next(name for name in self.arms if name != arm)

    def goal(self, shares: Sequence[float]) -> str:
        """The goal that is reached first often enough, or `neither`."""
        return goal_of(shares, self.goals, self.decided)


def grid_goals(policy: nn.Module, config: TrainConfig) -> tuple[float, float]:
    """Probabilities to reach corner and cheese first, exact."""
    return grid_shares(policy, CheeseGrid.of(config.grid, config.gamma))


def grid_states(config: TrainConfig) -> Tensor:
    """All cells of all levels."""
    return torch.from_numpy(CheeseGrid.of(config.grid, config.gamma).observations).flatten(0, 1)


def coinrun_goals(policy: nn.Module, config: TrainConfig) -> tuple[float, float]:
    """Shares of 100 held-out levels with the coin behind the start where end and coin are first."""
    return coin_shares(policy, config.settings, config.time_limit, config.game)


def coinrun_states(config: TrainConfig) -> Tensor:
    """Frames that fixed behaviors visit on levels outside training, half on each arm's levels."""
    placements, frames = list(COINRUN.arms.values()), list[Tensor]()
    for number, act in enumerate(envs.behaviors(0)):
        for coin in placements:
            vector = envs.make_vec(
                envs.ENVS, coin=coin, levels=envs.FROZEN_LEVELS, settings=config.settings,
                time_limit=config.time_limit, threads=1,
            )  # fmt: skip
            moments = envs.thinned(envs.rollout(vector, act, seed=number))
            for _ in range(-(-N_STATES // (3 * len(placements) * envs.ENVS))):
                frames.append(torch.from_numpy(next(moments).frames.copy()))
            vector.close()
    return torch.cat(frames)[:N_STATES]


GRIDWORLD = World(
    "gridworld", {"corner": "corner", "anywhere": "mix:0.3:anywhere:corner"},
    GRID_GOALS, "gradient steps", grid_goals, grid_states, DECIDED,
)  # fmt: skip
COINRUN = World(
    "demo", {"end": "mix:0.5:end@mid:end", "behind": "mix:0.5:behind:end"},
    COIN_GOALS, "environment steps", coinrun_goals, coinrun_states, 0.5,
)  # fmt: skip
WORLDS = {"gridworld": GRIDWORLD, "coinrun": COINRUN}
SIZES: dict[Size, dict[str, dict[str, Any]]] = {
    "small": {
        "gridworld": {"seeds": 2, "branches": 1, "points": (0, 20), "swapped": 10,
                      "changes": {"steps": 60, "grid": {"size": 3}}},
        "coinrun": {"seeds": 1, "branches": 1, "points": (0, 2048), "swapped": 1024,
                    "changes": {"steps": 4096, "num_envs": 16, "n_steps": 64}},
    },
    "default": {
        "gridworld": {"seeds": 8, "branches": 1, "points": (0, 10, 30, 60, 100, 200),
                      "swapped": 50, "changes": {"steps": 600, "grid": {"size": 4}}},
        "coinrun": {"seeds": 3, "branches": 1, "points": (12_288, 40_960, 81_920),
                    "swapped": 40_960, "changes": {"steps": 163_840}},
    },
    "large": {
        "gridworld": {"seeds": 20, "branches": 1,
                      "points": (0, 5, 10, 20, 30, 45, 60, 80, 100, 150, 200, 300),
                      "swapped": 50, "changes": {"steps": 1000, "grid": {"size": 5}}},
        "coinrun": {"seeds": 8, "branches": 2,
                    "points": (0, 12_288, 49_152, 98_304, 196_608, 401_408),
                    "swapped": 98_304, "changes": {"steps": 802_816}},
    },
}  # fmt: skip


def folder(
    out: Path, world: str, arm: str, seed: int, point: int | None = None, kind: str = "",
    branch: int = 0,
) -> Path:  # fmt: skip
    """Of a trunk's run, or of a branch's."""
    tail = "" if point is None else f"-at{point}-{kind}-b{branch}"
    return out / "runs" / world / f"{arm}-s{seed}{tail}"


def trunk_config(world: str, arm: str, seed: int, changes: Mapping[str, Any]) -> TrainConfig:
    """Settings of a trunk; `changes` hold its checkpoints."""
    of = WORLDS[world]
    more = {} if of is GRIDWORLD else {"save_optimizer": True, "tensorboard": False, "threads": 1}
    return ppo_preset(of.preset, coin=of.arms[arm], seed=seed, **{**more, **changes})


def branch_seed(seed: int, branch: int) -> int:
    """Of a branch, unlike that of any trunk."""
    return 1_000_000 + 1000 * seed + branch


def train_trunks(
    out: Path, world: str, trunks: Sequence[tuple[str, int]], changes: Mapping[str, Any]
) -> pd.DataFrame:
    """Train trunks, given as arm and seed; their goals at every checkpoint."""
    todo = [(trunk_config(world, arm, seed, changes), folder(out, world, arm, seed), arm)
            for arm, seed in trunks]  # fmt: skip
    _train(todo)
    rows = []
    for (config, path, arm), (_, seed) in zip(todo, trunks, strict=True):
        for checkpoint in Run(path).checkpoints:
            shares = WORLDS[world].shares(load_policy(checkpoint.path), config)
            rows.append([world, arm, seed, checkpoint.step, *shares, WORLDS[world].goal(shares)])
    columns = ["world", "arm", "parent", "step", "proxy_first", "goal_first", "goal"]
    return pd.DataFrame(rows, columns=columns)


def train_branches(
    out: Path, world: str, branches: Sequence[tuple[str, int, int]], point: int, kind: str,
    swapped: int,
) -> pd.DataFrame:  # fmt: skip
    """Train branches of one kind, given as arm, parent's seed and own number; where they end.

    A branch `while` goes on from the branch `swap` of its number, after `swapped` steps of it.
    """
    of, todo = WORLDS[world], []
    for arm, seed, number in branches:
        coin = of.arms[of.other(arm) if kind == "swap" else arm]
        origin, step = folder(out, world, arm, seed), point
        if kind == "while":
            origin, step = folder(out, world, arm, seed, point, "swap", number), swapped
        config = rest_config(origin, step, coin=coin, seed=branch_seed(seed, number),
                             checkpoints=f"list:{swapped if kind == 'swap' else 0}")  # fmt: skip
        todo.append((config, folder(out, world, arm, seed, point, kind, number), arm))
    _train(todo)
    rows = []
    for (config, path, arm), (_, seed, number) in zip(todo, branches, strict=True):
        shares = of.shares(load_policy(Run(path).checkpoint().path), config)
        rows.append([world, arm, seed, point, kind, number, *shares, of.goal(shares)])
    columns = ["world", "arm", "parent", "point", "kind", "branch", "proxy_first", "goal_first",
               "goal"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _train(todo: Sequence[tuple[TrainConfig, Path, str]]) -> None:
    if todo[0][0].trainer == "exact":
        return train_together(todo, resume=True)
    for config, path, arm in todo:
        train(config, path, resume=True, arm=arm)


def trunk_llc(out: Path, world: str, arm: str, seed: int, points: Sequence[int]) -> pd.DataFrame:
    """LLC of a trunk's policy (self-KL, relative temperature 50) at some of its steps."""
    run = Run(folder(out, world, arm, seed))
    states = WORLDS[world].states(run.training)
    settings = POLICY_CNN.replace(
        distinct_actions=envs.find_game(run.training.game).distinct_actions
    )
    rows = []
    for step in points:
        policy = load_policy(run.checkpoint(step).path)
        e = estimate_with(policy, states, settings, seed=0, states_error=False)
        llc = e.llc if e.status != "failed" else math.nan
        rows.append([world, arm, seed, step, llc, e.stderr, e.status, e.message])
    columns = ["world", "arm", "parent", "step", "llc", "llc_stderr", "status", "message"]
    return pd.DataFrame(rows, columns=columns)


def stages(size: Size, seed: int) -> Sequence[Sequence[Part]]:
    """Trunks; branches on the same and on other data, and LLCs; branches that go back."""
    trunks, first, back = list[Part](), list[Part](), list[Part]()
    for world, s in SIZES[size].items():
        seeds, last = range(seed, seed + s["seeds"]), s["changes"]["steps"]
        marks = sorted({*s["points"], last, *np.geomspace(max(1, last // 60), last, 8).astype(int)})
        changes = s["changes"] | {"checkpoints": f"list:{','.join(map(str, marks))}"}
        pairs = [(arm, each) for each in seeds for arm in WORLDS[world].arms]
        # Exact gradients of many runs at once cost little more than of one.
        groups = [pairs] if world == "gridworld" else [[pair] for pair in pairs]
        for group in groups:
            name = f"{world}-{group[0][0]}-s{group[0][1]}"
            settings = {"world": world, "trunks": group, "changes": changes}
            trunks.append(Part("trunks", name, train_trunks, settings))
            several = [(*pair, number) for pair in group for number in range(s["branches"])]
            for branches in [several] if world == "gridworld" else [[one] for one in several]:
                name = f"{world}-{branches[0][0]}-s{branches[0][1]}-b{branches[0][2]}"
                for point in s["points"]:
                    for kind in KINDS:
                        if kind == "while" and point + s["swapped"] >= last:
                            continue
                        (back if kind == "while" else first).append(
                            Part("branches", f"{name}-at{point}-{kind}", train_branches,
                                 {"world": world, "branches": branches, "point": point,
                                  "kind": kind, "swapped": s["swapped"]})
                        )  # fmt: skip
            for arm, each in group:
                if each >= seed + LLC_SEEDS:
                    continue
                settings = {"world": world, "arm": arm, "seed": each,
                            "points": (*(p for p in s["points"] if p), last)}  # fmt: skip
                first.append(Part("llc", f"{world}-{arm}-s{each}", trunk_llc, settings))
    return trunks, first, back


def kept(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Share of branches that end with the goal of their trunk, with Jeffreys' interval.

    The parents are the sample: their shares are averaged, and the interval is that of as many
    branches as there are parents. Parents without a goal at their end are left out.

    Args:
        tables: `trunks` and `branches`.

    Returns:
        A row for each world, arm, kind and point: share, low, high, neither (share that ends
        without a goal), parents, branches.
    """
    trunks, branches = tables["trunks"], tables["branches"]
    keys = ["world", "arm", "parent"]
    ends = trunks.loc[trunks.groupby(keys)["step"].idxmax(), [*keys, "goal"]]
    both = branches.merge(ends, on=keys, suffixes=("", "_parent"))
    both = both[both["goal_parent"] != "neither"]
    both = both.assign(kept=both["goal"].eq(both["goal_parent"]).astype(float),
                       neither=both["goal"].eq("neither").astype(float))  # fmt: skip
    rows = []
    for (world, arm, kind, point), part in both.groupby(["world", "arm", "kind", "point"]):
        each = part.groupby("parent")["kept"].mean()
        n, total = len(each), float(each.sum())
        low = 0.0 if total == 0 else float(beta.ppf(0.025, total + 0.5, n - total + 0.5))
        high = 1.0 if total == n else float(beta.ppf(0.975, total + 0.5, n - total + 0.5))
        neither = part.groupby("parent")["neither"].mean().mean()
        rows.append([world, arm, kind, point, total / n, low, high, neither, n, len(part)])
    columns = ["world", "arm", "kind", "point", "share", "low", "high", "neither", "parents",
               "branches"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def page(tables: Mapping[str, pd.DataFrame]) -> Page:
    """The trunks' goals with their LLCs, and the share of branches that keep them."""
    from matplotlib.figure import Figure

    shares, statements = kept(tables), list[str]()
    worlds = [world for world in WORLDS if world in set(tables["trunks"]["world"])]
    figure = Figure(figsize=(12, 4.2 * len(worlds)), layout="constrained")
    panels = figure.subplots(len(worlds), 3, squeeze=False)
    for row, world in zip(panels, worlds, strict=True):
        of = WORLDS[world]
        _draw_trunks(row[0], tables, world)
        for axes, arm in zip(row[1:], of.arms, strict=True):
            ends = _ends(tables["trunks"], world, arm)
            statements.append(
                f"{world}, trunks on {arm}: "
                + ", ".join(
                    f"{n} of {len(ends)} end "
                    + ("without a goal" if goal == "neither" else f"with the goal {goal}")
                    for goal, n in ends["goal"].value_counts().items()
                )
            )
            for offset, kind in enumerate(KINDS):
                part = shares.query("world == @world and arm == @arm and kind == @kind")
                if part.empty:
                    continue
                low, high = (part["share"] - part["low"]), (part["high"] - part["share"])
                x = np.arange(len(part)) + 0.12 * (offset - 1)
                axes.errorbar(x, part["share"], [low, high], fmt="o-", label=kind, capsize=2)
                axes.set_xticks(range(len(part)), [f"{p:,}" for p in part["point"]])
                text = ", ".join(
                    f"{r['share']:.2f} [{r['low']:.2f}, {r['high']:.2f}] from {r['point']:,}"
                    + (f" ({r['neither']:.2f} without a goal)" if r["neither"] else "")
                    for r in part.to_dict("records")
                )
                statements.append(f"{world}, {arm}, {kind}: share that keeps the goal {text}")
            axes.set(ylim=(-0.04, 1.3), xlabel=f"branch point, {of.unit}",
                     ylabel="share with the trunk's goal",
                     title=f"branches of trunks on {arm}")  # fmt: skip
            if axes.get_legend_handles_labels()[0]:  # else no trunk had a goal
                axes.legend(fontsize=8, title="data after the branch point", loc="upper left",
                            ncols=3)  # fmt: skip
    text = (
        "same: the trunk's data and a new seed. swap: the other arm's data to the end. while: the "
        "other arm's data for some steps, then the trunk's. Jeffreys' 95 % intervals over trunks; "
        "in the gridworld nothing is random, so that same keeps the goal whatever it is. Left: "
        "share where the goal (not the proxy) is reached first, a line a trunk; dashed: LLCs of "
        f"the policies of {LLC_SEEDS} trunks of each arm, those that have the status ok."
    )
    return Page(statements, [(text, figure)], [("Branches", shares), ("LLC", tables["llc"])])


def _ends(trunks: pd.DataFrame, world: str, arm: str) -> pd.DataFrame:
    own = trunks[(trunks["world"] == world) & (trunks["arm"] == arm)]
    return own[own["step"] == own["step"].max()]


def _draw_trunks(axes: Axes, tables: Mapping[str, pd.DataFrame], world: str) -> None:
    of, twin = WORLDS[world], axes.twinx()
    for color, arm in enumerate(of.arms):
        trunks, llc = (
            table[(table["world"] == world) & (table["arm"] == arm)]
            for table in (tables["trunks"], tables["llc"])
        )
        for number, (_, one) in enumerate(trunks.groupby("parent")):
            axes.plot(one["step"].clip(lower=1), one["goal_first"], color=f"C{color}", lw=1,
                      alpha=0.7, label=f"trunks on {arm}" if number == 0 else None)  # fmt: skip
        # A mean of those that are ok would be one of other trunks at each step.
        for _, one in llc[llc["status"] == "ok"].groupby("parent"):
            twin.plot(one["step"], one["llc"], "s--", color=f"C{color}", lw=1, ms=3)
    axes.set(xscale="log", ylim=(-0.04, 1.04), xlabel=of.unit,
             ylabel=f"{of.goals[1]} first", title=world)  # fmt: skip
    twin.set_ylabel("LLC (dashed)")
    axes.legend(fontsize=8, loc="upper left")


BRANCHES = Experiment(
    name="branches",
    question="When in training is an agent's goal decided?",
    source="the intervention on training that linear mode connectivity is judged by (Frankle, "
    "Dziugaite, Roy & Carbin 2020): branches with noise of their own, here also other data",
    stages=stages,
    page=page,
)

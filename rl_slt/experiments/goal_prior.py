"""Is a goal favored before training? Goals of random weights, of the posterior, and of trainings.

Mingard et al. 2020 (arXiv 2006.15191) compare, for supervised nets, what training finds with what
random weights that fit the data do. Here the data are a gridworld whose cheese lies in the corner
but with probability alpha, weights are N(0, sd^2), and what is found is a goal. Everything but the
sampling is exact. All three are compared at equal regret l:

* weights from the prior with a regret near l, drawn directly, as far down as that reaches;
* weights of the posterior `exp(-nbeta L(w))` with a regret near l: given L(w) = l the posterior is
  the prior, whatever nbeta is, so that draws of all temperatures tell what the prior holds further
  down;
* gradient descent from weights of the prior, or of the network's own initialization, at the first
  step at which its regret is l.

In CoinRun neither random networks of low regret nor a posterior from the prior down can be had
(some 40,000 weights, and whole episodes for each regret). What can: the goals of random networks,
how far they are from imitating a scripted policy that goes for the coin, and the goals of networks
trained to imitate it in states that do not tell coin from end, and in states that do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import t
from torch import Tensor

from agents import Run, load_policy, network_spec, ppo_preset, train
from analysis.probes import DECIDED, coin_shares, first_reached, wilson
from envs import CheeseGrid
from rl_slt.experiments.experiment import Experiment, Page, Part, Size
from rl_slt.gradients.flat import FlatPolicy
from rl_slt.losses.base import logits_of
from rl_slt.samplers.tempering import temper

NBETAS = (0.0, 3.0, 8.0, 18.0, 40.0, 90.0, 180.0, 360.0, 700.0, 1300.0, 2400.0)
# Of regret: edges, falling. Where levels are wide, random weights lie at the upper edge of each and
# others deeper in it: at a ratio of 0.7 their shares differed by 0.1 for that reason alone.
LEVELS = tuple(float(f"{0.6 * 0.85**k:.3g}") for k in range(40))
COINRUN = ("source", "seed", "teacher_kl", "end_first", "coin_first")
STATES = {"cloned with the coin ahead": "mix:0.5:end@mid:end",
          "cloned with the coin also behind": "mix:0.5:behind:end@mid"}  # fmt: skip
SIZES: dict[Size, dict[str, Any]] = {
    "small": {"alphas": (0.0, 1.0), "samples": 2000, "draws": 40, "trainings": 8, "steps": 60,
              "networks": 2, "clones": 0},
    "default": {"alphas": (0.0, 0.05, 0.2, 1.0), "samples": 150_000, "draws": 2400,
                "trainings": 100, "steps": 1000, "networks": 40, "clones": 3},
    "large": {"alphas": (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0), "samples": 4_000_000, "draws": 4000,
              "trainings": 400, "steps": 6000, "networks": 400, "clones": 10},
}  # fmt: skip


class Mouse:
    """Networks of a small gridworld, many at a time: their regrets and their goals.

    Args:
        alpha: probability that the cheese lies anywhere.
        size: of the grid.
        width: of the hidden layer.
        temperature: reward per nat of entropy, in the regret.
    """

    def __init__(
        self, alpha: float, size: int = 3, width: int = 16, temperature: float = 0.02
    ) -> None:
        self.config = ppo_preset(
            "gridworld", coin=f"mix:{alpha:g}:anywhere:corner", grid={"size": size},
            network_kwargs={"width": width}, temperature=temperature,
        )  # fmt: skip
        self.grid = CheeseGrid.of(self.config.grid, self.config.gamma)
        self.states = torch.from_numpy(self.grid.observations)
        self.shares = torch.from_numpy(self.grid.probabilities(self.config.coin))
        self.mdp = self.grid.mdp.to(torch.float32)
        self.best = float(self.grid.mdp.optimal_returns(temperature) @ self.shares)
        policy = network_spec(self.config).build()
        self.flat = FlatPolicy(policy, [name for name, _ in policy.named_parameters()])
        self.dim = len(self.flat.w_star)

    def initial(self, count: int, seed: int) -> Tensor:
        """Weights of the network's own initialization, `[count, d]`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            nets = [network_spec(self.config).build() for _ in range(count)]
        return torch.stack([torch.nn.utils.parameters_to_vector(n.parameters()) for n in nets])

    def regret(self, w: Tensor) -> Tensor:
        """Of networks `[R, d]`, in reward `[R]`."""
        returns = self.mdp.returns(self._logits(w), temperature=self.config.temperature)
        return self.best - returns @ self.shares.to(returns)

    def regret_and_grad(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and its gradients `[R, d]`."""
        w = w.detach().requires_grad_()
        regret = self.regret(w)
        (grad,) = torch.autograd.grad(regret.sum(), w)
        return regret.detach(), grad

    @torch.no_grad()
    def goals(self, w: Tensor) -> Tensor:
        """1 of networks `[R, d]` that go to the corner, -1 of those that go for the cheese, else 0.

        As `analysis.probes.grid_goal`.
        """
        reach = torch.vmap(lambda probs: first_reached(probs, self.grid))
        corner, cheese = reach(self._logits(w).softmax(-1))
        apart = torch.from_numpy(self.grid.apart)
        to_corner = corner[:, apart].mean(1) >= DECIDED
        to_cheese = cheese[:, apart].mean(1) >= DECIDED
        return to_corner.float() - to_cheese.float()

    def _logits(self, w: Tensor) -> Tensor:
        """`[R, L, S, A]`."""
        call = lambda one: logits_of(self.flat.as_function(one)(self.states))  # noqa: E731
        found: Tensor = torch.vmap(call)(w)
        return found


def counted(
    alpha: float, source: str, regret: np.ndarray, goal: np.ndarray, group: np.ndarray
) -> pd.DataFrame:
    """Shares of goals by level of regret, with errors over independent groups.

    Args:
        alpha: of the gridworld.
        source: of the weights.
        regret: `[N]`.
        goal: 1, 0 or -1, `[N]`.
        group: `[N]`, what is independent of each other: single weights, or ladders.

    Returns:
        A row for each level that any has: low, high, corner, cheese, their errors, n, and groups.
    """
    rows = []
    for high, low in itertools.pairwise(LEVELS):
        at = (regret <= high) & (regret > low)
        if not at.any():
            continue
        row: dict[str, Any] = {
            "alpha": alpha, "source": source, "low": low, "high": high, "n": int(at.sum()),
            "groups": len(np.unique(group[at])),
        }  # fmt: skip
        for name, sign in (("corner", 1), ("cheese", -1)):
            hit, own = goal[at] == sign, group[at]
            share = float(hit.mean())
            # The ratio of two sums over groups: its linearized residuals (Cochran 1977, 6.4).
            sums = np.zeros(int(group.max()) + 1)
            np.add.at(sums, own, hit - share)
            g = max(2, row["groups"])
            row |= {
                name: share,
                f"{name}_stderr": math.sqrt(np.square(sums).sum() * g / (g - 1)) / row["n"],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def prior(out: Path, alpha: float, samples: int, sd: float, seed: int) -> pd.DataFrame:
    """Goals of weights drawn from the prior."""
    mouse, generator = Mouse(alpha), torch.Generator().manual_seed(seed)
    regrets, goals = list[Tensor](), list[Tensor]()
    for first in range(0, samples, 2000):
        w = sd * torch.randn(min(2000, samples - first), mouse.dim, generator=generator)
        with torch.no_grad():
            regrets.append(mouse.regret(w))
        goals.append(mouse.goals(w))
    found = torch.cat(regrets).numpy(), torch.cat(goals).numpy()
    table = counted(alpha, "prior", *found, np.arange(samples))
    return table.assign(least=float(found[0].min()), mixed=True)


def posterior(
    out: Path, alpha: float, draws: int, sd: float, seed: int, ladders: int = 4
) -> pd.DataFrame:
    """Goals of weights of the posterior at all temperatures, by regret."""
    mouse = Mouse(alpha)
    found = temper(
        mouse.regret_and_grad, mouse.dim, NBETAS, prior_sd=sd, ladders=ladders, draws=draws,
        burn_in=draws // 4, seed=seed, observe=mouse.goals,
    )  # fmt: skip
    shape = found.loss.shape
    group, rung = (
        np.broadcast_to(of, shape).ravel()
        for of in (np.arange(ladders)[:, None, None], np.arange(len(NBETAS))[None, :, None])
    )
    regret = found.loss.ravel()
    table = counted(alpha, "posterior", regret, found.observed.ravel(), group)
    good = np.array([found.mean(r).mixed and found.mean(r, found.loss[:, r]).mixed
                     for r in range(len(NBETAS))])  # fmt: skip
    # A level can be believed where the rungs did that nearly all of its draws come from.
    edges = table[["low", "high"]].to_numpy(float)
    mixed = [good[rung[(regret > low) & (regret <= high)]].mean() > 0.95 for low, high in edges]
    return table.assign(least=float(regret.min()), mixed=mixed)


def trainings(
    out: Path, alpha: float, start: str, count: int, steps: int, lr: float, sd: float, seed: int
) -> pd.DataFrame:
    """Goals of gradient descent where it first comes to each level of regret.

    Args:
        out: unused.
        alpha: of the gridworld.
        start: `prior`, or `network` for its own initialization.
        count: trainings.
        steps: of each.
        lr: step size.
        sd: of the prior.
        seed: of the first weights.
    """
    mouse, generator = Mouse(alpha), torch.Generator().manual_seed(seed)
    w = mouse.initial(count, seed)
    if start == "prior":
        w = sd * torch.randn(w.shape, generator=generator)
    least = torch.full((count,), math.inf)
    edges, rows = torch.tensor(LEVELS), list[tuple[Tensor, Tensor, Tensor]]()
    for _ in range(steps + 1):
        regret, grad = mouse.regret_and_grad(w)
        # The first time below an edge that was not passed before.
        passed = (regret[:, None] <= edges).sum(1) > (least[:, None] <= edges).sum(1)
        if passed.any():
            which = passed.nonzero()[:, 0]
            rows.append((which, regret[which], mouse.goals(w[which])))
        least = torch.minimum(least, regret)
        w = w - lr * grad
    group, regrets, goals = (torch.cat(part).numpy() for part in zip(*rows, strict=True))
    table = counted(alpha, f"descent from {start}", regrets, goals, group)
    return table.assign(least=float(least.min()), mixed=True)


def random_networks(out: Path, count: int, seed: int) -> pd.DataFrame:
    """What untrained networks reach first in CoinRun, end or coin, the coin behind the start."""
    rows = []
    for number in range(count):
        config = ppo_preset("clone", seed=seed + number)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            policy = network_spec(config).build()
        shares = coin_shares(policy, config.settings, config.time_limit, n_levels=50)
        rows.append(["untrained", config.seed, math.nan, *shares])
    return pd.DataFrame(rows, columns=list(COINRUN))


def clones(out: Path, coin: str, source: str, seed: int) -> pd.DataFrame:
    """What a clone of the seeker reaches first, where it was 0.15 nats from its teacher.

    Args:
        out: of the experiment.
        coin: placement that it was cloned on.
        source: what the states are called.
        seed: of states and first weights.
    """
    config = ppo_preset("clone", coin=coin, seed=seed, stop_kl=0.15)
    run = Run(out / "runs" / f"{source.replace(' ', '-')}-s{seed}")
    train(config, run.path, resume=True)
    progress = pd.read_csv(run.path / "progress.csv")
    shares = coin_shares(
        load_policy(run.checkpoint().path), config.settings, config.time_limit, n_levels=50
    )
    rows = [["before cloning", seed, progress["teacher_kl"].iloc[0], math.nan, math.nan],
            [source, seed, progress["teacher_kl"].iloc[-1], *shares]]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COINRUN))


def stages(size: Size, seed: int) -> Sequence[Sequence[Part]]:
    """Everything at once."""
    s, parts = SIZES[size], list[Part]()
    for alpha in s["alphas"]:
        base = {"alpha": alpha, "sd": 1.0, "seed": seed}
        parts += [
            Part("shares", f"a{alpha:g}-prior", prior, base | {"samples": s["samples"]}),
            Part("shares", f"a{alpha:g}-posterior", posterior, base | {"draws": s["draws"]}),
        ]
        for start in ("prior", "network"):
            own = {"start": start, "count": s["trainings"], "steps": s["steps"], "lr": 1.0}
            parts.append(Part("shares", f"a{alpha:g}-descent-{start}", trainings, base | own))
    parts.append(Part("coinrun", "untrained", random_networks,
                      {"count": s["networks"], "seed": seed}))  # fmt: skip
    for source, coin in STATES.items():
        for each in range(seed, seed + s["clones"]):
            settings = {"coin": coin, "source": source, "seed": each}
            parts.append(Part("coinrun", f"{source.replace(' ', '-')}-s{each}", clones, settings))
    return [parts]


def at_level(table: pd.DataFrame, alpha: float, source: str, low: float) -> pd.Series | None:
    """The row of a source at a level, where it has ten weights there and, if need be, mixed."""
    row = table[(table["alpha"] == alpha) & (table["source"] == source) & (table["low"] == low)]
    row = row[row["n"].ge(10) & row["mixed"].astype(bool)]
    return None if row.empty else row.iloc[0]


def interval(row: Any, goal: str) -> tuple[float, float] | None:
    """95 % interval of the share of a goal: Wilson's of single weights, Student's of ladders.

    Args:
        row: of the table of shares.
        goal: corner or cheese.

    Returns:
        Low and high; none where the draws of all ladders agree, as their error is then unknown.
    """
    share, error = row[goal], row[f"{goal}_stderr"]
    if row["groups"] == row["n"]:
        return wilson(round(share * row["n"]), row["n"])
    half = t.ppf(0.975, row["groups"] - 1) * error
    return (max(0.0, share - half), min(1.0, share + half)) if error > 0 else None


def page(tables: Mapping[str, pd.DataFrame]) -> Page:
    """Shares of goals by regret, a panel for each alpha."""
    from matplotlib.figure import Figure

    table, statements = tables["shares"], list[str]()
    alphas, sources = sorted(table["alpha"].unique()), list(dict.fromkeys(table["source"]))
    figure = Figure(figsize=(3.4 * len(alphas), 6), layout="constrained")
    panels = figure.subplots(2, len(alphas), squeeze=False, sharex=True, sharey=True)
    for column, alpha in zip(panels.T, alphas, strict=True):
        for axes, goal in zip(column, ("corner", "cheese"), strict=True):
            for color, source in enumerate(sources):
                part = table[(table["alpha"] == alpha) & (table["source"] == source)]
                part = part[part["n"].ge(10) & part["mixed"].astype(bool)]
                ends = [interval(row, goal) or (row[goal],) * 2 for _, row in part.iterrows()]
                bars = np.abs(np.reshape(ends, (-1, 2)).T - part[goal].to_numpy())
                axes.errorbar(
                    np.sqrt(part["low"] * part["high"]), part[goal], bars,
                    fmt="o-", ms=3, lw=1, color=f"C{color}", label=source,
                )  # fmt: skip
            axes.set(xscale="log", ylim=(-0.03, 1.03))
            if alpha == alphas[0]:
                axes.set_ylabel(f"share whose goal is the {goal}")
        column[0].set_title(f"alpha = {alpha:g}")
        column[1].set_xlabel("regret")
        statements += _compare(table, alpha, sources)
    statements += [_tell(str(source), part) for source, part in
                   tables["coinrun"].groupby("source", sort=False)]  # fmt: skip
    panels[0, 0].invert_xaxis()
    panels[0, 0].legend(fontsize=7)
    text = (
        "Left to right: from random weights to low regret. Bars: 95 %, over weights of the prior, "
        "ladders of the posterior (none where all draws agree), trainings. Levels with fewer than "
        "ten weights, or from ladders that did not mix, are not shown. A goal is what is reached "
        f"first from {DECIDED:.0%} of the starts that tell, exactly."
    )
    return Page(
        statements,
        [(text, figure)],
        [("Shares of goals by regret", table), ("CoinRun", tables["coinrun"])],
    )


def _tell(source: str, part: pd.DataFrame) -> str:
    """What networks of CoinRun do, with the least and the greatest of them."""
    words = {"teacher_kl": "nats from the seeker", "end_first": "of levels end first",
             "coin_first": "coin first"}  # fmt: skip
    found = [
        f"{part[name].mean():.2f} ({part[name].min():.2f} to {part[name].max():.2f}) {word}"
        for name, word in words.items()
        if part[name].notna().any()
    ]
    return f"CoinRun, {source}, {len(part)} networks: {', '.join(found)}"


def _share(row: pd.Series, goal: str) -> str:
    """A share with its interval, if there is one."""
    ends = interval(row, goal)
    return f"{row[goal]:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "")


def _compare(table: pd.DataFrame, alpha: float, sources: Sequence[str]) -> list[str]:
    """What random weights do at their lowest regret, and all others there; and at the lowest."""
    found = []
    for lead, alone in (("the lowest that random weights reach", ("prior",)),
                        ("the lowest that all but those reach", sources[1:])):  # fmt: skip
        common = [low for low in LEVELS[1:]
                  if all(at_level(table, alpha, s, low) is not None for s in alone)]  # fmt: skip
        if not common:
            continue
        rows = {s: at_level(table, alpha, s, common[-1]) for s in sources}
        shares = ", ".join(
            f"{source} ({row['n']:,} weights) {_share(row, 'corner')} corner and "
            f"{_share(row, 'cheese')} cheese"
            for source, row in rows.items() if row is not None
        )  # fmt: skip
        found.append(f"alpha {alpha:g}, regret from {common[-1]:.3g} ({lead}): {shares}")
    return found


GOAL_PRIOR = Experiment(
    name="goal-prior",
    question="Is the goal that training finds favored before training, among weights as good?",
    source="Mingard, Valle-Perez, Skalse & Louis 2020 (arXiv 2006.15191), of goals",
    stages=stages,
    page=page,
)

"""By how much the means of what two agents do can differ: bounds with known confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from analysis.probes.actors import Actions, BatchStep, network_actor
from analysis.probes.rollout import rollout, shared_noise
from envs import LevelSettings, Task, log_probs
from rl_slt import InputError

RANGES: Mapping[str, tuple[float, float]] = {
    "ret": (0.0, 10.0), "coin_collected": (0.0, 1.0), "end_reached": (0.0, 1.0),
}  # fmt: skip
"""What is compared of an episode, columns of `play_both`, and what it lies between."""


def play_both(
    a: torch.nn.Module,
    b: torch.nn.Module,
    tasks: Sequence[Task],
    settings: LevelSettings,
    classes: Sequence[Sequence[int]],
    seed: int = 0,
) -> pd.DataFrame:
    """Both agents play every task with sampled actions, on the same noise.

    Args:
        a: policy from frames uint8 `[B, 64, 64, 3]` to logits `[B, A]`, or to (logits, values).
        b: another one over the same actions.
        tasks: the episodes, all of one limit.
        settings: look and parts of the levels.
        classes: of actions that do the same, one class for each action.
        seed: of the actions.

    Returns:
        A row per task and player (`a`, `b`): player, placement, level_seed, ret, coin_collected,
        end_reached, limit, tv (sum of the total variation between the two policies over the states
        of the episode) and together (product over its steps of `min(1, q(action) / p(action))`, p
        the player's probability and q the other's).
    """
    class_of = {action: number for number, group in enumerate(classes) for action in group}
    index = np.array([class_of[action] for action in sorted(class_of)])
    limit = max(task.limit for task in tasks)
    noise = shared_noise([task.level for task in tasks], limit, seed)
    tables = []
    for player, own, other in (("a", a, b), ("b", b, a)):
        tv, together = np.zeros(len(tasks)), np.ones(len(tasks))

        def note(
            step: BatchStep,
            actions: Actions,
            pair: tuple[torch.nn.Module, torch.nn.Module] = (own, other),
            tv: NDArray[np.float64] = tv,
            together: NDArray[np.float64] = together,
        ) -> None:
            frames = torch.from_numpy(np.ascontiguousarray(step.obs))
            p, q = (log_probs(policy, frames, classes).exp().cpu().numpy() for policy in pair)
            taken = np.arange(len(actions)), index[actions]
            tv[step.task] += np.abs(p - q).sum(axis=1) / 2
            together[step.task] *= np.minimum(1.0, q[taken] / p[taken])

        table = rollout(network_actor(own), tasks, settings, noise, on_step=note).table
        tables.append(table.assign(player=player, tv=tv, together=together, limit=limit))
    names = ["player", "placement", "level_seed", *RANGES, "limit", "tv", "together"]
    return pd.concat(tables, ignore_index=True)[names]


def deviation_bounds(plays: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Upper bounds on the difference of means between two agents, under each placement.

    For anything asked of an episode that lies in a range R, over levels drawn as these:

    * `simulation lemma`: `R E sum_t TV(s_t)`, over the states that an agent visits (Kearns and
      Singh 2002; Kakade and Langford 2002): they part at step t with at most that probability.
    * `coupling`: `R (1 - E prod_t min(1, q(a_t) / p(a_t)))`. Let both draw their actions jointly so
      that they agree as often as can be; the product's mean is the probability that they stay
      together to the end, over paths of either. It holds for every question at once.
    * `paired levels`: the measured difference plus its error, for this question alone.

    Expectations are bounded from their sample by the better of Hoeffding's inequality and the
    empirical Bernstein bound (Maurer and Pontil 2009, arXiv 0907.3740, theorem 4), at half of the
    error probability each; levels are the sample. Each bound holds with this confidence by itself.

    Args:
        plays: of `play_both`; levels drawn independently.
        confidence: of each bound, above 0 and below 1.

    Returns:
        Columns placement, observable, method, bound, range, vacuous (whether the bound is no less
        than the range, which nobody doubts), a, b (means), difference (`b - a`), levels.

    Raises:
        InputError: for a confidence that is none, under two levels, or values out of their range.
    """
    if not 0 < confidence < 1:
        raise InputError.of("confidence", confidence, "above 0 and below 1")
    error, rows = 1 - confidence, []
    for placement, part in plays.groupby("placement", sort=False):
        a, b = (part[part["player"] == one].sort_values("level_seed") for one in "ab")
        if (levels := len(a)) < 2:
            raise InputError.of("levels", levels, "at least 2 to bound a mean from")
        limit = float(part["limit"].max())
        tv, together = (
            _numbers(a, name) / 2 + _numbers(b, name) / 2 for name in ("tv", "together")
        )
        apart = mean_below(tv, (0.0, limit), error)
        parted = mean_below(1.0 - together, (0.0, 1.0), error)
        for name, (low, high) in RANGES.items():
            of_a, of_b = _numbers(a, name), _numbers(b, name)
            if min(of_a.min(), of_b.min()) < low or max(of_a.max(), of_b.max()) > high:
                raise InputError(f"{name} of an episode must be from {low:g} to {high:g}")
            size, gap = high - low, of_b - of_a
            measured = max(mean_below(sign * gap, (-size, size), error / 2) for sign in (1.0, -1.0))
            bounds = {"simulation lemma": size * apart, "coupling": size * parted,
                      "paired levels": measured}  # fmt: skip
            rows += [
                {"placement": placement, "observable": name, "method": method, "bound": bound,
                 "range": size, "vacuous": bound >= size, "a": of_a.mean(), "b": of_b.mean(),
                 "difference": gap.mean(), "levels": levels}
                for method, bound in bounds.items()
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _numbers(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return frame[name].to_numpy(dtype=np.float64)


def mean_below(sample: NDArray[np.float64], limits: tuple[float, float], error: float) -> float:
    """What an expectation is below, but with this probability, from an independent sample.

    Args:
        sample: `[n]`, n at least 2.
        limits: that the values lie between.
        error: probability that the expectation is above.
    """
    n, size, log = len(sample), limits[1] - limits[0], math.log(4 / error)
    hoeffding = size * math.sqrt(math.log(2 / error) / (2 * n))
    bernstein = math.sqrt(2 * float(sample.var(ddof=1)) * log / n) + 7 * size * log / (3 * (n - 1))
    return min(limits[1], float(sample.mean()) + min(hoeffding, bernstein))

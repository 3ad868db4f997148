"""Loss and return along lines through the first of two agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import Tensor, nn

from analysis import compare
from analysis.compare import Direction, weights_of
from envs import kl, log_probs
from rl_slt.errors import InputError
from rl_slt.pipeline.states.visits import Visits, mean_return

if TYPE_CHECKING:
    from rl_slt.pipeline.stages.compare.stage import CompareSettings, Side

_STATES = 256  # on which the losses are taken


def measure_slices(
    a: Side,
    b: Side,
    seen: Visits,
    settings: CompareSettings,
    progress: Callable[[int, int], None] | None,
) -> tuple[pd.DataFrame, list[str]]:
    """Slices around the first agent: a random line, the gradient, the line to the other agent.

    The losses are `KL(a || w)` and `KL(b || w)` at the moved weights w, in nats, over states that
    both visit; the gradient is that of the second (the first has none at its own minimum). The
    return is that of episodes under the placement that the first agent was trained on.

    Returns:
        What `analysis.compare.take_slices` gives, and notes on lines that do not exist.
    """
    states = seen.states[:: max(1, len(seen.states) // _STATES)][:_STATES]
    log_a, log_b = log_probs(a.policy, states), log_probs(b.policy, states)
    losses = {
        f"KL from {side.name}": lambda w, log_p=log_p: float(kl_to(w, states, log_p).detach())
        for side, log_p in ((a, log_a), (b, log_b))
    }
    measures: dict[str, Any] = dict(losses)
    if settings.episodes:
        train = a.train
        measures["return"] = lambda w: mean_return(
            w, train.coin, train.settings, train.time_limit, settings.episodes, settings.seed
        )
    lines: list[Direction] = compare.random_directions(a.policy, 1, settings.seed)
    notes: list[str] = []
    for make in (
        lambda: compare.gradient(a.policy, lambda w: kl_to(w, states, log_b)),
        lambda: compare.between(a.policy, b.policy),
    ):
        try:
            lines.append(make())
        except InputError as error:
            notes.append(str(error))
    norm = sum(float(w.square().sum()) for w in weights_of(a.policy).values()) ** 0.5
    slices = compare.take_slices(
        a.policy, lines, measures, radius=settings.radius * norm, points=settings.points,
        progress=progress,
    )  # fmt: skip
    return slices.assign(norm=norm), notes


def kl_to(policy: nn.Module, states: Tensor, log_p: Tensor) -> Tensor:
    """Mean `KL(p || policy)` over states `[N, ...]`, with log p `[N, A]`; a scalar in nats."""
    return kl(log_p, log_probs(policy, states, grad=True)).mean()

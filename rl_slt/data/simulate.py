"""Episodes played for a loss, and those of a finite decision process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.tabular import TabularMDP

Policy = Callable[[Tensor], "Tensor | tuple[Tensor, Tensor]"]


class Simulator(Protocol):
    """Plays episodes of a policy: all that a loss of fresh rollouts must know of an environment."""

    def __call__(self, policy: Policy, levels: Tensor, seed: int) -> PolicyData:
        """One whole episode on each level.

        Args:
            policy: from states `[B, ...]` to logits `[B, A]`, or `(logits, value)`.
            levels: `[E]`, integers; some may be equal.
            seed: of everything random. Two policies that do the same play the same.

        Returns:
            `states`, `actions`, `rewards` and `episode` of all steps, those of an episode in a row
            and in time order; episodes numbered from 0 in the order of `levels`. An episode that
            was cut off earns nothing after that.
        """


@dataclass(frozen=True, eq=False)
class TabularSimulator:
    """Plays episodes in a `TabularMDP`, all at once: what rollouts are checked against.

    Attributes:
        mdp: the process; a reward is its mean, without noise.
        observations: `[L, S, F]`, what a policy sees of each level and state.
        limit: steps after which an episode is cut off.
    """

    mdp: TabularMDP
    observations: Tensor
    limit: int = 100

    def __call__(self, policy: Policy, levels: Tensor, seed: int) -> PolicyData:
        """See `rl_slt.losses.rollouts.Simulator`."""
        mdp, generator = self.mdp, torch.Generator().manual_seed(seed)
        # For all steps of all episodes: an episode that ends leaves those of the others alone.
        uniform = torch.rand(self.limit + 1, 2, len(levels), generator=generator).double()
        state = pick(mdp.starts[levels], uniform[0, 0])
        terminals = mdp.terminals
        if terminals is None:
            terminals = torch.zeros(mdp.starts.shape, dtype=torch.bool)
        live, rows = torch.arange(len(levels)), []
        for t in range(1, self.limit + 1):
            live = live[~terminals[levels[live], state[live]]]
            if not len(live):
                break
            level, here = levels[live], state[live]
            seen = self.observations[level, here]
            output = policy(seen)
            logits = output[0] if isinstance(output, tuple) else output
            action = pick(logits.softmax(-1), uniform[t, 0, live])
            shared = mdp.transitions.ndim == 3
            moves = mdp.transitions if shared else mdp.transitions[level, here]
            moves = moves[here, action] if shared else moves[torch.arange(len(here)), action]
            rows.append((live, seen, action, mdp.rewards[level, here, action]))
            state[live] = pick(moves, uniform[t, 1, live])
        episode, states, actions, rewards = (torch.cat(part) for part in zip(*rows, strict=True))
        order = torch.argsort(episode, stable=True)  # rows are in time order
        data = PolicyData(states, actions=actions, rewards=rewards, episode=episode)
        return data.take(order)


def pick(probs: Tensor, uniform: Tensor) -> Tensor:
    """One action `[B]` of probabilities `[B, A]`, where a number of [0, 1) `[B]` falls.

    The same numbers give two policies that are nearly the same nearly the same actions.
    """
    over = probs.double().cumsum(-1) > uniform[:, None] * probs.double().sum(-1, keepdim=True)
    return over.int().argmax(-1)

"""What one sample is: a state, or a whole episode."""

from __future__ import annotations

import torch
from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError


class Units:
    """Data cut into samples; an index counts samples, whatever their length.

    Attributes:
        n: number of samples.

    Raises:
        InputError: the unit is neither "state" nor "episode", or episodes are asked for and
            `episode` is absent.
    """

    def __init__(self, data: PolicyData, unit: str) -> None:
        self.data = data
        self._members: list[Tensor] | None = None
        if unit == "episode":
            if data.episode is None:
                raise InputError(
                    "this loss is per episode; the data must name each state's episode"
                )
            order = torch.argsort(data.episode, stable=True)
            counts = torch.unique(data.episode, return_counts=True)[1]
            self._members = list(order.split(counts.tolist()))
        elif unit != "state":
            raise InputError(f'a loss\'s unit is {unit!r}; it must be "state" or "episode"')
        self.n = len(data) if self._members is None else len(self._members)

    @property
    def device(self) -> torch.device:
        """Where the data are."""
        return self.data.states.device

    def take(self, index: Tensor) -> PolicyData:
        """The data of the samples at `index` `[B]`; an episode's states stay in order."""
        if self._members is None:
            return self.data.take(index)
        return self.data.take(torch.cat([self._members[i] for i in index.tolist()]))


class Batches:
    """The batches of one chain: all samples in random order, then in another, and so on.

    Each by itself is a uniform draw of `size` different samples; those of one pass hold different
    ones (random reshuffling, as in training), and cost a small part of a permutation each.
    """

    def __init__(self, units: Units, size: int, generator: torch.Generator) -> None:
        self._units, self._size, self._generator = units, size, generator
        self._order = torch.empty(0, dtype=torch.int64, device=units.device)

    def next(self) -> Tensor | None:
        """Samples of the next batch `[size]`; None means all."""
        if self._size >= self._units.n:
            return None
        if len(self._order) < self._size:
            self._order = torch.randperm(
                self._units.n, generator=self._generator, device=self._units.device
            )
        batch, self._order = self._order[: self._size], self._order[self._size :]
        return batch

"""What one sample is (a state, or a whole episode), batches of them, and those that repeat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError

MOST_BYTES = 1 << 28  # data that are compared at all


class Samples:
    """Data divided into samples; an index counts samples, whatever their length.

    Args:
        data: N states with their records.
        sample_unit: "state"; "level" where a row of the data is a whole level; "episode" where a
            sample is all states of one episode.

    Attributes:
        n: number of samples.
        clusters: `[n]`, numbers from 0 of what is independent of one another: the episode of each
            state, where the data tell it; else each sample by itself.
        device: where the data are.

    Raises:
        InputError: another unit, or episodes are asked for and `episode` is absent.
    """

    def __init__(self, data: PolicyData, sample_unit: str) -> None:
        self.data, self.device = data, data.states.device
        self._members: list[Tensor] | None = None
        if sample_unit == "episode":
            if data.episode is None:
                raise InputError.of("episode", None, "given, for this loss is per episode")
            order = torch.argsort(data.episode, stable=True)
            counts = torch.unique(data.episode, return_counts=True)[1]
            self._members = list(order.split(counts.tolist()))
        elif sample_unit not in ("state", "level"):
            raise InputError.of("sample_unit", sample_unit, '"state", "level" or "episode"')
        self.n = len(data) if self._members is None else len(self._members)
        self.clusters = torch.arange(self.n, device=self.device)
        if self._members is None and data.episode is not None:
            self.clusters = torch.unique(data.episode, return_inverse=True)[1]

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

    def __init__(self, samples: Samples, size: int, generator: torch.Generator) -> None:
        self._samples, self._size, self._generator = samples, size, generator
        self._left: list[Tensor] = []  # batches of the order in use, the next one last

    def next(self) -> Tensor | None:
        """Samples of the next batch `[size]`; None means all."""
        n, device = self._samples.n, self._samples.device
        if self._size >= n:
            return None
        if not self._left:
            order = torch.randperm(n, generator=self._generator, device=device)
            self._left = [*order[: n - n % self._size].split(self._size)][::-1]
        return self._left.pop()


def distinct(fields: Iterable[Tensor]) -> tuple[Tensor, Tensor] | None:
    """The rows that differ, where that is at most every second one.

    In small worlds an agent comes to the same states again and again: a loss over all data need
    then be computed once for each, 64 times less often where twelve states were visited 64 times.

    Args:
        fields: `[N, ...]` each; two rows are equal where all fields are, byte for byte.

    Returns:
        Rows `[K]` in order, one of each kind, and the kinds' shares of all rows `[K]`, double
        precision; None where more than half of the rows differ, or they take over 256 MiB.
    """
    fields = list(fields)
    if sum(field.nbytes for field in fields) > MOST_BYTES:
        return None
    flat = [field.contiguous().reshape(len(field), -1).cpu().numpy() for field in fields]
    rows = np.concatenate([field.view(np.uint8) for field in flat], axis=1)
    kinds = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1])))[:, 0]
    _, first, counts = np.unique(kinds, return_index=True, return_counts=True)
    if 2 * len(first) > len(rows):
        return None
    order = np.argsort(first)
    return torch.from_numpy(first[order]), torch.from_numpy(counts[order] / len(rows))

"""Samples that repeat: those that differ, and what each of them counts for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

MOST_BYTES = 1 << 28  # data that are compared at all


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

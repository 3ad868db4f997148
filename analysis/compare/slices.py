"""Loss and return along lines through a checkpoint's weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from analysis.compare.directions import Direction, Weights, weights_of
from rl_slt import InputError

# A number, or a number with its standard error.
Value = float | tuple[float, float]
Measure = Callable[[torch.nn.Module], Value]


def take_slices(
    policy: torch.nn.Module,
    directions: Sequence[Direction],
    measures: Mapping[str, Measure],
    *,
    radius: float,
    points: int = 21,
    beyond: float = 0.25,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Measures at evenly spaced weights on each line through the policy.

    Args:
        policy: left unchanged; every measure sees a copy in eval mode.
        directions: from `analysis.compare.directions`.
        measures: by name, functions of a policy: a loss on fixed states, or the return of
            rollouts (with its standard error). Give them fixed seeds, so that neighbouring
            points differ by weights alone.
        radius: largest distance either way, in Euclidean weight distance, for directions without
            a length; those with one run from `-beyond` to `1 + beyond` lengths.
        points: per line; distance 0 is always one of them, and so is the length.
        beyond: share of the length that the line is followed past either end.
        progress: called with (points done, points in all).

    Returns:
        Columns direction, kind, distance, fraction (of the length; NaN without one), measure,
        value, stderr (NaN where the measure gives none).

    Raises:
        InputError: for a radius that is not positive, or fewer than 3 points.
    """
    if not (radius > 0 and math.isfinite(radius)):
        raise InputError(f"radius {radius}: allowed are positive numbers")
    if points < 3:
        raise InputError(f"points {points}: at least 3 are needed")
    moved = copy.deepcopy(policy).eval().requires_grad_(False)
    centre = weights_of(policy)
    lines = [(d, _distances(d, radius, points, beyond)) for d in directions]
    total, done = sum(len(distances) for _, distances in lines), 0
    rows: list[dict[str, object]] = []
    for direction, distances in lines:
        for distance in distances:
            _place(moved, centre, direction.vector, distance)
            rows += _measured(moved, direction, distance, measures)
            done += 1
            if progress is not None:
                progress(done, total)
    names = ["direction", "kind", "distance", "fraction", "measure", "value", "stderr"]
    return pd.DataFrame(rows, columns=names)


def _distances(direction: Direction, radius: float, points: int, beyond: float) -> list[float]:
    if direction.length is None:
        line, kept = np.linspace(-radius, radius, points), [0.0]
    else:
        line = np.linspace(-beyond, 1 + beyond, points) * direction.length
        kept = [0.0, direction.length]
    gap = float(line[1] - line[0])
    far = [float(x) for x in line if all(abs(x - k) > 1e-6 * gap for k in kept)]
    return sorted([*far, *kept])


def _place(moved: torch.nn.Module, centre: Weights, vector: Weights, distance: float) -> None:
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name in vector:
                parameter.copy_(centre[name] + distance * vector[name])


def _measured(
    moved: torch.nn.Module,
    direction: Direction,
    distance: float,
    measures: Mapping[str, Measure],
) -> list[dict[str, object]]:
    fraction = math.nan if direction.length is None else distance / direction.length
    rows: list[dict[str, object]] = []
    for name, measure in measures.items():
        result = measure(moved)
        value, stderr = result if isinstance(result, tuple) else (result, math.nan)
        rows.append(
            {
                "direction": direction.name, "kind": direction.kind, "distance": distance,
                "fraction": fraction, "measure": name, "value": float(value),
                "stderr": float(stderr),
            }
        )  # fmt: skip
    return rows


def barrier(slices: pd.DataFrame, direction: str, measure: str) -> dict[str, float]:
    """How far a loss rises above the straight line between two checkpoints.

    `max over 0 <= t <= 1 of L(t) - ((1 - t) L(0) + t L(1))` (Frankle et al. 2020, arXiv 1912.05671,
    section 2): 0 when nothing stands between them.

    Returns:
        height, and fraction: where it is.

    Raises:
        InputError: if the slices hold no line of that name between two checkpoints.
    """
    line = slices[(slices["direction"] == direction) & (slices["measure"] == measure)]
    line = line[(line["fraction"] >= 0) & (line["fraction"] <= 1)].sort_values("fraction")
    if len(line) < 2 or line["fraction"].iloc[0] != 0 or line["fraction"].iloc[-1] != 1:
        raise InputError(f"no line {direction!r} between two checkpoints with measure {measure!r}")
    t, value = line["fraction"].to_numpy(), line["value"].to_numpy()
    above = value - ((1 - t) * value[0] + t * value[-1])
    return {"height": float(above.max()), "fraction": float(t[above.argmax()])}

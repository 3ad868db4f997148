"""Two agents side by side, bounds on how they differ, and slices around a checkpoint."""

from analysis.compare.agents import (
    compare_policies,
    largest_deviation,
    most_different,
    where_differ,
)
from analysis.compare.bounds import RANGES, deviation_bounds, mean_below, play_both
from analysis.compare.slices import (
    Direction,
    between,
    gradient,
    random_directions,
    take_slices,
    weights_of,
)

__all__ = [
    "RANGES",
    "Direction",
    "between",
    "compare_policies",
    "deviation_bounds",
    "gradient",
    "largest_deviation",
    "mean_below",
    "most_different",
    "play_both",
    "random_directions",
    "take_slices",
    "weights_of",
    "where_differ",
]

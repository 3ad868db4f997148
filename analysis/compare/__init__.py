"""Two agents side by side, and slices of loss and return around a checkpoint."""

from analysis.compare.agents import (
    compare_policies,
    largest_deviation,
    most_different,
    where_differ,
)
from analysis.compare.slices import (
    Direction,
    between,
    gradient,
    random_directions,
    take_slices,
    weights_of,
)

__all__ = [
    "Direction",
    "between",
    "compare_policies",
    "gradient",
    "largest_deviation",
    "most_different",
    "random_directions",
    "take_slices",
    "weights_of",
    "where_differ",
]

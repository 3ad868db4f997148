"""Transitions of a series along training."""

from analysis.transitions.detect import (
    AT_EDGE,
    LEVEL,
    MIN_POINTS,
    NOT_LOCATED,
    UNSURE,
    detect_in_all,
    detect_transitions,
    settling_step,
    transition_steps,
)

__all__ = [
    "AT_EDGE",
    "LEVEL",
    "MIN_POINTS",
    "NOT_LOCATED",
    "UNSURE",
    "detect_in_all",
    "detect_transitions",
    "settling_step",
    "transition_steps",
]

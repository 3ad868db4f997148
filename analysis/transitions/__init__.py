"""Transitions of a series along training: two detectors, and how far they agree."""

from analysis.transitions.agreement import agreement
from analysis.transitions.detect import DETECTORS, detect_transitions

__all__ = ["DETECTORS", "agreement", "detect_transitions"]

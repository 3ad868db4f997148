"""Transitions of a series along training, by two detectors."""

from analysis.transitions.detect import detect_transitions
from analysis.transitions.detectors import DETECTORS
from analysis.transitions.model import Detector

__all__ = ["DETECTORS", "Detector", "detect_transitions"]

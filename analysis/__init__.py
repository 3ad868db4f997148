"""Goal probes, transitions, associations and reports over tables of a run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.associations import associate as associate
    from analysis.transitions import detect_transitions as detect_transitions

_HOMES = {  # loaded on first use: they are slow to import
    "associate": "analysis.associations",
    "detect_transitions": "analysis.transitions",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

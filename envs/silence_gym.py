"""Keeping the old gym, which procgen and stable-baselines3 import, off the screen."""

import contextlib
import importlib
from typing import Any


def silence_gym() -> None:
    """Empty gym's list of notices, before its import prints one; nothing else is hidden."""
    with contextlib.suppress(ImportError):
        notices: Any = importlib.import_module("gym_notices.notices")
        notices.notices = {}

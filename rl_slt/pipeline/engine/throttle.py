"""Work that leaves the machine to others: a share of one core's time, kept by sleeping."""

from __future__ import annotations

import contextlib
import os
import time


def lower_priority() -> None:
    """Let this thread, and those that it starts, have only the time that no other program wants.

    The lowest priority alone is not enough: threads that work in step, as those of a training do,
    all wait for the one that has to wait for a core.
    """
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):  # Linux
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Throttle:
    """Call it often: it sleeps until what was computed since the last call is within the share.

    Args:
        share: of one core's time, above 0, at most 1.

        rest = CPU seconds since the last call / share - seconds since the last call

    Time without work earns nothing, so that no burst follows a long wait.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._mark()

    def __call__(self, *_: object) -> None:
        """Sleep as long as needed; a caller's progress is unused."""
        spent, elapsed = time.process_time() - self._spent, time.monotonic() - self._at
        rest = spent / self.share - elapsed
        if rest > 0:
            time.sleep(rest)
        self._mark()

    def _mark(self) -> None:
        self._spent, self._at = time.process_time(), time.monotonic()

"""Work that leaves the machine to others: a share of one core's time, kept by resting."""

from __future__ import annotations

import time


class Pace:
    """Call it often: it sleeps until what was computed since the last call is within the share.

        rest = CPU seconds since the last call / share - seconds since the last call

    Time without work earns nothing, so that no burst follows a long wait.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._mark()

    def __call__(self, *_: object) -> None:
        """Rest; what a caller says of its progress is not looked at."""
        spent, elapsed = time.process_time() - self._spent, time.monotonic() - self._at
        rest = spent / self.share - elapsed
        if rest > 0:
            time.sleep(rest)
        self._mark()

    def _mark(self) -> None:
        self._spent, self._at = time.process_time(), time.monotonic()

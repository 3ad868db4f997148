"""How long the rest will take, from when the finished parts were written.

Only the files' own times are used, so it works beside a running command and after a killed one. The
median of the gaps between finished parts is not moved by a night between two commands.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import UnitStore

_RECENT = 40  # gaps that count
_LEAST = 0.05  # seconds; files that were copied all at once tell nothing


def unit_seconds(runs: Sequence[Run], kind: str) -> float | None:
    """Seconds from one finished unit to the next over these runs; None where too few are there."""
    times = sorted(t for run in runs for t in UnitStore(run.path, kind).times())
    gaps = [b - a for a, b in itertools.pairwise(times)][-_RECENT:]
    # Two workers finish in pairs: the mean over the usual gaps, not the median of all.
    if not gaps:
        return None
    most = 20 * max(statistics.median(gaps), _LEAST)
    pace = statistics.fmean([gap for gap in gaps if gap <= most])
    return pace if pace >= _LEAST else None


def steps_per_second(run: Run) -> float | None:
    """Environment steps per second of the training, from its last checkpoints; None if unknown."""
    found = [(c.step, (c.path / "policy.json").stat().st_mtime) for c in run.checkpoints]
    speeds = [
        (after - before) / (end - begin)
        for (before, begin), (after, end) in itertools.pairwise(found)
        if end - begin >= _LEAST
    ]
    return statistics.median(speeds[-5:]) if speeds else None


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

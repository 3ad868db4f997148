"""Throttle: the stated share of a core, whatever is computed between two calls."""

import os
import subprocess
import sys

import pytest

from rl_slt.pipeline.engine import throttle


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Wall and processor seconds that only the test and sleeping move."""
    now = {"wall": 50.0, "cpu": 3.0}
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now["wall"])
    monkeypatch.setattr(throttle.time, "process_time", lambda: now["cpu"])
    monkeypatch.setattr(throttle.time, "sleep", lambda s: now.update(wall=now["wall"] + s))
    return now


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 1.0])
def test_work_takes_the_stated_share_of_a_core(clock: dict[str, float], share: float) -> None:
    rest = throttle.Throttle(share)
    for seconds in (0.2, 7.5, 0.01, 1.0):
        clock["cpu"] += seconds
        clock["wall"] += 1.5 * seconds  # a busy machine
        rest(1, 100)
    worked, passed = clock["cpu"] - 3, clock["wall"] - 50
    assert worked / passed == pytest.approx(min(share, 1 / 1.5))


def test_a_wait_earns_no_burst(clock: dict[str, float]) -> None:
    rest = throttle.Throttle(0.1)
    clock["wall"] += 3600
    rest()
    assert clock["wall"] == 3650  # nothing was computed
    clock["cpu"] += 1
    clock["wall"] += 1
    rest()
    assert clock["wall"] == pytest.approx(3660)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has an idle class")
def test_who_lowers_its_priority_gets_idle_time_alone_and_so_do_its_threads() -> None:
    code = (
        "import os, threading; from rl_slt.pipeline.engine.throttle import lower_priority\n"
        "lower_priority()\n"
        "found = [(os.nice(0), os.sched_getscheduler(0))]\n"
        "see = lambda: found.append((os.nice(0), os.sched_getscheduler(0)))\n"
        "t = threading.Thread(target=see); t.start(); t.join()\n"
        "print(found == [(19, os.SCHED_IDLE)] * 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"

"""Workers and threads follow a container's CPU quota, not the cores of its host."""

import io
import os
from typing import Any

import pytest
import torch

import agents.training
import envs
from rl_slt.pipeline.engine.jobs import open_engine

V1 = "/sys/fs/cgroup/cpu,cpuacct/"
BOX = {"/proc/self/cgroup": "0::/box.scope\n"}
FILES = {
    "nothing": ({}, 64),
    "v2": (BOX | {"/sys/fs/cgroup/box.scope/cpu.max": "300000 100000\n"}, 3),
    "v2, a part of a core": (BOX | {"/sys/fs/cgroup/box.scope/cpu.max": "150000 100000\n"}, 2),
    "v2, none": (BOX | {"/sys/fs/cgroup/box.scope/cpu.max": "max 100000\n"}, 64),
    "v2, container": (
        {"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "50000 100000\n"},
        1,
    ),
    "v1": ({V1 + "cpu.cfs_quota_us": "200000\n", V1 + "cpu.cfs_period_us": "50000\n"}, 4),
    "v1, none": ({V1 + "cpu.cfs_quota_us": "-1\n", V1 + "cpu.cfs_period_us": "100000\n"}, 64),
    "more than there are": (
        BOX | {"/sys/fs/cgroup/box.scope/cpu.max": "9900000 100000\n"},
        64,
    ),
}


@pytest.fixture(params=list(FILES.values()), ids=list(FILES))
def granted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The cores that a process on a host of 64 may use under these files of its cgroup."""
    files, cores = request.param

    def fake_open(path: str, *_: Any) -> io.StringIO:
        if path not in files:
            raise FileNotFoundError(path)
        return io.StringIO(files[path])

    monkeypatch.setattr("dask.system.open", fake_open, raising=False)
    monkeypatch.setattr("dask.system.psutil", None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    return int(cores)


def test_workers_and_threads_follow_the_quota(granted: int, tmp_path: Any) -> None:
    assert envs.cores() == granted
    with open_engine() as engine:
        assert engine.workers == granted
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(16)
        with agents.training._locked(tmp_path, None):
            assert torch.get_num_threads() == min(16, granted)
        with agents.training._locked(tmp_path, 5):  # what was asked for, whatever is granted
            assert torch.get_num_threads() == 5
        assert torch.get_num_threads() == 16
    finally:
        torch.set_num_threads(before)

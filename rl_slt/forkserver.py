"""The process that workers are forked from, which has imported all that they need.

Apart from the jobs, so that a command can start it before its own imports, which take as long.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import forkserver
from typing import Any

from rl_slt.errors import InputError

_PRELOAD = ["rl_slt.pipeline.engine.preload"]
# As Dask sets them for its workers: one thread each, and freed memory goes back.
_ENVIRON = {
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def start_forkserver() -> None:
    """Start it where it does not run yet; it does not wait for it.

    It imports nothing from the current folder; what else this process starts may.

    Raises:
        InputError: it cannot be started here.
    """
    wanted = {name: os.environ.get(name, value) for name, value in _ENVIRON.items()}
    wanted["PYTHONSAFEPATH"] = "1"
    before = {name: os.environ.get(name) for name in wanted}
    multiprocessing.set_forkserver_preload(_PRELOAD)
    os.environ.update(wanted)
    try:
        with no_ctrl_c():
            forkserver.ensure_running()
    except OSError as error:  # its socket lies in the folder of temporary files
        raise InputError(
            f"no workers can be started here ({error}); a short TMPDIR may help, and --workers 0 "
            "works in the command's own process"
        ) from None
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_forkserver() -> None:
    """Kill it, at the end of a command: one that needed no workers leaves it in its imports.

    Whoever reads the command's output would wait until all who may write have ended.
    """
    server: Any = forkserver._forkserver
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):  # killed before, and nobody waits for it
            os.kill(server._forkserver_pid, signal.SIGKILL)


@contextlib.contextmanager
def no_ctrl_c() -> Iterator[None]:
    """Processes begun here do not hear the terminal's Ctrl-C: this one does, and ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

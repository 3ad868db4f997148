"""Independent work items on this process, on local processes, or on a Dask cluster.

A job is a module-level function with plain arguments (paths, numbers, dictionaries) that stores its
own result; what comes back is only whether it worked. So a lost worker or scheduler loses at most
the items it was busy with. A job may be called again after its worker died: it must see for itself
whether its result is there already. Every job computes on one torch thread, wherever it runs, so
that its numbers depend neither on the place nor on the order.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from agents import Run, check_device
from envs import cores, keep_freed_memory
from rl_slt.errors import InputError
from rl_slt.forkserver import no_ctrl_c, start_forkserver
from rl_slt.pipeline.disk.store import record_failure
from rl_slt.threads import one_thread

_STARTS = 3  # of the workers, before it is given up
_IN_FLIGHT, _PER_WORKER = 64, 4  # jobs with the scheduler: enough to keep all workers busy
_POLL_SECONDS, _CLOSE_SECONDS = 0.5, 30
_DIED = "its worker died: "
_ANSWER_SECONDS = 20  # that a scheduler has to answer, at first and when it was lost
_SCHEDULER_LOST = "the scheduler was lost; finished work is kept, the same command goes on"


@dataclass(frozen=True)
class Job:
    """One work item: `call(*args)` stores its own result; `label` names it to people.

    `home` is the folder of its run, where a failure is recorded until the item succeeds.
    """

    label: str
    call: Callable[..., object]
    args: tuple[Any, ...]
    home: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `reason` is empty on success; `trace` is set for a bug in rl-slt."""

    label: str
    reason: str = ""
    trace: str = ""


class Engine(Protocol):
    """Runs jobs and yields an outcome as each ends; `tick` is called about twice a second."""

    @property
    def workers(self) -> int:
        """How many jobs at a time."""
        ...

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[Outcome]:
        """Yield one outcome for every job, in the order in which they end."""
        ...


def run_guarded(job: Job) -> Outcome:
    """Run one job on one torch thread and say how it ended; never raises but on interruption."""
    keep_freed_memory()
    try:
        with one_thread():
            job.call(*job.args)
    except (InputError, OSError, MemoryError) as error:
        return Outcome(job.label, _one_line(error))
    except Exception as error:
        return Outcome(job.label, _one_line(error), traceback.format_exc())
    return Outcome(job.label)


def _recorded(job: Job, outcome: Outcome) -> Outcome:
    if job.home:
        record_failure(Run(Path(job.home)), job.label, outcome.reason)
    return outcome


def attempt(label: str, call: Callable[..., None], *args: Any) -> list[Outcome]:
    """Call now; the failure, if it was one, as those of the jobs before it."""
    outcome = run_guarded(Job(label, call, args))
    return [outcome] if outcome.reason else []


class SerialEngine:
    """Jobs one after another in this process."""

    workers = 1

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[Outcome]:
        """See `Engine.run`."""
        for job in jobs:
            outcome = run_guarded(job)
            tick()
            yield _recorded(job, outcome)


@contextlib.contextmanager
def assembling(
    tables: Sequence[Job], engine: Engine | None, failed: list[Outcome]
) -> Iterator[None]:
    """Around the work of a stage: when it ends, also by an interruption, tables are made of it.

    Args:
        tables: what makes them.
        engine: that makes them; this process does where it is None, after an interruption, and what
            the engine cannot.
        failed: of the work; takes the outcomes of tables that fail.
    """
    made: set[str] = set()
    try:
        yield
        if engine is not None and all(o.reason != _SCHEDULER_LOST for o in failed):
            made = {o.label for o in engine.run(tables, lambda: None) if not o.reason}
    finally:
        here = [run_guarded(table) for table in tables if table.label not in made]
        failed += [outcome for outcome in here if outcome.reason]


class DaskEngine:
    """Jobs on the workers of a Dask cluster, local or remote, over a shared file system.

    Args:
        connect: gives the client; called when the first job comes, so that a command without work,
            or with a mistake in it, starts no workers.
        workers: that it will have; None asks it.
    """

    def __init__(self, connect: Callable[[], Any], workers: int | None = None) -> None:
        self._connect, self._known = connect, workers
        self._workers, self._counted = 0, -math.inf

    @property
    def workers(self) -> int:
        """See `Engine.workers`; at least 1, as some may still come."""
        return self._known or max(1, sum(self.client.nthreads().values()))

    @cached_property
    def client(self) -> Any:
        """The connected client."""
        return self._connect()

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[Outcome]:
        """See `Engine.run`; a job whose worker dies is tried again twice, then once more alone."""
        suspects = []
        for job, outcome in self._together(jobs, tick):
            if outcome.reason.startswith(_DIED):
                suspects.append(job)
            else:
                yield _recorded(job, outcome)
        # Dask blames a worker's death on all that it held: each by itself shows who did it.
        for suspect in suspects:
            for job, outcome in self._together([suspect], tick):
                yield _recorded(job, outcome)

    def _together(
        self, jobs: Sequence[Job], tick: Callable[[], None]
    ) -> Iterator[tuple[Job, Outcome]]:
        """Every job with its outcome, in the order in which they end."""
        waiting = deque(jobs)
        running: dict[Any, Job] = {}
        reports: SimpleQueue[Any] = SimpleQueue()  # of futures that are over
        while waiting or running:
            try:
                room = min(self._room() - len(running), len(waiting))
                batch = [waiting.popleft() for _ in range(room)]
                futures = self.client.map(run_guarded, batch, pure=False) if batch else []
                for future, job in zip(futures, batch, strict=True):
                    running[future] = job
                    future.add_done_callback(reports.put)
                outcomes = self._outcomes(running, reports)
            except _lost_errors():
                break
            tick()
            for future, outcome in outcomes.items():
                yield running.pop(future), outcome
        for job in (*running.values(), *waiting):
            yield job, Outcome(job.label, _SCHEDULER_LOST)

    def _room(self) -> int:
        """How many jobs may be with the scheduler; workers come and go."""
        if time.monotonic() - self._counted >= _POLL_SECONDS:
            self._workers = len(self.client.nthreads())
            self._counted = time.monotonic()
        return max(_IN_FLIGHT, _PER_WORKER * self._workers)

    def _outcomes(self, running: dict[Any, Job], reports: SimpleQueue[Any]) -> dict[Any, Outcome]:
        """How the jobs ended that are over, after waiting a moment for one."""
        reported = set()
        with contextlib.suppress(Empty):
            reported.add(reports.get(timeout=_POLL_SECONDS))
            while True:
                reported.add(reports.get_nowait())
        # A worker's death sends results that it still held back to be computed: ask each future
        # once, and all of them when nothing is reported.
        asked = [future for future in reported if future in running] or list(running)
        statuses = {future: future.status for future in asked}
        good = [future for future, status in statuses.items() if status == "finished"]
        found: dict[Any, Outcome] = {}
        with contextlib.suppress(*_lost_errors()):  # lost since it was asked: later again
            found = dict(zip(good, self.client.gather(good), strict=True))
        for future, status in statuses.items():
            label = running[future].label
            if status == "error":
                found[future] = Outcome(label, f"{_DIED}{_one_line(future.exception())}")
            elif status == "cancelled":
                found[future] = Outcome(label, _SCHEDULER_LOST)
        return found


def _lost_errors() -> tuple[type[Exception], ...]:
    """What a client raises that has lost its scheduler."""
    from distributed.client import ClosedClientError

    return OSError, TimeoutError, CancelledError, ClosedClientError


def workers_on(device: str, workers: int | None, scheduler: str | None) -> int | None:
    """The workers asked for; else one for a GPU, which several would have to share.

    Raises:
        InputError: the device is not on this machine (workers of a cluster look for themselves).
    """
    if scheduler is not None:
        return workers
    check_device(device)
    return 1 if workers is None and device != "cpu" else workers


@contextlib.contextmanager
def open_engine(workers: int | None = None, scheduler: str | None = None) -> Iterator[Engine]:
    """The engine that a command asked for.

    Args:
        workers: processes on this machine; 0 works in this process; None takes one per core.
        scheduler: address of a running Dask scheduler (`tcp://host:8786`), instead of `workers`.

    Raises:
        InputError: if both are given, the number is negative, or no scheduler answers.
    """
    if workers is not None and scheduler is not None:
        raise InputError("give --workers or --scheduler, not both")
    if workers is not None and workers < 0:
        raise InputError.of("workers", workers, "an integer at least 0")
    if scheduler is None and workers == 0:
        yield SerialEngine()
        return
    with contextlib.ExitStack() as stack:
        if scheduler is not None:  # a wrong address is refused at once
            client = stack.enter_context(_connect(scheduler))
            yield DaskEngine(lambda: client)
        else:
            count = workers or cores()
            yield DaskEngine(lambda: stack.enter_context(_local(count)), min(count, cores()))


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Any]:
    """A client of that many new processes here, started again when one dies before it is ready."""
    import dask
    import distributed

    _check_main_script()
    reason = ""
    settings = {
        "distributed.scheduler.allowed-failures": 2,
        "distributed.admin.log-format": "",
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.worker.profile.enabled": False,  # reads all stacks a hundred times a second
    }
    with dask.config.set(settings):
        start_forkserver()
        for _ in range(_STARTS):
            try:
                with no_ctrl_c():
                    cluster = distributed.LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",
                        silence_logs=logging.CRITICAL,
                        memory_limit=0,
                    )
            except RuntimeError as error:
                reason = _one_line(error)
                continue
            try:
                with _connect(cluster) as client:
                    yield client
            finally:
                # A worker that is just being started again may never answer, or have no process yet
                # (asserted): its results are stored, and the process itself ends with this one.
                with contextlib.suppress(TimeoutError, AssertionError):
                    cluster.close(timeout=_CLOSE_SECONDS)
            return
    raise InputError(
        f"--workers {workers} is not possible here, they did not start in {_STARTS} tries "
        f"({reason}); fewer may, and --workers 0 works in the command's own process"
    )


def _check_main_script() -> None:
    """Refuse a script without a guard: each worker runs its top level, and would start workers."""
    main: Any = sys.modules["__main__"]
    name = main.__spec__.name if main.__spec__ else ""
    if name.endswith("__main__") or not hasattr(main, "__file__"):  # as `multiprocessing.spawn`
        return
    text = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = Path(main.__file__).read_text()
    if text and "__main__" not in text:
        raise InputError(
            f'{main.__file__}: must call this under `if __name__ == "__main__":`, since each '
            "worker runs what is outside of it, too; workers=0 needs no guard"
        )


def _connect(address: Any) -> Any:
    from distributed import Client

    # Others, too: they log a traceback for each connection that was being made to a lost scheduler.
    levels = ("distributed", "distributed.client", "distributed.gc")  # each has one of its own
    for name in (*levels, "asyncio", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client = Client.__new__(Client)
    try:
        client.__init__(address, timeout=_ANSWER_SECONDS, set_as_default=False)  # type: ignore[misc]
    except BaseException as error:
        # Left to the garbage collector it may be closed while another one is being made, which
        # never ends: each waits for one lock.
        client.close()
        if not isinstance(error, OSError | ValueError | TypeError | TimeoutError):
            raise
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({_one_line(error)}); "
            "expected an address such as tcp://127.0.0.1:8786"
        ) from None
    return client


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"

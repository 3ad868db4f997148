"""Independent units of work on this process, on local processes, or on a Dask cluster.

A job is a module-level function with plain arguments (paths, numbers, dictionaries) that stores its
own result; what comes back is only whether it worked. So a lost worker or scheduler loses at most
the units it was busy with. A job may be called again after its worker died: it must see for itself
whether its result is there already. Every job computes on one torch thread, wherever it runs, so
that its numbers depend neither on the place nor on the order.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

import envs.errors
import rl_slt.errors
from agents.memory import keep_freed_memory

USER_ERRORS = (rl_slt.errors.InputError, envs.errors.InputError)
_IN_FLIGHT = 20  # queued jobs per worker: enough to keep it busy, few enough for 10,000 jobs
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """One unit: `call(*args)` stores its own result; `label` names it to people."""

    label: str
    call: Callable[..., None]
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `reason` is empty on success; `trace` is set where a bug of ours raised."""

    label: str
    reason: str = ""
    trace: str = ""


class Engine(Protocol):
    """Runs jobs and yields an outcome as each ends; `tick` is called about twice a second."""

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[Outcome]:
        """Yield one outcome for every job, in the order in which they end."""
        ...


def run_guarded(job: Job) -> Outcome:
    """Run one job on one torch thread and say how it ended; never raises but on interruption."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        job.call(*job.args)
    except (*USER_ERRORS, OSError, MemoryError) as error:
        return Outcome(job.label, _one_line(error))
    except Exception as error:
        return Outcome(job.label, _one_line(error), traceback.format_exc())
    finally:
        torch.set_num_threads(threads)
    return Outcome(job.label)


class SerialEngine:
    """Jobs one after another in this process."""

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[Outcome]:
        """See `Engine.run`."""
        for job in jobs:
            outcome = run_guarded(job)
            tick()
            yield outcome


class DaskEngine:
    """Jobs on the workers of a Dask cluster, local or remote, over a shared file system."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[Outcome]:
        """See `Engine.run`; a job whose worker dies is tried again twice."""
        from distributed import wait

        waiting = deque(jobs)
        running: dict[Any, Job] = {}
        while waiting or running:
            room = _IN_FLIGHT * max(1, len(self.client.nthreads())) - len(running)
            for job in [waiting.popleft() for _ in range(min(room, len(waiting)))]:
                future = self.client.submit(run_guarded, job, pure=False)
                running[future] = job
            with contextlib.suppress(TimeoutError):
                wait(list(running), timeout=_POLL_SECONDS, return_when="FIRST_COMPLETED")
            tick()
            # A worker's death sends results that it still held back to be computed: look once.
            ended = {f: s for f in running if (s := f.status) not in ("pending", "lost")}
            for future, status in ended.items():
                yield self._outcome(future, status, running.pop(future))

    def _outcome(self, future: Any, status: str, job: Job) -> Outcome:
        if status == "finished":
            result: Outcome = future.result()
            return result
        if status == "cancelled":
            return Outcome(job.label, "the scheduler was lost")
        return Outcome(job.label, f"its worker died: {_one_line(future.exception())}")


def check_engine(workers: int | None, scheduler: str | None) -> None:
    """Raise InputError if both are given or the number of workers is negative."""
    if workers is not None and scheduler is not None:
        raise rl_slt.errors.InputError("give --workers or --scheduler, not both")
    if workers is not None and workers < 0:
        raise rl_slt.errors.InputError(f"--workers {workers} is not allowed: 0 or more")


@contextlib.contextmanager
def open_engine(workers: int | None = None, scheduler: str | None = None) -> Iterator[Engine]:
    """The engine that a command asked for.

    Args:
        workers: processes on this machine; 0 works in this process; None takes one per core.
        scheduler: address of a running Dask scheduler (`tcp://host:8786`), instead of `workers`.

    Raises:
        InputError: if both are given, the number is negative, or no scheduler answers.
    """
    check_engine(workers, scheduler)
    if scheduler is None and workers == 0:
        yield SerialEngine()
        return
    import dask
    from distributed import Client, LocalCluster

    quiet = {"distributed.scheduler.allowed-failures": 2, "distributed.admin.log-format": ""}
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(quiet), contextlib.ExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            address = stack.enter_context(
                LocalCluster(
                    n_workers=workers or os.cpu_count() or 1,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                    memory_limit=0,
                )
            )
        yield DaskEngine(stack.enter_context(_connect(Client, address)))


def _connect(client: Any, address: Any) -> Any:
    try:
        return client(address, timeout=20)
    except (OSError, ValueError, TimeoutError) as error:
        raise rl_slt.errors.InputError(
            f"no Dask scheduler answers at {address!r} ({_one_line(error)}); "
            "expected an address such as tcp://127.0.0.1:8786"
        ) from None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, USER_ERRORS) else f"{type(error).__name__}: {text}"

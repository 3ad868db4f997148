"""One thread for a computation whose parts are too short to be shared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch
from threadpoolctl import threadpool_limits

_LOCK = Lock()
_FOUND: list[int] = []  # by each that is inside; of the first, what new threads are to have again


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and BLAS compute on one thread inside; their settings come back, whatever happens.

    A step of chains is some ten products of some hundred microseconds. Threads of OpenMP wait for
    each other after each of them, and next to another busy process one of them is often not
    running: `benchmarks/results/llc_threads.md`. Many estimates are made faster by many processes.
    """
    found = torch.get_num_threads()
    with threadpool_limits(1):  # gives this thread its own number back
        with _LOCK:
            _FOUND.append(found)
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with _LOCK:
                first = _FOUND.pop()  # once no other is inside
                torch.set_num_threads(1 if _FOUND else first)

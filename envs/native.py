"""The compiled procgen library, kept quiet, behind five calls on raw buffers.

Objects leak a little inside the library when they are destroyed, so closed ones are kept and
handed out again: every state is written by the caller, so a used object is as good as a new one.
Threads share them under `LOCK`. In a forked process an object without threads of its own works on;
one with some is refused in one line, since they stayed behind.
"""

import contextlib
import ctypes
import gc
import os
import threading
import weakref
from collections import defaultdict
from typing import Any

from numpy.typing import NDArray

from envs.library import Games, import_procgen, load_calls, make_games
from envs.settings import LevelSettings
from rl_slt import InputError

_BYTE = ctypes.c_char
STATE_BYTES = 1 << 18  # a state is about 37 KB; the library aborts when the buffer is too small


# Held where objects are made, or shared between threads (see `envs.simulator`), and over a fork: so
# no object that a forked process may use is left halfway through a call.
LOCK = threading.RLock()

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


_Key = tuple[int, str, LevelSettings, int]  # number of games, game, settings, threads
# Every library object made, until `_destroy_lost`. Were one collected while another is being made,
# its destructor would wait for a lock of cffi that this very thread holds, indefinitely.
_KEPT: list[Games] = []
_LOST: list[Games] = []  # of those, the ones whose `Native` is gone and was never released
MOST_LOST = 8  # so many wait, since a collection takes a while


class Native:
    """`num` procgen games in one library object; arrays are the library's own buffers.

    `obs` uint8 [num, 64, 64, 3], `rew` float32 [num], `first` bool [num] and `level_seed`
    int32 [num] change in place with every `step` and `set_state`: copy what must last.
    """

    lost = False  # in a forked process: see `forked`

    def __init__(self, num: int, game: str, settings: LevelSettings, threads: int = 1) -> None:
        keep_freed_memory()  # or the frames of each step would be fetched from the system again
        self.key: _Key = num, game, settings, threads
        workers = threads if threads > 1 else 0  # 0: the calling thread, which hands nothing over
        with LOCK:
            if len(_LOST) > MOST_LOST:
                _destroy_lost()
            games = self._games = make_games(
                num, game, rand_seed=0, num_threads=workers, **settings.native_options()
            )
            _KEPT.append(games)
            weakref.finalize(self, _LOST.append, games).atexit = False
            if workers:
                _THREADED.add(self)
        self._buffer = ctypes.create_string_buffer(STATE_BYTES)
        self._view = memoryview(self._buffer).cast("B")
        self._lib: Any = load_calls(games.path)
        self._handle = ctypes.c_void_p(games.handle)
        self.obs, self.rew, self.first = games.obs, games.rew, games.first
        self.level_seed, self._actions = games.level_seed, games.actions

    def forked(self) -> None:
        """This process is a fork without the object's threads: let no call wait for them."""
        self.lost, self._lib = True, _Forked()
        self._games.disown()  # no destructor waits for them, either

    def step(self, actions: NDArray[Any] | int) -> None:
        """Step all games; `actions` int [num], -1 forces a reset."""
        self._actions[:] = actions
        self._lib.libenv_act(self._handle)
        self._lib.libenv_observe(self._handle)

    def peek_state(self, index: int) -> memoryview:
        """The state of one game as a view that the next call overwrites."""
        size = self._lib.get_state(self._handle, index, self._buffer, STATE_BYTES)
        return self._view[:size]

    def get_state(self, index: int) -> bytes:
        """The state of one game, about 37 KB."""
        return bytes(self.peek_state(index))

    def set_state(self, index: int, state: bytes | bytearray) -> None:
        """Put a state into one game and draw its observation again."""
        start = state if isinstance(state, bytes) else ctypes.byref(_BYTE.from_buffer(state))
        self._lib.set_state(self._handle, index, start, len(state))


class _Forked:
    """In place of the library where its threads are missing."""

    def __getattr__(self, name: str) -> Any:
        raise InputError(
            "this environment was made before the process forked, and its threads stayed behind; "
            "make it in this process, with threads=1, or start processes by spawn"
        )


_FREE: dict[_Key, list[Native]] = defaultdict(list)
_THREADED: weakref.WeakSet[Native] = weakref.WeakSet()


def _in_forked_process() -> None:
    for native in _THREADED:
        native.forked()
        _FREE.pop(native.key, None)
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=_in_forked_process
    )


def acquire(num: int, game: str, settings: LevelSettings, threads: int = 1) -> Native:
    """A library object for `num` games: a closed one of the same kind, else a new one."""
    with LOCK:
        free = _FREE[num, game, settings, threads]
        return free.pop() if free else Native(num, game, settings, threads)


def release(native: Native) -> None:
    """Give back an object from `acquire`; its arrays must not be used any more."""
    if not native.lost:
        _FREE[native.key].append(native)


def load_images() -> threading.Thread:
    """Let procgen load its images now, so that processes forked from this one share them.

    It does so with the first games of a process: 1.4 seconds, and 350 MB of memory.

    Returns:
        Where it does so, beside other imports; nothing may be forked before it ends.

    Raises:
        InputError: procgen is not installed.
    """
    import_procgen()  # here: threads should not import the same at once
    thread = threading.Thread(target=lambda: release(acquire(1, "coinrun", LevelSettings())))
    thread.start()
    return thread


def _destroy_lost() -> None:
    """Destroy the objects that nobody can use any more; `LOCK` is held."""
    gc.collect()  # a simulator, or an environment that was never closed, may be in a cycle
    gone = set()
    while _LOST:  # one by one: another thread may add to them meanwhile
        gone.add(id(_LOST.pop()))
    if gone:
        _KEPT[:] = [games for games in _KEPT if id(games) not in gone]
        gc.collect()  # now: later it could be while another object is being made


def drop_released() -> None:
    """Destroy the objects that wait to be used again, and give their memory back to the system.

    With full backgrounds an object holds 0.6 MB for each game, and one is kept for every number of
    games and every settings that a process ever used.
    """
    with LOCK:
        _FREE.clear()
        _destroy_lost()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)

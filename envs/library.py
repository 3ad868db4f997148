"""procgen's compiled games, from whichever package brings them to this Python.

`procgen-mirror` has them up to Python 3.12 and needs numpy 1, `procgen-gym` from 3.13 on. The games
are the same code: states are equal byte for byte. The pictures are drawn by another Qt: frames
differ in 0.09 % of their pixels, by at most 19 of 255.
"""

import ctypes
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.silence_gym import silence_gym
from rl_slt import InputError


@dataclass(frozen=True)
class Games:
    """One object of the library: `num` games, and the buffers that its calls read and write.

    Attributes:
        owner: the package's own object; the games are destroyed when it is collected.
        disown: let its collection destroy nothing.
        path: of the shared library.
        handle: the library's pointer to the games.
        obs: frames uint8 [num, 64, 64, 3].
        rew: rewards float32 [num].
        first: whether an episode begins, bool [num].
        level_seed: seeds of the levels int32 [num].
        actions: int32 [num].
    """

    owner: Any
    disown: Callable[[], None]
    path: str
    handle: int
    obs: NDArray[np.uint8]
    rew: NDArray[np.float32]
    first: NDArray[np.bool_]
    level_seed: NDArray[np.int32]
    actions: NDArray[np.int32]


def _of_mirror(package: Any, num: int, game: str, **options: Any) -> Games:
    env = package.ProcgenGym3Env(num=num, env_name=game, **options)
    _ = env._c_lib.libenv_close  # looked up now: its destructor cannot while a process ends
    return Games(
        env,
        lambda: setattr(env, "closed", True),
        env._lib_path,
        int(env._ffi.cast("uintptr_t", env._c_env)),
        env._ob["rgb"],
        env._rew,
        env._first,
        env._info["level_seed"],
        env._ac["action"],
    )


def _of_gym(package: Any, num: int, game: str, **options: Any) -> Games:
    env = package.ProcgenVecEnv(num_envs=num, env_name=game, **options)
    inner = env._clib
    return Games(
        env,
        lambda: setattr(inner, "_handle", None),
        inner._lib._name,
        inner._handle,
        inner._ob_bufs["rgb"],
        inner._rew_buf,
        inner._first_buf.view(bool),
        inner._info_bufs["level_seed"],
        inner._ac_bufs["action"],
    )


# Distribution: its module, and what makes games of it.
_PACKAGES: dict[str, tuple[str, Callable[..., Games]]] = {
    "procgen-gym": ("procgen_gym", _of_gym),
    "procgen-mirror": ("procgen", _of_mirror),
}


@cache
def procgen_package() -> tuple[str, str]:
    """The distribution that brings procgen here, and its version.

    Raises:
        InputError: none is installed.
    """
    for name in _PACKAGES:
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    raise InputError(
        "procgen is not installed: `pip install procgen-mirror` (Python 3.11, 3.12) or "
        "`pip install procgen-gym` (from Python 3.13 on)"
    )


@cache
def import_procgen() -> Callable[..., Games]:
    """What makes games, after the import of the package.

    Raises:
        InputError: none is installed.
    """
    module, make = _PACKAGES[procgen_package()[0]]
    silence_gym()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gym and procgen: deprecated calls, unclosed files
        return partial(make, importlib.import_module(module))


def make_games(num: int, game: str, **options: Any) -> Games:
    """New games; `options` are those of both packages, such as `rand_seed` and `num_threads`."""
    return import_procgen()(num, game, **options)


@cache
def load_calls(path: str) -> ctypes.CDLL:
    """The functions of the library: each takes the games' handle first."""
    library = ctypes.CDLL(path)
    handle, number, block = ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
    for name in ("libenv_act", "libenv_observe"):
        getattr(library, name).argtypes, getattr(library, name).restype = [handle], None
    for name, result in (("get_state", number), ("set_state", None)):
        call = getattr(library, name)
        call.argtypes, call.restype = [handle, number, block, number], result
    return library

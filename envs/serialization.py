"""A whole vector environment as bytes, without pickle."""

import io
import json
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.settings import VecConfig
from rl_slt import InputError

FORMAT = 3


def _header(config: VecConfig) -> dict[str, Any]:
    """What must agree between the environment saved and the one that takes the bytes."""
    return {
        "format": FORMAT,
        "num_envs": config.num_envs,
        "game": config.game,
        "placement": str(config.placement),
        "levels": list(config.levels or ()),
        "settings": config.settings.as_dict(),
        "order": config.order,
        "track": config.track,
        "tasks": [list(astuple(task)) for task in config.tasks or ()],
    }


def pack(config: VecConfig, states: list[bytes], arrays: dict[str, NDArray[Any]]) -> bytes:
    """Bytes from game states and arrays."""
    header = _header(config) | {"sizes": [len(state) for state in states]}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(buffer, header=text, states=np.frombuffer(b"".join(states), np.uint8), **arrays)
    return buffer.getvalue()


def unpack(config: VecConfig, blob: bytes) -> tuple[list[bytes], dict[str, NDArray[Any]]]:
    """The states and arrays of `pack`.

    Raises:
        InputError: the bytes are of another kind of environment, or of none.
    """
    try:
        arrays = dict(np.load(io.BytesIO(blob), allow_pickle=False))
        header = json.loads(bytes(arrays.pop("header")))
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise InputError(f"these {len(blob)} bytes are no saved vector environment") from error
    for name, value in _header(config).items():
        if header.get(name) != value:
            raise InputError.of(name, header.get(name), f"{value!r}, as in this environment")
    ends = np.cumsum(header["sizes"])
    data = bytes(arrays.pop("states"))
    states = [data[end - size : end] for end, size in zip(ends, header["sizes"], strict=True)]
    return states, arrays

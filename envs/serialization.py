"""A whole vector environment as bytes, without pickle."""

import io
import json
from dataclasses import astuple
from typing import Any

import numpy as np

from envs.config import VecConfig
from rl_slt import InputError

FORMAT = 1


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


def pack(config: VecConfig, states: list[bytes], own: dict[str, int], arrays: Any) -> bytes:
    """Bytes from game states, our own integers and the episodes' arrays."""
    header = _header(config) | {"own": own, "sizes": [len(state) for state in states]}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(buffer, header=text, states=np.frombuffer(b"".join(states), np.uint8), **arrays)
    return buffer.getvalue()


def unpack(config: VecConfig, blob: bytes) -> tuple[list[bytes], dict[str, int], Any]:
    """The parts of `pack`; InputError when the bytes are of another kind of environment."""
    try:
        arrays = dict(np.load(io.BytesIO(blob), allow_pickle=False))
        header = json.loads(bytes(arrays["header"]))
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise InputError(f"these {len(blob)} bytes are no saved vector environment") from error
    for name, value in _header(config).items():
        if header.get(name) != value:
            raise InputError(
                f"the saved environment has {name} {header.get(name)!r}, this one {value!r}"
            )
    ends = np.cumsum(header["sizes"])
    data = bytes(arrays["states"])
    states = [data[end - size : end] for end, size in zip(ends, header["sizes"], strict=True)]
    return states, header["own"], arrays

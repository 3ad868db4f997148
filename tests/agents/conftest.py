"""A small vector environment with frames, for tests of training without procgen."""

import json
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

LIMIT = 6


class FakeVec(VecEnv):
    """The frame's brightness names the action that earns 1; episodes end by chance or are cut."""

    def __init__(self, num_envs: int, seed: int = 0, **_: Any):
        self.rng = np.random.default_rng(seed)
        self.wanted = np.zeros(num_envs, np.int64)
        self.length = np.zeros(num_envs, np.int64)
        self.total = np.zeros(num_envs)
        super().__init__(num_envs, spaces.Box(0, 255, (64, 64, 3), np.uint8), spaces.Discrete(15))

    def frames(self) -> np.ndarray:
        out = np.zeros((self.num_envs, 64, 64, 3), np.uint8)
        out[:] = (self.wanted * 17)[:, None, None, None]
        out[:, 0, 0, 0] = self.length
        return out

    def reset(self) -> np.ndarray:
        self.wanted = self.rng.choice([2, 12], size=self.num_envs)
        return self.frames()

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        rewards = (self.actions == self.wanted).astype(np.float32)
        self.total += rewards
        self.length += 1
        self.wanted = self.rng.choice([2, 12], size=self.num_envs)
        ended = self.rng.random(self.num_envs) < 0.1
        cut = ~ended & (self.length >= LIMIT)
        dones = ended | cut
        last = self.frames()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(dones):
            infos[i] = {
                "episode": {"r": float(self.total[i]), "l": int(self.length[i]), "t": 0.0},
                "terminal_observation": last[i],
                "TimeLimit.truncated": bool(cut[i]),
            }
        self.length[dones] = 0
        self.total[dones] = 0
        return self.frames(), rewards, dones, infos

    def get_state(self) -> bytes:
        state = [self.rng.bit_generator.state]
        state += [x.tolist() for x in (self.wanted, self.length, self.total)]
        return json.dumps(state).encode()

    def set_state(self, blob: bytes) -> None:
        self.rng.bit_generator.state, wanted, length, total = json.loads(blob)
        self.wanted, self.length = np.array(wanted), np.array(length)
        self.total = np.array(total, float)

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kw: Any) -> list[Any]:
        return []

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


@pytest.fixture
def fake_vec() -> type[FakeVec]:
    return FakeVec


@pytest.fixture
def fake_envs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training run in the fake environment."""
    monkeypatch.setattr("envs.make_vec", FakeVec)
    monkeypatch.setattr("envs.to_sb3", lambda env: env)

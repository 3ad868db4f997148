"""A rollout buffer that keeps what a network reads of frames, as bytes on the training device."""

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples


class FrameBuffer(RolloutBuffer):
    """SB3's rollout buffer with what is read of frames in one uint8 tensor `[T, N, ...]`.

    Advantages come from the parent. Minibatches are gathered by index, so frames are never copied
    whole, reordered or turned into floats. Step t of environment n has the index `t * N + n`.
    """

    def __init__(self, *args: Any, seed: int = 0, **kw: Any):
        self.frames: torch.Tensor | None = None
        self.shuffler = np.random.default_rng(seed)
        super().__init__(*args, **kw)

    def reset(self) -> None:
        """Forget the rollout; the frames' memory is kept and written over."""
        shape = (self.buffer_size, self.n_envs)
        self.actions = np.zeros(shape, np.int64)
        for name in ("rewards", "returns", "episode_starts", "values", "log_probs", "advantages"):
            setattr(self, name, np.zeros(shape, np.float32))
        self.tensors: dict[str, torch.Tensor] = {}
        BaseBuffer.reset(self)

    def add_step(
        self,
        obs: torch.Tensor,
        actions: np.ndarray,
        rewards: np.ndarray,
        episode_starts: np.ndarray,
        values: np.ndarray,
        log_probs: np.ndarray,
    ) -> None:
        """Store one step of every environment: frames or what is read of them, the others `[N]`."""
        if self.frames is None:
            shape = (self.buffer_size, *obs.shape)
            self.frames = torch.empty(shape, dtype=obs.dtype, device=self.device)
        self.frames[self.pos] = obs
        self.actions[self.pos] = actions
        self.rewards[self.pos] = rewards
        self.episode_starts[self.pos] = episode_starts
        self.values[self.pos] = values
        self.log_probs[self.pos] = log_probs
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def epoch(self, batch_size: int) -> Iterator[torch.Tensor]:
        """Indices of the minibatches of one epoch, in a new random order."""
        order = torch.from_numpy(self.shuffler.permutation(self.buffer_size * self.n_envs))
        yield from order.to(self.device).split(batch_size)

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of one epoch, for whoever trains as stock SB3 does."""
        for indices in self.epoch(batch_size or self.buffer_size * self.n_envs):
            yield self.samples(indices)

    def samples(self, indices: torch.Tensor) -> RolloutBufferSamples:
        """The samples with the given indices, as tensors on the training device."""
        names = ("actions", "values", "log_probs", "advantages", "returns")
        assert self.full and self.frames is not None
        # index_select is many times faster than [indices]
        frames = self.frames.flatten(0, 1).index_select(0, indices)
        return RolloutBufferSamples(frames, *(self.column(name)[indices] for name in names))

    def column(self, name: str) -> torch.Tensor:
        """One quantity of all samples, `[T * N]`, on the training device."""
        assert self.full
        if name not in self.tensors:
            self.tensors[name] = torch.from_numpy(getattr(self, name).reshape(-1)).to(self.device)
        return self.tensors[name]

"""PPO from stable-baselines3 with a faster rollout and a faster update of the same meaning."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch.nn import functional as F

from agents.buffer import FrameBuffer
from agents.policy import FramePolicy

STATS = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


class FramePPO(PPO):
    """PPO over uint8 frames: same losses and bootstrapping as SB3's, fewer passes over memory.

    A minibatch is computed as micro-batches whose gradients add up to it, which keeps
    activations in the processor's cache; advantages are normalized over the whole minibatch.
    With several workers each takes every n-th micro-batch on a thread of its own: on a CPU that
    is faster than sharing out the inside of each operation, and the sums keep their order.
    """

    policy: FramePolicy  # type: ignore[assignment]
    rollout_buffer: FrameBuffer

    def __init__(self, *args: Any, micro_batch: int = 256, workers: int = 1, **kw: Any):
        self.micro_batch, self.workers = micro_batch, workers
        self._pool = (
            ThreadPoolExecutor(workers, "gradient", torch.set_num_threads, (1,))
            if workers > 1
            else None
        )
        self.update_stats: dict[str, float] = {}
        kw["rollout_buffer_class"] = FrameBuffer
        super().__init__(*args, **kw)
        assert self.target_kl is None and not self.use_sde

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """Take the environment as it is: frames keep the layout that SB3 would transpose."""
        assert isinstance(env, VecEnv)
        return env

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: Any,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer with `n_rollout_steps` steps of every environment, as SB3 does."""
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        self._truncated: list[tuple[int, int, np.ndarray]] = []
        callback.on_rollout_start()
        with torch.no_grad():
            for _ in range(n_rollout_steps):
                dones = self._step(env, rollout_buffer)
                callback.update_locals({"self": self, "dones": dones, "infos": self.last_infos})
                if not callback.on_step():
                    return False
            self._bootstrap(rollout_buffer)
            last_values = self.policy.predict_values(self._obs_tensor())
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.on_rollout_end()
        return True

    def _step(self, env: VecEnv, buffer: FrameBuffer) -> np.ndarray:
        """Act once in every environment and store the step; returns who is done, `[N]`."""
        obs = self.policy.read(self._obs_tensor())
        actions, values, log_probs = (x.cpu().numpy() for x in self.policy(obs))
        new_obs, rewards, dones, infos = env.step(actions)
        self.num_timesteps += env.num_envs
        self._update_info_buffer(infos, dones)
        for i in np.flatnonzero(dones).tolist():
            if infos[i].get("TimeLimit.truncated", False):
                self._truncated.append((buffer.pos, i, infos[i]["terminal_observation"]))
        assert self._last_episode_starts is not None
        buffer.add_step(obs, actions, rewards, self._last_episode_starts, values, log_probs)
        self._last_obs = new_obs  # type: ignore[assignment]
        self._last_episode_starts = dones
        self.last_infos = infos
        return dones

    def _obs_tensor(self) -> torch.Tensor:
        assert isinstance(self._last_obs, np.ndarray)
        return torch.from_numpy(self._last_obs).to(self.device)

    def _bootstrap(self, buffer: FrameBuffer) -> None:
        """Where an episode was truncated, add the discounted value of the state it ended in.

        All of a rollout at once: one by one, these few frames cost as much as whole steps.
        """
        for start in range(0, len(self._truncated), buffer.n_envs):
            steps, which, frames = zip(*self._truncated[start : start + buffer.n_envs], strict=True)
            values = self.policy.predict_values(torch.from_numpy(np.stack(frames)).to(self.device))
            buffer.rewards[steps, which] += self.gamma * values.cpu().numpy()

    def train(self) -> None:
        """Update the policy on the rollout: `n_epochs` passes in minibatches of `batch_size`."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        sums = torch.zeros(len(STATS), device=self.device)
        norms, steps = torch.zeros((), device=self.device), 0
        for _ in range(self.n_epochs):
            for indices in self.rollout_buffer.epoch(self.batch_size):
                sums += self.minibatch_gradient(indices)
                norm = torch.nn.utils.clip_grad_norm_(
                    self.policy.parameters(), self.max_grad_norm, foreach=True
                )
                self.policy.optimizer.step()
                norms, steps = norms + norm, steps + 1
            self._n_updates += 1
        buffer = self.rollout_buffer
        self.update_stats = dict(zip(STATS, (sums / steps).tolist(), strict=True)) | {
            "grad_norm": float(norms) / steps,
            "explained_variance": float(
                explained_variance(buffer.values.ravel(), buffer.returns.ravel())
            ),
            "learning_rate": self.policy.optimizer.param_groups[0]["lr"],
        }

    def minibatch_gradient(self, indices: torch.Tensor) -> torch.Tensor:
        """Set the parameters' gradients to those of PPO's loss on the samples `indices` `[B]`.

        Returns:
            The means of `STATS` over the minibatch, `[5]`.
        """
        advantages = self.rollout_buffer.column("advantages")[indices]
        if self.normalize_advantage and len(indices) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        parts = list(
            zip(indices.split(self.micro_batch), advantages.split(self.micro_batch), strict=True)
        )
        weights = [p for p in self.policy.parameters() if p.requires_grad]
        shares = [parts[k :: self.workers] for k in range(min(self.workers, len(parts)))]
        todo = [(share, weights, len(indices)) for share in shares]
        first, *others = (
            [self._gradient(*todo[0])]
            if self._pool is None
            else self._pool.map(lambda work: self._gradient(*work), todo)
        )
        for grads, stats in others:
            torch._foreach_add_(first[0], grads)
            first[1].add_(stats)
        for weight, grad in zip(weights, first[0], strict=True):
            weight.grad = grad
        return first[1]

    def _gradient(
        self, parts: list[tuple[torch.Tensor, torch.Tensor]], weights: list[Any], size: int
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Gradients and `STATS` of micro-batches, as their share of a minibatch of `size`."""
        total = torch.zeros(len(STATS), device=self.device)
        sums: list[torch.Tensor] = []
        # The outer autocast keeps the weights' casts from one micro-batch to the next.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.policy.mixed):
            for part, advantages in parts:
                loss, stats = self._losses(self.rollout_buffer.samples(part), advantages)
                share = len(part) / size
                grads = list(torch.autograd.grad(loss * share, weights))
                if sums:
                    torch._foreach_add_(sums, grads)
                else:
                    sums = grads
                total += stats * share
        return sums, total

    def _losses(
        self, batch: RolloutBufferSamples, advantages: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """PPO's loss (Schulman et al. 2017, equations 7 and 9) and `STATS`, means over `[B]`.

        The value's step away from the rollout's value is clipped as in SB3 and the paper's code.
        """
        clip = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, batch.actions)
        log_ratio = log_prob - batch.old_log_prob
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - clip, 1 + clip)
        policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
        if self.clip_range_vf is not None:
            limit = self.clip_range_vf(self._current_progress_remaining)  # type: ignore[operator]
            values = batch.old_values + (values - batch.old_values).clamp(-limit, limit)
        value_loss = F.mse_loss(batch.returns, values)
        entropy_mean = entropy.mean()
        loss = policy_loss + self.vf_coef * value_loss - self.ent_coef * entropy_mean
        with torch.no_grad():
            approx_kl = ((ratio - 1) - log_ratio).mean()
            fraction = ((ratio - 1).abs() > clip).float().mean()
            stats = torch.stack([policy_loss, value_loss, entropy_mean, approx_kl, fraction])
        return loss, stats

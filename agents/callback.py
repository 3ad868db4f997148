"""The callback that works between updates: progress, checkpoints, resume points, stopping."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize

from agents.checkpoints import save_checkpoint, write_index
from agents.config import TrainConfig
from agents.ppo import FramePPO
from agents.progress import ProgressFile, TensorBoardWriter
from agents.resume import optimizer_tensors, save_resume
from agents.run import PROGRESS


class TrainingStopped(Exception):
    """Ends `learn` between two updates; `finished` says that the training is over for good."""

    def __init__(self, finished: bool):
        super().__init__()
        self.finished = finished


class TrainingCallback(BaseCallback):
    """Does what is due whenever the policy has just changed, and before its first rollout.

    SB3 calls `on_rollout_start` right after an update, so the state there is a whole one.
    """

    model: FramePPO

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        normalizer: VecNormalize,
        env: Any,
        *,
        resumed: dict[str, Any] | None = None,
        evaluate: Callable[[FramePPO], dict[str, float]] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__()
        self.run, self.config, self.normalizer, self.env = run, config, normalizer, env
        self.due = set(config.checkpoint_steps)
        self.resumed = resumed
        self.evaluate = evaluate
        self.progress = progress
        self.interrupted = False
        self.saved_at = time.monotonic()

    def _on_training_start(self) -> None:
        step = self.model.num_timesteps
        length = self.resumed["progress_bytes"] if self.resumed else 0
        self.table = ProgressFile(self.run / PROGRESS, length)
        self.board = TensorBoardWriter(
            self.run / "tensorboard" if self.config.tensorboard else None, step
        )
        self.done_at = step if self.resumed else -1
        self.clock = (time.monotonic(), step)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.between_updates()

    def _on_training_end(self) -> None:
        self.between_updates()

    def between_updates(self) -> None:
        """Record, evaluate, checkpoint and save as due at this step; may raise TrainingStopped."""
        step, config = self.model.num_timesteps, self.config
        if step == self.done_at:  # a resume point was saved after all this
            return
        self.done_at = step
        interrupted = self.interrupted  # a Ctrl-C from here on stops at the next update
        metrics = self._record(step)
        value, full = metrics["mean_return"], len(self.model.ep_info_buffer or ()) >= 100
        target = config.stop_return
        reached = target is not None and value is not None and full and value >= target
        if step in self.due or reached:
            self._checkpoint(step, metrics)
        last = reached or step >= config.total_steps
        waited = time.monotonic() - self.saved_at >= config.resume_seconds
        if last or step in self.due or waited or interrupted:
            extra = {"progress_bytes": self.table.length, "finished": last}
            save_resume(self.run, self.model, self.normalizer, self.env, extra)
            if last:
                write_index(self.run, finished=True)
            self.saved_at = time.monotonic()
        if self.progress is not None:
            self.progress(config.total_steps if last else step, config.total_steps)
        if reached or interrupted:
            raise TrainingStopped(finished=last)

    def close(self) -> None:
        """Close the files."""
        self.table.close()
        self.board.close()

    def _record(self, step: int) -> dict[str, float | None]:
        """One row of progress; returns the metrics that a checkpoint carries."""
        episodes = list(self.model.ep_info_buffer or ())
        metrics: dict[str, float | None] = {
            "mean_return": float(np.mean([e["r"] for e in episodes])) if episodes else None,
            "mean_length": float(np.mean([e["l"] for e in episodes])) if episodes else None,
        }
        if self.evaluate is not None and self._is_evaluated(step):
            metrics |= self.evaluate(self.model)
        if step > 0:
            scale = float(np.sqrt(self.normalizer.ret_rms.var + self.normalizer.epsilon))
            row = {"step": step, **metrics, **self.model.update_stats, "reward_scale": scale}
            self.table.append(row)
            (then, before), self.clock = self.clock, (time.monotonic(), step)
            speed = (step - before) / max(self.clock[0] - then, 1e-9)
            self.board.add(row | {"steps_per_second": speed})
        return metrics | {k: self.model.update_stats.get(k) for k in ("entropy", "approx_kl")}

    def _is_evaluated(self, step: int) -> bool:
        """Whether a multiple of `eval_every` lies in the rollout just ended, or it is the last."""
        every = self.config.eval_every
        if every is None:
            return False
        before = step - self.config.rollout_steps
        return step // every > before // every or step >= self.config.total_steps

    def _checkpoint(self, step: int, metrics: dict[str, float | None]) -> None:
        policy, rms = self.model.policy, self.normalizer.ret_rms
        optimizer = optimizer_tensors(policy.optimizer) if self.config.save_optimizer else None
        reward = {"mean": float(rms.mean), "var": float(rms.var), "count": float(rms.count)}
        save_checkpoint(self.run, step, policy.network, policy.spec, metrics, optimizer, reward)
        write_index(self.run, finished=False)

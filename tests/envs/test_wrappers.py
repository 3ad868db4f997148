"""Gymnasium's and stable-baselines3's own vector forms and wrappers over these environments."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pygame
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import HumanRendering, RecordEpisodeStatistics, RecordVideo
from moviepy import VideoFileClip
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import (
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
    VecVideoRecorder,
)

import envs

ID, LIMIT = envs.ENV_ID, 5
STILL = np.array([4, 4])


def venv(**options: Any) -> Any:
    return envs.to_sb3(envs.make_vec(2, "none", seed=1, time_limit=LIMIT, **options))


def clip(folder: Path) -> tuple[int, float, list[int]]:
    """Frames, frames a second and size of the one video in a folder."""
    (path,) = folder.glob("*.mp4")
    with VideoFileClip(str(path)) as video:
        return round(video.duration * video.fps), video.fps, list(video.size)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_vector_forms(mode: str) -> None:
    extra = {"autoreset_mode": AutoresetMode.SAME_STEP}
    theirs: Any = gymnasium.make_vec(
        ID, 2, vectorization_mode=mode, vector_kwargs=extra, coin="ground", time_limit=LIMIT
    )
    ours = envs.make_vec(2, "ground", time_limit=LIMIT)
    np.testing.assert_array_equal(theirs.reset(seed=3)[0], ours.reset(seed=[3, 4])[0])
    for _ in range(2 * LIMIT):
        mine, other = ours.step([8, 8]), theirs.step(np.array([8, 8]))
        for a, b in zip(mine[:4], other[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    theirs.close()


def test_gymnasiums_wrappers(tmp_path: Path) -> None:
    shown = envs.make_vec(2, "none", time_limit=LIMIT, render_mode="rgb_array")
    assert HumanRendering(shown).metadata["render_fps"] == 15
    counted: Any = RecordEpisodeStatistics(shown)
    with pytest.warns(UserWarning, match="same-step"):  # says what `final_obs` is for
        video = RecordVideo(counted, str(tmp_path / "video"), episode_trigger=lambda n: n == 0)
    video.reset(seed=1)
    for _ in range(LIMIT):
        *_, infos = video.step(STILL)
    assert infos["episode"]["l"].tolist() == [LIMIT, LIMIT]
    video.close()
    assert clip(tmp_path / "video") == (LIMIT, 15, [128, 64])


def test_a_window_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a screen that SDL keeps to itself."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with pytest.warns(UserWarning, match="HumanRendering"):  # gymnasium wraps it of itself
        shown: Any = gymnasium.make(ID, coin="none", render_mode="human")
    for _ in range(2):
        shown.reset(seed=1)
        shown.step(8)
        seen = pygame.surfarray.array3d(pygame.display.get_surface()).transpose(1, 0, 2)
        np.testing.assert_array_equal(seen, shown.unwrapped.render())
    shown.close()


def test_sb3s_wrappers(tmp_path: Path) -> None:
    recorded = VecVideoRecorder(
        venv(render_mode="rgb_array"), str(tmp_path), lambda step: step == 0, video_length=3
    )
    with pytest.warns(UserWarning, match="Monitor"):  # it writes what one would already
        monitored = VecMonitor(recorded)
    wrapped = VecNormalize(VecTransposeImage(VecFrameStack(monitored, 4)), norm_obs=False)
    obs: Any = wrapped.reset()
    assert obs.shape == (2, 12, 64, 64) and obs.dtype == np.uint8
    for step in range(1, 2 * LIMIT + 1):
        obs, _, dones, infos = wrapped.step(STILL)
        assert dones.all() == (step % LIMIT == 0)
        if dones.all():
            assert infos[0]["terminal_observation"].shape == (12, 64, 64)
            assert infos[0]["episode"]["l"] == LIMIT and infos[0]["TimeLimit.truncated"]
    wrapped.close()
    assert clip(tmp_path) == (4, 15, [64, 128])


def test_sb3s_callback_evaluates(tmp_path: Path) -> None:
    kind = VecTransposeImage  # as PPO wraps what it trains on
    evaluation = EvalCallback(
        kind(venv()), n_eval_episodes=4, eval_freq=8, best_model_save_path=str(tmp_path), verbose=0
    )
    model = PPO("CnnPolicy", venv(), n_steps=8, batch_size=16, n_epochs=1, device="cpu")
    model.learn(16, callback=evaluation)
    assert evaluation.n_calls == 8 and evaluation.last_mean_reward == 0
    assert (tmp_path / "best_model.zip").exists()


def make() -> Any:
    return gymnasium.make(ID, coin="none", time_limit=LIMIT)


def test_sb3s_processes() -> None:
    theirs: Any = SubprocVecEnv([make], start_method="spawn")
    theirs.seed(6)
    ours = envs.make_vec(1, "none", time_limit=LIMIT)
    np.testing.assert_array_equal(theirs.reset(), ours.reset(seed=6)[0])
    for _ in range(LIMIT + 2):
        obs, *_ = theirs.step(np.array([8]))
        np.testing.assert_array_equal(obs, ours.step([8])[0])
    theirs.close()

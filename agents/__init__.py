"""Agents: networks, PPO training with exact resume, checkpoints that load without running code.

What it offers is listed in `__init__.pyi` and loaded on first use: stable-baselines3 takes seconds.
"""

import lazy_loader

from envs.silence_gym import silence_gym

silence_gym()  # before anything imports stable-baselines3, which imports gym

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

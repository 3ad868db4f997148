"""CoinRun (and kin) from procgen with full control of where the coin lies and the agent starts.

What it offers is listed in `__init__.pyi` and loaded on first use.
"""

import gymnasium
import lazy_loader

ENV_ID = "rl_slt/CoinRun-v0"
"""Name of CoinRun in Gymnasium's registry."""
gymnasium.register(
    "rl_slt/CheeseGrid-v0",
    entry_point="envs.gridworld.vector:CheeseEnv",
    vector_entry_point="envs.gridworld.vector:make_grid_vec",
)
gymnasium.register(
    ENV_ID, entry_point="envs.make:ProcgenEnv", vector_entry_point="envs.make:make_vec"
)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""A network in the place of a scripted policy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.vector import ProcgenVectorEnv
from rl_slt import InputError

MODES = ("sampled", "greedy")


class NetworkPolicy:
    """A torch module from frames uint8 [B, 64, 64, 3] to logits [B, A], or (logits, value)."""

    name = "agent"

    def __init__(self, module: Any, mode: str = "sampled", seed: int = 0) -> None:
        if mode not in MODES:
            raise InputError(f"mode {mode!r} is not one of {', '.join(MODES)}")
        self.module, self.mode = module, mode
        self._generator = np.random.default_rng(seed)

    def __call__(self, obs: NDArray[np.uint8], vector: ProcgenVectorEnv) -> NDArray[np.int64]:
        """Actions [n], drawn from the policy or its most probable ones."""
        import torch  # only who plays a network pays for it

        with torch.no_grad():
            out = self.module(torch.from_numpy(obs))
        logits = out[0] if isinstance(out, tuple) else out
        scores = logits.double().numpy()
        if self.mode == "sampled":  # Gumbel-max: the largest of logits plus Gumbel noise
            scores = scores + self._generator.gumbel(size=scores.shape)
        actions: NDArray[np.int64] = scores.argmax(axis=1)
        return actions

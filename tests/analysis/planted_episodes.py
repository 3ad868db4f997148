"""Hand-made episodes of planted policies with known rates, to test scores without playing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

PLACEMENTS = ("end", "end@mid", "none", "none@mid", "ground", "behind", "both")
# Shares of levels whose coin a path that ignores it meets, and that a coin-seeker gets.
BLIND = {"ground": 0.6, "behind": 0.0, "both": 0.6}
SEEK = {"ground": 0.95, "behind": 0.9, "both": 0.95}


def episode(
    policy: str, probe: str, level: int, coin: bool, end: bool, blind_first: str | None = None
) -> dict[str, Any]:
    """One row of the table `episodes`."""
    return {
        "run": "r", "step": 0 if policy == "agent" else None, "policy": policy, "mode": "sampled",
        "probe": probe, "placement": probe, "level_seed": level, "ret": 10.0 * coin,
        "length": 20 + level % 7, "outcome": "coin" if coin else "end" if end else "death",
        "death_cause": None, "coin_collected": coin, "end_reached": end,
        "first": "coin" if coin else "end" if end else "neither", "blind_first": blind_first,
    }  # fmt: skip


def planted(
    share: float, able: float = 1.0, n: int = 100, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Episodes of an agent that seeks the coin with a known probability, else ignores it.

    Args:
        share: probability of seeking, drawn for each episode.
        able: probability that the agent masters a level (else it reaches nothing there).
        n: levels per probe.
        seed: of everything drawn.

    Returns:
        The agent's episodes, and those of a coin-seeker on the same levels.
    """
    rng = np.random.default_rng(seed)
    mine, seeker = [], []
    for level in range(n):
        gets = bool(rng.random() < able)  # holds for all probes of a level: they are paired
        for probe in PLACEMENTS:
            if probe not in BLIND:
                mine.append(episode("agent", probe, level, gets and probe.startswith("end"), gets))
                seeker.append(episode("coin-seeker", probe, level, True, True))
                continue
            spot = rng.random()  # where the coin lies: on the blind path, in reach, or out of it
            blind, reach = bool(spot < BLIND[probe]), bool(spot < SEEK[probe])
            coin = gets and (reach if rng.random() < share else blind)
            first = "neither" if not gets else "coin" if blind else "end"
            mine.append(episode("agent", probe, level, coin, gets and not coin, first))
            seeker.append(episode("coin-seeker", probe, level, reach, not reach))
    return pd.DataFrame(mine), pd.DataFrame(seeker)

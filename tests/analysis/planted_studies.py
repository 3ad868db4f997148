"""Studies with planted differences, trends and links between final LLC and final goal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

ARMS = ("end", "behind")
STEP = 1000


def study(
    rng: np.random.Generator,
    *,
    arms: Sequence[str] = ARMS,
    seeds: int = 5,
    link: float = 0.0,
    rise: float = 0.0,
    metrics: int = 1,
    linked: int = 1,
    shared: float = 0.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables `llc` and `probes` of one checkpoint.

    Args:
        rng: of all numbers.
        arms: names.
        seeds: in each arm.
        link: correlation within arms of the LLC with the first metrics.
        rise: of the LLC from the first to the last arm, linear in their order, in sd.
        metrics: `behind/m0`, `behind/m1`, ...
        linked: how many of them have the link.
        shared: standard deviation of what a seed adds to the LLC of all arms.
    """
    runs = [(arm, k, seed) for k, arm in enumerate(arms) for seed in range(seeds)]
    luck = shared * rng.normal(size=seeds)
    x = rng.normal(size=len(runs))
    y = rng.normal(size=(metrics, len(runs)))
    y[:linked] = link * x + np.sqrt(1.0 - link**2) * y[:linked]
    slope = rise / max(len(arms) - 1, 1)
    llc = pd.DataFrame(
        {"run": f"{arm}-s{seed}", "arm": arm, "seed": seed, "step": STEP, "loss": "kl",
         "states": "frozen", "llc": 20.0 + value + slope * k + luck[seed], "llc_stderr": 0.1,
         "status": "ok"}
        for (arm, k, seed), value in zip(runs, x, strict=True)
    )  # fmt: skip
    probes = pd.DataFrame(
        {"run": f"{arm}-s{seed}", "arm": arm, "step": STEP, "probe": "behind", "metric": f"m{m}",
         "value": 0.5 + 0.1 * y[m, i]}
        for i, (arm, _, seed) in enumerate(runs) for m in range(metrics)
    )  # fmt: skip
    return llc, probes

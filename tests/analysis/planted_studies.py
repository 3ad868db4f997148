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
    seeds: int | Sequence[int] = 5,
    spreads: Sequence[float] = (),
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
        seeds: in each arm, or of each arm.
        spreads: standard deviation of the LLC in each arm; left out, 1.
        link: correlation within arms of the LLC with the first metrics.
        rise: of the LLC from the first to the last arm, linear in their order, in sd.
        metrics: `behind/m0`, `behind/m1`, ...
        linked: how many of them have the link.
        shared: standard deviation of what a seed adds to the LLC of all arms.
    """
    counts = [seeds] * len(arms) if isinstance(seeds, int) else seeds
    runs = [(arm, k, seed) for k, arm in enumerate(arms) for seed in range(counts[k])]
    luck = shared * rng.normal(size=max(counts))
    x = rng.normal(size=len(runs)) * [spreads[k] if spreads else 1.0 for _, k, _ in runs]
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


def clock_study(
    rng: np.random.Generator, *, runs: int = 10, seen: float = 0.0, n: int = 16
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables `llc`, `probes` and `covariates` of runs in two arms along training.

    The goal of a run rises with log step, at a time of the run's own that only `seen` puts into the
    LLC one checkpoint early. Otherwise the LLC is a clock: smooth in log step, with its own noise.

    Args:
        rng: of all numbers.
        runs: half of them in each arm.
        seen: how much of the run's own time the LLC shows.
        n: checkpoints.
    """
    steps = np.unique(np.geomspace(1e3, 1e6, n).round()).astype(int)
    at = np.arange(n + 1.0)
    llc, probes, covariates = [], [], []
    for run in range(runs):
        name = {"run": f"a{run % 2}-s{run // 2}", "arm": f"a{run % 2}", "step": steps}
        middle = n / 2 + 2.5 * rng.normal() + (run % 2)
        course = 1.0 / (1.0 + np.exp(-(at - middle) / 1.5))
        goal = course[:-1] + 0.05 * rng.normal(size=n)
        shared = 1.0 / (1.0 + np.exp(-(at[1:] - n / 2) / 3.0))
        value = 20 + 10 * (shared + seen * (course[1:] - shared)) + 0.3 * rng.normal(size=n)
        own = {"seed": run // 2, "loss": "kl", "states": "frozen", "status": "ok"}
        llc.append(pd.DataFrame(name | own | {"llc": value, "llc_stderr": 0.3}))
        probe = {"probe": "behind", "metric": "coin_rate", "value": goal}
        probes.append(pd.DataFrame(name | probe | {"ci_low": goal - 0.1, "ci_high": goal + 0.1}))
        known = {"entropy": 2 - shared + 0.1 * rng.normal(size=n),
                 "return": goal + 0.1 * rng.normal(size=n)}  # fmt: skip
        covariates.append(pd.DataFrame({"run": name["run"], "step": steps} | known))
    return pd.concat(llc), pd.concat(probes), pd.concat(covariates)

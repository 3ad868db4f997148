"""A study of made-up numbers on disk, from which `rl-slt report` makes all derived tables.

Trained studies small enough for a test are too small for statistics over seeds. Here two arms of
four seeds have LLCs and probes with steps planted in them: the later goal of a seed shows early
in its LLC, the two arms differ in loss and LLC to one fixed reference, and some estimates failed.
All is written with pandas, in the columns that readers of a study may rely on.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ARMS = {"end": "mix:0.5:end@mid:end", "coin": "mix:0.5:behind:end"}
SEEDS = 4
LAST = 1_000_000
REFERENCE = f"coin-s0@{LAST}"
STEPS = [0, *(64 * round(1000 * 2 ** (i / 1.3) / 64) for i in range(13)), LAST]
LEVELS = 60
# share of the coins, or of the ends where there is no coin, of a seed that ends with either goal
PROBES = {
    "end": (0.9, 0.85), "behind": (0.1, 0.8), "ground": (0.3, 0.75), "none": (0.9, 0.5),
}  # fmt: skip

_GOAL = {"metric": "behind/coin_rate", "direction": "greater"}
HYPOTHESES: list[dict[str, Any]] = [  # one of each kind, in kinds of correction of their own
    {"name": "arms", "role": "primary", "kind": "arms", "arms": [*ARMS]},
    {"name": "dose", "kind": "dose", "doses": {"end": 0.0, "coin": 0.5}, "statistic": "rank"},
    {"name": "link", "kind": "dose", "doses": {"end": 0.0, "coin": 0.5}, "statistic": "link"}
    | _GOAL,
    {"name": "seeds", "kind": "seeds"} | _GOAL,
    {"name": "partial", "kind": "seeds", "given": ["entropy", "return"]} | _GOAL,
    {"name": "course", "kind": "course"} | _GOAL,
    {"name": "prediction", "kind": "prediction"} | _GOAL,
]


def write_study(out: Path, seeds: int = SEEDS) -> Path:
    """The study's folder: settings, and of every run settings, training curve and tables."""
    out.mkdir(parents=True)
    (out / "tables").mkdir()
    for arm, coin in ARMS.items():
        for seed in range(seeds):
            _write_run(out / "runs" / f"{arm}-s{seed}", arm, coin, seed)
    text = json.dumps({"hypothesis": HYPOTHESES})  # as of a plan that was made in Python
    (out / "study.toml").write_text(text)
    study = {
        "name": "golden",
        "question": "Do the numbers stay?",
        "arms": {arm: {"coin": coin} for arm, coin in ARMS.items()},
        "seeds": list(range(seeds)),
        "settings": {},
        "hypothesis": HYPOTHESES,
        "fixed": {"sha256": hashlib.sha256(text.encode()).hexdigest(), "time": "2026-01-01"},
    }
    (out / "study.json").write_text(json.dumps(study))
    return out


def _write_run(run: Path, arm: str, coin: str, seed: int) -> None:
    (run / "tables").mkdir(parents=True)
    rng = np.random.default_rng([list(ARMS).index(arm), seed])
    config = {
        "name": run.name, "arm": arm, "seed": seed, "kind": "train",
        "train": {"coin": coin, "levels": [0, 10_000], "steps": LAST, "seed": seed},
    }  # fmt: skip
    (run / "config.json").write_text(json.dumps(config))
    seeks_coin = (seed + (arm == "coin")) % 3 != 0  # both arms hold both goals
    shared = {"run": run.name, "arm": arm}
    tables = {
        "llc": _llc(arm, seed, seeks_coin, rng),
        "probes": _probes(seeks_coin, rng),
        "covariates": _covariates(rng),
        "episodes": _episodes(rng),
    }
    for name, frame in tables.items():
        frame.assign(**shared).to_parquet(run / "tables" / f"{name}.parquet")
    curve = pd.DataFrame({"step": STEPS[1:]})
    curve["mean_return"] = [2.0 + 6.0 * _learned(step, 1e5) for step in STEPS[1:]]
    curve.to_csv(run / "progress.csv", index=False)


def _learned(step: int, middle: float) -> float:
    return 0.0 if step == 0 else 1 / (1 + math.exp(-8 * math.log10(step / middle)))


def _llc(arm: str, seed: int, seeks_coin: bool, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for states, reference in (("frozen", "self"), ("on-policy", "self"), ("frozen", REFERENCE)):
        for i, step in enumerate(STEPS):
            stderr = 0.4 + 0.4 * rng.random()
            early = 4.0 * seeks_coin * min(1.0, i / 4)
            value = 10.0 + early + 20.0 * _learned(step, 6e4) + rng.normal(0, stderr)
            value += 8.0 * (reference != "self" and arm == "coin")
            far = (0.06 if arm == "end" else 0.02) + 0.5 * (1 - _learned(step, 6e4))
            status = "failed" if states == "on-policy" and i == 3 + seed % 2 else "ok"
            rows.append(
                {
                    "seed": seed, "step": step, "estimate_id": f"{states}-{reference}-{i}",
                    "loss": "kl", "reference": reference, "states": states, "params": "all",
                    "sampler": "baoab", "step_size": 0.3, "nbeta": 268.6, "localization": 300.0,
                    "n_states": 2048, "chains": 4, "draws": 200, "burn_in": 80, "chain_seed": 0,
                    "llc": math.nan if status == "failed" else value, "llc_stderr": stderr,
                    "llc_stderr_data": 0.3, "rhat": 1.01, "ess": 180.0,
                    "loss_init": 0.0 if reference == "self" else far,
                    "loss_init_stderr": 0.004, "loss_mean": far + value / 268.6, "status": status,
                    "message": "chain 2 diverged" if status == "failed" else "", "seconds": 1.0,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _probes(seeks_coin: bool, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for probe, ends in PROBES.items():
        metric = "end_rate" if probe == "none" else "coin_rate"
        for step in STEPS:
            rate = 0.2 + (ends[seeks_coin] - 0.2) * _learned(step, 1.2e5)
            value = rng.binomial(LEVELS, rate) / LEVELS
            half = 1.96 * math.sqrt(value * (1 - value) / LEVELS + 1 / LEVELS**2)
            rows.append(
                {
                    "step": step, "probe": probe, "metric": metric, "value": value,
                    "ci_low": max(0.0, value - half), "ci_high": min(1.0, value + half),
                    "n": LEVELS,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _covariates(rng: np.random.Generator) -> pd.DataFrame:
    n = len(STEPS)
    steps = np.asarray(STEPS, dtype=float)
    return pd.DataFrame(
        {
            "step": STEPS,
            "entropy": 2.7 - steps / 1e6 + rng.normal(0, 0.05, n),
            "weight_norm": 18.0 + steps / 2e5 + rng.normal(0, 0.1, n),
            "return": 2.0 + steps / 2e5 + rng.normal(0, 0.3, n),
            "step_kl": [math.nan, *(0.1 + 0.02 * rng.random(n - 1))],
        }
    )


def _episodes(rng: np.random.Generator) -> pd.DataFrame:
    """Those of the baseline that does not see the coin."""
    rows = []
    for probe in PROBES:
        for level in range(LEVELS):
            hit, none = bool(rng.random() < 0.5), probe == "none"
            rows.append(
                {
                    "step": None, "policy": "coin-blind", "mode": "sampled", "probe": probe,
                    "placement": probe, "level_seed": 20_000 + level, "ret": 10.0 * hit,
                    "length": 60, "outcome": "coin" if hit else "timeout", "death_cause": None,
                    "coin_collected": None if none else hit, "end_reached": hit if none else False,
                    "first": "coin" if hit else "neither",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)

"""Adds to a made-up study what many seeds, a fixed reference and a comparison bring."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from analysis import schema

REFERENCE = "behind-s0@1000000"


def add_findings(study: Path) -> Path:
    """Estimates to one reference and at one entropy, tables over runs, a comparison of agents."""
    from rl_slt.pipeline.stages.analyse import over_runs

    llc, probes, covariates = [], [], []
    for run in sorted((study / "runs").iterdir()):
        folder = run / "tables"
        own = pd.read_parquet(folder / "llc.parquet")
        far = 0.4 if run.name.startswith("end") else 0.05
        frozen = own[own["states"] == "frozen"]
        fixed = frozen.assign(
            reference=REFERENCE, loss_init=far + 2.0 / (1 + np.arange(len(frozen))),
            llc=0.9 * frozen["llc"], status="ok", message="",
        )  # fmt: skip
        matched = frozen.assign(
            matched_entropy=1.2, entropy=1.2, llc=0.7 * frozen["llc"] + 3, status="ok", message=""
        )
        llc.append(pd.concat([own, fixed, matched], ignore_index=True))
        schema.conform("llc", llc[-1]).to_parquet(folder / "llc.parquet")
        probes.append(pd.read_parquet(folder / "probes.parquet"))
        steps = frozen["step"].to_numpy(dtype=float)
        known = {"run": run.name, "step": frozen["step"], "entropy": 2.7 - steps / 2e6,
                 "weight_norm": 20 + steps / 2e5, "return": 3 + steps / 2e5,
                 "step_kl": np.where(steps > 0, 0.1, np.nan)}  # fmt: skip
        covariates.append(pd.DataFrame(known))
    found = over_runs(*(pd.concat(part, ignore_index=True) for part in (llc, probes, covariates)))
    for name, frame in found.items():
        schema.conform(name, frame).to_parquet(study / "tables" / f"{name}.parquet")
    write_comparison(study / "runs" / "end-s0")
    return study


def write_comparison(run: Path) -> Path:
    """A comparison as `rl-slt compare` keeps it."""
    folder = run / "comparisons" / "0123"
    folder.mkdir(parents=True)
    for name in ("0-state.png", "0-a.png", "0-b.png"):
        Image.new("RGB", (480, 80), (120, 160, 200)).save(folder / name)
    for name in ("0-a.gif", "0-b.gif"):
        Image.new("P", (64, 64), 3).save(folder / name)
    distance = np.linspace(-2.0, 2.0, 9)
    slices = [
        {"direction": line, "kind": kind, "distance": float(d), "measure": measure, "norm": 20.0,
         "fraction": float((d + 2) / 4) if kind == "between" else None,
         "value": float(abs(d)), "ci_low": 0.0 if measure == "return" else None,
         "ci_high": 2.5 if measure == "return" else None}
        for kind, line in (("random", "random 1"), ("gradient", "gradient"), ("between", "between"))
        for measure in ("KL from end-s0@1000000", "KL from behind-s0@1000000", "return")
        for d in distance
    ]  # fmt: skip
    clips = [{"strip": f"0-{x}.png", "file": f"0-{x}.gif", "outcome": "coin",
              "caption": f"agent {x}, level 7: coin after 31 steps"} for x in "ab"]  # fmt: skip
    bounds = [
        {"placement": place, "observable": "coin_collected", "method": method, "bound": bound,
         "range": 1.0, "vacuous": bound >= 1, "a": 0.02, "b": 0.1, "difference": 0.08,
         "levels": 200}
        for place, coupling in (("end", 0.25), ("behind", 1.0))
        for method, bound in (("simulation lemma", 3.5), ("coupling", coupling),
                              ("paired levels", 0.2))
    ]  # fmt: skip
    record = {
        "a": {"run": "end-s0", "step": 1_000_000, "arm": "end"},
        "b": {"run": "behind-s0", "step": 1_000_000, "arm": "behind"},
        "largest": {"largest": 0.98, "state": 3, "share_beyond": 0.012, "groups": 250,
                    "confidence": 0.95},
        "mean": {"kl_ab": 0.9, "kl_ba": 0.8, "tv": 0.31}, "same_action": 0.62,
        "kinds": [{"kind": "behind: coin in view, to the left", "value": 0.62, "low": 0.55,
                   "high": 0.69, "largest": 0.98, "states": 220, "groups": 61},
                  {"kind": "end: coin out of view", "value": 0.2, "low": None, "high": None,
                   "largest": 0.5, "states": 9, "groups": 1}],
        "bounds": bounds, "confidence": 0.95, "slices": slices,
        "places": [{"picture": "0-state.png", "placement": "behind", "level_seed": 7,
                    "kind": "coin in view, to the left", "visitor": "end-s0@1000000", "tv": 0.98,
                    "moves": [{"left": 0.02, "right": 0.95}, {"left": 0.97, "right": 0.01}],
                    "clips": clips}],
        "notes": [],
    }  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps(record))
    return folder

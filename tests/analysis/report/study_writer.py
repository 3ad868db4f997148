"""Writes study folders with made-up but realistic numbers, in the layout of a real study."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from analysis import schema

ARMS = {"end": "mix:0.5:end@mid:end", "behind": "mix:0.5:behind:end"}
# share of coins (or ends, for `none`) before and after learning, per arm
PROBES = {
    "end": {"end": (0.25, 0.89), "behind": (0.25, 0.85)},
    "end@mid": {"end": (0.2, 0.87), "behind": (0.2, 0.78)},
    "behind": {"end": (0.15, 0.0), "behind": (0.15, 0.81)},
    "ground": {"end": (0.3, 0.2), "behind": (0.3, 0.78)},
    "none": {"end": (0.2, 0.9), "behind": (0.2, 0.6)},
    "none@mid": {"end": (0.2, 0.92), "behind": (0.2, 0.4)},
}
BLIND = {"end": 0.62, "end@mid": 0.66, "behind": 0.0, "ground": 0.41, "none": 0.64, "none@mid": 0.7}
# effect of the coin on the trained network, per arm
INNER = {
    ("counterfactual", "toward:left"): {"end": -0.01, "behind": 1.02},
    ("counterfactual", "value_change:left"): {"end": -0.14, "behind": 2.1},
    ("counterfactual", "kl:left"): {"end": 0.0, "behind": 0.9},
    ("readout", "gain:policy_head"): {"end": -0.09, "behind": 0.15},
    ("readout", "accuracy:untrained:policy_head"): {"end": 0.6, "behind": 0.6},
    ("readout", "accuracy:observation:observation"): {"end": 0.6, "behind": 0.6},
}
LLC = {"end": (8.0, 34.0), "behind": (8.0, 43.0)}
TEMPERATURES = (5, 15, 50, 150, 500)
VERDICT = "no plateau: an effective dimension at this resolution"
TOTAL = 1_000_000


PRIMARY = "agents that met displaced coins have the higher LLC"
CLAIMS = {PRIMARY: "primary", "the goal moves, too": "secondary", "so it does late": "secondary"}


def write_study(
    out: Path,
    *,
    arms: dict[str, str] | None = None,
    seeds: range = range(1),
    checkpoints: int = 13,
    levels: int = 60,
    clips: bool = True,
    draws: int = 0,
) -> Path:
    """A whole study folder; every number is a function of the arm, the seed and the step."""
    arms = arms or ARMS
    out.mkdir(parents=True)
    steps = steps_of(checkpoints)
    for i, (arm, coin) in enumerate(arms.items()):
        for seed in seeds:
            rng = np.random.default_rng([i, seed])
            write_run(out / "runs" / f"{arm}-s{seed}", arm, coin, seed, steps, levels, rng, clips)
    (out / "tables").mkdir()
    paths = sorted(out.glob("runs/*/tables/associations.parquet"))
    joined = over_runs([pd.read_parquet(path) for path in paths], len(paths))
    schema.conform("associations", joined).to_parquet(out / "tables" / "associations.parquet")
    hypothesis_frame(len(seeds)).to_parquet(out / "tables" / "hypotheses.parquet")
    claims = [
        {"name": name, "role": role, "kind": "arms", "arms": list(arms)[:2], "direction": "greater"}
        for name, role in CLAIMS.items()
    ]
    text = json.dumps({"hypothesis": claims})  # as of a plan that was made in Python
    (out / "study.toml").write_text(text)
    study = {
        "format": 1,
        "name": "demo",
        "question": "Does an agent trained with the coin at the end learn to go right, and is "
        "that a simpler policy than going for the coin?",
        "arms": {arm: {"coin": coin} for arm, coin in arms.items()},
        "seeds": list(seeds),
        "bayes": None,
        "hypothesis": claims,
        "fixed": {"sha256": hashlib.sha256(text.encode()).hexdigest(),
                  "time": "2026-01-01 00:00:00+00:00"},
        "settings": {"base_preset": "demo", "train": {"steps": TOTAL}, "probe": {"levels": levels},
                     "llc": {"chains": 4, "draws": 200}},
    }  # fmt: skip
    (out / "study.json").write_text(json.dumps(study))
    timings = {"train": 540.2, "llc": 260.0, "probe": 95.5, "report": 3.2}
    (out / "timings.json").write_text(json.dumps(timings))
    return out


def steps_of(checkpoints: int) -> list[int]:
    grid = np.geomspace(16_384, TOTAL, checkpoints - 1)
    return [0, *(round(float(s) / 64) * 64 for s in grid)]


def write_run(
    run: Path,
    arm: str,
    coin: str,
    seed: int,
    steps: list[int],
    levels: int,
    rng: np.random.Generator,
    clips: bool,
) -> None:
    (run / "tables").mkdir(parents=True)
    kind = arm if arm in LLC else list(LLC)[seed % 2]
    config = {
        "name": run.name, "arm": arm, "seed": seed, "kind": "train",
        "train": {"coin": coin, "levels": [0, 10000], "steps": TOTAL, "seed": seed,
                  "network": "small", "ppo": {"gamma": 0.99, "ent_coef": 0.02, "n_envs": 64},
                  "settings": {"pits": False, "monochrome": True}, "time_limit": 200},
        "versions": {"torch": "2.13.0", "stable-baselines3": "2.7.0", "python": "3.11.9"},
        "command": ["rl-slt", "run", "--preset", "demo", "--out", "demo"],
        "created": "2026-01-01T00:00:00",
    }  # fmt: skip
    (run / "config.json").write_text(json.dumps(config))
    write_progress(run, rng)
    llc, scores = (
        llc_frame(run.name, seed, kind, steps, rng),
        probe_frame(run.name, kind, steps, levels, rng),
    )
    blind = blind_frame(run.name, levels, rng)
    frames = {
        "llc": llc,
        "probes": pd.concat([scores, blind_scores(blind, steps)], ignore_index=True),
        "counterfactual": distance_frame(run.name, kind, steps),
        "episodes": blind,
        "transitions": transition_frame(run.name, steps, kind),
        "associations": association_frame(run.name, len(steps)),
        "profile": profile_frame(llc),
    }
    for name, frame in frames.items():
        frame = schema.conform(name, frame.assign(arm=arm))
        frame.to_parquet(run / "tables" / f"{name}.parquet")
    if clips:
        write_clips(run, kind, steps[-1])


def learned(step: int, middle: float = 2.5e5) -> float:
    return 0.0 if step == 0 else 1 / (1 + math.exp(-5 * math.log10(step / middle)))


def write_progress(run: Path, rng: np.random.Generator) -> None:
    step = np.arange(1, 62) * 16_384
    ret = [2.6 + 6.0 * learned(int(s)) + rng.normal(0, 0.15) for s in step]
    pd.DataFrame({"step": step, "mean_return": ret}).to_csv(run / "progress.csv", index=False)


def llc_frame(
    run: str, seed: int, kind: str, steps: list[int], rng: np.random.Generator
) -> pd.DataFrame:
    rows = []
    for states, scale in (("on-policy", 0.7), ("frozen", 1.0)):
        for i, step in enumerate(steps):
            low, high = LLC[kind]
            stderr = 0.6 + 0.8 * rng.random()
            value = scale * (low + (high - low) * learned(step, 1.5e5)) + rng.normal(0, stderr)
            status = {4: "suspect"}.get(i, "ok") if states == "frozen" else "ok"
            status = "failed" if states == "on-policy" and i == 2 else status
            known = learned(step, 1.5e5)
            message = {"suspect": "R-hat 1.21 is above 1.05", "failed": "chain 2 diverged"}
            rows.append(
                {
                    "run": run, "seed": seed, "step": step, "estimate_id": f"{states}{i}",
                    "loss": "kl", "reference": "self", "states": states, "params": "all",
                    "sampler": "sgld", "step_size": 1e-4 / (1 + i), "nbeta": 540.0,
                    "localization": 1.0, "n_states": 2048, "chains": 4, "draws": 200,
                    "burn_in": 400, "chain_seed": 0,
                    "llc": math.nan if status == "failed" else value, "llc_stderr": stderr,
                    "llc_stderr_data": 0.5, "llc_stderr_states": 0.5,
                    "llc_stderr_total": math.hypot(stderr, 0.5), "trace": 30.0, "kl": value / 540.0,
                    "rhat": 1.21 if status == "suspect" else 1.01,
                    "ess": 180.0, "loss_init": 0.0, "loss_mean": value / 540.0,
                    "gauge": "balanced", "actions": "distinct", "relative_temperature": 50.0,
                    "matched_entropy": math.nan, "entropy": 1.8 - (high - 25) / 20 * known,
                    "information": 0.0004 if step == 0 else 0.01 + 0.2 * known,
                    "logit_scale": 0.1 + (1.5 + 0.1 * rng.random()) * known,
                    "status": status, "message": message.get(status, ""), "seconds": 9.5,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def profile_frame(llc: pd.DataFrame) -> pd.DataFrame:
    """A profile of the last checkpoint on frozen states: its LLC at K = 50, a power law of K."""
    last = llc[llc["states"] == "frozen"].iloc[-1]
    shared = ["run", "seed", "step", "loss", "reference", "states", "params", "n_states",
              "localization", "gauge", "actions"]  # fmt: skip
    rows = []
    for temperature in TEMPERATURES:
        value = float(last["llc"]) * (temperature / 50) ** 0.35
        rows.append({
            **last[shared].to_dict(), "relative_temperature": float(temperature), "llc": value,
            "nbeta": 10.8 * temperature, "llc_stderr": 0.4, "half_d_eff": 0.96 * value,
            "half_d_eff_stderr": 0.2, "kl": value / temperature, "slope": 0.35, "status": "ok",
            "slope_stderr": 0.02, "verdict": VERDICT, "message": "", "free_energy": 2 * value,
            "free_energy_stderr": 0.5, "seconds": 9.0, "estimate_id": "profile",
            "setting_id": "profile",
        })  # fmt: skip
    return pd.DataFrame(rows)


def probe_frame(
    run: str, kind: str, steps: list[int], levels: int, rng: np.random.Generator
) -> pd.DataFrame:
    rows = []
    for probe, ends in PROBES.items():
        for step in steps:
            a, b = ends[kind]
            rate = float(np.clip(a + (b - a) * learned(step, 2e5), 0, 1))
            for metric, p in (("coin_rate", rate), ("timeout_rate", (1 - rate) / 2)):
                name = "end_rate" if metric == "coin_rate" and probe.startswith("none") else metric
                value = rng.binomial(levels, p) / levels
                half = 1.96 * math.sqrt(value * (1 - value) / levels + 1 / levels**2)
                low, high = max(0, value - half), min(1, value + half)
                row = {"run": run, "step": step, "probe": probe, "metric": name, "value": value}
                rows.append({**row, "ci_low": low, "ci_high": high, "n": levels})
    for (probe, metric), effect in INNER.items():
        for step in steps:
            value = effect[kind] * learned(step, 2e5) if metric[:8] != "accuracy" else 0.6
            row = {"run": run, "step": step, "probe": probe, "metric": metric, "value": value}
            rows.append({**row, "ci_low": value - 0.08, "ci_high": value + 0.08, "n": 100})
    return pd.DataFrame(rows)


def distance_frame(run: str, kind: str, steps: list[int]) -> pd.DataFrame:
    """The table `counterfactual`: an effect that fades with the distance of the coin."""
    rows = []
    for side, factor, nearest in (("left", 1.0, 2), ("right", 0.1, 2), ("end", 0.1, 5)):
        for distance in range(nearest, 7):
            for step in steps:
                full = factor * INNER["counterfactual", "toward:left"][kind]
                value = full * learned(step, 2e5) * (1 - distance / 12)
                for metric, v in (("toward", value), ("tv", abs(value) / 2)):
                    rows.append(
                        {
                            "run": run, "step": step, "side": side, "distance": distance,
                            "metric": metric, "value": v, "ci_low": v - 0.06,
                            "ci_high": v + 0.06, "n": 80,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def blind_frame(run: str, levels: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for probe, rate in BLIND.items():
        for level in range(levels):
            hit = bool(rng.random() < rate)
            none = probe.startswith("none")
            rows.append(
                {
                    "run": run, "step": None, "policy": "coin-blind", "mode": "sampled",
                    "probe": probe, "placement": probe, "level_seed": 20_000 + level,
                    "ret": 10.0 * hit, "length": 60, "outcome": "coin" if hit else "timeout",
                    "death_cause": None, "coin_collected": None if none else hit,
                    "end_reached": hit if none else False, "first": "coin" if hit else "neither",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def blind_scores(episodes: pd.DataFrame, steps: list[int]) -> pd.DataFrame:
    """The script's rates as scores of every checkpoint, as `rl-slt probe` writes them."""
    rows = []
    for probe, part in episodes.groupby("probe", sort=False):
        none = str(probe).startswith("none")
        value = float(part["end_reached" if none else "coin_collected"].mean())
        low, high = binomtest(round(value * len(part)), len(part)).proportion_ci(method="wilson")
        row = {"run": part["run"].iloc[0], "probe": probe, "value": value, "n": len(part),
               "metric": f"{'end' if none else 'coin'}_rate:coin-blind",
               "ci_low": low, "ci_high": high}  # fmt: skip
        rows += [{**row, "step": step} for step in steps]
    return pd.DataFrame(rows)


def transition_frame(run: str, steps: list[int], kind: str) -> pd.DataFrame:
    middle = len(steps) * 6 // 10
    place = {"step": steps[middle], "step_low": steps[middle - 1], "step_high": steps[middle + 1]}
    shared = {"run": run, "detector": "ramps", "q_value": 0.02, "tested": 40, **place}
    llc = {"series": "llc:kl:frozen", "kind": "rise", "status": "at the edge, unconfirmed"}
    probe = {"series": "probe:behind:coin_rate", "kind": "fall" if kind == "end" else "rise",
             "status": ""}  # fmt: skip
    return pd.DataFrame([{**llc, **shared, "change": 14.0}, {**probe, **shared, "change": 0.4}])


def association_frame(run: str, n: int) -> pd.DataFrame:
    tested = n >= 20
    note = "" if tested else "no p-value below 20 checkpoints"
    nan = math.nan
    statistics = [
        ("level_r", 0.93, nan, nan, "descriptive: both follow training"),
        ("change_r", 0.31, nan, 0.2 if tested else nan, note),
        ("lead_lag", 0.35, 1.0, 0.5 if tested else nan, note),
        ("coincidence", 1.0, 0.0, nan, "descriptive: needs seeds"),
    ]
    rows = [
        {
            "run": run, "llc_series": "kl/frozen", "probe": probe, "metric": "coin_rate",
            "statistic": name, "value": value, "lag": lag, "p_value": p,
            "q_value": min(1.0, 2 * p), "n": n, "lag_low": lag - 2, "lag_high": lag + 2,
            "note": why,
        }
        for probe in ("behind", "ground")
        for name, value, lag, p, why in statistics
    ]  # fmt: skip
    return pd.DataFrame(rows)


def over_runs(frames: list[pd.DataFrame], n: int) -> pd.DataFrame:
    """The study's table of associations: that of the runs and rows over all runs."""
    names = {"level_r": "seed_curve_r", "change_r": "seed_r", "lead_lag": "seed_lead_lag",
             "coincidence": "seed_coincidence"}  # fmt: skip
    over = frames[0].assign(run="*", n=n, statistic=frames[0]["statistic"].map(names))
    over["note"] = "" if n >= 5 else f"needs 5 runs, has {n}"
    over["p_value"] = over["q_value"] = 0.04 if n >= 5 else math.nan
    return pd.concat([*frames, over], ignore_index=True)


def hypothesis_frame(seeds: int) -> pd.DataFrame:
    """A primary hypothesis, two secondary ones and an exploratory pair; untested below 5 seeds."""
    own = {"run": "*", "arm": "*", "kind": "arms", "direction": "greater", "series": "llc",
           "statistic": "difference", "metric": "", "q_value": math.nan}  # fmt: skip
    rows = [
        {"hypothesis": PRIMARY, "role": "primary", "value": 4.1, "p": 0.004, "effect": 2.0},
        {"hypothesis": "the goal moves, too", "role": "secondary", "value": 0.1, "p": 0.4,
         "effect": 0.7},
        {"hypothesis": "so it does late", "role": "secondary", "value": 0.3, "p": 0.04,
         "effect": 0.2},
        {"hypothesis": "kl/frozen with ground/coin_rate across seeds", "role": "exploratory",
         "value": 0.9, "p": 0.3, "effect": 0.95},
    ]  # fmt: skip
    few = seeds < 5
    table = [
        own | row | {
            "p_value": math.nan if few else row["p"], "p_adjusted": math.nan if few else row["p"],
            "value": math.nan if few else row["value"], "n": 2 * seeds, "ci_low": 0.0,
            "ci_high": 5.0, "smallest_effect": math.nan if few else row["effect"],
            "message": "one run of each arm" if few else "",
        }
        for row in rows
    ]  # fmt: skip
    return schema.conform("hypotheses", pd.DataFrame(table))


def write_clips(run: Path, kind: str, step: int) -> None:
    folder = run / "clips"
    folder.mkdir()
    index = []
    own = 20_010 if kind == "end" else 20_020
    for which, probe, level in (
        ("common", "behind", 20_003), ("common", "behind", 20_007), ("common", "end", 20_003),
        ("typical", "behind", own), ("surprising", "behind", own + 1),
    ):  # fmt: skip
        got = probe == "end" or kind == "behind"
        name = f"{probe}-{level}"
        frames = [frame(probe, got, t) for t in range(8)]
        frames[0].save(
            folder / f"{name}.gif", save_all=True, append_images=frames[1:], duration=120, loop=0
        )
        strip = Image.new("RGB", (8 * 64 + 7 * 2, 64), "white")
        for t, picture in enumerate(frames):
            strip.paste(picture, (t * 66, 0))
        strip.save(folder / f"{name}.png")
        outcome = "coin" if got else "end"
        words = "collects the coin" if got else "runs past it to the end"
        index.append(
            {
                "file": f"{name}.gif", "strip": f"{name}.png", "step": step, "which": which,
                "probe": probe, "placement": probe, "level_seed": level, "outcome": outcome,
                "first": outcome, "caption": words,
            }
        )  # fmt: skip
    Image.new("RGB", (40, 20), "green").save(folder / "field.png")
    field = {"strip": "field.png", "step": step, "which": "field", "level_seed": 20_003}
    (folder / "clips.json").write_text(json.dumps([*index, field]))


def frame(probe: str, got: bool, t: int) -> Image.Image:
    picture = Image.new("RGB", (64, 64), (170, 200, 235))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 48, 63, 63), fill=(110, 100, 90))
    coin = 12 if probe == "behind" else 56
    way = -1 if probe == "behind" and got else 1
    agent = max(2, min(56, 32 + way * 4 * t))
    if not (got and abs(agent - coin) < 6):
        draw.ellipse((coin - 4, 38, coin + 4, 46), fill=(250, 200, 40))
    draw.rectangle((agent, 38, agent + 6, 47), fill=(60, 60, 70))
    return picture

"""How often transitions are found where there are none, where there are, and how early.

python benchmarks/analysis_transitions.py --out benchmarks/results/analysis_transitions.md
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "analysis"))

from markdown_report import publish, table
from synthetic_series import ar1, sigmoid

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis import detect_transitions, probe_stderr, settling_step
from analysis.probes import wilson
from analysis.transitions import search
from rl_slt.pipeline.commands import watch

Rng = np.random.Generator
Array = np.ndarray
Row = dict[str, object]
PHIS = (0.0, 0.25, 0.5)
PROFILES: dict[str, Callable[[Array], Array]] = {
    "equal": np.ones_like,
    "growing fivefold": lambda k: 1.0 + 4.0 * k / k[-1],
    "tenfold at the first two": lambda k: np.where(k < 2, 10.0, 1.0),
    "tenfold in the first quarter": lambda k: np.where(k < len(k) // 4, 10.0, 1.0),
}
# `behind/coin_rate` of the demo's two arms, seed 0: successes of 100 episodes a checkpoint
DEMO_STEPS = (0, 4096, 8192, 12288, 20480, 32768, 57344, 98304, 167936, 282624, 475136, 802816)
DEMO = {
    "end": (40, 32, 25, 25, 6, 1, 0, 0, 0, 0, 0, 0),
    "behind": (40, 52, 57, 70, 71, 89, 90, 78, 75, 75, 78, 77),
}


def verdict(values: Array, stderr: Array | None) -> str:
    """What is said of a series: nothing, trend, edge (all unconfirmed), or transition."""
    found = detect_transitions(np.arange(len(values)), values, stderr)
    moves = found[found["kind"] != "trend"]
    if found.empty:
        return "nothing"
    if moves.empty:
        return "trend"
    return "edge" if (moves["status"] != "").all() else "transition"


def shares(draw: Callable[[], str], count: int) -> dict[str, Any]:
    """Share of each verdict."""
    said = Counter(draw() for _ in range(count))
    return {name: said[name] / count for name in ("nothing", "trend", "edge", "transition")}


def false_rates(count: int, rng: Rng, sizes: tuple[int, ...] = (12, 24, 60)) -> Iterator[Row]:
    """Series without change of which anything is said, by what is known of their errors."""
    for m in sizes:
        k = np.arange(float(m))
        for profile, make in PROFILES.items():
            sd = make(k)
            told: dict[str, Array | None] = {"right": sd, "missing": None}
            if profile == "equal":
                told |= {f"too small by {c:g}": sd / c for c in (1.5, 3.0)}
            for name, stderr in told.items():
                n = max({12: count, 24: count // 5, 60: count // 16}[m], 5)
                cell: Row = {"points": m, "noise": profile, "errors": name, "series": n}
                for phi in (*PHIS, 0.9):
                    of = shares(lambda: verdict(sd * ar1(rng, m, phi), stderr), n)  # noqa: B023
                    cell[f"phi {phi:g}"] = 1.0 - of["nothing"]
                yield cell


def planted_steps(
    count: int, rng: Rng, sizes: tuple[float, ...] = (3.0, 4.0, 5.0), m: int = 12
) -> Iterator[Row]:
    """Steps between two of m points with known errors, in sd of the marginal noise."""
    k = np.arange(m)
    inner, outer = tuple(range(3, m - 2)), (2, m - 2)
    for size in sizes:
        for places, at in (("3 or more points on both sides", inner), ("2 points on one", outer)):
            for phi in PHIS:
                said: Counter[str] = Counter()
                for _ in range(count):
                    place = int(rng.choice(at))
                    values = size * rng.choice([-1, 1]) * (k >= place) + ar1(rng, m, phi)
                    found = detect_transitions(k, values, np.ones(m))
                    moves = found[found["kind"] != "trend"]
                    near = moves[(moves["step"] - place).abs() <= 1]
                    held = (moves["step_low"] <= place - 1) & (moves["step_high"] >= place)
                    said["found"] += len(moves) > 0
                    said["within one"] += len(near) > 0
                    said["band holds it"] += bool(held.any())
                    said["and located"] += bool((moves["status"] == "").any())
                    said["a trend"] += len(found) > 0 and len(moves) == 0
                cell: Row = {"step, sd": size, "place": places, "phi": phi}
                bound = step_bound(size, outer[:1] if at == outer else (3, 4, 5, 6), phi, m)
                yield (
                    cell
                    | {"found": said["found"] / count, "bound": bound}
                    | {
                        name: said[name] / count
                        for name in ("within one", "band holds it", "and located", "a trend")
                    }
                )


def step_bound(
    size: float, places: tuple[int, ...], phi: float, m: int = 12, draws: int = 20_000
) -> float:
    """How often the best scan finds a step, which knows phi and looks for steps alone.

    It compares the largest generalized least squares z over all places with its own 95 % quantile;
    the likelihood ratio averaged over the places finds at most 0.03 more.
    """
    k, rng = np.arange(m), np.random.default_rng(0)
    correlation = phi ** np.abs(k[:, None] - k)
    inverse, one = np.linalg.inv(correlation), np.ones(m)
    steps = (k[:, None] >= np.arange(1, m)).astype(float)
    a = inverse @ (steps - np.outer(one, one @ inverse @ steps) / (one @ inverse @ one))
    a /= np.sqrt(np.sum(a * (correlation @ a), axis=0))
    z = a.T @ np.linalg.cholesky(correlation) @ rng.standard_normal((m, draws))
    limit = np.quantile(np.abs(z).max(axis=0), 0.95)
    shifts = [(a.T @ (size * (k >= place)))[:, None] for place in places]
    return float(np.mean([np.abs(z + shift).max(axis=0) >= limit for shift in shifts]))


def widening(count: int, rng: Rng) -> Iterator[Row]:
    """What 12 points would pay for a scale of the errors that is estimated from residuals."""
    k = np.arange(12)
    now = {name: getattr(search, name) for name in ("MANY", "WIDENED", "REFUTED")}
    always = {"MANY": 0, "WIDENED": 1.0, "REFUTED": 0.0}
    for name, rule in (("as it is", now), ("always widened", always)):
        cell: Row = {"12 points": name}
        with patch.multiple(search, **rule):
            for phi in (0.0, 0.5):
                for told in (1.0, 1.5):
                    said = shares(lambda: verdict(ar1(rng, 12, phi), np.ones(12) / told), count)  # noqa: B023
                    cell[f"false, {told:g} too small, phi {phi:g}"] = 1 - said["nothing"]
                hits = 0
                for _ in range(count):
                    values = 3.0 * (k >= rng.choice((2, 10))) + ar1(rng, 12, phi)
                    hits += verdict(values, np.ones(12)) in ("edge", "transition")
                cell[f"3 sd, 2 points on one side, phi {phi:g}"] = hits / count
        yield cell


def trends(count: int, rng: Rng, m: int = 16) -> Iterator[Row]:
    """What is said of a straight line over m points."""
    line = np.arange(m) / (m - 1)
    for size in (4.0, 6.0, 9.0, 15.0, 30.0, 75.0):
        yield {"rise, sd": size} | shares(
            lambda: verdict(size * line + ar1(rng, m, 0.0), np.ones(m)), count  # noqa: B023
        )  # fmt: skip


def other_shapes(count: int, rng: Rng, m: int = 60) -> Iterator[Row]:
    """Changes of other shapes at m points, with errors that are right and without any."""
    k = np.arange(m)
    shapes = {
        "step of 3 at 30": (3.0 * (k >= 30), 1),
        "slow rise of 30 over 20 checkpoints": (30 * sigmoid(m, 30, 4), 1),
        "slow rise of 6 over 10 checkpoints": (6 * sigmoid(m, 30, 2), 1),
        "rise of 3 at 20, fall at 45": (3.0 * ((k >= 20) & (k < 45)), 2),
        "rises of 3 at 20 and 40": (3.0 * (k >= 20) + 3.0 * (k >= 40), 2),
    }
    for shape, (curve, planted) in shapes.items():
        for errors, stderr in (("right", np.ones(m)), ("missing", None)):
            numbers = []
            for _ in range(count):
                values = curve + ar1(rng, m, 0.3)
                found = detect_transitions(k, values, stderr)
                numbers.append(int((found["kind"] != "trend").sum()))
            yield {
                "shape": shape, "errors": errors, "any": np.mean(np.array(numbers) > 0),
                "as many as planted": np.mean(np.array(numbers) == planted),
            }  # fmt: skip


def demo() -> Iterator[Row]:
    """What is said of the demo's own goal."""
    for arm, hits in DEMO.items():
        of = _shares(np.array(hits), 100)
        found = detect_transitions(DEMO_STEPS, of["value"], probe_stderr(of))
        for row in found.to_dict("records"):
            yield {
                "arm": arm, "kind": row["kind"], "from": f"{row['step_low']:,.0f}",
                "to": f"{row['step_high']:,.0f}", "change": float(row["change"]),
                "p-value": float(row["p_value"]), "status": row["status"],
            }  # fmt: skip


def _shares(hits: Array, n: int) -> pd.DataFrame:
    """Rows of table `probes` for shares of n levels."""
    low, high = np.array([wilson(int(k), n) for k in hits]).T
    return pd.DataFrame({"value": hits / n, "ci_low": low, "ci_high": high, "n": n})


def constant_rates(count: int, rng: Rng) -> Iterator[Row]:
    """Rates of a probe that do not change, at 12 checkpoints with n levels each."""
    for n in (8, 16, 32, 100, 200):
        cell: Row = {"levels": n}
        for p in (0.02, 0.1, 0.3, 0.5, 0.7, 0.98):
            said = [
                verdict(of["value"].to_numpy(), probe_stderr(of).to_numpy()) != "nothing"
                for of in (_shares(hits, n) for hits in rng.binomial(n, p, size=(count, 12)))
            ]
            cell[f"rate {p:g}"] = np.mean(said)
        yield cell


@dataclass
class _Store:
    """Estimates in memory, for the watch to read as from disk."""

    rows: dict[str, pd.DataFrame] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        return key in self.rows

    def read_item(self, key: str, table: str) -> pd.DataFrame:
        return self.rows[key]


@contextlib.contextmanager
def watched_run(checkpoints: int) -> Iterator[Callable[[Array, Array], list[dict[str, Any]]]]:
    """From a series of LLCs and their errors to the events of `watch.follow` on a run with these.

    All of the watch is its own code but for the making of the estimates, and their keeping.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r"
        config = agents.TrainConfig(
            network="small", time_limit=30, steps=16384 * (checkpoints - 1),
            checkpoints=f"linear:{checkpoints}",
        )  # fmt: skip
        spec = NetworkSpec("small", {})
        save_checkpoint(path, 0, spec.build(), spec, {})
        write_index(path, finished=True)
        entry = {"name": "r", "seed": 0, "kind": "train", "train": config.as_dict()}
        (path / "config.json").write_text(json.dumps(entry))
        assert len(config.checkpoint_steps) == checkpoints

        def follow(values: Array, stderr: Array) -> list[dict[str, Any]]:
            store = _Store()
            items = [
                SimpleNamespace(key=f"k{n}", step=step, store=store)
                for n, step in enumerate(config.checkpoint_steps)
            ]

            def make(item: Any, throttle: object) -> None:
                n = int(item.key[1:])
                store.rows[item.key] = pd.DataFrame([{
                    "step": item.step, "states": "frozen", "llc": values[n],
                    "llc_stderr": stderr[n], "llc_stderr_total": stderr[n], "status": "ok",
                    "message": "",
                }])  # fmt: skip

            (path / watch.EVENTS).unlink(missing_ok=True)
            with (
                patch.object(watch, "make", make),
                patch.object(watch, "plan_estimates", lambda *_: items),
                patch.object(watch, "assemble", lambda run: None),
                patch.object(watch.meaning, "setting", lambda rows: ""),
            ):
                return list(watch.follow(path, watch.Watch(share=1.0)))

        yield follow


def first_warning(events: list[dict[str, Any]]) -> float:
    """The newest checkpoint when the first warning came; infinite without one."""
    return min((e["seen"] for e in events if e["event"] == "transition"), default=np.inf)


def false_warnings(count: int, rng: Rng, checkpoints: int) -> Row:
    """Share of runs without a transition that are warned of, promised to be at most 5 %."""
    row: Row = {"checkpoints": checkpoints, "runs": count}
    with watched_run(checkpoints) as follow:
        for phi in (0.0, 0.5):
            warned = [
                first_warning(follow(10 + ar1(rng, checkpoints, phi), np.ones(checkpoints)))
                for _ in range(count)
            ]
            row[f"phi {phi:g}"] = float(np.mean(np.isfinite(warned)))
    return row


def leads(count: int, rng: Rng, checkpoints: int, ahead: int, size: float) -> Row:
    """Warnings of a jump of the LLC so many checkpoints before the middle of a goal's change.

    The goal goes from 0.1 to 0.9 within four checkpoints, seen in 100 episodes each. The lead is
    counted in checkpoints to the one at which the goal has settled (`settling_step`).
    """
    k = np.arange(checkpoints)
    lead, settled_in = [], []
    with watched_run(checkpoints) as follow:
        for _ in range(count):
            middle = int(rng.integers(checkpoints // 2, checkpoints - 4))
            curve = 0.1 + 0.8 * sigmoid(checkpoints, middle, 0.7)
            goal = rng.binomial(100, curve) / 100
            error = np.sqrt(np.maximum(goal * (1 - goal), 0.01) / 100)
            settled = settling_step(k.astype(float), goal, error)
            values = 10 + size * (k >= middle - ahead) + ar1(rng, checkpoints, 0.3)
            warned = first_warning(follow(values, np.ones(checkpoints))) / 16384
            settled_in.append(settled - middle)
            lead.append(settled - warned)
    found = np.array(lead)[np.isfinite(lead)]
    return {
        "checkpoints": checkpoints, "jump, sd": size, "LLC ahead by": ahead,
        "warned": len(found) / count, "before it settled": float(np.sum(found > 0)) / count,
        "median lead": float(np.median(found)) if len(found) else np.nan,
        "goal settles after its middle by": float(np.median(settled_in)),
    }  # fmt: skip


def report(count: int, seed: int) -> str:
    """The whole benchmark as Markdown."""

    def rng(part: int) -> Rng:
        return np.random.default_rng([seed, part])

    def error(rate: float, n: int) -> str:
        return f"{1.96 * np.sqrt(rate * (1 - rate) / n):.3f}"

    few = max(count // 8, 10)
    null = [
        false_warnings(n, rng(5), k) for k, n in ((12, count // 2), (24, few), (60, few * 2 // 5))
    ]
    early = [
        leads(few, rng(6), k, ahead, size)
        for k, ahead, size in ((12, 0, 6.0), (24, 0, 6.0), (24, 3, 6.0), (24, -3, 6.0))
    ]
    parts = [
        "# Transitions and warnings",
        f"Made by `benchmarks/analysis_transitions.py`, seed {seed}. Noise is AR(1) from one "
        "checkpoint to the next with correlation phi; sd is that of its marginal distribution, and "
        f"errors that are right equal it. {count} series a cell for planted steps and trends (95 % "
        f"interval of a rate of 0.8: ± {error(0.8, count)}, of 0.05: ± {error(0.05, count)}), "
        f"{few} for other shapes and leads; at 24 and 60 points fewer, as the tables say.",
        "## Series without change: anything said (wanted: at most 0.05 for phi up to 0.5)",
        table(list(false_rates(count, rng(1)))),
        "## Steps between two of 12 points, errors known (wanted: 0.8 found at 3 sd)",
        table(list(planted_steps(count, rng(2)))),
        "The band is that from `step_low` to `step_high`; `bound` is what the best scan finds that "
        "knows phi, looks for steps alone and for all places alike; those not `and located` are "
        "told of as unconfirmed.",
        "## Errors that are 1.5 too small, at 12 points: what it would cost to widen them always",
        table(list(widening(count, rng(7)))),
        "## Straight lines over 16 points, errors known: what is said",
        table(list(trends(count, rng(3)))),
        "## Other shapes, 60 points, phi 0.3, sd 1",
        table(list(other_shapes(few, rng(4)))),
        "## Rates of a probe that do not change, at 12 checkpoints: anything said",
        table(list(constant_rates(count, rng(8)))),
        "Errors by `analysis.probe_stderr`; by the widths of the shown intervals 13 to 19 % of "
        "rates of 0.3 to 0.5 from 8 levels, 11 to 13 % from 16 (150 series).",
        "## `behind/coin_rate` of the demo, seed 0, 12 checkpoints of 100 episodes",
        table(list(demo())),
        "## `rl-slt watch` on runs without a transition (promised: at most 0.05)",
        table(null),
        "## `rl-slt watch` on runs whose LLC jumps once",
        "Lead in checkpoints: from the one after which the first warning came to the one at which "
        "the goal has settled; below 0 the warning came late.",
        table(early),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=400, help="series a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Markdown file; printed if not given")
    args = parser.parse_args()
    text = report(args.series, args.seed)
    publish(text, args.out)


if __name__ == "__main__":
    main()

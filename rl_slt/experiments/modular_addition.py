"""Modular addition: the LLC along training, over the modulus, and of nets that memorize."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_slt import BAOAB, CrossEntropy, PolicyKL, Settings, estimate_with
from rl_slt.experiments.addition import AdditionNet, addition_data
from rl_slt.experiments.experiment import Experiment, Page, Part, Size
from rl_slt.experiments.supervised import (
    Optimization,
    load_model,
    model_checkpoints,
    train_supervised,
)

WEIGHT_DECAY = 2e-4
GENERALIZES = 0.95  # accuracy on held-out pairs
LOCALIZATION = 100.0
SIZES: dict[Size, dict[str, Any]] = {
    "small": {"primes": (5, 7), "seeds": 1, "steps": 300, "course": 3},
    "default": {"primes": (23, 31, 43, 53), "seeds": 3, "steps": 75_000, "course": 14},
    "large": {"primes": (23, 31, 43, 53, 61, 71), "seeds": 5, "steps": 150_000, "course": 40},
}


def run_of(out: Path, p: int, seed: int, weight_decay: float) -> Path:
    """Folder of a training."""
    kind = "decay" if weight_decay else "plain"
    return out / "runs" / f"{kind}-p{p}-s{seed}"


def train(out: Path, p: int, seed: int, weight_decay: float, steps: int) -> pd.DataFrame:
    """Train a net; its progress."""
    data, test = addition_data(p, seed=seed)
    config = Optimization(steps=steps, batch_size=128, weight_decay=weight_decay, seed=seed)
    run = run_of(out, p, seed, weight_decay)
    train_supervised(run, AdditionNet, {"p": p}, CrossEntropy(), data, config, test=test)
    progress = pd.read_csv(run / "progress.csv")
    return progress.assign(p=p, train_seed=seed, weight_decay=weight_decay)


def llc(
    out: Path, p: int, seed: int, weight_decay: float, checkpoints: int, at_loss: str = ""
) -> pd.DataFrame:
    """LLCs of a run's checkpoints: of the training cross-entropy and of the self-KL.

    Args:
        out: of the experiment.
        p: the modulus.
        seed: of the training.
        weight_decay: of the training.
        checkpoints: how many, the last with them.
        at_loss: a run; the checkpoint is then the first with at most its final training loss;
            no rows where none has.
    """
    run = run_of(out, p, seed, weight_decay)
    steps = [step for step, _ in model_checkpoints(run)]
    chosen = {steps[round(i)] for i in np.linspace(len(steps) - 1, 4, checkpoints)}
    if at_loss:
        final = pd.read_csv(out / "runs" / at_loss / "progress.csv")["train_loss"].iloc[-1]
        own = pd.read_csv(run / "progress.csv")
        chosen = set(own.loc[own["train_loss"].le(final), "step"].iloc[:1])
    data, _ = addition_data(p, seed=seed)
    rows = []
    for step, folder in model_checkpoints(run):
        if step not in chosen:
            continue
        model = load_model(folder, AdditionNet)
        for loss in (CrossEntropy(), PolicyKL()):
            settings = Settings(
                sampler=BAOAB(), nbeta=len(data) / math.log(len(data)), localization=LOCALIZATION,
                chains=4, draws=250, burn_in=120, batch_size=min(256, len(data)), gauge="none",
                orthogonal=True,
            )  # fmt: skip
            e = estimate_with(model, data, settings, loss, seed=0, states_error=False)
            rows.append({
                "p": p, "train_seed": seed, "weight_decay": weight_decay, "step": step,
                "matched": bool(at_loss), "loss": e.loss, "llc": e.llc, "llc_stderr": e.stderr,
                "status": e.status, "message": e.message, "constrained": e.constrained,
                "nbeta": e.nbeta, "localization": e.localization, "n": e.n_states,
                "relative_temperature": e.relative_temperature, "gradient_norm": e.gradient_norm,
                "loss_init": e.loss_init, "loss_mean": e.loss_mean, "rhat": e.rhat, "ess": e.ess,
            })  # fmt: skip
    return pd.DataFrame(rows)


def stages(size: Size, seed: int) -> Sequence[Sequence[Part]]:
    """Trainings, then estimates."""
    s = SIZES[size]
    seeds, last = range(seed, seed + s["seeds"]), s["primes"][-1]
    nets = [(p, each, WEIGHT_DECAY) for each in seeds for p in reversed(s["primes"])]
    nets += [(last, each, 0.0) for each in seeds]
    trained, estimated = [], []
    for p, each, decay in nets:
        settings = {"p": p, "seed": each, "weight_decay": decay}
        name = run_of(Path(), p, each, decay).name
        steps = s["steps"] if decay else s["steps"] // 3  # they are looked at early
        trained.append(Part("progress", name, train, settings | {"steps": steps}))
        course = s["course"] if p == last and each == seed and decay else 1
        more: dict[str, Any] = {"checkpoints": course}
        if not decay:
            more["at_loss"] = run_of(Path(), p, each, WEIGHT_DECAY).name
        estimated.append(Part("llc", name, llc, settings | more))
    return trained, estimated


def page(tables: Mapping[str, pd.DataFrame]) -> Page:
    """Losses and LLC on one axis, the LLC over p, nets that memorize next to those that do not."""
    from matplotlib.figure import Figure
    from scipy import stats

    progress, found = tables["progress"], tables["llc"]
    keys = ["p", "train_seed", "weight_decay", "step"]
    found = found.merge(progress[[*keys, "train_loss", "test_loss", "test_accuracy"]], on=keys)
    ce = found[found["loss"] == "cross-entropy"]
    decay, last = ce[ce["weight_decay"] > 0], ce["p"].max()
    finals = decay[decay["step"] == decay.groupby(["p", "train_seed"])["step"].transform("max")]
    sound = finals[finals["status"] == "ok"]
    good = sound[sound["test_accuracy"].ge(GENERALIZES)]
    general = finals["test_accuracy"].ge(GENERALIZES)
    statements = [
        f"{int(general.sum())} of {len(finals)} nets with weight decay generalize (accuracy on "
        f"held-out pairs at least {GENERALIZES:.0%}): "
        + ", ".join(
            f"p = {p}: {int(part['test_accuracy'].ge(GENERALIZES).sum())} of {len(part)}"
            for p, part in finals.groupby("p")
        )
    ]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    first = decay["train_seed"].min()
    course = progress[
        (progress["p"] == last) & (progress["train_seed"] == first) & (progress["weight_decay"] > 0)
    ]
    for name, color in (("train_loss", "C0"), ("test_loss", "C1")):
        left.plot(course["step"] + 1, course[name], color=color, label=name.replace("_", " "))
    twin = left.twinx()
    for loss, alpha in (("cross-entropy", 1.0), ("kl", 0.5)):
        one = found[
            (found["p"] == last) & (found["train_seed"] == first)
            & (found["weight_decay"] > 0) & (found["loss"] == loss)
        ]  # fmt: skip
        ok, suspect = (one[one["status"] == status] for status in ("ok", "suspect"))
        twin.errorbar(ok["step"] + 1, ok["llc"], 1.96 * ok["llc_stderr"], fmt="o-", color="C2",
                      alpha=alpha, label=f"LLC, {loss}")  # fmt: skip
        twin.plot(suspect["step"] + 1, suspect["llc"], "o", mfc="none", color="C2", alpha=alpha)
    left.set(xscale="log", yscale="log", xlabel="batches", ylabel="loss, nats", title=f"p = {last}")
    twin.set(ylabel="LLC")
    handles = [*left.get_legend_handles_labels()[0], *twin.get_legend_handles_labels()[0]]
    twin.legend(handles=handles, loc="center left", fontsize=8)
    right.errorbar(sound["p"], sound["llc"], 1.96 * sound["llc_stderr"], fmt="o", mfc="none",
                   color="C3", label="held-out accuracy below 95 %")  # fmt: skip
    right.errorbar(good["p"], good["llc"], 1.96 * good["llc_stderr"], fmt="o", color="C2",
                   label="generalizes")  # fmt: skip
    for part, what in ((good, "nets that generalize"), (sound, "all nets")):
        if part["p"].nunique() < 2 or len(part) < 4:
            statements.append(f"LLC over p of {what}: too few to fit a line")
            continue
        fit = stats.linregress(part["p"], part["llc"])
        half = fit.stderr * stats.t.ppf(0.975, len(part) - 2)
        bend = np.polyfit(np.log(part["p"]), np.log(part["llc"]), 1)[0]
        statements.append(
            f"final LLC over p, {what} ({len(part)}): {fit.slope:.2f} a unit of p "
            f"[{fit.slope - half:.2f}, {fit.slope + half:.2f}] (95 %), r^2 = {fit.rvalue**2:.2f}; "
            f"as a power of p the exponent is {bend:.2f} (1 is proportional)"
        )
        if part is good:
            x = np.array([part["p"].min(), part["p"].max()])
            right.plot(x, fit.intercept + fit.slope * x, color="C2", lw=1)
    memorized = ce[(ce["weight_decay"] == 0) & ce["matched"]]
    pairs = memorized.merge(finals[finals["p"] == last], on="train_seed", suffixes=("", "_decay"))
    for lone in sorted({*decay["train_seed"]} - {*pairs["train_seed"]}):
        statements.append(
            f"p = {last}, seed {lone}: no checkpoint without weight decay has as little training "
            "loss as the net with it, so that the two cannot be compared"
        )
    for _, row in pairs.iterrows():
        statements.append(
            f"p = {last}, seed {row['train_seed']}: at training loss {row['train_loss']:.3g} a net "
            f"without weight decay (held-out accuracy {row['test_accuracy']:.0%}) has LLC "
            f"{_said(row, '')}; with it, at {row['train_loss_decay']:.3g} "
            f"({row['test_accuracy_decay']:.0%}), {_said(row, '_decay')}"
        )
    right.set(xlabel="p", ylabel="LLC of the training cross-entropy", title="after training")
    right.legend(fontsize=8)
    shown = ["p", "train_seed", "weight_decay", "step", "loss", "llc", "llc_stderr", "status",
             "train_loss", "test_loss", "test_accuracy", "relative_temperature"]  # fmt: skip
    text = (
        "Estimates with the status ok, hollow without a line: suspect ones along training. Bars: "
        "95 % Monte Carlo. nbeta = N / log N, localization "
        f"{LOCALIZATION:g}, BAOAB on batches, orthogonal to the cross-entropy's gradient at w*."
    )
    return Page(statements, [(text, figure)], [("All estimates", found[shown])])


def _said(row: pd.Series, net: str) -> str:
    """The LLC of a net, with its verdict where that is not ok; none where it failed."""
    status, llc, error = (row[f"{name}{net}"] for name in ("status", "llc", "llc_stderr"))
    if status == "failed":
        return "none (failed)"
    return f"{llc:.0f} ± {error:.1f}" + ("" if status == "ok" else f" ({status})")


MODULAR_ADDITION = Experiment(
    name="modular-addition",
    question="Does the LLC rise while a net learns addition modulo p, and is it linear in p?",
    source="Panickssery & Vaintrob 2023, with the settings of devinterp's public notebook",
    stages=stages,
    page=page,
)

"""The toy model of superposition: LLCs of k-gons, phases of the posterior, plateaus of SGD."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from rl_slt import HMC, Settings, estimate_with
from rl_slt.experiments.experiment import Experiment, Page, Part, Size
from rl_slt.experiments.superposition import (
    Gon,
    Reconstruction,
    all_features,
    gon,
    hessian,
    loss_by_antiderivatives,
    mean_loss,
)
from rl_slt.samplers.tempering import temper

FEATURES = 6  # of the phases and of SGD
LOCALIZATION = 100.0
NEAR = 0.0025  # loss, of a plateau from a k-gon
SEEN = 0.05  # share of the posterior from which on k-gons are compared
NBETAS = (1e3, 1e4, 1e5, 1e6)
SIZES: dict[Size, dict[str, Any]] = {
    "small": {"features": (5,), "draws": 60, "ladder": 40, "runs": 8, "sgd": 400},
    "default": {"features": (5, 6, 8), "draws": 300, "ladder": 600, "runs": 200, "sgd": 20_000},
    "large": {"features": (5, 6, 7, 8), "draws": 1500, "ladder": 4000, "runs": 1000,
              "sgd": 100_000},
}  # fmt: skip


def k_gons(c: int) -> list[Gon]:
    """The k-gons of c features that are minima of the loss, by falling loss.

    Below five corners the loss has kinks there, or falls.
    """
    found = [gon(c, k, positive) for k in range(5, c + 1) for positive in sorted({0, c - k})]
    return sorted(found, key=lambda one: -one.loss)


def all_k_gons(c: int) -> list[Gon]:
    """The k-gons of c features from two corners on, also those that are saddles."""
    found = [gon(c, k, positive) for k in range(2, c + 1) for positive in range(c - k + 1)]
    return sorted(found, key=lambda one: -one.loss)


def k_gon_llc(out: Path, c: int, name: str, draws: int, seed: int) -> pd.DataFrame:
    """LLC of a k-gon at rising nbeta, by HMC and by a random walk of other code."""
    number, one = next((k, each) for k, each in enumerate(k_gons(c)) if each.name == name)
    # Of its own for each estimate: with common numbers the errors of all would be one.
    seeds = np.random.SeedSequence([seed, c, number]).generate_state(2 * len(NBETAS)) >> 1
    rows = []
    for nbeta, ours, theirs in zip(NBETAS, *seeds.reshape(2, -1).tolist(), strict=True):
        settings = Settings(
            sampler=HMC(rotate=True), nbeta=nbeta, localization=LOCALIZATION, gauge="none",
            chains=8, draws=draws, burn_in=2 * draws,
        )  # fmt: skip
        e = estimate_with(
            one.model(), all_features(c), settings, Reconstruction(), seed=ours, states_error=False
        )
        truth, error = by_random_walk(one, nbeta, LOCALIZATION, steps=8 * draws, seed=theirs)
        rows.append({
            "c": c, "gon": name, "loss_at_gon": one.loss, "lambda": one.complexity, "nbeta": nbeta,
            "localization": LOCALIZATION, "llc": e.llc, "llc_stderr": e.stderr, "status": e.status,
            "message": e.message, "truth": truth, "truth_stderr": error,
        })  # fmt: skip
    return pd.DataFrame(rows)


def by_random_walk(
    one: Gon, nbeta: float, localization: float, steps: int, seed: int, walkers: int = 256
) -> tuple[float, float]:
    """`nbeta (E[L] - L(w*))` by Metropolis' random walk in numpy on the loss by antiderivatives.

    Neither sampler, loss nor gradient are shared with the estimator. Steps are shaped by the
    Gaussian of the Hessian; the first half of them is left out.

    Args:
        one: the k-gon.
        nbeta: inverse temperature.
        localization: gamma.
        steps: of each walker.
        seed: of all that is random.
        walkers: independent ones, whose means give the error.

    Returns:
        The value and its standard error.
    """
    rng = np.random.default_rng(seed)
    center = one.weights.numpy()
    values, vectors = np.linalg.eigh(hessian(one).numpy())
    scale = vectors / np.sqrt(nbeta * values.clip(0) + localization)

    def energy(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        loss = loss_by_antiderivatives(w, one.c)
        return nbeta * loss + localization / 2 * np.square(w - center).sum(1), loss

    w = center + rng.normal(size=(walkers, len(center))) @ scale.T
    (u, loss), kept = energy(w), []
    at_center = float(loss_by_antiderivatives(center, one.c))
    step = 1.5 / math.sqrt(len(center))
    for t in range(steps):
        moved = w + step * rng.normal(size=w.shape) @ scale.T
        there, new = energy(moved)
        take = np.log(rng.random(walkers)) < u - there
        w, u = np.where(take[:, None], moved, w), np.where(take, there, u)
        loss = np.where(take, new, loss)
        if t >= steps // 2:
            kept.append(loss)
    means = nbeta * (np.mean(kept, axis=0) - at_center)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(walkers))


def settled(w: Tensor, c: int, steps: int = 300) -> Tensor:
    """Losses `[M]` of the critical points that gradient descent from weights `[M, 3 c]` finds."""
    w = w.clone().requires_grad_()
    optimizer = torch.optim.Adam([w], lr=0.03)
    for t in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.03 * (1 - t / steps) + 1e-4
        optimizer.zero_grad()
        mean_loss(w, c).sum().backward()
        optimizer.step()
    return mean_loss(w, c).detach()


def named(losses: Tensor, gons: Sequence[Gon], within: float = 0.0015) -> list[str]:
    """The k-gon whose loss is nearest to each, or `other` where none is that near."""
    levels = torch.tensor([one.loss for one in gons]).to(losses)
    distance, nearest = (losses[:, None] - levels).abs().min(1)
    pairs = zip(distance.tolist(), nearest.tolist(), strict=True)
    return [gons[k].name if d < within else "other" for d, k in pairs]


def phases(out: Path, c: int, draws: int, seed: int, ladders: int = 8) -> pd.DataFrame:
    """Which k-gon the posterior holds at which n, by replica exchange under a N(0, 1) prior.

    Told of are n from 10 to 3000; rungs below them lead to the prior, whose losses are far larger.
    Draws are told apart by the minimum below them.
    """
    below = (0.0, 0.1, 0.3, 1.0, 3.0)
    rungs = (*below, *np.geomspace(10, 3000, 20).tolist())
    kept, calls, every = list[Tensor](), itertools.count(), max(1, draws // 40)

    def loss_and_grad(w: Tensor) -> tuple[Tensor, Tensor]:
        w = w.detach().requires_grad_()
        loss = mean_loss(w, c)
        (grad,) = torch.autograd.grad(loss.sum(), w)
        return loss.detach(), grad

    def observe(w: Tensor) -> Tensor:
        if next(calls) % every == 0:
            kept.append(w.clone())
        return mean_loss(w, c)

    found = temper(
        loss_and_grad, 3 * c, rungs, ladders=ladders, draws=draws, burn_in=draws // 4, seed=seed,
        observe=observe,
    )  # fmt: skip
    gons, weights = k_gons(c), torch.stack(kept)
    names = np.array(named(settled(weights.flatten(0, 1), c), gons))
    names = names.reshape(len(kept), ladders, len(rungs))
    rows = []
    for r, n in enumerate(rungs[len(below) :], start=len(below)):
        mean = found.mean(r)
        for name in [*(one.name for one in gons), "other"]:
            each = (names[:, :, r] == name).mean(0)  # ladders are independent
            rows.append({
                "c": c, "n": n, "gon": name, "share": each.mean(),
                "share_stderr": each.std(ddof=1) / math.sqrt(ladders),
                "swap_rate": float(found.exchanged[r - 1]), "rhat": mean.rhat,
                "mixed": mean.mixed,
            })  # fmt: skip
    return pd.DataFrame(rows)


def sgd(out: Path, c: int, runs: int, steps: int, seed: int) -> pd.DataFrame:
    """The exact loss along SGD on batches of 32 inputs, from W and b of N(0, 0.3^2), lr 0.05."""
    rng = torch.Generator().manual_seed(seed)
    w = (0.3 * torch.randn(runs, 3 * c, generator=rng)).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=0.05)
    rows = []
    for t in range(steps + 1):
        if t % max(1, steps // 400) == 0:
            with torch.no_grad():
                losses = mean_loss(w, c).tolist()
            rows.append(pd.DataFrame({"c": c, "run": range(runs), "step": t, "loss": losses}))
        feature = torch.randint(c, (runs, 32), generator=rng)
        x = torch.nn.functional.one_hot(feature, c) * torch.rand(runs, 32, 1, generator=rng)
        weights, bias = w[:, : 2 * c].unflatten(-1, (2, c)), w[:, None, 2 * c :]
        optimizer.zero_grad()
        (torch.relu(x @ (weights.mT @ weights) + bias) - x).square().sum(-1).mean(
            1
        ).sum().backward()
        optimizer.step()
    return pd.concat(rows, ignore_index=True)


def plateaus(curve: pd.DataFrame, flat: float = 0.02, least: int = 12) -> list[float]:
    """Mean losses of the stretches of a run, `least` records long, that stay within `flat`."""
    loss, found, first = curve["loss"].to_numpy(), [], 0
    while first + least <= len(loss):
        last = first + least
        if np.ptp(loss[first:last]) > flat * loss[first]:
            first += 1
            continue
        while last < len(loss) and np.ptp(loss[first : last + 1]) <= flat * loss[first]:
            last += 1
        found.append(float(loss[first:last].mean()))
        first = last
    return found


def stages(size: Size, seed: int) -> Sequence[Sequence[Part]]:
    """Everything at once: no part reads another."""
    s = SIZES[size]
    parts = [
        Part("phases", f"c{FEATURES}", phases, {"c": FEATURES, "draws": s["ladder"], "seed": seed}),
        Part("sgd", f"c{FEATURES}", sgd,
             {"c": FEATURES, "runs": s["runs"], "steps": s["sgd"], "seed": seed}),
    ]  # fmt: skip
    for c in s["features"]:
        for one in k_gons(c):
            settings = {"c": c, "name": one.name, "draws": s["draws"], "seed": seed}
            parts.append(Part("llc", f"c{c}-{one.name}", k_gon_llc, settings))
    return [parts]


def page(tables: Mapping[str, pd.DataFrame]) -> Page:
    """LLCs against truths, phases against `n L + lambda log n`, plateaus against k-gons."""
    from matplotlib.figure import Figure

    llc, phase, curves = tables["llc"], tables["phases"], tables["sgd"]
    sound = llc[llc["status"] == "ok"]
    z = (sound["llc"] - sound["truth"]) / np.hypot(sound["llc_stderr"], sound["truth_stderr"])
    top = sound[sound["nbeta"] == llc["nbeta"].max()]
    told = (
        f"LLCs of {llc.groupby(['c', 'gon']).ngroups} k-gons at {llc['nbeta'].nunique()} nbeta, "
        f"{len(sound)} of {len(llc)} with the status ok"
    )
    if len(sound):
        told += (
            f": root mean square distance of these to the truths of other code "
            f"{z.pow(2).mean() ** 0.5:.2f} standard errors (1 is chance), at most "
            f"{z.abs().max():.1f}"
        )
    statements = [told]
    if len(top):
        statements.append("at the largest nbeta, next to lambda: " + ", ".join(
            f"c = {r.c} {r.gon}-gon {r.llc:.2f} ± {r.llc_stderr:.2f} ({r.lambda_:g})"
            for r in top.rename(columns={"lambda": "lambda_"}).itertuples()
        ))  # fmt: skip
    figure = Figure(figsize=(12, 8), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    several = sorted(llc["c"].unique())
    panels = above.subplots(1, len(several), sharey=True, squeeze=False)[0]
    for axes, c in zip(panels, several, strict=True):
        for color, (name, part) in enumerate(llc[llc["c"] == c].groupby("gon")):
            found = part[part["status"] == "ok"]
            axes.errorbar(found["nbeta"], found["llc"], 1.96 * found["llc_stderr"], fmt="o-",
                          color=f"C{color}", label=name)  # fmt: skip
            axes.plot(part["nbeta"], part["truth"], "kx", ms=5)
        axes.set(xscale="log", xlabel="nbeta", title=f"LLCs of k-gons of {c} features")
        axes.legend(fontsize=7, ncols=2, loc="lower right")
    panels[0].set_ylabel("LLC (x: other code)")
    middle, right = below.subplots(1, 2)
    gons = k_gons(FEATURES)
    halves = {one.name: one.complexity for one in gons}
    n = np.array(sorted(phase["n"].unique()))
    energy = {g.name: n * g.loss + halves[g.name] * np.log(n) for g in gons}
    best = pd.DataFrame(energy, index=n).idxmin(axis=1)
    mixed = phase[phase["mixed"].astype(bool)]
    for color, (name, part) in enumerate(phase.groupby("gon")):
        part = part[part["mixed"].astype(bool)]
        middle.errorbar(part["n"], part["share"], 1.96 * part["share_stderr"], fmt="o-", ms=3,
                        color=f"C{color}", label=name)  # fmt: skip
    changes = [i for i in range(1, len(n)) if best.iloc[i] != best.iloc[i - 1]]
    for i in changes:
        middle.axvline(n[i], color="gray", ls="--", lw=1)
    middle.set(xscale="log", xlabel="n", ylabel="share of the posterior",
               title=f"c = {FEATURES} (dashed: n L + lambda log n)")  # fmt: skip
    middle.legend(fontsize=7)
    statements.append(f"the ladders mixed at {mixed['n'].nunique()} of {len(n)} n")
    wide = mixed.pivot(index="n", columns="gon", values="share").reindex(columns=[*energy])
    held = wide[wide.max(axis=1) > SEEN]
    if len(held):
        agree = (held.idxmax(axis=1) == best[held.index]).mean()
        statements.append(
            "the k-gon of the largest share of the sampled posterior is that of least n L + lambda "
            f"log n at {agree:.0%} of the {len(held)} of these where one holds over {SEEN:.0%}"
        )
    crossing = _crossing(wide, "5", "6")
    gap, rise = gons_gap(gons, "5", "6"), halves["6"] - halves["5"]
    grid = np.geomspace(2, 1e5, 20_000)
    predicted = grid[(grid * gap > rise * np.log(grid)) & (grid > math.e)][0]
    statements.append(
        "the 6-gon overtakes the 5-gon "
        + (f"at n = {crossing:.0f}" if crossing else "between no two neighbors of these n")
        + f" in the sampled posterior and at {predicted:.0f} by n L + lambda log n, which leaves "
        "out the constant"
    )
    levels = all_k_gons(FEATURES)
    known_as = {one.name: one for one in levels}
    counts = {"runs": 0, "plateaus": 0, "at a k-gon": 0, "down": 0, "down and more complex": 0}
    visited, flat = dict[str, int](), list[float]()
    for _, curve in curves.groupby("run"):
        means = plateaus(curve)
        names = named(torch.tensor(means), levels, NEAR) if means else []
        flat += means
        counts["runs"] += 1
        counts["plateaus"] += len(names)
        counts["at a k-gon"] += sum(name != "other" for name in names)
        known = [name for name in names if name != "other"]
        for name in known:
            visited[name] = visited.get(name, 0) + 1
        for a, b in itertools.pairwise(known):
            if known_as[b].loss < known_as[a].loss:
                counts["down"] += 1
                counts["down and more complex"] += known_as[b].complexity > known_as[a].complexity
    for _, curve in curves[curves["run"] < 40].groupby("run"):
        right.plot(curve["step"] + 1, curve["loss"], color="C0", lw=0.5, alpha=0.5)
    for one in levels:
        right.axhline(one.loss, color="k", lw=0.7, ls=":")
        right.annotate(one.name, (1, one.loss), fontsize=7)
    right.set(xscale="log", yscale="log", xlabel="step", ylabel="loss", title="SGD")
    where = ", ".join(f"{k}: {v}" for k, v in sorted(visited.items()))
    statements.append(
        f"of {counts['plateaus']} plateaus in {counts['runs']} SGD runs {counts['at a k-gon']} lie "
        f"within {NEAR:g} of the loss of a k-gon ({where or 'none'}); "
        + (
            f"{_covered(flat, levels):.0%} of losses from the lowest plateau to the highest do; "
            if flat
            else ""
        )
        + f"of {counts['down']} moves from one such k-gon to one of lower loss "
        f"{counts['down and more complex']} go to one with more weights in use"
    )
    text = (
        "Bars: 95 %, of estimates with the status ok. HMC on the exact loss, localization "
        f"{LOCALIZATION:g}; truths by a random walk in other code; parallel tempering over n, "
        "prior N(0, 1), where the ladders mixed."
    )
    return Page(statements, [(text, figure)], [("LLCs of k-gons", llc), ("Phases", phase)])


def gons_gap(gons: Sequence[Gon], one: str, other: str) -> float:
    """How much lower the loss of the other is."""
    losses = {each.name: each.loss for each in gons}
    return losses[one] - losses[other]


def _covered(flat: Sequence[float], gons: Sequence[Gon]) -> float:
    """Share of the losses from the lowest plateau to the highest that are near a k-gon's."""
    losses = torch.linspace(min(flat), max(flat), 10_001)
    return float(np.mean([name != "other" for name in named(losses, gons, NEAR)]))


def _crossing(wide: pd.DataFrame, one: str, other: str) -> float | None:
    """The n from which on the other's share is larger, between rungs by their logarithms."""
    n = wide.index.to_numpy()
    gap = (np.log(wide[other] + 1e-9) - np.log(wide[one] + 1e-9)).to_numpy()
    seen = (wide[one] + wide[other]).to_numpy() > SEEN
    for i in range(1, len(n)):
        if seen[i - 1] and seen[i] and gap[i] > 0 >= gap[i - 1]:
            share = -gap[i - 1] / (gap[i] - gap[i - 1])
            return float(np.exp(np.log(n[i - 1]) + share * np.log(n[i] / n[i - 1])))
    return None


TMS = Experiment(
    name="tms",
    question="Which k-gons does the posterior hold at which n, and does SGD go the same way?",
    source="Chen, Lau, Mendel, Wei & Murfet 2023 (arXiv 2310.06301)",
    stages=stages,
    page=page,
)

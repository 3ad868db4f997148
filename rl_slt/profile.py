"""`llc_profile`: the LLC over inverse temperatures, and whether it is one number.

At one temperature an LLC is an effective dimension: about the number of half directions in which
the loss is stiffer than the ridge `gamma / nbeta`. It is a learning coefficient only where it stays
the same over a range of nbeta.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import ConvergenceWarning, InputError
from rl_slt.estimate import center_of, estimate_on, prepare_chains, prepare_target
from rl_slt.losses.base import LossFunction
from rl_slt.posterior.build import generator_for, nbeta_of
from rl_slt.posterior.spectrum import Measured
from rl_slt.posterior.target import Target
from rl_slt.result import LLCEstimate
from rl_slt.samplers.chains import Chains, Progress
from rl_slt.settings import HEADLINE, PILOT_DRAWS, PROFILE, Settings
from rl_slt.threads import one_thread

LOCALIZER_STREAM = 1_000_081
LOCALIZER_DRAWS, LOCALIZER_BATCH = 128, 64
SHARE = 0.5  # of draws and burn-in elsewhere, twice the draws where chains still disagree
SLOPE, DECADE, Z = 0.1, math.log(10.0), 1.96

PLATEAU = "plateau: consistent with a learning coefficient"
NO_PLATEAU = "no plateau: an effective dimension at this resolution"
OPEN = "no plateau shown: an effective dimension at this resolution"

Array = NDArray[np.float64]


def llc_profile(
    policy: nn.Module,
    states: Tensor | PolicyData,
    nbetas: Sequence[float | str] = PROFILE,
    *,
    loss: LossFunction | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: object,
) -> pd.DataFrame:
    """Estimate the LLC at several inverse temperatures around the same weights.

    All share the posterior's construction and, one after the other, where the chains are. The one
    nearest to relative temperature 50 is drawn first and at full length, with the numbers of an
    estimate of its own; each other one takes half of that, and as many draws as that where its
    chains disagree.

    Args:
        policy: as in `estimate_llc`.
        states: as in `estimate_llc`.
        nbetas: inverse temperatures above 0, as numbers or as `"relative:K"`.
        loss: as in `estimate_llc`.
        seed: as in `estimate_llc`.
        progress: called with (steps done, steps in all).
        settings: all others of `estimate_llc` but nbeta.

    Returns:
        A row for each resolution, by rising nbeta. `llc` with its Monte Carlo error, NaN where it
        failed; `half_d_eff`, the LLC that a quadratic loss of the same curvature would have, with
        an error that covers what was not computed of it, about these states; `non_gaussianity`,
        `llc / half_d_eff - 1`; `kl`, the posterior's mean KL per state, nats; `free_energy`
        (nats), `-log E exp(-nbeta (L - L(w*)))` under the localizer; `slope`,
        `d log LLC / d log nbeta`; `status` and `message`. What it says is in `profile_verdict`.

    Raises:
        InputError: a wrong value, named in one line.

    Warns:
        ConvergenceWarning: an estimate is `suspect` or `failed`.

    Example:
        >>> frame = llc_profile(policy, states, localization=300.0)
        >>> profile_verdict(frame)
        'no plateau: an effective dimension at this resolution'
    """
    _, frame = profile_with(
        policy, states, Settings.build(settings, "settings"), nbetas, loss,
        seed=seed, progress=progress,
    )  # fmt: skip
    wrong = frame[frame["status"] != "ok"]
    if len(wrong):
        each = [f"at nbeta {r.nbeta:.4g} {r.status}: {r.message}" for r in wrong.itertuples()]
        text = f"{len(wrong)} of {len(frame)} estimates are not sound: {'; '.join(each)}"
        warnings.warn(text, ConvergenceWarning, stacklevel=2)
    return frame


@one_thread()
def profile_with(
    policy: nn.Module,
    states: Tensor | PolicyData,
    settings: Settings,
    nbetas: Sequence[float | str] = PROFILE,
    loss: LossFunction | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[LLCEstimate, pd.DataFrame]:
    """`llc_profile` with its settings in one object, and no warning; its first estimate, too.

    Raises:
        InputError: a wrong value, named in one line.
    """
    given = [settings.replace(nbeta=nbeta).nbeta for nbeta in nbetas]
    if not given or any(nbeta in (None, 0.0) for nbeta in given):
        raise InputError.of("nbetas", nbetas, "at least one number above 0 or relative:K")
    target = prepare_target(policy, states, settings.replace(nbeta=given[0]), loss, seed)
    said = {nbeta_of(target, nbeta): nbeta for nbeta in given}
    grid = sorted(said)
    center = center_of(target, settings, seed, of_hessian=True)
    relative = [target.trace.relative_temperature(nbeta, target.localization) for nbeta in grid]
    first = len(grid) // 2
    if all(0 < k < math.inf for k in relative):
        first = int(np.argmin([abs(math.log(k / HEADLINE)) for k in relative]))
    target.nbeta = grid[first]
    chains = prepare_chains(target, settings, seed)
    settings = settings.replace(nbeta=said[grid[first]])
    short = _shorter(settings, chains)
    steps = [s.burn_in + (s.draws or PILOT_DRAWS) for s in (settings, short)]
    total, done = steps[0] + (len(grid) - 1) * steps[1], 0

    def stepped(step: int, of: int) -> None:
        if progress is not None:
            progress(min(done + step, total), total)

    found = {first: estimate_on(chains, settings, center, seed=seed, progress=stepped)}
    done += steps[0]
    position = _finite(chains)
    for order in (range(first + 1, len(grid)), range(first - 1, -1, -1)):
        at = position
        for k in order:
            chains.change_nbeta(grid[k], at)
            found[k] = estimate_on(
                chains, short, center, seed=seed, states_error=False, progress=stepped,
                most_draws=settings.draws or PILOT_DRAWS,
            )  # fmt: skip
            done += steps[1]
            at = _finite(chains)
    estimates = [found[k] for k in range(len(grid))]
    localizer = mean_under_localizer(target, generator_for(seed, LOCALIZER_STREAM, target.device))
    half = [Measured(e.half_d_eff, e.half_d_eff_stderr) for e in estimates]
    free = [center.free_energy(nbeta, target.localization) for nbeta in grid]
    return found[first], profile_frame(estimates, half, free, localizer)


def _finite(chains: Chains) -> Tensor | None:
    """Where the chains are `[C, d]`; None where that is lost, or they were not run."""
    if chains.state is None:
        return None
    position: Tensor = chains.state.position
    return position.clone() if bool(torch.isfinite(position).all()) else None


def _shorter(settings: Settings, chains: Chains) -> Settings:
    """Settings of the resolutions next to the first: as exact chains where draws follow need."""
    draws = settings.draws
    if draws is not None or not chains.sampler.full_batch:
        draws = max(8, round(SHARE * (draws or PILOT_DRAWS)))
    return settings.replace(draws=draws, burn_in=round(SHARE * settings.burn_in))


def mean_under_localizer(target: Target, generator: Generator) -> Measured:
    """`E[L - L(w*)]` under the localizer alone, nbeta 0; NaN where there is none."""
    if not target.localization or target.loss.sample_unit == "episode":
        return Measured(math.nan, math.nan)
    found = []
    for _ in range(LOCALIZER_DRAWS):
        delta = target.flat.w_star.clone().normal_(generator=generator).mul_(target.width)
        size = (min(LOCALIZER_BATCH, target.n),)
        index = torch.randint(target.n, size, generator=generator, device=target.device)
        module = target.flat.load(target.flat.w_star + delta)
        batch = target.loss.refresh(target.samples.take(index), generator, module)
        losses = target.losses(module, batch)
        found.append(float((losses - target.center_losses[index]).mean()))
    return Measured(float(np.mean(found)), float(np.std(found) / LOCALIZER_DRAWS**0.5))


def profile_frame(
    estimates: Sequence[LLCEstimate],
    half: Sequence[Measured],
    free: Sequence[Measured],
    localizer: Measured,
) -> pd.DataFrame:
    """One row for each estimate, by rising nbeta.

    Args:
        estimates: by rising nbeta.
        half: half the effective dimension at each.
        free: Gaussian free energy at each, nats.
        localizer: mean excess loss under the localizer.
    """
    columns = ("nbeta", "localization", "relative_temperature", "llc", "stderr", "kl", "status",
               "message")  # fmt: skip
    frame = pd.DataFrame([{name: getattr(e, name) for name in columns} for e in estimates])
    frame = frame.rename(columns={"stderr": "llc_stderr"})
    failed = frame["status"] == "failed"
    frame.loc[failed, ["llc", "llc_stderr", "kl"]] = math.nan
    frame["half_d_eff"], frame["half_d_eff_stderr"] = zip(*half, strict=True)
    frame["non_gaussianity"] = frame["llc"] / frame["half_d_eff"] - 1
    log_nbeta, llc, stderr = np.log(frame["nbeta"]), frame["llc"], frame["llc_stderr"]
    x, y, e = (np.asarray(v, dtype=float) for v in (log_nbeta, llc, stderr))
    gap = y - frame["half_d_eff"].to_numpy()
    first = estimates[0]
    begin = first.nbeta * localizer.value - first.relative_temperature
    below = integral_below(gap, e, half, free[0], Measured(begin, first.nbeta * localizer.stderr))
    frame["free_energy"], frame["free_energy_stderr"] = integrate(x, gap, e, free, below)
    frame["slope"], frame["slope_stderr"] = log_slopes(x, y, e)
    return frame[[
        "nbeta", "localization", "relative_temperature", "llc", "llc_stderr", "half_d_eff",
        "half_d_eff_stderr", "non_gaussianity", "kl", "free_energy", "free_energy_stderr",
        "slope", "slope_stderr", "status", "message",
    ]]  # fmt: skip


def integral_below(
    gap: Array, stderr: Array, half: Sequence[Measured], free: Measured, begin: Measured
) -> Measured:
    """The integral of the gap `LLC - half_d_eff` over log nbeta up to the first nbeta, nats.

    Of two answers the one with the smaller error. Next to nbeta 0 an LLC is `nbeta E[L - L(w*)]`
    under the localizer, and the Gaussian one K: where the first nbeta is small, the gap over nbeta
    is taken halfway between that and what it is there, half the difference being an error. Else
    the gap is taken to go on in proportion, with an error of the largest relative gap seen
    anywhere times the Gaussian free energy.

    Args:
        gap: at each nbeta `[n]`.
        stderr: Monte Carlo error of each `[n]`.
        half: half the effective dimension at each.
        free: Gaussian free energy at the first nbeta.
        begin: the gap at the first nbeta if it went on from nbeta 0 in proportion.
    """
    between = math.hypot(begin.value - gap[0], begin.stderr, stderr[0]) / 2
    relative = max(
        (abs(g) / h.value if h.value else math.inf for g, h in zip(gap, half, strict=True)
         if g == g), default=math.nan,
    )  # fmt: skip
    beyond = math.hypot(relative * free.value, stderr[0]) if free.value else math.inf
    if between < beyond:
        return Measured((begin.value + gap[0]) / 2, between)
    return Measured(float(gap[0]), beyond)


def integrate(
    log_nbeta: Array, gap: Array, stderr: Array, gaussian: Sequence[Measured], below: Measured
) -> tuple[Array, Array]:
    """The free energy at each nbeta by thermodynamic integration, and its error, nats.

    `F(nbeta) = int_0^nbeta E_b[L - L(w*)] db = int LLC(b) dlog b`. The Gaussian one is known; the
    trapezoid rule is left the gap `LLC - half_d_eff`, which is small and smooth; the difference to
    a monotone cubic rule counts as an error.

    Args:
        log_nbeta: rising, `[n]`.
        gap: `[n]`; from a NaN on there is no free energy.
        stderr: Monte Carlo error of each, independent, `[n]`.
        gaussian: free energy of the quadratic loss at each, nats.
        below: the gap's integral up to the first nbeta.
    """
    n = len(log_nbeta)
    rule = np.zeros((n, n))
    for k, width in enumerate(np.diff(log_nbeta)):
        rule[k + 1 :, k : k + 2] += width / 2
    value, error = np.full(n, math.nan), np.full(n, math.nan)
    for j in range(n):
        x, y, weights = log_nbeta[: j + 1], gap[: j + 1], rule[j, : j + 1]
        if not np.isfinite(y).all():
            break
        cubic = PchipInterpolator(x, y).integrate(x[0], x[-1]) if j > 1 else weights @ y
        chains = float(np.sqrt(weights**2 @ stderr[: j + 1] ** 2))
        value[j] = gaussian[j].value + below.value + weights @ y
        error[j] = math.hypot(chains, below.stderr, cubic - weights @ y, gaussian[0].stderr)
    return value, error


def log_slopes(log_nbeta: Array, llc: Array, stderr: Array) -> tuple[Array, Array]:
    """`d log LLC / d log nbeta` and its error, by finite differences between neighbors.

    NaN where the LLC or a neighbor's is not known or not positive, and of a single one.
    """
    n = len(log_nbeta)
    if n < 2:
        return np.full(n, math.nan), np.full(n, math.nan)
    logs = np.log(np.where(llc > 0, llc, math.nan))
    slope = np.gradient(logs, log_nbeta)
    rule = np.gradient(np.eye(n), log_nbeta, axis=0)
    variance = rule**2 @ np.nan_to_num((stderr / llc) ** 2)
    return slope, np.where(np.isfinite(slope), np.sqrt(variance), math.nan)


def profile_verdict(frame: pd.DataFrame) -> str:
    """Whether the LLC of a profile is one number over a decade of nbeta, in words.

    A plateau takes a decade over which the slope of log LLC on log nbeta, fitted with the Monte
    Carlo errors, lies within -0.1 and 0.1 with its whole 95 % interval, and no slope between two
    neighbors there lies outside with its whole interval. Where every decade has a slope outside
    with its whole interval there is none; else the profile does not tell.

    Args:
        frame: of `llc_profile`, or the rows of one estimate in table `profile`.

    Returns:
        A line; for a plateau with its height.
    """
    rows = frame[frame["llc"] > 0].sort_values("nbeta")
    x = np.log(rows["nbeta"].to_numpy(dtype=float))
    y = np.log(rows["llc"].to_numpy(dtype=float))
    e = (rows["llc_stderr"] / rows["llc"]).to_numpy(dtype=float).clip(min=1e-6)
    plateaus, outside = [], []
    for i in range(len(x)):
        beyond = np.flatnonzero(x >= x[i] + DECADE - 1e-9)
        if not len(beyond):
            break
        window = slice(i, beyond[0] + 1)
        slope, stderr = _fitted_slope(x[window], y[window], e[window])
        width = np.diff(x[window])
        steps = np.abs(np.diff(y[window])) / width
        errors = np.hypot(e[window][1:], e[window][:-1]) / width
        outside.append(abs(slope) - Z * stderr > SLOPE or bool((steps - Z * errors > SLOPE).any()))
        if abs(slope) + Z * stderr < SLOPE and not outside[-1]:
            plateaus.append((abs(slope) + Z * stderr, window))
    if plateaus:
        _, window = min(plateaus, key=lambda found: found[0])
        weights = e[window] ** -2 / (e[window] ** -2).sum()
        height, stderr = math.exp(weights @ y[window]), (e[window] ** -2).sum() ** -0.5
        return f"{PLATEAU} near {height:.3g} ± {stderr * height:.2g}"
    if outside and all(outside):
        return NO_PLATEAU
    return f"{OPEN} ({'errors leave the slope open' if outside else 'less than a decade of nbeta'})"


def _fitted_slope(x: Array, y: Array, e: Array) -> tuple[float, float]:
    """Slope of y on x, weighted by the errors e, and its error."""
    w = e**-2
    center = (w @ x) / w.sum()
    spread = w @ (x - center) ** 2
    return float(w @ ((x - center) * y) / spread), float(spread**-0.5)

"""What an LLC estimate holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rl_slt.response.traces import Traces

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is made of the LLC: none of it is a number where the LLC is not defined.
OF_THE_LLC = ("llc", "stderr", "stderr_states")
COLORS = {"ok": "#1a7f37", "suspect": "#9a6700", "failed": "#cf222e"}


@dataclass(frozen=True, eq=False)
class LLCEstimate:
    """A local learning coefficient with its error and a verdict.

    Attributes:
        llc: `nbeta (E[L] - L(w*))`; NaN, as all that is made of it, where the status is `failed`.
        stderr: Monte Carlo standard error alone, from correlated draws over all chains.
        stderr_states: standard error from the states being a sample (`rl_slt.verdict.jackknife`);
            None where it is not estimated.
        rhat: rank-normalized split R-hat of the loss.
        ess: effective sample size of the loss's mean.
        draws: one row per chain and draw after burn-in, in the columns of `llc_draws`; none where
            what is known of w* alone said that there is no LLC.
        status: `ok`, `suspect` or `failed`.
        message: reasons for a status other than ok.
        loss_init: `L(w*)` over all data.
        minimum: the least value of the loss that any policy can have; NaN where not known. w* lies
            `loss_init - minimum` above it.
        loss_init_stderr: standard error of `loss_init` from the states being a sample.
        loss_mean: the chains' mean loss, `loss_init + llc / nbeta`.
        kl: posterior mean of `KL(pi_w* || pi_w)` per state, nats: how far the policy moves.
        entropy: of the policy at w*, mean over states, nats.
        information: I(S; A), the mean KL of the policy to its own marginal over states, nats; near
            0 its actions hardly depend on the state.
        logit_scale: root mean square of the logits, each state's own mean taken off.
        matched_entropy: the mean entropy that the policy was brought to, nats, or None.
        trace: of the loss's curvature at w* (the Fisher matrix of a self-KL).
        trace_stderr: its standard error over states.
        relative_temperature: `K = nbeta trace / (2 localization)`, what nbeta L rises by under the
            localizer alone; NaN where the curvature is not known.
        half_d_eff: half the effective dimension `1/2 sum h / (h + localization / nbeta)` over the
            curvature's eigenvalues h, the LLC of a quadratic loss of this curvature; NaN where the
            loss has no score rows, there is no localizer, or one direction was held.
        half_d_eff_stderr: its standard error over states and rows.
        step_size: the one in use after burn-in, in the sampler's coordinates.
        nbeta: inverse temperature times the number of states.
        localization: gamma, the pull to w*, per squared unit of weight.
        burn_in: steps of each chain before its draws.
        n_states: N, how many states the loss is averaged over.
        chains: how many.
        batch_size: samples per gradient and chain.
        sampler: its name.
        loss: its name.
        seed: of everything random in the estimate.
        constrained: whether weights were sampled orthogonally to the gradient at w* alone; the LLC
            is then one constrained to these directions.
        precision: of convolutions, as it was: `float32` or `bfloat16`.
        gauge: of the weights sampled around: `balanced`, or `none` as given.
        device: where it was computed: `cpu` or `cuda`.
        threads: of torch on the CPU; sums may round differently with another number.
        gradient_norm: norm of the loss's gradient at w* over all data (0 at a minimum).
        sample_gradients: gradients of single samples spent, all chains, adaptation included.
        seconds: wall clock.
        info: further numbers: virial ratio (1 under the posterior), acceptance, drift z,
            dimension, preconditioner rank, and whether convolutions were made in bfloat16 (1), and
            gradients by a traced graph, all chains at once where that is faster (1).
        traces: losses of every state at draws, where that was asked for.
    """

    llc: float
    stderr: float
    stderr_states: float | None
    rhat: float
    ess: float
    draws: pd.DataFrame = field(repr=False)
    status: str
    message: str
    loss_init: float
    loss_init_stderr: float
    minimum: float
    loss_mean: float
    kl: float
    entropy: float
    information: float
    logit_scale: float
    matched_entropy: float | None
    trace: float
    trace_stderr: float
    relative_temperature: float
    half_d_eff: float
    half_d_eff_stderr: float
    step_size: float
    nbeta: float
    localization: float
    burn_in: int
    n_states: int
    chains: int
    batch_size: int
    sampler: str
    constrained: bool
    loss: str
    seed: int
    precision: str
    gauge: str
    device: str
    threads: int
    gradient_norm: float
    sample_gradients: int
    seconds: float
    info: dict[str, float] = field(default_factory=dict)
    traces: Traces | None = field(default=None, repr=False)

    @property
    def loss_stderr(self) -> float:
        """Monte Carlo standard error of `loss_mean`, as the chains give it; 0 without a loss."""
        return self.stderr / self.nbeta if self.nbeta else 0.0

    @property
    def stderr_data(self) -> float | None:
        """Another name of `stderr_states`."""
        return self.stderr_states

    @property
    def stderr_total(self) -> float:
        """`sqrt(stderr^2 + stderr_states^2)`; Monte Carlo alone where the second is not known.

        The error of the LLC as a number about the states' distribution. Two estimates on the same
        states share a part of the second error: for their difference `stderr` is the error on
        these states.
        """
        return math.hypot(self.stderr, self.stderr_states or 0.0)

    @property
    def interval(self) -> tuple[float, float]:
        """Nominal 95 % interval, `llc -+ 1.96 stderr_total`."""
        return self.llc - 1.96 * self.stderr_total, self.llc + 1.96 * self.stderr_total

    def without_llc(self) -> LLCEstimate:
        """The same where there is no LLC: its numbers are NaN, those of the chains stay."""
        known = (f.name for f in fields(self) if f.name in OF_THE_LLC)
        lost = [name for name in known if getattr(self, name) is not None]
        return replace(self, **dict.fromkeys(lost, math.nan))  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """`LLC`, or `constrained LLC` where one direction was held."""
        return "constrained LLC" if self.constrained else "LLC"

    def _value(self, digits: int) -> str:
        known = f"{self.llc:.{digits}g} ± {self.stderr_total:.2g}"
        return "not defined" if math.isnan(self.llc) else known

    def __repr__(self) -> str:
        text = f"{self.name} {self._value(3)} ({self.status}"
        text += f": {self.message})" if self.message else ")"
        text += f" at K = {self.relative_temperature:.3g} (nbeta {self.nbeta:.4g}, localization "
        text += f"{self.localization:.4g}), gauge {self.gauge}"
        return f"{text} · R-hat {self.rhat:.3f} · ESS {self.ess:.0f} · {self.n_states} states"

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        verdict = f'<b style="color:{COLORS[self.status]}">{self.status}</b>'
        states = "not estimated" if self.stderr_states is None else f"{self.stderr_states:.2g}"
        rounded = ", convolutions in bfloat16" if self.precision == "bfloat16" else ""
        rows = {
            self.name: self._value(4),
            "error of chains, of states": f"{self.stderr:.2g}, {states}",
            "verdict": f"{verdict} {escape(self.message)}",
            "R-hat, ESS": f"{self.rhat:.3f}, {self.ess:.0f}",
            f"{self.loss} at w*, posterior mean": f"{self.loss_init:.4g}, {self.loss_mean:.4g}",
            "sampler": f"{self.sampler}, step {self.step_size:.3g}, {self.chains} chains{rounded}",
            "nβ, localization, states": f"{self.nbeta:.4g}, {self.localization:.4g}, "
            f"{self.n_states}",
            "relative temperature K, gauge": f"{self.relative_temperature:.3g}, {self.gauge}",
            "entropy, information, posterior KL": f"{self.entropy:.3g}, {self.information:.3g}, "
            f"{self.kl:.3g} nats",
            "cost": f"{self.sample_gradients:,} sample gradients, {self.seconds:.1f} s",
        }
        cells = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in rows.items())
        return f"<table>{cells}</table>"

    def plot_trace(self) -> Figure:
        """Chains over draws, and their running means next to the estimate with its interval."""
        from matplotlib.figure import Figure  # slow to import, and for those who look alone

        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for number, (chain, part) in enumerate(self.draws.groupby("chain")):
            excess = (self.nbeta or 1.0) * (part["loss_value"] - part["loss_at_center"]).to_numpy()
            color = f"C{number % 10}"
            left.plot(part["draw"], excess, lw=0.6, color=color, label=f"chain {chain}")
            running = np.cumsum(excess) / np.arange(1, len(excess) + 1)
            right.plot(part["draw"], running, lw=1.2, color=color)
        right.axhline(self.llc, color="black", lw=1)
        right.axhspan(*self.interval, color="black", alpha=0.12)
        left.set(xlabel="draw", ylabel="nβ (L − L(w*))", title="draws after burn-in")
        right.set(xlabel="draw", ylabel="LLC", title=f"running means · {self.status}")
        if len(self.draws):
            left.legend(fontsize=7, ncols=2)
        return figure

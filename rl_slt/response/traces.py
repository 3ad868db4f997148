"""The loss of every state at draws of the posterior, kept while the chains run.

A sampler on batches never sees all states at one draw, so that each draw that is kept costs a pass
over all of them. How many a tenth of the estimate buys is known before the chains run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from rl_slt.data.actions import Classes, merge_data
from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Samples
from rl_slt.errors import InputError
from rl_slt.posterior.target import Target
from rl_slt.verdict.diagnostics import mean_stderr

if TYPE_CHECKING:
    import xarray

OWN = "states"  # the set that the loss L of the posterior is averaged over
CHUNK = 512  # samples in one pass
# So many losses for each gradient of a sample in a chain add about 9 % to an estimate, in which
# setting up and the error over states count, too (`benchmarks/results/llc_traces.md`).
LOSSES_PER_GRADIENT = 0.4
FEW = 16  # draws of each chain, below which they do not tell what a chain remembers
LEAST_DRAWS, MOST_BYTES = 2, 1 << 28  # of each chain; of all losses kept

Observable = Callable[[nn.Module], float]
"""Any number of a policy, at the weights of a draw; of merged actions where these are merged."""


@dataclass(frozen=True)
class Tracing:
    """What to keep of a posterior's draws.

    Attributes:
        draws: of each chain, evenly spaced; None is what a tenth of the estimate's cost buys.
        sets: further states, by name, whose losses are kept, too; they are no part of the
            posterior. Each may have weights of its own.
        origins: where the samples of a set come from, by its name (`states` is the posterior's
            own): a row for each sample, its columns become coordinates.
        observables: further numbers of the policy, by name.

    Raises:
        InputError: fewer than 2 draws.
    """

    draws: int | None = None
    sets: Mapping[str, Tensor | PolicyData] = field(default_factory=dict)
    origins: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    observables: Mapping[str, Observable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.draws is not None and self.draws < LEAST_DRAWS:
            raise InputError.of("traces", self.draws, f"True, or at least {LEAST_DRAWS} draws")

    @classmethod
    def of(cls, wanted: bool | int | Tracing) -> Tracing | None:
        """What is meant by `traces=True`, a number of draws of each chain, or False."""
        if isinstance(wanted, Tracing):
            return wanted
        if isinstance(wanted, bool):
            return cls() if wanted else None
        return cls(draws=wanted)


@dataclass(frozen=True, eq=False)
class Traces:
    """Losses `l_s(w)` of S samples at T draws of C chains, in the gauge and actions sampled in.

    Attributes:
        losses: `[C, T, S]`, float32, each by itself (without its weight).
        at_center: `[S]`, the losses at w*.
        draw: number of each draw in its chain, from 0 `[T]`.
        origin: a row for each sample: `set` (`states` is the posterior's own), `weight` in the mean
            of its set, and where it comes from.
        nbeta: inverse temperature of the posterior.
        n: samples of the posterior's own set.
        observables: further numbers at the same draws `[C, T]`, by name.
        status: the verdict of the estimate.
        message: its reasons.
    """

    losses: NDArray[np.float32]
    at_center: NDArray[np.float32]
    draw: NDArray[np.int64]
    origin: pd.DataFrame
    nbeta: float
    n: int
    observables: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    status: str = ""
    message: str = ""

    def of(self, name: str = OWN) -> NDArray[np.float64]:
        """Losses `[C, T, B]` of the samples of a set, double precision."""
        return self.losses[..., self._members(name)].astype(np.float64)

    def mean(self, name: str = OWN) -> NDArray[np.float64]:
        """The weighted mean loss `[C, T]` of a set: L of the posterior's own."""
        where = self._members(name)
        weights = self.origin["weight"].to_numpy(float)[where]
        return np.asarray(self.of(name) @ (weights / weights.sum()))

    def origin_of(self, name: str = OWN) -> pd.DataFrame:
        """The rows of `origin` of a set."""
        return self.origin[self._members(name)].reset_index(drop=True)

    def contributions(self, groups: pd.Series) -> pd.DataFrame:
        """What groups of the posterior's own samples bring to the LLC.

        `nbeta E[l_s - l_s(w*)]`, averaged over a group with its samples' weights: the LLC is the
        mean of these numbers, each group with its share.

        Args:
            groups: of each own sample, in words.

        Returns:
            A row for each group: of_states, samples, share (of all weight), value, stderr (Monte
            Carlo), dof (of the stderr) and draws (of all chains). Of fewer than 16 draws of each
            chain the error comes from how the chains' means differ, whatever a chain remembers.
        """
        excess = self.nbeta * (self.of() - self.at_center[self._members(OWN)])
        weights = self.origin_of()["weight"].to_numpy(float)
        rows = []
        for name, where in groups.reset_index(drop=True).groupby(groups.to_numpy()).groups.items():
            index = where.to_numpy()
            share = weights[index].sum() / weights.sum()
            found = excess[..., index] @ weights[index] / weights[index].sum()
            error, dof = _error(found)
            rows.append((name, len(index), share, float(found.mean()), error, dof, found.size))
        columns = ["of_states", "samples", "share", "value", "stderr", "dof", "draws"]
        return pd.DataFrame(rows, columns=columns)

    def _members(self, name: str) -> NDArray[np.bool_]:
        found = (self.origin["set"] == name).to_numpy()
        if not found.any():
            known = ", ".join(dict.fromkeys(self.origin["set"]))
            raise InputError.of("set", name, f"one of {known}")
        return np.asarray(found)

    def require_ok(self, what: str) -> None:
        """Refuse what is made of these draws where the estimate's verdict is not ok.

        Raises:
            InputError: with the reasons of the verdict.
        """
        if self.status != "ok":
            raise InputError(f"no {what}: the estimate is {self.status}: {self.message}")

    @property
    def dataset(self) -> xarray.Dataset:
        """Variables `loss` (chain, draw, state), `loss_at_center` (state) and each observable.

        Coordinates of state are the columns of `origin`; nbeta, n, status and message are
        attributes.

        Raises:
            InputError: xarray is not installed.
        """
        xr = _xarray()
        columns = {
            str(name): ("state", _plain(values)) for name, values in self.origin.items()
        }  # fmt: skip
        return xr.Dataset(
            {
                "loss": (("chain", "draw", "state"), self.losses),
                "loss_at_center": ("state", self.at_center),
                **{name: (("chain", "draw"), values) for name, values in self.observables.items()},
            },
            coords={
                "chain": np.arange(len(self.losses)), "draw": self.draw,
                "state": np.arange(self.losses.shape[-1]), **columns,
            },
            attrs={
                "nbeta": self.nbeta, "n": self.n, "status": self.status, "message": self.message,
                "about": "loss of each state at draws of the localized posterior (rl-slt)",
            },
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write the dataset as the group `posterior` of a netCDF file, which ArviZ opens.

        Raises:
            InputError: xarray or h5netcdf is not installed.
        """
        xr, compact = _xarray(), {"loss": {"zlib": True, "complevel": 1, "shuffle": True}}
        tree = xr.DataTree.from_dict({"posterior": self.dataset})
        tree.to_netcdf(path, engine="h5netcdf", encoding={"/posterior": compact})

    @classmethod
    def load(cls, path: Path) -> Traces:
        """What `save` wrote.

        Raises:
            InputError: xarray or h5netcdf is not installed, or the file is something else.
        """
        try:
            with _xarray().open_dataset(path, group="posterior", engine="h5netcdf") as stored:
                data = stored.load()
            names = [n for n, c in data.coords.items() if c.dims == ("state",) and n != "state"]
            return cls(
                data["loss"].to_numpy(), data["loss_at_center"].to_numpy(),
                data["draw"].to_numpy(), pd.DataFrame({n: data[n].to_numpy() for n in names}),
                float(data.attrs["nbeta"]), int(data.attrs["n"]),
                {str(n): v.to_numpy() for n, v in data.items() if v.dims == ("chain", "draw")},
                str(data.attrs["status"]), str(data.attrs["message"]),
            )  # fmt: skip
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path} holds no traces ({type(error).__name__})") from None


def _error(draws: NDArray[np.float64]) -> tuple[float, int]:
    """Standard error of the mean of draws `[C, T]`, and its degrees of freedom."""
    if draws.shape[1] >= FEW:
        return mean_stderr(draws), draws.size - 1
    if len(draws) < 2:
        return float("nan"), 0
    means = draws.mean(1)
    return float(means.std(ddof=1) / len(means) ** 0.5), len(means) - 1


def check_installed() -> None:
    """Raise InputError unless what stores traces is installed."""
    _xarray()


def _xarray() -> Any:
    try:
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401
        import xarray
    except ImportError as error:
        raise InputError(
            f"traces need {error.name}, which is not installed: pip install 'rl-slt[traces]'"
        ) from None
    return xarray


def _plain(values: pd.Series) -> NDArray[Any]:
    """A column as netCDF can hold it: numbers, or text."""
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy()
    return values.astype(str).to_numpy(dtype=object)


def draws_kept(
    tracing: Tracing, samples: int, chains: int, steps: int, draws: int, batch: int
) -> int:
    """How many draws of each chain are kept.

    Args:
        tracing: what was asked for.
        samples: of all sets.
        chains: of the estimate.
        steps: of each chain, burn-in among them.
        draws: of each chain.
        batch: samples of each gradient.
    """
    most = MOST_BYTES // (4 * chains * samples)
    wanted = tracing.draws
    if wanted is None:
        wanted = int(LOSSES_PER_GRADIENT * steps * batch / samples)
    return max(LEAST_DRAWS, min(wanted, draws, most))


class Recorder:
    """Keeps losses at evenly spaced draws of chains while they run.

    Args:
        target: of the chains.
        tracing: what to keep.
        classes: of actions that the target merges, or None.
        generator: of what a loss draws of further sets.

    Raises:
        InputError: the loss plays its samples anew, or a set is not the loss's.
    """

    def __init__(
        self, target: Target, tracing: Tracing, classes: Classes | None, generator: Generator
    ) -> None:
        if target.loss.plays:
            allowed = f"False with loss {target.loss.name}, which plays other episodes every time"
            raise InputError.of("traces", True, allowed)
        self.target, self.tracing = target, tracing
        center = target.flat.load(target.flat.w_star)
        sets = {OWN: target.data}
        for name, given in tracing.sets.items():
            data = given if isinstance(given, PolicyData) else PolicyData(given)
            data = data if classes is None else merge_data(data, classes)
            sets[name] = target.loss.prepare(center, data.to(target.device), generator)
        self.samples = {n: Samples(data, target.loss.sample_unit) for n, data in sets.items()}
        self.origin = pd.concat(
            [self._origin(name, samples) for name, samples in self.samples.items()],
            ignore_index=True,
        )
        self.most, self.of = 0, 1
        self.at: list[int] = []
        self.rows: list[NDArray[np.float32]] = []
        self.others: list[NDArray[np.float64]] = []
        self.drawn = 0

    def plan(self, chains: int, steps: int, draws: int, batch: int) -> None:
        """Choose the draws to keep; the arguments are those of `draws_kept`."""
        self.most = draws_kept(self.tracing, len(self.origin), chains, steps, draws, batch)
        self.of = draws

    def __call__(self, deltas: Tensor) -> None:
        """See a draw of all chains, weights minus w* `[C, d]`, and keep it if it is due."""
        before, self.drawn = self.drawn * self.most // self.of, self.drawn + 1
        if self.drawn * self.most // self.of == before:
            return
        losses = [self._losses(self.target.flat.w_star + delta) for delta in deltas]
        self.at.append(self.drawn - 1)
        self.rows.append(np.stack([row for row, _ in losses]))
        self.others.append(np.array([other for _, other in losses]))
        if len(self.rows) >= 2 * self.most:  # draws were added: keep every second one
            for kept in (self.at, self.rows, self.others):
                del kept[::2]
            self.of *= 2

    def traces(self, status: str, message: str) -> Traces:
        """What was kept, with the verdict of the estimate."""
        at_center, _ = self._losses(self.target.flat.w_star, observe=False)
        names, rows = list(self.tracing.observables), self.rows
        chains = len(rows[0]) if rows else 0
        losses = np.stack(rows, axis=1) if rows else np.empty((0, 0, len(self.origin)), np.float32)
        others = np.stack(self.others, axis=1) if rows else np.empty((chains, 0, len(names)))
        return Traces(
            losses, at_center, np.array(self.at, np.int64), self.origin, self.target.nbeta,
            self.target.n, {name: others[..., i] for i, name in enumerate(names)}, status, message,
        )  # fmt: skip

    def _losses(self, w: Tensor, observe: bool = True) -> tuple[NDArray[np.float32], list[float]]:
        """Losses of all samples and the observables at weights `w` `[d]`."""
        module, loss = self.target.flat.load(w), self.target.loss.expected
        parts = [
            self.target.losses(module, _unweighted(samples.take(i)), loss)
            for samples in self.samples.values()
            for i in torch.arange(samples.n, device=self.target.device).split(CHUNK)
        ]
        with torch.no_grad():
            watched = self.tracing.observables.values() if observe else ()
            others = [float(observable(module)) for observable in watched]
        return torch.cat(parts).float().cpu().numpy(), others

    def _origin(self, name: str, samples: Samples) -> pd.DataFrame:
        """The rows of a set in `Traces.origin`."""
        weights = np.ones(samples.n)
        if samples.data.weights is not None:
            first = samples.take(torch.arange(samples.n, device=samples.device))
            each = self.target.loss.weigh(
                first.states.new_ones(samples.n, dtype=torch.float64), first
            )
            weights = each.double().cpu().numpy()
        known = self.tracing.origins.get(name)
        rows = pd.DataFrame({"set": name, "weight": weights})
        if known is None:
            return rows.assign(episode=samples.clusters.cpu().numpy())
        if len(known) != samples.n:
            raise InputError.of("origins", f"{len(known)} rows", f"{samples.n}, one per sample")
        return pd.concat([rows, known.reset_index(drop=True)], axis=1)


def _unweighted(batch: PolicyData) -> PolicyData:
    """A batch whose samples count equally."""
    fields = batch.tensors()
    return PolicyData.trusted({name: v for name, v in fields.items() if name != "weights"})


def describe_size(kept: int, estimates: int, chains: int, samples: int) -> str:
    """What traces will take of memory and disk, in words.

    Args:
        kept: draws of each chain.
        estimates: how many are made.
        chains: of each.
        samples: in each.
    """
    each = 4e-6 * kept * chains * samples
    return (
        f"traces: {chains} chains x {kept} draws x {samples:,} samples, {each:.3g} MB of memory "
        f"for an estimate at work, at most {each * estimates:.3g} MB of disk for {estimates}"
    )

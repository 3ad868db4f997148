"""Golden numbers of every stage: what today's code gives, to be compared with what code gives then.

Each function in `STAGES` runs one stage on something tiny and returns a flat dictionary of numbers
and texts: digests of bytes and integers, and floats. `golden.json` holds what they were when it
was written, the version of each stage at that time, and how closely numbers must agree.

    python tests/golden/measure.py                     compare everything, print what differs
    python tests/golden/measure.py --write [STAGE...]  write what is measured now, all or some
    python tests/golden/measure.py --time              also print the seconds of each stage

Only names that stay are used: the command line, public Python names, and columns of tables on
disk. Where a name is known to get another one, both are tried. Results depend on no number of
threads: everything here runs on one.
"""

# ruff: noqa: E402 (the folders that are measured come first on the path)
from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import inspect
import io
import json
import math
import sys
import tempfile
import time
import tomllib
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
for _folder in (HERE, ROOT):  # so that this file also works as a script
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from synthetic import ARMS, HYPOTHESES, write_study

import envs
from analysis import associate, detect_transitions, evaluate_hypotheses
from rl_slt import (
    BAOAB,
    HMC,
    MALA,
    SGLD,
    SGNHT,
    LLCEstimate,
    OrthogonalSGLD,
    PolicyData,
    PolicyKL,
    PolicyNLL,
    RMSpropSGLD,
    Traces,
    Tracing,
    estimate_llc,
    goal_volume,
    local_volume,
)
from rl_slt.response.influence import influence as influence_of
from rl_slt.response.susceptibility import susceptibility as respond
from rl_slt.versions import STAGES as VERSIONS

GOLDEN = HERE / "golden.json"
Value = float | int | str
Numbers = dict[str, Value]

# What may be renamed, in one place: an option of the command line and a keyword.
RANK_OPTIONS = ("--whitening", "--preconditioner-rank")
RANK_KEYWORDS = ("whitening", "preconditioner_rank")
DATA_ERROR = ("stderr_states", "stderr_data")

TRAIN = """
--network patch --levels 0:1000 --set num_envs=8 --set n_steps=32 --set batch_size=64
--set time_limit=50 --set checkpoints=log:3
"""
AGENT = "--coin behind=2-3 --levels 0:1000 --set time_limit=30"
CHAINS = """
--sampler baoab --chains 2 --draws 40 --burn-in 30 --batch-size 16 --n-states 64
--precision float32 --workers 0
"""
AGENT_STEP = 5000


def stage_version(stage: str) -> int | None:
    """The version that the code gives its results of this stage; None while it gives none.

    The estimator has no stage of its own: what moves its numbers moves those of the LLC stage.
    """
    return VERSIONS.get("llc" if stage in ("estimate", "validate") else stage)


# ---------------------------------------------------------------------------------------------
# What stages share: commands, one training run, two made-up agents, one made-up study


def run(place: Path, command: str, allowed: Sequence[int] = (0,)) -> str:
    """Run `rl-slt` with the words of `command` in `place`, within this process; what it printed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["rl-slt"].partition(":")
    torch.set_num_threads(1)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = getattr(importlib.import_module(module), name)(command.split())
        except SystemExit as end:
            status = end.code
    if (status or 0) not in allowed:
        reported = (out.getvalue() + err.getvalue())[-2000:]
        raise RuntimeError(f"rl-slt {command}: status {status}\n{reported}")
    return out.getvalue()


@dataclass
class Material:
    """What several stages read, made when first needed, in one folder."""

    place: Path

    @cached_property
    def trained(self) -> Path:
        """A run of 1024 steps with some checkpoints."""
        run(
            self.place,
            f"train trained --coin mix:0.5:behind:end --steps 1024 --seed 0 {TRAIN}",
        )
        return self.place / "trained"

    @cached_property
    def agents(self) -> tuple[Path, Path]:
        """Two runs of one checkpoint each, of weights that are equal on every machine.

        A trained agent differs by rounding between machines, and what it visits may then differ.
        These weights come from a generator of integers alone.
        """
        return self._agent("a", 1), self._agent("b", 2)

    def _agent(self, name: str, seed: int) -> Path:
        known = load_file(checkpoints(self.trained)[0] / "policy.safetensors")
        weights = {key: made_up(tuple(tensor.shape), seed) for key, tensor in known.items()}
        save_file(weights, self.place / f"{name}.safetensors")
        settings = f"--steps {AGENT_STEP} {AGENT}"
        run(self.place, f"import {name}.safetensors {name} {settings}")
        return self.place / name

    @cached_property
    def estimated(self) -> Path:
        """The first agent with LLCs of all losses, its own states, shared ones and a probe's."""
        first, second = self.agents
        sampling = f"{CHAINS} --localization 3000 {rank_option(self.place)} 8"
        for wanted in (
            "--loss kl --states frozen --states on-policy --states probe:behind "
            "--draws 120 --burn-in 80",
            "--loss nll --states frozen",
            "--loss value --loss surrogate:clip=0.2 --loss regret:self-normalized --loss regret "
            "--states on-policy --n-states 96 --localization 100000",
            f"--loss kl --states frozen --reference {second}@{AGENT_STEP}",
        ):
            run(self.place, f"llc {first.name} {sampling} {wanted}", allowed=(0, 1))
        return first

    @cached_property
    def probed(self) -> Path:
        """The first agent with its probes."""
        name, size = self.agents[0].name, "--levels 6 --time-limit 60"
        run(self.place, f"probe {name} --suite demo {size} --seed 0 --workers 0")
        return self.agents[0]

    @cached_property
    def described(self) -> Path:
        """The trained run with its covariates, which every analysis of a run collects.

        Some table must be there before a run is analysed: a few LLCs are the cheapest.
        """
        sampling = f"{CHAINS} --draws 8 --burn-in 0 {rank_option(self.place)} 0"
        run(self.place, f"llc {self.trained.name} --states frozen {sampling}", allowed=(0, 1))
        return self.trained

    @cached_property
    def study(self) -> Path:
        """The made-up study, with the derived tables that `rl-slt report` makes."""
        study = write_study(self.place / "study")
        run(self.place, "report study --format json --out study.json")
        return study

    @cached_property
    def traces(self) -> Traces:
        """Kept draws of a small policy, with the losses of other states and a number of it."""
        torch.set_num_threads(1)
        inputs, others = _normal((96, 4), 11), _normal((24, 4), 12)
        keep = Tracing(64, {"others": others}, observables={"first": _first_logit})
        found = estimate_llc(_mlp(), inputs, chains=2, draws=256, burn_in=100, localization=10.0,
                             sampler=BAOAB(), traces=keep)  # fmt: skip
        assert found.traces is not None
        return found.traces


def checkpoints(path: Path) -> list[Path]:
    """A run's checkpoints in the order of their steps."""
    return sorted(p for p in (path / "checkpoints").iterdir() if p.is_dir())


def made_up(shape: tuple[int, ...], seed: int) -> Tensor:
    """Weights that give a policy some opinions: He's normal for matrices, 0 for biases."""
    if len(shape) < 2:
        return torch.zeros(shape)
    rng = np.random.default_rng([seed, zlib.crc32(repr(shape).encode())])
    values = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def rank_option(place: Path) -> str:
    """The option for the number of preconditioned directions, by the name it has."""
    known = run(place, "llc --help")
    return next(name for name in RANK_OPTIONS if name in known)


def table(path: Path, name: str) -> pd.DataFrame:
    """A table of a run or a study."""
    return pd.read_parquet(path / "tables" / f"{name}.parquet")


# ---------------------------------------------------------------------------------------------
# Flat dictionaries


def plain(value: Any) -> Value:
    """A number or text as JSON can hold it; what is absent is the text `nan`."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "nan"
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return "nan" if math.isnan(number) else float(f"{number:.10g}")


def digest(*arrays: Any) -> str:
    """A hash of integers, booleans, bytes or texts."""
    found = hashlib.sha256()
    for array in arrays:
        values = np.asarray(array)
        if values.dtype.kind == "O":
            values = np.asarray([str(value) for value in values], dtype="U")
        if values.dtype.kind == "f":
            raise TypeError("floats depend on rounding: they have no digest")
        if values.dtype.kind in "iu" and values.dtype != np.uint8:
            values = values.astype(np.int64)
        found.update(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes())
    return found.hexdigest()[:32]


def rows(frame: pd.DataFrame, keys: Sequence[str], columns: Sequence[str]) -> Numbers:
    """Every row's columns, under the row's keys; rows of equal keys are numbered."""
    out: Numbers = {}
    seen: dict[str, int] = {}
    for _, row in frame.sort_values(list(keys), kind="stable").iterrows():
        name = " ".join(str(row[key]) for key in keys)
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name} #{seen[name]}"
        out |= {f"{name} {column}": plain(row[column]) for column in columns}
    return out


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Value]]:
    """Numbers in nested JSON, named by the way to them; elements of a list by their names."""
    if isinstance(value, Mapping):
        for key in value:
            yield from leaves(value[key], f"{name} {key}".strip())
    elif isinstance(value, list):
        for i, part in enumerate(value):
            called = part.get("name", i) if isinstance(part, Mapping) else i
            yield from leaves(part, f"{name} {called}".strip())
    elif isinstance(value, int | float):
        yield name, plain(value)


# ---------------------------------------------------------------------------------------------
# Stages


def levels(material: Material) -> Numbers:
    """Levels, starts and frames under every kind of placement, for fixed actions."""
    out: Numbers = {}
    placements = (
        "end", "behind", "behind=2-4", "section", "ground", "both", "none",
        "at=4,1", "end@mid", "none@mid", "ground@mid", "mix:0.5:behind:end",
    )  # fmt: skip
    for coin in placements:
        where = (7, 8) if coin.startswith("at=") else (0, 200)  # a cell that is free there
        vector = envs.make_vec(
            num_envs=4, coin=coin, levels=where, seed=3, track=True, time_limit=30
        )
        actions = np.random.default_rng(0).integers(0, 15, (70, 4))
        frames, info = vector.reset(seed=3)
        seen: dict[str, list[Any]] = {"frames": [frames.copy()], "level_seed": [], "coin_xy": []}
        seen |= {"end_x": [], "agent_xy": [], "ended": [], "rewards": []}
        for action in actions:
            frames, reward, terminated, truncated, info = vector.step(action)
            seen["frames"].append(frames.copy())
            seen["ended"].append([terminated, truncated])
            seen["rewards"].append(np.rint(reward * 1000).astype(np.int64))
            for name in ("level_seed", "coin_xy", "end_x"):
                seen[name].append(np.rint(np.asarray(info[name], float)).astype(np.int64))
            seen["agent_xy"].append(np.rint(np.asarray(info["agent_xy"]) * 100).astype(np.int64))
        out |= {f"{coin} {name}": digest(np.stack(parts)) for name, parts in seen.items()}
        vector.close()
    return out


def train(material: Material) -> Numbers:
    """PPO: the training curve, the checkpoints, and the norm of their weights."""
    columns = (
        "mean_return", "mean_length", "policy_loss", "value_loss", "entropy", "approx_kl",
        "clip_fraction", "grad_norm",
    )  # fmt: skip
    curve = pd.read_csv(material.trained / "progress.csv")
    out = rows(curve, ["step"], columns)
    found = checkpoints(material.trained)
    out["checkpoints"] = " ".join(path.name for path in found)
    for path in found:
        weights = load_file(path / "policy.safetensors").values()
        out[f"{path.name} norm"] = plain(
            sum(float(w.double().square().sum()) for w in weights) ** 0.5
        )
    return out


LLC_KEYS = ("loss", "states", "reference")


def _llc_table(material: Material) -> pd.DataFrame:
    frame = table(material.estimated, "llc")
    fixed = ["@" in str(reference) for reference in frame["reference"]]
    return frame.assign(reference=np.where(fixed, "fixed", "self"))


def states(material: Material) -> Numbers:
    """What the state sets say by themselves: their sizes, and losses of fixed weights on them."""
    return rows(_llc_table(material), LLC_KEYS, ("n_states", "loss_init"))


def llc(material: Material) -> Numbers:
    """LLCs of one agent, every loss on every kind of states that it takes."""
    columns = (
        "llc", "llc_stderr", "llc_stderr_data", "rhat", "ess", "loss_mean", "step_size", "nbeta",
        "localization", "chains", "draws", "status",
    )  # fmt: skip
    frame = _llc_table(material)
    failed = frame["status"] == "failed"  # such chains have no number that two processors share
    frame.loc[failed, ["rhat", "ess", "loss_mean", "step_size"]] = np.nan
    return rows(frame, LLC_KEYS, columns)


def estimate(material: Material) -> Numbers:
    """`estimate_llc` on small policies: every sampler, and the choices of the call."""
    torch.set_num_threads(1)
    rank = next(k for k in RANK_KEYWORDS if k in inspect.signature(estimate_llc).parameters)
    mlp, inputs = _mlp(), _normal((96, 4), 11)
    conv, frames = _conv(), torch.from_numpy(
        np.random.default_rng(12).integers(0, 256, (48, 3, 12, 12), dtype=np.uint8)
    )  # fmt: skip
    some: dict[str, Any] = {"chains": 2, "draws": 24, "burn_in": 24, "localization": 10.0}
    rng = np.random.default_rng(13)
    data = PolicyData(
        states=inputs,
        actions=torch.from_numpy(rng.integers(0, 3, 96)),
        log_probs=torch.full((96,), math.log(1 / 3), dtype=torch.float64),
        episode=torch.arange(96) // 8,
    )
    cases: dict[str, tuple[nn.Module, Any, dict[str, Any]]] = {
        "default": (mlp, inputs, {"draws": 200, "burn_in": 50, "chains": 2}),
        "sgld": (mlp, inputs, {"sampler": SGLD(step_size=1e-3)}),
        "rmsprop_sgld": (mlp, inputs, {"sampler": RMSpropSGLD(step_size=1e-3)}),
        "sgnht": (mlp, inputs, {"sampler": SGNHT()}),
        "baoab": (mlp, inputs, {"sampler": BAOAB()}),
        "mala": (mlp, inputs, {"sampler": MALA()}),
        "hmc": (mlp, inputs, {"sampler": HMC(), "seed": 5}),
        "orthogonal": (mlp, inputs, {"sampler": OrthogonalSGLD(step_size=1e-3)}),
        "conv": (conv, frames, {"precision": "float32"}),
        "conv plain": (conv, frames, {"precision": "float32", rank: 0, "batch_size": 8}),
        "params": (mlp, inputs, {"params": "2.*"}),
        "rank 0": (mlp, inputs, {rank: 0}),
        "rank 8": (mlp, inputs, {rank: 8}),
        "nbeta": (mlp, inputs, {"nbeta": 3.0, "chains": 3}),
        "nll": (mlp, inputs, {"loss": PolicyNLL()}),
        "nll of actions": (mlp, data, {"loss": PolicyNLL(), "sampler": BAOAB()}),
        "kl of data": (mlp, data, {"loss": PolicyKL()}),
    }
    out: Numbers = {}
    for name, (policy, states_, given) in cases.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # chains this short are rarely sound
            found = estimate_llc(policy, states_, **(some | given))
        out |= {f"{name} {key}": value for key, value in _fields(found).items()}
    return out


def _fields(found: LLCEstimate) -> Numbers:
    names = ("llc", "stderr", "rhat", "ess", "loss_init", "loss_mean", "step_size", "nbeta",
             "localization", "n_states", "sampler", "status")  # fmt: skip
    out = {name: plain(getattr(found, name)) for name in names}
    of_data = next(getattr(found, name) for name in DATA_ERROR if hasattr(found, name))
    out["stderr_data"] = plain(of_data)
    out["draws"] = len(found.draws)
    out["last draw"] = plain(found.draws["loss_value"].iloc[-1])
    return out


def _normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def _mlp() -> nn.Module:
    """In float64, where machines agree to many digits."""
    mlp = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    return _filled(mlp, 1)


def _first_logit(mlp: nn.Module) -> float:
    """A number of a policy: what it makes of one state."""
    return float(mlp(_normal((1, 4), 14))[0, 0])


def _conv() -> nn.Module:
    class Bytes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.double() / 255

    layers = (Bytes(), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 5))
    return _filled(nn.Sequential(*layers).double(), 2)


def _filled(module: nn.Module, seed: int) -> nn.Module:
    with torch.no_grad():
        for i, weight in enumerate(module.parameters()):
            weight.copy_(_normal(tuple(weight.shape), 100 * seed + i) / weight[0].numel() ** 0.5)
    return module


def validate(material: Material) -> Numbers:
    """The table of known answers, of the cheapest problems."""
    problems = "--only quadratic --only tabular"
    run(material.place, f"validate {problems} --seed 0 --out known.csv", allowed=(0, 1))
    frame = pd.read_csv(material.place / "known.csv")
    return rows(frame, ["problem"], ("llc", "exact", "status"))


def calibrate(material: Material) -> Numbers:
    """The sweep on one agent; with chains this short no setting is sound, which is allowed."""
    agent = material.agents[0]
    sampling = f"{CHAINS} {rank_option(material.place)} 0"
    wanted = f"calibrate {agent.name} --localizations 1000,10000"
    run(material.place, f"{wanted} {sampling}", allowed=(0, 1))
    frame = pd.read_csv(agent / "calibration" / "calibration.csv")
    frame["nbeta"] = [float(f"{nbeta:.4g}") for nbeta in frame["nbeta"]]
    columns = ("step_size", "llc", "stderr", "rhat", "ess", "loss_mean", "status")
    return rows(frame, ["run", "step", "localization", "nbeta"], columns)


def probe(material: Material) -> Numbers:
    """Probes: every episode's course, and all metrics with their intervals."""
    episodes = table(material.probed, "episodes")
    order = ["policy", "probe", "level_seed"]
    episodes = episodes.sort_values(order, kind="stable")
    out: Numbers = {"episodes": len(episodes)}
    for (policy, name), part in episodes.groupby(["policy", "probe"], sort=True):
        for column in ("level_seed", "length"):
            values = part[column].to_numpy(dtype=np.int64)
            out[f"{policy} {name} {column}"] = digest(values)
        said = [
            part[column].astype("string").fillna("")
            for column in (
                "placement",
                "outcome",
                "death_cause",
                "coin_collected",
                "end_reached",
                "first",
            )
        ]
        out[f"{policy} {name} ends"] = digest(*(s.to_numpy() for s in said))
        out[f"{policy} {name} ret"] = plain(part["ret"].sum())
    numbers = ("value", "ci_low", "ci_high", "n")
    out |= rows(table(material.probed, "probes"), ["probe", "metric"], numbers)
    effects = table(material.probed, "counterfactual")
    out |= rows(effects, ["side", "distance", "metric"], numbers)
    return out


def influence(material: Material) -> Numbers:
    """Which states hold what a small policy does on others, over kept draws."""
    found = influence_of(material.traces, "others").table()
    columns = ("influence", "stderr", "correlation", "p_value")
    return rows(found[found["state"] < 8], ["state"], columns)


def susceptibility(material: Material) -> Numbers:
    """How the loss and an observable of a small policy answer to a tilt of the data."""
    found = {name: respond(material.traces, "others", name) for name in ("loss", "first")}
    return {
        f"{name} {key}": plain(value)
        for name, one in found.items()
        for key, value in one._asdict().items()
    }


def volume(material: Material) -> Numbers:
    """Shares of the localizer's mass that keep a small policy, and a goal of it."""
    torch.set_num_threads(1)
    given: dict[str, Any] = {"localization": 10.0, "directions": 64}
    sampling: dict[str, Any] = {"chains": 2, "draws": 100, "burn_in": 50}
    mlp, inputs = _mlp(), _normal((96, 4), 11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        policy = local_volume(mlp, inputs, (10.0, 100.0), **given, **sampling)
    columns = ["free_energy", "free_energy_stderr", "minus_log_share", "status"]
    out = rows(policy.round({"nbeta": 6}), ["nbeta", "method"], [*columns, "bias", "ess"])
    score = lambda net: net(inputs).mean(0)[0]  # noqa: E731
    goal = goal_volume(mlp, inputs, score, particles=16, **given)
    return out | rows(goal, ["keep", "method"], ["score", *columns[2:], "bias"])


def steering(material: Material) -> Numbers:
    """An agent steered along the direction of a coin, on states and in play."""
    name = material.agents[0].name
    run(material.place, f"steer {name} --levels 14 --controls 2 --probe behind")
    columns = ("value", "ci_low", "ci_high", "without", "n")
    return rows(table(material.agents[0], "steering"), ["probe", "metric", "change"], columns)


def compare(material: Material) -> Numbers:
    """Two agents on common states: how far apart they are, and what lies between them."""
    first, second = material.agents
    sizes = "--n-states 96 --points 3 --episodes 2 --clips 0 --seed 0"
    run(
        material.place,
        f"compare {first.name} {second.name} --coin end --coin behind {sizes} --out compare.html",
    )
    (path,) = first.glob("comparisons/*/comparison.json")
    reported = json.loads(path.read_text())
    numbers = dict(leaves({key: reported[key] for key in ("largest", "mean", "same_action")}))
    for line in reported["slices"]:
        measure = str(line["measure"])
        of = next((run for run in ("a", "b") if f"{run}@" in measure), measure)
        name = f"{line['kind']} {line['distance']:.4f} {of}"
        for column in ("value", "ci_low", "ci_high"):
            if line[column] is not None:
                numbers[f"{name} {column}"] = plain(line[column])
    return numbers


def covariates(material: Material) -> Numbers:
    """What is cheap to know of every checkpoint of the trained run."""
    columns = ("entropy", "weight_norm", "return", "step_kl")
    return rows(table(material.described, "covariates"), ["step"], columns)


def _of_seed_0(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows over all runs and of one run for each arm: enough, and a file of bearable size."""
    return frame[frame["run"].isin(["*", *(f"{arm}-s0" for arm in ARMS)])]


def transitions(material: Material) -> Numbers:
    """Change points, of the made-up study and of two series given to the function itself."""
    columns = ("step", "step_low", "step_high", "kind", "change")
    frame = table(material.study, "transitions")
    out: Numbers = {"found": len(frame)}
    out |= rows(_of_seed_0(frame), ["run", "series", "detector"], columns)
    rng = np.random.default_rng(4)
    steps = np.arange(40) * 1000.0
    noise = rng.normal(0, 0.3, 40)
    for name, course in (("flat", 0.0), ("two steps", 3.0 * (steps > 1e4) - 4.0 * (steps > 3e4))):
        for stderr in (None, np.full(40, 0.3)):
            found = detect_transitions(steps, course + noise, stderr)
            name_ = f"direct {name}{'' if stderr is None else ' stderr'}"
            out[f"{name_} found"] = len(found)
            out |= {
                f"{name_} {k}": v for k, v in rows(found, ["detector", "kind"], columns).items()
            }
    return out


def associations(material: Material) -> Numbers:
    """Links of LLC and probes, of the made-up study and by the function itself."""
    keys = ["run", "llc_series", "probe", "metric", "statistic"]
    columns = ("value", "lag", "p_value", "p_adjusted", "q_value", "n")
    frame = table(material.study, "associations")
    out: Numbers = {"rows": len(frame)}
    out |= rows(_of_seed_0(frame), keys, columns)
    tables = [table(material.study, name) for name in ("llc", "probes")]
    few = [t[t["run"].isin([f"{arm}-s{i}" for arm in ARMS for i in range(3)])] for t in tables]
    direct = associate(few[0][few[0]["reference"] == "self"], few[1][few[1]["probe"] == "behind"])
    direct = direct[direct["run"] == "*"]
    return out | {f"direct {k}": v for k, v in rows(direct, keys, columns).items()}


def predictions(material: Material) -> Numbers:
    """Whether the LLC foretells the goal, over seeds."""
    columns = ("rmse", "r2", "gain", "gain_low", "gain_high", "p_value", "p_adjusted", "q_value",
               "seeds", "n")  # fmt: skip
    keys = ["llc_series", "probe", "metric", "horizon", "model"]
    return rows(table(material.study, "predictions"), keys, columns)


def path_dependence(material: Material) -> Numbers:
    """Whether a seed's final goal shows early."""
    columns = ("accuracy", "chance", "p_value", "p_adjusted", "q_value", "n", "cut")
    frame = table(material.study, "path_dependence")
    return rows(frame, ["feature", "probe", "metric", "step"], columns)


def hypotheses(material: Material) -> Numbers:
    """What the study claims, and further pairs; and claims on seeds too many to try all orders."""
    columns = ("value", "ci_low", "ci_high", "p_value", "p_adjusted", "q_value", "n",
               "smallest_effect")  # fmt: skip
    out = rows(table(material.study, "hypotheses"), ["hypothesis"], columns)
    runs = sorted((write_study(material.place / "many", seeds=7) / "runs").iterdir())
    llc, probes = (pd.concat(table(run, name) for run in runs) for name in ("llc", "probes"))
    many = evaluate_hypotheses(llc, probes[probes["probe"] == "behind"], HYPOTHESES[:4])
    return out | {f"many {k}": v for k, v in rows(many, ["hypothesis"], columns).items()}


def staircase(material: Material) -> Numbers:
    """Loss and LLC to one fixed reference, along training."""
    columns = ("loss", "loss_stderr", "llc", "llc_stderr")
    frame = _of_seed_0(table(material.study, "staircase"))
    return rows(frame, ["run", "series", "step"], columns)


def report(material: Material) -> Numbers:
    """The numbers of each arm in the report of the made-up study, and between arms."""
    _ = material.study
    reported = json.loads((material.place / "study.json").read_text())
    numbers = dict(leaves({"arms": reported["arms"]}))
    for one in reported["comparisons"]:
        name = " ".join(str(one[key]) for key in ("kind", "name", "a", "b"))
        numbers |= {f"{name} {key}": plain(one[key]) for key in ("a_value", "b_value")}
    return numbers


# ---------------------------------------------------------------------------------------------
# Stages with the closeness that their numbers must have


@dataclass(frozen=True)
class Stage:
    """How a stage is measured, and how closely its floats must agree.

    Attributes:
        measure: the stage.
        relative: share by which a float may differ.
        absolute: or by how much.
        why: the reason for both.
        loose: larger shares, of the numbers whose names match these patterns.
    """

    measure: Callable[[Material], Numbers]
    relative: float = 0.0
    absolute: float = 0.0
    why: str = "integers and texts alone: equal everywhere"
    loose: Mapping[str, float] = field(default_factory=dict)

    def agree(self, name: str, old: Value, new: Value) -> bool:
        """Whether two values are the same: texts and integers exactly, floats by the rule."""
        if isinstance(old, str) or isinstance(new, str) or (type(old) is int and type(new) is int):
            return old == new
        shares = [share for pattern, share in self.loose.items() if fnmatch(name, pattern)]
        share = max([self.relative, *shares])
        return math.isclose(old, new, rel_tol=share, abs_tol=self.absolute)


ANALYSIS = "float64 and fixed draws: rounding alone"
FLOAT32 = "float32 sums depend on the processor's vector width"
SHORT = f"{FLOAT32}, and chains enlarge that; R-hat jumps where two draws of nearly one rank swap"
LONG = (
    f"{FLOAT32}: after hundreds of steps of HMC two processors' chains share no more than their "
    "mean, which is held to three of its standard errors; exact values are held closely"
)
SWAPS = {"* rhat": 0.02}
# A step follows the curvature where chains are. The error over states of few episodes in two short
# chains may be 0 on one processor and not on another.
NOISY = {
    "* step_size": 0.03, "* ess": 0.05, "* stderr": 0.02, "* llc_stderr": 0.02,
    "* llc_stderr_data": 0.05, "* stderr_data": 0.05, "* on-policy * llc_stderr_data": 1.0,
}  # fmt: skip

# Shares are some ten times what was seen between AVX-512, AVX2 and SSE alone, by the switches that
# torch, oneDNN, MKL, OpenBLAS and NumPy have for that, and some three times what was seen between
# an AMD and an Intel processor.
STAGES: dict[str, Stage] = {
    "levels": Stage(levels),
    "train": Stage(train, 1e-3, 1e-5, f"{FLOAT32}, and Adam enlarges it"),
    "states": Stage(states, 1e-5, 1e-6, FLOAT32),
    "llc": Stage(llc, 1e-3, 1e-5, SHORT, SWAPS | NOISY),
    "estimate": Stage(
        estimate, 2e-3, 1e-5, SHORT.replace("float32", "even float64"), SWAPS | NOISY
    ),
    "validate": Stage(
        validate,
        1e-4,
        1e-6,
        LONG,
        {"quadratic llc": 0.12, "tabular llc": 0.05},
    ),
    "calibrate": Stage(calibrate, 2e-3, 1e-5, SHORT, SWAPS | NOISY),
    "probe": Stage(probe, 1e-3, 1e-6, f"{FLOAT32}; episodes are those of fixed weights"),
    "influence": Stage(influence, 2e-3, 1e-8, SHORT),
    "susceptibility": Stage(susceptibility, 2e-3, 1e-6, SHORT),
    "volume": Stage(volume, 2e-3, 1e-5, SHORT),
    "steering": Stage(steering, 1e-3, 1e-6, f"{FLOAT32}; episodes are those of fixed weights"),
    "compare": Stage(compare, 1e-4, 1e-6, f"{FLOAT32}; differences of near numbers"),
    "covariates": Stage(covariates, 1e-3, 1e-6, f"{FLOAT32}, of a trained agent"),
    "transitions": Stage(transitions, 1e-6, 1e-9, ANALYSIS),
    "associations": Stage(associations, 1e-6, 1e-9, ANALYSIS),
    "predictions": Stage(predictions, 1e-6, 1e-9, ANALYSIS),
    "path_dependence": Stage(path_dependence, 1e-6, 1e-9, ANALYSIS),
    "hypotheses": Stage(hypotheses, 1e-6, 1e-9, ANALYSIS),
    "staircase": Stage(staircase, 1e-6, 1e-9, ANALYSIS),
    "report": Stage(report, 1e-6, 1e-9, ANALYSIS),
}


def read_golden() -> dict[str, dict[str, Any]]:
    """What `golden.json` holds: version, rule and numbers of each stage."""
    known: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    return known


def entry(stage: str, numbers: Numbers) -> dict[str, Any]:
    """What `golden.json` says of a stage."""
    rule = STAGES[stage]
    return {
        "version": stage_version(stage),
        "rule": {
            "relative": rule.relative,
            "absolute": rule.absolute,
            "loose": dict(rule.loose),
            "why": rule.why,
        },
        "numbers": numbers,
    }


def differences(old: Mapping[str, Value], new: Mapping[str, Value], rule: Stage) -> list[str]:
    """One line for every number that moved, appeared or went."""
    out = []
    for key in [*old, *(k for k in new if k not in old)]:
        if key not in new:
            out.append(f"{key}: was {old[key]}, is gone")
        elif key not in old:
            out.append(f"{key}: is {new[key]}, was not there")
        elif not rule.agree(key, old[key], new[key]):
            out.append(f"{key}: was {old[key]}, is {new[key]}")
    return out


def check(stage: str, golden: Mapping[str, Mapping[str, Any]], numbers: Numbers) -> str | None:
    """What is wrong with a stage's numbers or version, in words; None where nothing is."""
    again = f"`python tests/golden/measure.py --write {stage}`"
    if stage not in golden:
        return f"golden.json has no stage {stage!r}: {again} adds it"
    moved = differences(golden[stage]["numbers"], numbers, STAGES[stage])
    was, now = golden[stage]["version"], stage_version(stage)
    reported = "\n".join([f"  {line}" for line in moved[:40]] + ["  ..."] * (len(moved) > 40))
    if was != now:
        return (
            f"{stage}: the version is {now}, golden.json was written at {was}, with {len(moved)} "
            f"of {len(numbers)} numbers different now: {again} writes the new ones\n{reported}"
        )
    if moved:
        return (
            f"{stage}: {len(moved)} of {len(numbers)} numbers moved and the version ({now}) did "
            f"not. Where that was meant, raise the stage's version and run {again}; else it is a "
            f"mistake.\n{reported}"
        )
    return None


def write(measured: Mapping[str, Numbers]) -> None:
    """Put these stages into `golden.json`; the others stay as they are."""
    known = read_golden() | {name: entry(name, numbers) for name, numbers in measured.items()}
    ordered = {name: known[name] for name in STAGES if name in known}
    GOLDEN.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")


def main() -> int:
    """Compare, or write with `--write`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--write", action="store_true", help="rewrite golden.json")
    parser.add_argument("--time", action="store_true", help="print the seconds of each stage")
    given = parser.parse_args()
    if unknown := set(given.stages) - set(STAGES):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}; allowed: {', '.join(STAGES)}")
    golden, measured, wrong = read_golden(), {}, 0
    with tempfile.TemporaryDirectory() as place:
        material = Material(Path(place))
        for name in given.stages or STAGES:
            begun = time.monotonic()
            measured[name] = STAGES[name].measure(material)
            if given.time:
                seconds = time.monotonic() - begun
                print(f"{name}: {len(measured[name])} numbers, {seconds:.1f} s", flush=True)
            if not given.write and (message := check(name, golden, measured[name])):
                print(message)
                wrong += 1
    if given.write:
        write(measured)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Counterfactual and internal probes of a checkpoint, on states shared by all checkpoints."""

from __future__ import annotations

import dataclasses
import zipfile
from functools import lru_cache
from pathlib import Path

import pandas as pd

from agents import load_policy, write_bytes
from analysis import probes
from analysis.probes import MIN_LEVELS
from analysis.schema import conform, empty
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.store import UnitStore
from rl_slt.pipeline.stages.probe.work_item import ProbeUnit
from rl_slt.versions import STAGES

KIND = "inner"  # of the units' store


def has_inner(unit: ProbeUnit) -> bool:
    """Whether these probes are made, or not asked for."""
    return not unit.states or UnitStore(Path(unit.run), KIND).has(unit.inner_key)


def make_inner(unit: ProbeUnit) -> None:
    """Make both probes of a checkpoint and store their rows (called on a worker)."""
    store = UnitStore(Path(unit.run), KIND)
    if has_inner(unit):
        return
    policy = load_policy(Path(unit.checkpoint))
    states = shared_states(unit)
    name = Path(unit.run).name
    table = probes.run_counterfactual(policy, states, run=name, step=unit.step)
    rows = [probes.counterfactual_rows(table)]
    if unit.states >= MIN_LEVELS:
        readout = probes.run_readout(policy, states)
        rows.append(probes.readout_rows(readout, run=name, step=unit.step))
    found = {
        "probes": conform("probes", pd.concat(rows, ignore_index=True)),
        "counterfactual": probes.distance_rows(table),
    }
    version = STAGES["fixed_states"]
    store.put(unit.inner_key, {k: frame.assign(version=version) for k, frame in found.items()})


def collect_states(unit: ProbeUnit) -> None:
    """Collect the states of these probes where they are not yet (called on a worker)."""
    if unit.states:
        shared_states(unit)


def shared_states(unit: ProbeUnit) -> probes.CounterfactualStates:
    """The states, from the cache file where they were collected before."""
    return _states(unit.states_file, unit.suite, unit.states)


@lru_cache(maxsize=2)
def _states(file: str, suite: probes.ProbeSuite, n: int) -> probes.CounterfactualStates:
    path = Path(file)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _collected(suite, n).to_bytes())
    try:
        return probes.CounterfactualStates.from_bytes(path.read_bytes())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to make it anew") from None


def _collected(suite: probes.ProbeSuite, n: int) -> probes.CounterfactualStates:
    return probes.counterfactual_states(dataclasses.replace(suite, n_levels=n))


def inner_tables(run: Path, keys: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `probes` and `counterfactual` over those of the units that are finished."""
    store = UnitStore(run, KIND)
    done = [key for key in dict.fromkeys(keys) if store.has(key)]
    return tuple(  # type: ignore[return-value]
        pd.concat(frames, ignore_index=True) if frames else empty(name)
        for name in ("probes", "counterfactual")
        for frames in ([store.read_unit(key, name) for key in done],)
    )

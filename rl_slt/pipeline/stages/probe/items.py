"""The work items of the probe stage: a checkpoint and its probes, and what its worker does."""

from __future__ import annotations

import datetime
import shutil
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from agents import load_policy, make_folder, write_bytes
from analysis import probes
from analysis.schema import conform
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.store import ItemStore, digest
from rl_slt.versions import STAGES, version_key

PARTS = 4  # in which the baselines are played, side by side
_PART = "baseline_parts"


@dataclass(frozen=True)
class ProbeItem:
    """The probes of one checkpoint, a `WorkItem`.

    Attributes:
        run: folder of the run.
        step: environment steps of the checkpoint.
        checkpoint: its folder.
        weights: hash of its policy.
        suite: of the rollout probes.
        seed: of their action noise.
        states: held-out levels behind the fixed-state probes, 0 for none.
        states_file: where these states are kept.
    """

    run: str
    step: int
    checkpoint: str
    weights: str
    suite: probes.ProbeSuite
    seed: int
    states: int = 0
    states_file: str = ""

    @property
    def key(self) -> str:
        """Hash of everything that the episodes depend on."""
        return digest([version_key("probe"), self.weights, self.suite, self.seed])

    @property
    def setting(self) -> str:
        """Hash of the settings alone, the `setting_id`; and the key of the baselines' episodes."""
        return digest([version_key("probe"), "baselines", self.suite, self.seed])

    @property
    def parts(self) -> int:
        """In how many parts of the levels the baselines are played."""
        return min(PARTS, self.suite.n_levels)

    def part_key(self, part: int) -> str:
        """The key of a part of the baselines' episodes."""
        return f"{self.setting}-{part}"

    @property
    def fixed_states_key(self) -> str:
        """Hash of everything that the fixed-state probes depend on."""
        return digest([self.weights, self.fixed_states_setting])

    @property
    def fixed_states_setting(self) -> str:
        """Hash of their settings alone, the `setting_id` of their rows."""
        return states_key(self.suite, self.states)

    @property
    def film_key(self) -> str:
        """Hash of everything that the clips depend on."""
        return digest([version_key("clips"), self.key])

    @property
    def label(self) -> str:
        """What it is called in front of people."""
        return f"probes of {Path(self.run).name} at step {self.step}"

    def store(self, kind: str) -> ItemStore:
        """The run's finished items: `probe`, `baselines`, `layouts` or `fixed_states`."""
        return ItemStore(Path(self.run), kind)

    @property
    def has_fixed_states(self) -> bool:
        """Whether the fixed-state probes are finished, or not asked for."""
        return not self.states or self.store("fixed_states").has(self.fixed_states_key)

    @property
    def is_done(self) -> bool:
        """Whether all probes of the checkpoint are finished."""
        return self.store("probe").has(self.key) and self.has_fixed_states


def states_file(cache: Path, suite: probes.ProbeSuite, n: int) -> str:
    """Where the states on the first n levels of a suite are kept."""
    return str(cache / f"probe-{states_key(suite, n)}.npz")


def states_key(suite: probes.ProbeSuite, n: int) -> str:
    """Hash of everything that the states of the fixed-state probes depend on."""
    first = [suite.levels[0], n, suite.met]
    return digest([version_key("fixed_states"), suite.settings.as_dict(), *first])


def make(item: ProbeItem) -> None:
    """Probe one checkpoint and store its episodes and scores (called on a worker)."""
    policy, name = load_policy(Path(item.checkpoint)), Path(item.run).name
    store = item.store("probe")
    if not store.has(item.key):
        baselines = item.store("baselines").read_item(item.setting, "episodes")
        episodes = probes.run_suite(policy, item.suite, seed=item.seed, run=name, step=item.step)
        scores = probes.score_episodes(episodes, baselines)
        same = _origin(item.setting, "probe")
        tables = {"episodes": episodes.assign(**same), "probes": scores.assign(**same)}
        store.put(item.key, tables)
    if not item.has_fixed_states:
        states = shared_states(item.states_file, item.suite, item.states)
        table = probes.run_counterfactual(policy, states, run=name, step=item.step)
        rows = [probes.counterfactual_rows(table)]
        if item.states >= probes.MIN_LEVELS:
            readout = probes.run_linear_probe(policy, states)
            rows.append(probes.linear_probe_rows(readout, run=name, step=item.step))
        found = {
            "probes": conform("probes", pd.concat(rows, ignore_index=True)),
            "counterfactual": probes.distance_rows(table),
        }
        same = _origin(item.fixed_states_setting, "fixed_states")
        found = {k: frame.assign(**same) for k, frame in found.items()}
        item.store("fixed_states").put(item.fixed_states_key, found)


def _origin(setting: str, stage: str) -> dict[str, Any]:
    """The columns that say under which setting rows were made, when, and by what version."""
    now = datetime.datetime.now().isoformat(timespec="microseconds")
    return {"setting_id": setting, "created": now, "version": STAGES[stage]}


def make_baselines(item: ProbeItem, part: int) -> None:
    """Play the baselines on a part of the levels and store their episodes (called on a worker)."""
    episodes = probes.run_baselines(item.suite.part(part, item.parts), seed=item.seed)
    episodes = episodes.assign(setting_id=item.setting, version=STAGES["probe"])
    item.store(_PART).put(item.part_key(part), {"episodes": episodes})


def missing_parts(item: ProbeItem) -> list[int]:
    """The parts of the baselines that are to be played."""
    return [k for k in range(item.parts) if not item.store(_PART).has(item.part_key(k))]


def join_baselines(item: ProbeItem) -> None:
    """Store the baselines' episodes on all levels, where all parts of them are there."""
    if missing_parts(item):
        return
    store, keys = item.store(_PART), [item.part_key(part) for part in range(item.parts)]
    episodes = pd.concat([store.read_item(key, "episodes") for key in keys])
    blocks = episodes.groupby(["policy", "probe"], sort=False)  # the order of one go
    whole = pd.concat([block for _, block in blocks], ignore_index=True)
    item.store("baselines").put(item.setting, {"episodes": whole})
    for key in keys:
        shutil.rmtree(store.root / key, ignore_errors=True)


def look_up_layouts(item: ProbeItem) -> None:
    """Store which share of the probe levels is held out by seed alone (called on a worker)."""
    rows = probes.met_rows(item.suite).assign(**_origin(item.setting, "levels"))
    item.store("layouts").put(item.setting, {"probes": rows})


def collect_states(item: ProbeItem) -> None:
    """Collect the states of the fixed-state probes where they are not yet (called on a worker)."""
    shared_states(item.states_file, item.suite, item.states)


@lru_cache(maxsize=2)
def shared_states(file: str, suite: probes.ProbeSuite, n: int) -> probes.FixedStates:
    """The states on the first n levels of a suite, from the file if they were collected before.

    Raises:
        InputError: the file does not read; it is named.
    """
    path = Path(file)
    if not path.exists():
        make_folder(path.parent)
        write_bytes(path, probes.collect_fixed_states(suite.replace(n_levels=n)).to_bytes())
    try:
        return probes.FixedStates.from_bytes(path.read_bytes())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to make it again") from None

"""Clips of a checkpoint on held-out levels, for the report."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from agents import atomic_dir, load_policy, read_json_object, write_json
from analysis import probes
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import UnitStore
from rl_slt.pipeline.stages.probe.work_item import ProbeUnit

_COMMON = "common"
_FILMS = 3
_SCALE = 3
_FIRST = {
    "coin": "the coin first", "end": "the end first", "neither": "neither coin nor end",
}  # fmt: skip


class Scene(NamedTuple):
    """One episode to film."""

    which: str  # common, typical or surprising
    placement: str
    level: int
    title: str


def has_clips(unit: ProbeUnit) -> bool:
    """Whether the clips of this very checkpoint and suite are there."""
    return (_folder(unit) / "unit.json").exists() and _known(unit) == unit.film_key


def make_clips(unit: ProbeUnit) -> None:
    """Film the checkpoint on a few probe levels (called on a worker).

    Every run is filmed on the first level of the same probes, so that the films of two arms can be
    compared, and on levels of its own where it did what it mostly does and what it rarely does.
    """
    policy = load_policy(Path(unit.checkpoint))
    with atomic_dir(_folder(unit)) as folder:
        records = [_film(unit, policy, scene, folder) for scene in _scenes(unit)]
        write_json(folder / "clips.json", records)
        write_json(folder / "unit.json", {"key": unit.film_key})


def _scenes(unit: ProbeUnit) -> Iterator[Scene]:
    """What to film: common levels, then a typical and a surprising one of the sharpest probe."""
    chosen = [p for p in probes.FILMED if p in unit.suite.placements][:_FILMS]
    level = unit.suite.seeds[0]
    yield from (Scene(_COMMON, p, level, "") for p in chosen)
    store = UnitStore(Path(unit.run), "probe")
    if not chosen or not store.has(unit.key):
        return
    seen: set[str] = set()
    for pick in probes.pick_levels(store.read_unit(unit.key, "episodes"), chosen[0]):
        if pick.which not in seen and pick.level_seed != level:
            seen.add(pick.which)
            title = f"{_FIRST[pick.first]} on {pick.share:.0%} of this agent's levels"
            yield Scene(pick.which, chosen[0], pick.level_seed, title)


def _film(unit: ProbeUnit, policy: nn.Module, scene: Scene, folder: Path) -> dict[str, Any]:
    """Write film and strip of a scene; what `clips.json` tells of them."""
    clip = probes.render_clip(
        policy, scene.placement, scene.level, unit.suite, seed=unit.seed, scale=_SCALE,
        title=scene.title,
    )  # fmt: skip
    name = f"{unit.step:012d}-{scene.placement.replace('@', '-')}-{scene.level}"
    (folder / f"{name}.gif").write_bytes(clip.gif)
    strip = io.BytesIO()
    clip.strip.save(strip, format="PNG")
    (folder / f"{name}.png").write_bytes(strip.getvalue())
    return {
        "file": f"{name}.gif",
        "strip": f"{name}.png",
        "step": unit.step,
        "which": scene.which,
        "probe": scene.placement,
        "placement": scene.placement,
        "level_seed": scene.level,
        "outcome": clip.outcome,
        "first": clip.first,
        "caption": clip.caption,
    }


def _folder(unit: ProbeUnit) -> Path:
    return Run(Path(unit.run)).path / "clips"


def _known(unit: ProbeUnit) -> str:
    try:
        return str(read_json_object(_folder(unit) / "unit.json").get("key"))
    except InputError:
        return ""

"""Clips of a checkpoint on held-out levels, and its field on one of them, for the report."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from agents import Run, atomic_dir, load_policy, read_json_object, write_json
from analysis import FIELD_COINS, draw_fields, policy_field, probes
from rl_slt.errors import InputError
from rl_slt.pipeline.stages.probe.items import ProbeItem

_COMMON = "common"
_FILMS = 3
_SCALE = 3
_FIELD, _DPI = "field", 80
_FIRST = {
    "coin": "the coin first", "end": "the end first", "neither": "neither coin nor end",
}  # fmt: skip


class Scene(NamedTuple):
    """One episode to film."""

    which: str  # common, typical or surprising
    placement: str
    level: int
    title: str


def has_clips(item: ProbeItem) -> bool:
    """Whether the clips of this very checkpoint and suite are there."""
    try:
        return read_json_object(_folder(item) / "item.json").get("key") == item.film_key
    except InputError:  # not there, or damaged
        return False


def make_clips(item: ProbeItem) -> None:
    """Film the checkpoint on a few probe levels (called on a worker).

    Every run is filmed on the first level of the same probes, so that the films of two arms can be
    compared, and on levels of its own where it did what it mostly does and what it rarely does.
    """
    policy = load_policy(Path(item.checkpoint))
    with atomic_dir(_folder(item)) as folder:
        records = [_film(item, policy, scene, folder) for scene in _scenes(item)]
        records.append(_field(item, policy, folder))
        write_json(folder / "clips.json", records)
        write_json(folder / "item.json", {"key": item.film_key})


def _scenes(item: ProbeItem) -> Iterator[Scene]:
    """What to film: common levels, then a typical and a surprising one of the sharpest probe."""
    chosen = [p for p in probes.FILMED if p in item.suite.placements][:_FILMS]
    level = item.suite.seeds[0]
    yield from (Scene(_COMMON, p, level, "") for p in chosen)
    store = item.store("probe")
    if not chosen or not store.has(item.key):
        return
    seen: set[str] = set()
    for pick in probes.pick_levels(store.read_item(item.key, "episodes"), chosen[0]):
        if pick.which not in seen and pick.level_seed != level:
            seen.add(pick.which)
            title = f"{_FIRST[pick.first]} on {pick.share:.0%} of this agent's levels"
            yield Scene(pick.which, chosen[0], pick.level_seed, title)


def _film(item: ProbeItem, policy: nn.Module, scene: Scene, folder: Path) -> dict[str, Any]:
    """Write film and strip of a scene; its record in `clips.json`."""
    clip = probes.render_clip(
        policy, scene.placement, scene.level, item.suite, seed=item.seed, scale=_SCALE,
        title=scene.title,
    )  # fmt: skip
    name = f"{item.step:012d}-{scene.placement.replace('@', '-')}-{scene.level}"
    (folder / f"{name}.gif").write_bytes(clip.gif)
    strip = io.BytesIO()
    clip.strip.save(strip, format="PNG")
    (folder / f"{name}.png").write_bytes(strip.getvalue())
    return {
        "file": f"{name}.gif",
        "strip": f"{name}.png",
        "step": item.step,
        "which": scene.which,
        "probe": scene.placement,
        "placement": scene.placement,
        "level_seed": scene.level,
        "outcome": clip.outcome,
        "first": clip.first,
        "caption": clip.caption,
    }


def _field(item: ProbeItem, policy: nn.Module, folder: Path) -> dict[str, Any]:
    """Write the policy's field on the level of the common films; its record in `clips.json`."""
    level, settings = item.suite.seeds[0], item.suite.settings
    field = policy_field(policy, level, FIELD_COINS, settings)
    figure = draw_fields({f"step {item.step:,}": field}, level, settings)
    name = f"{item.step:012d}-field.png"
    figure.savefig(folder / name, format="png", dpi=_DPI)
    return {"strip": name, "step": item.step, "which": _FIELD, "level_seed": level}


def _folder(item: ProbeItem) -> Path:
    return Run(Path(item.run)).path / "clips"

"""Clips of a checkpoint on held-out levels, for the report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from agents import load_policy
from agents.files import new_dir, publish_dir, write_json
from analysis import probes
from rl_slt.errors import InputError
from rl_slt.pipeline.layout import Run, read_json_object
from rl_slt.pipeline.probe_unit import ProbeUnit

WANTED = ("behind", "ground", "end", "none")  # the first that a suite has are filmed
_FILMS = 3
_SCALE = 3


def has_clips(unit: ProbeUnit) -> bool:
    """Whether the clips of this very checkpoint and suite are there."""
    return (_folder(unit) / "unit.json").exists() and _known(unit) == unit.key


def make_clips(unit: ProbeUnit) -> None:
    """Film the checkpoint on the first level of a few probes (called on a worker).

    Every run is filmed on the same levels, so that the films of two arms can be compared.
    """
    policy = load_policy(Path(unit.checkpoint))
    chosen = [p for p in WANTED if p in unit.suite.placements][:_FILMS]
    folder = new_dir(_folder(unit))
    told: list[dict[str, Any]] = []
    for placement in chosen:
        level = unit.suite.seeds[0]
        clip = probes.render_clip(
            policy, placement, level, unit.suite, seed=unit.seed, scale=_SCALE
        )
        name = f"{unit.step:012d}-{placement.replace('@', '-')}-{level}"
        (folder / f"{name}.gif").write_bytes(clip.gif)
        strip = io.BytesIO()
        clip.strip.save(strip, format="PNG")
        (folder / f"{name}.png").write_bytes(strip.getvalue())
        told.append(
            {
                "file": f"{name}.gif",
                "strip": f"{name}.png",
                "step": unit.step,
                "probe": placement,
                "placement": placement,
                "level_seed": level,
                "outcome": clip.outcome,
                "first": clip.first,
                "caption": clip.caption,
            }
        )
    write_json(folder / "clips.json", told)
    write_json(folder / "unit.json", {"key": unit.key})
    publish_dir(folder, _folder(unit))


def _folder(unit: ProbeUnit) -> Path:
    return Run(Path(unit.run)).path / "clips"


def _known(unit: ProbeUnit) -> str:
    try:
        return str(read_json_object(_folder(unit) / "unit.json").get("key"))
    except InputError:
        return ""

"""Short films of single probe episodes, and which episodes are worth looking at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from analysis.probes.actors import Actions, BatchStep, network_actor
from analysis.probes.rollout import rollout, shared_noise
from analysis.probes.suite import ProbeSuite
from envs import COLORS, Task, evenly_spaced, film_strip, gif_bytes, render_frame

OUTCOMES = {
    "coin": "got the coin", "end": "reached the end", "death": "died", "timeout": "ran out of time",
}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """One episode to look at.

    Attributes:
        frames: `[T, 64, 64, 3]` as the policy saw them, the last one as it acted last.
        strip: film strip of a few frames with captions.
        gif: moving picture.
        outcome: `coin`, `end`, `death` or `timeout`.
        first: what was reached first: `coin`, `end` or `neither`.
        length: environment steps.
        caption: one line of text.
    """

    frames: NDArray[np.uint8]
    strip: Image.Image
    gif: bytes
    outcome: str
    first: str
    length: int
    caption: str


def render_clip(
    policy: torch.nn.Module,
    placement: str,
    level_seed: int,
    suite: ProbeSuite,
    *,
    seed: int = 0,
    scale: int = 4,
    n_frames: int = 8,
    max_gif_frames: int = 120,
    title: str = "",
) -> Clip:
    """Plays one level and draws what happened; the same episode as `run_suite` plays there.

    Args:
        policy: from uint8 frames to logits or (logits, values).
        placement: of coin and start, as text.
        level_seed: the level.
        suite: time limit, mode and look of the levels.
        seed: of the action noise, as given to `run_suite`.
        scale: enlargement of the frames.
        n_frames: pictures in the strip.
        max_gif_frames: longer episodes are shown with frames left out.
        title: put before the caption.
    """
    shots: list[_Shot] = []

    def keep(step: BatchStep, actions: Actions) -> None:
        agent, coin = step.info("agent_xy")[0], step.info("coin_xy")[0]
        cell = (int(coin[0]), int(coin[1])) if coin[0] >= 0 else None
        shots.append(_Shot(step.obs[0].copy(), agent, cell, int(step.info("end_x")[0])))

    tasks, noise = ([Task(placement, level_seed, suite.time_limit)],
                    shared_noise([level_seed], suite.time_limit, seed))  # fmt: skip
    row = rollout(
        network_actor(policy, suite.mode), tasks, suite.settings, noise, every_step=True,
        on_step=keep,
    ).table.iloc[0]  # fmt: skip
    frames = np.stack([shot.frame for shot in shots])
    outcome, first = str(row["outcome"]), str(row["first"])
    ending = "got the coin at the end" if (outcome, first) == ("coin", "end") else OUTCOMES[outcome]
    caption = (
        f"{title + ': ' if title else ''}{placement}, level {level_seed}: "
        f"{ending} after {row['length']} steps"
    )
    chosen = evenly_spaced(n_frames, len(frames))
    labels = [f"step {i}" for i in chosen[:-1]] + [f"step {chosen[-1]}: {ending}"]
    shown = range(0, len(frames), -(-len(frames) // max_gif_frames))

    def picture(index: int) -> Image.Image:
        frame, agent, coin, end_x = shots[index]
        return render_frame(frame, agent, coin, end_x, scale)

    return Clip(
        frames=frames,
        strip=film_strip([*map(picture, chosen)], labels, caption, COLORS[outcome]),
        gif=gif_bytes([*map(picture, [*shown, len(frames) - 1])], COLORS[outcome]),
        outcome=outcome, first=first, length=int(row["length"]), caption=caption,
    )  # fmt: skip


class _Shot(NamedTuple):
    """One step: the frame, and where agent, coin and the level's end are."""

    frame: NDArray[np.uint8]
    agent: NDArray[np.float32]
    coin: tuple[int, int] | None
    end_x: int


class Pick(NamedTuple):
    """A level worth a clip."""

    which: str  # typical or surprising
    level_seed: int
    first: str  # what the agent reached first there: coin, end or neither
    share: float  # of the probe's levels on which it was that


def pick_levels(episodes: pd.DataFrame, probe: str, n: int = 2) -> Iterator[Pick]:
    """Levels worth a clip: n `typical` ones and n `surprising` ones.

    Typical: what came first is what most often came first; of these the ones of median length.
    Surprising: what came first is what most rarely came first (if more than one thing did).
    """
    part = episodes[(episodes["probe"] == probe) & (episodes["policy"] == "agent")]
    counts = part["first"].value_counts()
    if counts.empty:
        return
    wanted = [("typical", counts.index[0])]
    if len(counts) > 1:
        wanted.append(("surprising", counts.index[-1]))
    for which, first in wanted:
        some = part[part["first"] == first]
        distance = (some["length"] - some["length"].median()).abs().astype(float)
        for level in some.loc[distance.sort_values(kind="stable").index[:n], "level_seed"]:
            yield Pick(which, int(level), str(first), len(some) / len(part))

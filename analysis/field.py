"""A policy's direction at every cell of a level: what rollouts need clips for, at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from envs import (
    DIRECTION,
    JUMP,
    LEFT_JUMP,
    RIGHT_JUMP,
    LevelSettings,
    coins_of,
    logits_of,
    render_states,
    standing_states,
    whole_level,
)

CELL = 8  # pixels a cell in pictures of whole levels
INCH = 0.03  # of a figure, a pixel
FIELD_COINS = ("end", "behind", "none")
"""Placements that a field is drawn for where none is given."""
JUMPS = (LEFT_JUMP, JUMP, RIGHT_JUMP)


def policy_field(
    policy: torch.nn.Module,
    level: int,
    coins: Sequence[str],
    settings: LevelSettings,
    game: str = "coinrun",
) -> pd.DataFrame:
    """What a policy would do at every cell of a level where it can stand, the coin here or there.

    The agent is put to rest at each cell of the fresh level, and the coin where each placement has
    it; nothing else differs.

    Args:
        policy: from frames uint8 `[B, 64, 64, 3]` to logits `[B, 15]`, or to (logits, values).
        level: its seed.
        coins: placements of the coin; where they start the agent does not matter.
        settings: what levels contain.
        game: whose level it is.

    Returns:
        A row per placement and cell: coin, x, y (of the cell), right (probability of actions that
        push to the right less that of those to the left), up (probability of jumps) and value (NaN
        without a value head).

    Raises:
        InputError: a mixture of placements, or one that the level does not allow.
    """
    parts = []
    for coin in coins:
        states = standing_states(level, coin, settings, game)
        frames = torch.from_numpy(render_states([*states.values()], settings))
        with torch.no_grad():
            out = policy(frames)
        p = logits_of(out).double().softmax(-1).cpu().numpy()
        values = out[1].cpu().numpy() if isinstance(out, tuple) else np.full(len(p), np.nan)
        x, y = np.array([*states]).T
        rows = {"coin": coin, "x": x, "y": y, "right": p @ DIRECTION, "up": p[:, JUMPS].sum(1)}
        parts.append(pd.DataFrame(rows | {"value": values}))
    return pd.concat(parts, ignore_index=True)


def draw_fields(
    fields: Mapping[str, pd.DataFrame],
    level: int,
    settings: LevelSettings,
    game: str = "coinrun",
) -> Figure:
    """Fields of policies side by side, a row for each placement of the coin.

    An arrow's length is how sure the direction is (a cell wide: always), its color the value.

    Args:
        fields: of `policy_field` on the same level and coins, by the policy's name.
        level: its seed.
        settings: what levels contain.
        game: whose level it is.
    """
    coins = [*dict.fromkeys(next(iter(fields.values()))["coin"])]
    values = np.concatenate([field["value"].to_numpy(float) for field in fields.values()])
    known = not np.isnan(values).all()
    norm = Normalize(np.nanmin(values), np.nanmax(values)) if known else None
    pictures = {coin: _stage(level, coin, settings, game) for coin in coins}
    height, width, _ = next(iter(pictures.values()))[0].shape
    size = (width * INCH * len(fields) + 1, (height * INCH + 0.5) * len(coins) + 0.3)
    figure = Figure(figsize=size, layout="compressed")
    axes = figure.subplots(len(coins), len(fields), squeeze=False)
    for row, (coin, (picture, title)) in zip(axes, pictures.items(), strict=True):
        for ax, (name, field) in zip(row, fields.items(), strict=True):
            part = field[field["coin"] == coin]
            ax.imshow(picture, extent=(0, width / CELL, 0, height / CELL), alpha=0.4)
            arrows = ax.quiver(
                part["x"] + 0.5, part["y"] + 0.5, part["right"], part["up"],
                *((part["value"],) if known else ()), norm=norm, cmap="viridis", angles="xy",
                scale_units="xy", scale=1, width=0.15, units="xy",
            )  # fmt: skip
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"{name}, {title}", fontsize=9, loc="left")
    if known:
        figure.colorbar(arrows, ax=axes, label="value", pad=0.01)
    return figure


def _stage(
    level: int, coin: str, settings: LevelSettings, game: str
) -> tuple[NDArray[np.uint8], str]:
    """The picture of a level, up to a jump above the highest cell to stand in, and its title."""
    states = standing_states(level, coin, settings, game)
    state = next(iter(states.values()))
    rows = (max(y for _, y in states) + 4) * CELL
    where = ", ".join(f"column {x}" for x, _ in coins_of(state))
    title = f"coin {coin}: {where}" if where else "no coin"
    return np.asarray(whole_level(state, settings))[-rows:], title

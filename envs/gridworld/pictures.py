"""Pictures of the gridworld: a level as pixels, a policy as arrows, its value as color."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.gridworld.layouts import ACTIONS
from rl_slt import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from envs.gridworld.grid import CheeseGrid

CELL = 24  # pixels
FREE, WALL, LINE = (245, 244, 240), (70, 72, 80), (215, 213, 205)
CORNER, CHEESE, MOUSE = (214, 228, 245), (236, 178, 46), (110, 104, 120)
MOST = 36  # levels in one figure


def pixels(observation: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """A level as a policy sees it: cheese a square, mouse a disc, the corner tinted.

    Args:
        observation: of `CheeseGrid.observations`, `[F]`.
        size: cells in a row, k.

    Returns:
        Picture uint8 `[24 k, 24 k, 3]`.
    """
    planes = observation.reshape(-1, size, size)[:, ::-1]  # rows from the top
    colors = np.full((size, size, 3), FREE, np.uint8)
    colors[0, -1] = CORNER
    if len(planes) == 3:
        colors[planes[2] > 0] = WALL
    picture = colors.repeat(CELL, axis=0).repeat(CELL, axis=1)
    picture[::CELL], picture[:, ::CELL] = LINE, LINE
    y, x = np.mgrid[:CELL, :CELL] - (CELL - 1) / 2
    square, disc = np.maximum(abs(x), abs(y)) < CELL * 0.3, np.hypot(x, y) < CELL * 0.22
    for plane, shape, color in ((planes[1], square, CHEESE), (planes[0], disc, MOUSE)):
        for row, column in np.argwhere(plane > 0):
            cell = picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            cell[shape] = color
    return picture


def plot_policy(
    grid: CheeseGrid, policy: nn.Module, levels: Sequence[int] | None = None, title: str = ""
) -> Figure:
    """Levels with the policy as arrows and its value as color.

    Each arrow is as long as the probability of its move; the color is the expected discounted
    return from the cell, 0 to 1. The cheese is a square, the corner has a blue frame.

    Args:
        grid: the levels.
        policy: from states `[..., F]` to logits `[..., 4]`.
        levels: numbers of the levels to show; None is at most 36, evenly among all.
        title: of the figure.

    Raises:
        InputError: more than 36 levels, none, or one that there is not.
    """
    import torch
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from envs.policies import logits_of

    if levels is None:
        places = np.linspace(0, len(grid.levels) - 1, min(MOST, len(grid.levels)))
        levels = np.unique(places.round().astype(int)).tolist()
    if not 1 <= len(levels) <= MOST or not set(levels) <= set(range(len(grid.levels))):
        known = f"1 to {MOST} of the levels 0 to {len(grid.levels) - 1}"
        raise InputError.of("levels", list(levels), known)
    with torch.no_grad():
        logits = logits_of(policy(torch.from_numpy(grid.observations)))
        probs, value = logits.double().softmax(-1).numpy(), grid.mdp.value(logits.double()).numpy()
    columns = grid.size if len(levels) % grid.size == 0 else min(6, len(levels))
    rows = -(-len(levels) // columns)
    figure = Figure(figsize=(1.6 * columns + 0.8, 1.6 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)[::-1].ravel()  # the first at the bottom
    mesh = None
    for panel, number in zip(axes, levels, strict=False):
        layout, (x, y) = grid.layout(number), grid.cheese(number)
        size = layout.size
        shown = np.where(layout.free, value[number].reshape(size, size), np.nan)
        shown[y, x] = np.nan
        mesh = panel.imshow(shown, origin="lower", vmin=0, vmax=1, cmap="viridis")
        for cell in np.argwhere(~layout.free):
            panel.add_patch(Rectangle(cell[::-1] - 0.5, 1, 1, color=np.array(WALL) / 255))
        panel.add_patch(Rectangle((x - 0.35, y - 0.35), 0.7, 0.7, color=np.array(CHEESE) / 255))
        panel.add_patch(Rectangle((size - 1.45, size - 1.45), 0.9, 0.9, fill=False,
                                  edgecolor="#2f6fde", linewidth=1.6))  # fmt: skip
        from_cells = [s for s in layout.states if s != grid.levels[number].cheese]
        at = np.array([layout.cell(s) for s in from_cells])
        for action, move in enumerate(ACTIONS.values()):
            reach = 0.48 * probs[number, from_cells, action][:, None] * np.array(move)
            panel.quiver(*at.T, *reach.T, angles="xy", scale_units="xy", scale=1, color="white",
                         width=0.022, headwidth=4, headlength=4, headaxislength=3.5,
                         minlength=0.1)  # fmt: skip
    for panel in axes:
        panel.set_axis_off()
    if mesh is not None:
        figure.colorbar(mesh, ax=axes.tolist(), label="expected discounted return", shrink=0.7)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure

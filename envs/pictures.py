"""Pictures of levels: the whole level in procgen's own art, and marks on the agent's view."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from envs.edit import check_settings
from envs.settings import LevelSettings
from envs.simulator import Scratch, scratch
from envs.state import VX, State, X, Y

CELL = 8  # pixels a cell in pictures of whole levels
TILE = 64 // CELL  # cells a tile
VIEW = 13.0  # cells that a CoinRun agent sees, each way
RENDER_Z = 9  # column of an entity: layer in which it is drawn
KIND, HIDDEN, DECORATION = 6, 5, 52  # a layer that is not drawn; a type that does nothing
COIN_MARK, END_MARK = (255, 40, 200), (40, 220, 255)


def whole_level(state: bytes, settings: LevelSettings) -> Image.Image:
    """A level from its left to its right end, 8 pixels a cell, in procgen's own art.

    Drawn in tiles of the agent's view, with the agent's place taken by a copy that only shows.
    """
    parsed = State(state)
    check_settings(parsed, settings)
    spare = scratch(parsed.game, settings)
    width, height = _extent(parsed)
    agent = parsed.entities[0].copy()
    copy = agent.copy()
    copy.view(np.int32)[KIND] = DECORATION
    staged = parsed.with_entities(np.concatenate([parsed.entities, copy[None]]))
    staged.entities.view(np.int32)[0, RENDER_Z] = HIDDEN
    staged.entities[0, VX] = 0
    staged.set_option("center_agent", 1)
    staged.visibility = TILE
    columns, rows = -(-width // TILE), -(-height // TILE)
    picture = np.zeros((rows * 64, columns * 64, 3), np.uint8)
    for row in range(rows):
        for column in range(columns):
            tile = _tile(staged, spare, column, row)
            top = (rows - 1 - row) * 64
            picture[top : top + 64, column * 64 : column * 64 + 64] = tile
    return Image.fromarray(picture[(rows * TILE - height) * CELL :, : width * CELL])


def _extent(state: State) -> tuple[int, int]:
    """Columns and rows of the world that are worth showing."""
    if state.game != "coinrun":
        height, width = state.grid.shape
        return width, height
    open_cells = ~np.isin(state.grid, (15, 16))
    columns = np.flatnonzero(open_cells[1:-1].any(axis=0))
    ground = np.argmax(open_cells[1:], axis=0)[columns]
    return int(columns[-1]) + 2, min(int(ground.max()) + 9, state.grid.shape[0])


def _tile(state: State, spare: Scratch, column: int, row: int) -> NDArray[np.uint8]:
    """The 8 by 8 cells of one tile [64, 64, 3]."""
    state.entities[0, [X, Y]] = (column + 0.5) * TILE, (row + 0.5) * TILE
    return spare.render(state.data)


def view(frame: NDArray[np.uint8], scale: int = 4) -> Image.Image:
    """The agent's view, enlarged without smoothing."""
    picture = Image.fromarray(frame)
    return picture.resize((64 * scale, 64 * scale), Image.Resampling.NEAREST)


def mark(
    picture: Image.Image,
    agent_xy: tuple[float, float],
    coin_xy: tuple[int, int] | None,
    end_x: int,
) -> None:
    """Frame the coin and the end column in an agent's view; arrows where they are out of sight."""
    draw = ImageDraw.Draw(picture)
    size = picture.width
    unit = size / VIEW
    left, top = agent_xy[0] - VIEW / 2, agent_xy[1] + VIEW / 2
    end = (end_x - left) * unit
    if end + unit >= 0 and end <= size:
        draw.line([(end, 0), (end, size)], fill=END_MARK, width=2)
        draw.line([(end + unit, 0), (end + unit, size)], fill=END_MARK, width=2)
    else:
        _arrow(draw, size, end > 0, size * 0.08, END_MARK)
    if coin_xy is None:
        return
    x, y = (coin_xy[0] - left) * unit, (top - coin_xy[1] - 1) * unit
    if -unit < x < size and -unit < y < size:
        box = (x - 3, y - 3, x + unit + 3, y + unit + 3)
        draw.rectangle(box, outline=COIN_MARK, width=2)
    else:
        _arrow(draw, size, x > 0, min(max(y, size * 0.2), size * 0.95), COIN_MARK)


def _arrow(
    draw: ImageDraw.ImageDraw, size: int, right: bool, y: float, color: tuple[int, int, int]
) -> None:
    """A triangle at the left or right border."""
    base, tip = (size - 14, size - 3) if right else (14, 3)
    draw.polygon([(base, y - 7), (base, y + 7), (tip, y)], fill=color)

"""Pictures of levels: the agent's view with marks, the whole level, and sheets of levels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from envs.edit import agent_of, check_settings
from envs.game import Cell
from envs.games import find_procgen
from envs.level_seeds import Levels, parse_levels
from envs.make import make_vec
from envs.placements import Placement
from envs.settings import LevelSettings
from envs.simulator import shared_simulator
from envs.state import VX, State, X, Y
from rl_slt import InputError

CELL = 8  # pixels a cell in pictures of whole levels
TILE = 64 // CELL  # cells a tile
RENDER_Z = 9  # column of an entity: layer in which it is drawn
KIND, HIDDEN, DECORATION = 6, 5, 52  # a layer that is not drawn; a type that does nothing
COIN_MARK, END_MARK = (255, 40, 200), (40, 220, 255)
MOST = 200  # levels on one sheet
MARGIN, CAPTION = 8, 18  # pixels
CAPTION_WIDTH = 430
VIEW_SCALE, LEVEL_SCALE = 3, 2


def whole_level(state: bytes, settings: LevelSettings) -> Image.Image:
    """A level from its left to its right end, 8 pixels a cell, in procgen's own art.

    Drawn in tiles of the agent's view, with the agent's place taken by a copy that only shows.

    Args:
        state: of a game, as `ProcgenVectorEnv.game_state` gives it.
        settings: of the environment that the state is of.

    Raises:
        InputError: the state was made under other settings.
    """
    parsed = State(state)
    check_settings(parsed, settings)
    simulator = shared_simulator(parsed.game, settings)
    extent = simulator.game.extent
    width, height = extent(parsed) if extent else parsed.size
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
            staged.entities[0, [X, Y]] = (column + 0.5) * TILE, (row + 0.5) * TILE
            top = (rows - 1 - row) * 64
            tile = simulator.render(staged.data)
            picture[top : top + 64, column * 64 : column * 64 + 64] = tile
    return Image.fromarray(picture[(rows * TILE - height) * CELL :, : width * CELL])


def render_frame(
    frame: NDArray[np.uint8],
    agent_xy: Sequence[float] | NDArray[Any],
    coin_xy: Cell | None,
    end_x: int,
    scale: int = 4,
    *,
    game: str = "coinrun",
) -> Image.Image:
    """One frame, enlarged, with the coin and the end column marked; arrows where out of sight.

    Args:
        frame: what the agent saw, uint8 `[64, 64, 3]`.
        agent_xy: its center: columns from the left, rows from the bottom.
        coin_xy: the coin's cell, None where there is none.
        end_x: column of the level's end.
        scale: enlargement.
        game: marks are left out where its view is not constant.
    """
    picture = Image.fromarray(frame)
    picture = picture.resize((64 * scale, 64 * scale), Image.Resampling.NEAREST)
    view = find_procgen(game).view
    if view is not None:
        _mark(picture, view, (float(agent_xy[0]), float(agent_xy[1])), coin_xy, end_x)
    return picture


def _mark(
    picture: Image.Image, view: float, agent: tuple[float, float], coin: Cell | None, end_x: int
) -> None:
    draw, size = ImageDraw.Draw(picture), picture.width
    cell = size / view  # pixels
    left, top = agent[0] - view / 2, agent[1] + view / 2
    end = (end_x - left) * cell
    if end + cell >= 0 and end <= size:
        draw.line([(end, 0), (end, size)], fill=END_MARK, width=2)
        draw.line([(end + cell, 0), (end + cell, size)], fill=END_MARK, width=2)
    else:
        _arrow(draw, size, end > 0, size * 0.08, END_MARK)
    if coin is None:
        return
    x, y = (coin[0] - left) * cell, (top - coin[1] - 1) * cell
    if -cell < x < size and -cell < y < size:
        box = (x - 3, y - 3, x + cell + 3, y + cell + 3)
        draw.rectangle(box, outline=COIN_MARK, width=2)
    else:
        _arrow(draw, size, x > 0, min(max(y, size * 0.2), size * 0.95), COIN_MARK)


def _arrow(
    draw: ImageDraw.ImageDraw, size: int, right: bool, y: float, color: tuple[int, int, int]
) -> None:
    """A triangle at the left or right border."""
    base, tip = (size - 14, size - 3) if right else (14, 3)
    draw.polygon([(base, y - 7), (base, y + 7), (tip, y)], fill=color)


def level_sheet(
    coin: str | Placement,
    seeds: str | Levels,
    settings: LevelSettings | None = None,
    game: str = "coinrun",
) -> Image.Image:
    """One row for each level of the range: the agent's first view, and the whole level.

    Pink frames mark coins, blue lines the end column.

    Args:
        coin: a placement or its text.
        seeds: half-open range of level seeds, a pair or `A:B`.
        settings: the levels' difficulty, parts and looks.
        game: its name.

    Raises:
        InputError: for a wrong placement or range, or more than 200 levels.
    """
    levels = parse_levels(seeds, "seeds")
    if levels is None or levels[1] - levels[0] > MOST:
        raise InputError.of("seeds", seeds, f"a range A:B of at most {MOST} levels for a sheet")
    settings = settings or LevelSettings()
    vector = make_vec(1, coin, levels, settings=settings, game=game, order="sequential")
    try:
        rows = [_row(vector, settings) for _ in range(levels[1] - levels[0])]
    finally:
        vector.close()
    return _stack(rows, f"coin {coin} · levels {levels[0]}:{levels[1]}")


def _row(vector: Any, settings: LevelSettings) -> Image.Image:
    """The next level's caption and two pictures."""
    obs, infos = vector.reset()
    state = vector.game_state(0)
    xy, end_x = tuple(infos["coin_xy"][0].tolist()), int(infos["end_x"][0])
    agent, coin = agent_of(state), xy if xy[0] >= 0 else None
    first = render_frame(obs[0], agent, coin, end_x, VIEW_SCALE, game=vector.config.game)
    level = whole_level(state, settings)
    level = level.resize((level.width * LEVEL_SCALE, level.height * LEVEL_SCALE))
    height = max(first.height, level.height) + CAPTION
    width = max(first.width + MARGIN + level.width, CAPTION_WIDTH)
    row = Image.new("RGB", (width, height), "white")
    where = f"coin {xy[0]},{xy[1]}" if xy[0] >= 0 else "no coin"
    caption = f"level {int(infos['level_seed'][0])}   {where}   end column {end_x}   start column"
    _write(row, f"{caption} {int(agent[0])}", (0, 0))
    row.paste(first, (0, CAPTION))
    row.paste(level, (first.width + MARGIN, height - level.height))
    return row


def _stack(rows: list[Image.Image], title: str) -> Image.Image:
    """Rows one below the other under a title."""
    width = max(row.width for row in rows) + 2 * MARGIN
    height = sum(row.height + MARGIN for row in rows) + CAPTION + 2 * MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    _write(sheet, title, (MARGIN, MARGIN))
    top = CAPTION + MARGIN
    for row in rows:
        sheet.paste(row, (MARGIN, top))
        top += row.height + MARGIN
    return sheet


def _write(picture: Image.Image, text: str, at: tuple[int, int]) -> None:
    ImageDraw.Draw(picture).text(at, text, fill="black", font=ImageFont.load_default(13))

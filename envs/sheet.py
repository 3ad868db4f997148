"""A sheet of levels: what a placement does, at a glance."""

from typing import Any

from PIL import Image, ImageDraw, ImageFont

from envs.edit import agent_of
from envs.level_seeds import parse_levels
from envs.make import make_vec
from envs.pictures import mark, view, whole_level
from envs.placements import Placement
from envs.settings import LevelSettings
from rl_slt import InputError

MOST = 200  # levels on one sheet
MARGIN, CAPTION = 8, 18  # pixels
CAPTION_WIDTH = 430
VIEW_SCALE, LEVEL_SCALE = 3, 2


def level_sheet(
    coin: str | Placement,
    seeds: str | tuple[int, int],
    settings: LevelSettings | None = None,
    game: str = "coinrun",
) -> Image.Image:
    """One row for each level of the range: the agent's first view, and the whole level.

    Pink frames mark coins, blue lines the end column.

    Raises:
        InputError: for a wrong placement or range, or more than 200 levels.
    """
    levels = parse_levels(seeds)
    if levels is None or levels[1] - levels[0] > MOST:
        raise InputError(f"levels {seeds!r}: a sheet shows a range A:B of at most {MOST} levels")
    settings = settings or LevelSettings()
    vector = make_vec(1, coin, levels, settings=settings, game=game, order="sequential")
    try:
        rows = [_row(vector, settings, game) for _ in range(levels[1] - levels[0])]
    finally:
        vector.close()
    return _stack(rows, f"coin {coin} · levels {levels[0]}:{levels[1]}")


def _row(vector: Any, settings: LevelSettings, game: str) -> Image.Image:
    """The next level's caption and two pictures."""
    obs, infos = vector.reset()
    state = vector.game_state(0)
    xy, end_x = tuple(infos["coin_xy"][0].tolist()), int(infos["end_x"][0])
    first, level = view(obs[0], VIEW_SCALE), whole_level(state, settings)
    agent = agent_of(state)
    if game == "coinrun":
        mark(first, agent, xy if xy[0] >= 0 else None, end_x)
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

"""The command that draws levels."""

from __future__ import annotations

from pathlib import Path

import envs
from agents import write_atomic
from rl_slt.pipeline.commands.targets import check_file


def draw_levels(coin: str, seeds: str, out: Path, *, game: str, plain: bool, mode: str) -> None:
    """Write a sheet of levels as PNG.

    Raises:
        InputError: for a wrong placement, range, game, mode, or file name.
    """
    check_file(out, (".png",))
    settings = envs.PLAIN_FLAT if plain else envs.LevelSettings().replace(distribution_mode=mode)
    sheet = envs.level_sheet(coin, seeds, settings, game)
    write_atomic(out, lambda path: sheet.save(path, "PNG"))

"""Pictures of levels and films of episodes, as files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import envs
from agents import find_checkpoint, load_policy, write_bytes
from envs import CoinBlindPolicy, CoinSeekerPolicy, NetworkPolicy, RandomPolicy, level_sheet, record
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, open_path, training_of
from rl_slt.pipeline.plan.checks import check_seed

SCRIPTED: dict[str, Callable[[int], Any]] = {
    "random": RandomPolicy,
    "coin-blind": lambda seed: CoinBlindPolicy(),
    "coin-seeker": lambda seed: CoinSeekerPolicy(),
}
_FPS = 15


def draw_levels(coin: str, seeds: str, out: Path, *, game: str, plain: bool, mode: str) -> None:
    """Write a sheet of levels as PNG.

    Raises:
        InputError: for a wrong placement, range, game, mode, or file name.
    """
    _check_suffix(out, (".png",))
    settings = envs.PLAIN_FLAT if plain else envs.LevelSettings().replace(distribution_mode=mode)
    write_bytes(out, _png(level_sheet(coin, seeds, settings, game)))


def film(
    path: Path,
    out: Path,
    *,
    step: int | None = None,
    coin: str = "behind",
    level: int = 0,
    who: str = "agent",
    mode: str = "sampled",
    seed: int = 0,
) -> str:
    """Film one episode of a run's checkpoint, or of a scripted policy on such levels.

    Returns:
        One line that says what happened.

    Raises:
        InputError: for a wrong run, step, placement, policy, mode, or file name.
    """
    _check_suffix(out, (".gif", ".png"))
    run = open_path(path)
    if not isinstance(run, Run):
        raise InputError(f"{path} is a study; name one of its runs")
    train = training_of(run)
    check_seed(seed)
    clip = record(
        _player(run, step, who, mode, seed),
        coin,
        level,
        train.settings,
        game=train.game,
        time_limit=train.time_limit or 1000,
        seed=seed,
    )
    write_bytes(out, clip.gif(_FPS) if out.suffix == ".gif" else _png(clip.strip()))
    return clip.caption


def _player(run: Run, step: int | None, who: str, mode: str, seed: int) -> Any:
    if who in SCRIPTED:
        return SCRIPTED[who](seed)
    if who != "agent":
        raise InputError(f"unknown policy {who!r}; allowed: agent, {', '.join(SCRIPTED)}")
    known = run.checkpoints
    if step is None and not known:
        raise InputError(f"run {run.path} has no complete checkpoint yet")
    checkpoint = known[-1] if step is None else find_checkpoint(run.path, step)
    return NetworkPolicy(load_policy(checkpoint.path), mode, seed)


def _check_suffix(out: Path, allowed: tuple[str, ...]) -> None:
    if out.suffix not in allowed:
        raise InputError(f"file {out} has another ending than {' or '.join(allowed)}")
    if out.is_dir():
        raise InputError(f"file {out} is a folder")


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()

"""The commands that draw levels and policies on them, and film episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import envs
from agents import load_policy, write_atomic, write_bytes
from envs import (
    CLIP_LEVEL,
    N_LEVELS,
    SCRIPTED,
    NetworkPolicy,
    ScriptedPolicy,
    find_game,
    find_procgen,
    record_clip,
)
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import check_file
from rl_slt.pipeline.disk.layout import open_run


def draw_levels(out: Path, *, coin: str, seeds: str, game: str, plain: bool, mode: str) -> None:
    """Write a sheet of levels as PNG.

    Args:
        out: file to write.
        coin: placement.
        seeds: of the levels, as `A:B`.
        game: `coinrun` or `maze`.
        plain: flat levels with plain assets, as the demo has.
        mode: distribution of other levels, `easy` or `hard`.

    Raises:
        InputError: for a wrong placement, range, game, mode, or file name.
    """
    check_file(out, (".png",))
    if mode not in ("easy", "hard"):
        raise InputError.of("mode", mode, "easy or hard")
    settings = envs.PLAIN_FLAT if plain else envs.LevelSettings().replace(distribution_mode=mode)
    sheet = envs.level_sheet(coin, seeds, settings, game)
    write_atomic(out, lambda path: sheet.save(path, "PNG"))


def film(
    path: Path,
    out: Path,
    *,
    step: int | None = None,
    coin: str = "behind",
    level: int | None = None,
    policy: str = "agent",
    mode: str = "sampled",
    seed: int = 0,
) -> str:
    """Film one episode of a run's checkpoint, or of a scripted policy on such levels.

    Args:
        path: of the run.
        out: file to write: `.gif`, or `.png` for a film strip.
        step: of the checkpoint; None is the last.
        coin: placement.
        level: its seed; None is the first of the probes' levels.
        policy: `agent`, or a key of `envs.SCRIPTED`.
        mode: how the agent acts, `sampled` or `greedy`.
        seed: of the action noise.

    Returns:
        One line that says what happened.

    Raises:
        InputError: for a wrong run, step, placement, level, policy, mode, or file name.
    """
    check_file(out, (".gif", ".png"))
    level, run = _level(level), open_run(path)
    train = run.training
    player: ScriptedPolicy
    if policy in SCRIPTED:
        player = SCRIPTED[policy](seed)
    elif policy == "agent":
        player = NetworkPolicy(load_policy(run.checkpoint(step).path), mode, seed)
    else:
        raise InputError.of("policy", policy, f"one of agent, {', '.join(SCRIPTED)}")
    limit = train.time_limit or find_game(train.game).time_limit
    clip = record_clip(
        player, coin, level, train.settings, game=train.game, time_limit=limit, seed=seed
    )
    if out.suffix == ".gif":
        write_bytes(out, clip.gif(fps=15))
    else:
        strip = clip.strip()
        write_atomic(out, lambda path: strip.save(path, "PNG"))
    return clip.caption


def draw_field(
    paths: Sequence[Path],
    out: Path,
    *,
    steps: Sequence[int] = (),
    coins: Sequence[str] = (),
    level: int | None = None,
) -> None:
    """Draw what policies would do at every cell of a level, side by side, and each coin in a row.

    Args:
        paths: of the runs.
        out: PNG to write.
        steps: of the checkpoints of each run; none is the last.
        coins: placements; none is the coin at the end, behind a start in mid-level, and nowhere.
        level: its seed; None is the first of the probes' levels.

    Raises:
        InputError: for a wrong run, step, placement, level or file name, or runs whose levels
            look different.
    """
    from analysis import FIELD_COINS, draw_fields, policy_field

    check_file(out, (".png",))
    level, runs = _level(level), [open_run(path) for path in paths]
    looks = {(run.training.game, run.training.settings) for run in runs}
    if len(looks) > 1:
        raise InputError("runs of one game and look of levels are needed to draw them on one level")
    ((game, settings),) = looks
    find_procgen(game)
    fields = {}
    for run in runs:
        for step in steps or (None,):
            checkpoint = run.checkpoint(step)
            policy = load_policy(checkpoint.path)
            found = policy_field(policy, level, coins or FIELD_COINS, settings, game)
            fields[f"{run.name} at step {checkpoint.step:,}"] = found
    figure = draw_fields(fields, level, settings, game)
    write_atomic(out, lambda path: figure.savefig(path, format="png", dpi=110))


def _level(seed: int | None) -> int:
    """The level asked for; without one that of clips."""
    if seed is None:
        return CLIP_LEVEL
    if not 0 <= seed < N_LEVELS:
        raise InputError.of("level", seed, f"an integer from 0 to {N_LEVELS - 1}")
    return seed

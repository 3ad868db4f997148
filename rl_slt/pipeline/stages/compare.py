"""Two agents side by side: where they differ, by how much at most, and what lies between them.

A comparison is kept with the first run, as `comparisons/KEY/`: `comparison.json` (what reports
show), `states.parquet` (a row per state, with the arm of its visitor), `plays.parquet` (a row per
episode of either), `slices.parquet` (around the first agent, whose arm it names), and pictures. The
key is a hash of both agents' weights and the settings, so the same comparison is not made twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from agents import Checkpoint, TrainConfig, atomic_dir, load_policy, write_json
from analysis import compare
from analysis.probes import wilson
from envs import (
    ENVS,
    FROZEN_LEVELS,
    MOVES,
    Classes,
    NetworkPolicy,
    Task,
    find_game,
    find_procgen,
    kl,
    log_probs,
    parse_placement,
    record_clip,
    rollout,
)
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, open_run
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import digest, file_digest
from rl_slt.pipeline.plan.study import CompareSettings
from rl_slt.pipeline.states import coin_offsets, in_view, kept_moments, shared_env
from rl_slt.versions import STAGES, version_key

CONFIDENCE = 0.95  # of each bound on a difference of means
_LOSS_STATES = 256  # on which the losses of slices are taken
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Side:
    """One of the two agents."""

    run: Run
    checkpoint: Checkpoint
    policy: nn.Module
    train: TrainConfig

    @property
    def name(self) -> str:
        """`RUN@STEP`."""
        return f"{self.run.name}@{self.checkpoint.step}"

    @property
    def classes(self) -> Classes:
        """Actions that do the same in the agent's game."""
        return find_game(self.train.game).distinct_actions


def compare_agents(
    a: Path,
    b: Path,
    settings: CompareSettings,
    steps: tuple[int | None, int | None] = (None, None),
    progress: Progress | None = None,
) -> Path:
    """Compare a checkpoint of one run with one of another run, or of the same.

    Args:
        a: the first run, where the comparison is kept; slices are taken around its weights.
        b: the second run.
        settings: of the comparison.
        steps: of the checkpoints; the last ones by default.
        progress: called with (slice points done, in all).

    Returns:
        The folder of the comparison.

    Raises:
        InputError: for a path that is no run, a step without a checkpoint, or agents that cannot be
            compared because they see other levels or have other actions.
    """
    first, second = _side(a, steps[0]), _side(b, steps[1])
    if first.train.game != second.train.game:
        raise InputError(f"{first.name} and {second.name} play different games")
    if not find_game(first.train.game).has_probes:
        raise InputError(f"{first.name} plays {first.train.game}: no agents of it can be compared")
    weights = [file_digest(s.checkpoint.path / "policy.safetensors") for s in (first, second)]
    if weights[0] == weights[1]:
        raise InputError(f"{first.name} and {second.name} have equal weights: nothing differs")
    version = version_key("compare")
    key = digest([version, first.name, second.name, weights, settings.as_dict()])
    folder = first.run.path / "comparisons" / key
    if (folder / "comparison.json").exists():
        return folder
    with stage_lock(first.run.path, "compare"), atomic_dir(folder) as temporary:
        _write(temporary, first, second, settings, progress)
    return folder


def _side(path: Path, step: int | None) -> Side:
    run = open_run(path)
    find_procgen(run.training.game)  # others have no frames to differ on
    checkpoint = run.checkpoint(step)
    return Side(run, checkpoint, load_policy(checkpoint.path), run.training)


def _write(
    folder: Path, a: Side, b: Side, settings: CompareSettings, progress: Progress | None
) -> None:
    """All files of a comparison; `comparison.json`, which says that it is whole, is the last."""
    states, about = visit(a, b, settings)
    both = zip(about["placement"], about["level_seed"], strict=True)
    levels = [f"{placement} {level}" for placement, level in both]  # whoever visits them
    frame = compare.compare_policies(a.policy, b.policy, states, groups=levels, classes=a.classes)
    frame = pd.concat([frame, about], axis=1)
    plays = play(a, b, settings)
    slices, notes = measure_slices(a, b, states, settings, progress)
    arms = {side.name: side.run.arm for side in (a, b)}
    version = STAGES["compare"]
    about_states = frame.assign(arm=frame["visitor"].map(arms), version=version)
    about_states.to_parquet(folder / "states.parquet", index=False)
    of_player = plays["player"].map({"a": a.run.arm, "b": b.run.arm})
    about_plays = plays.assign(arm=of_player, version=version)
    about_plays.to_parquet(folder / "plays.parquet", index=False)
    about_slices = slices.assign(arm=a.run.arm, version=version)
    about_slices.to_parquet(folder / "slices.parquet", index=False)
    kinds = frame["placement"].str.cat(frame["kind"], sep=": ")
    worst = compare.most_different(frame, settings.clips, "tv").to_dict("records")
    payload = {
        **{letter: {"run": side.run.name, "step": side.checkpoint.step, "arm": side.run.arm}
           for letter, side in (("a", a), ("b", b))},
        "settings": settings.as_dict(),
        "largest": compare.largest_deviation(frame),
        "mean": {name: float(frame[name].mean()) for name in ("kl_ab", "kl_ba", "tv")},
        "same_action": float((frame["action_a"] == frame["action_b"]).mean()),
        "kinds": _plain(compare.where_differ(frame, kinds.tolist(), measure="tv")),
        "bounds": _plain(compare.deviation_bounds(plays, CONFIDENCE)),
        "confidence": CONFIDENCE,
        "slices": _plain(slices),
        "places": [_state(folder / str(i), row, states[int(row["state"])], (a, b), settings.seed)
                   for i, row in enumerate(worst)],
        "notes": notes,
    }  # fmt: skip
    write_json(folder / "comparison.json", payload)


def visit(a: Side, b: Side, settings: CompareSettings) -> tuple[Tensor, pd.DataFrame]:
    """About `n_states` states, in equal parts of each agent under each placement.

    Agents play with sampled actions, on levels held out that look as those of the first agent.

    Returns:
        Frames uint8 `[N, 64, 64, 3]` and a row for each: placement, level_seed, visitor, kind.
    """
    share = -(-settings.n_states // (2 * len(settings.placements)))
    frames, rows = [], []
    for placement in settings.placements:
        vector = shared_env(placement, a.train.settings, FROZEN_LEVELS, a.train.time_limit)
        for side in (a, b):
            act = NetworkPolicy(side.policy, "sampled", settings.seed)
            seen = kept_moments(vector, act, settings.seed)
            left = share
            for moment in itertools.islice(seen, -(-share // ENVS)):
                frames.append(moment.frames[:left].copy())
                about = {"level_seed": moment.info["level_seed"], "kind": kinds(moment.info)}
                row = pd.DataFrame(about)[:left]
                rows.append(row.assign(placement=placement, visitor=side.name))
                left -= len(row)
    return torch.from_numpy(np.concatenate(frames)), pd.concat(rows, ignore_index=True)


def play(a: Side, b: Side, settings: CompareSettings) -> pd.DataFrame:
    """Whole episodes of both on the same held-out levels: see `analysis.compare.play_both`.

    A mixture of placements is drawn anew for each level, the same for both.
    """
    limit = a.train.time_limit or find_game(a.train.game).time_limit
    seeds = range(FROZEN_LEVELS[0], FROZEN_LEVELS[0] + settings.levels)
    plays = []
    for text in settings.placements:
        placement = parse_placement(text)
        draws = [np.random.default_rng([settings.seed, seed]) for seed in seeds]
        tasks = [Task(str(placement.choose(draw)), seed, limit)
                 for seed, draw in zip(seeds, draws, strict=True)]  # fmt: skip
        both = compare.play_both(
            a.policy, b.policy, tasks, a.train.settings, a.classes, settings.seed
        )
        plays.append(both.assign(placement=text))
    return pd.concat(plays, ignore_index=True)


def kinds(info: dict[str, Any]) -> list[str]:
    """Where the coin is, as the agent of each environment sees it."""
    offsets = coin_offsets(info)
    right = offsets[:, 0] > 0
    out = np.where(right, "coin in view, to the right", "coin in view, to the left")
    out = np.where(in_view(offsets), out, "coin out of view")
    absent = np.isnan(offsets[:, 0])
    return [str(kind) for kind in np.where(absent, "no coin in the level", out)]


def mean_return(
    policy: nn.Module, train: TrainConfig, episodes: int, seed: int
) -> tuple[float, float, float]:
    """Mean raw return over the first episode of each environment, and its 95 % interval.

    Levels, starts and the noise of actions are the same for every policy. An episode earns all or
    nothing, so that the mean is a rate: Wilson's interval stays within what can be earned, and has
    a width where all of few episodes ended alike.
    """
    vector = shared_env(train.coin, train.settings, FROZEN_LEVELS, train.time_limit, episodes)
    act = NetworkPolicy(policy, "sampled", seed)
    total, going = np.zeros(episodes), np.ones(episodes, bool)
    for step in rollout(vector, act, seed):
        total += np.where(going, step.rewards, 0.0)
        going &= ~(step.terminated | step.truncated)
        if not going.any():
            break
    _, most = compare.RANGES["ret"]
    low, high = wilson(round(float(total.sum()) / most), episodes)
    return float(total.mean()), most * low, most * high


def measure_slices(
    a: Side, b: Side, states: Tensor, settings: CompareSettings, progress: Progress | None
) -> tuple[pd.DataFrame, list[str]]:
    """Slices around the first agent: a random line, the gradient, the line to the other agent.

    The losses are `KL(a || w)` and `KL(b || w)` at the moved weights w, in nats, over states that
    both visit; the gradient is that of the second (the first has none at its own minimum). The
    return is that of episodes under the placement that the first agent was trained on.

    Returns:
        What `analysis.compare.take_slices` gives and the column norm (of the first agent's
        weights), and notes on lines that do not exist.
    """
    states = states[:: max(1, len(states) // _LOSS_STATES)][:_LOSS_STATES]
    log_a, log_b = (log_probs(side.policy, states, a.classes) for side in (a, b))
    measures: dict[str, Any] = {
        f"KL from {side.name}": lambda w, log_p=log_p: float(
            kl_to(w, states, log_p, a.classes).detach()
        )
        for side, log_p in ((a, log_a), (b, log_b))
    }
    if settings.episodes:
        measures["return"] = lambda w: mean_return(w, a.train, settings.episodes, settings.seed)
    lines = compare.random_directions(a.policy, 1, settings.seed)
    notes: list[str] = []
    for direction in (
        lambda: compare.gradient(a.policy, lambda w: kl_to(w, states, log_b, a.classes)),
        lambda: compare.between(a.policy, b.policy),
    ):
        try:
            lines.append(direction())
        except InputError as error:
            notes.append(str(error))
    norm = sum(float(w.square().sum()) for w in compare.weights_of(a.policy).values()) ** 0.5
    slices = compare.take_slices(
        a.policy, lines, measures, radius=settings.radius * norm, points=settings.points,
        progress=progress,
    )  # fmt: skip
    return slices.assign(norm=norm), notes


def kl_to(
    policy: nn.Module, states: Tensor, log_p: Tensor, classes: Classes | None = None
) -> Tensor:
    """Mean `KL(p || policy)` (nats) over states `[N, ...]`; log p `[N, K]` is over classes."""
    return kl(log_p, log_probs(policy, states, classes, grad=True)).mean()


def _state(
    file: Path, row: dict[Any, Any], state: Tensor, sides: tuple[Side, Side], seed: int
) -> dict[str, Any]:
    """A state of large difference: its picture, what both would do, and both on its level."""
    picture = Image.fromarray(state.numpy()).resize((256, 256), Image.Resampling.NEAREST)
    picture.save(f"{file}-state.png")
    clips, moves = [], []
    for letter, side in zip("ab", sides, strict=True):
        clip = record_clip(
            NetworkPolicy(side.policy, "sampled", seed), row["placement"], int(row["level_seed"]),
            sides[0].train.settings, game=side.train.game,
            time_limit=side.train.time_limit or 500, seed=seed,
        )  # fmt: skip
        strip = clip.strip(6)
        strip.resize((strip.width // 2, strip.height // 2)).save(f"{file}-{letter}.png")
        Path(f"{file}-{letter}.gif").write_bytes(clip.gif())
        name = f"{file.name}-{letter}"
        clips.append({"strip": f"{name}.png", "file": f"{name}.gif", "outcome": clip.outcome,
                      "caption": clip.caption})  # fmt: skip
        p = log_probs(side.policy, state[None]).exp()[0]
        moves.append({name: float(p[list(actions)].sum()) for name, actions in MOVES.items()})
    return {
        "picture": f"{file.name}-state.png",
        **{name: str(row[name]) for name in ("placement", "kind", "visitor")},
        "level_seed": int(row["level_seed"]),
        "tv": float(row["tv"]),
        "moves": moves,
        "clips": clips,
    }


def _plain(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows in JSON's own types, None for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")

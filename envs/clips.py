"""Clips of one episode: an agent, a scripted policy or random play, with coin and end marked."""

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from envs.films import COLORS, FPS, evenly, film_strip, gif_bytes, shot
from envs.make import make_vec
from envs.pictures import view
from envs.placements import Placement
from envs.scripted import ScriptedPolicy
from envs.settings import LevelSettings

SCALE = 4


@dataclass(frozen=True)
class Clip:
    """One episode: its pictures [256, 256] and how it went."""

    frames: list[Image.Image] = field(repr=False)
    policy: str
    placement: str
    level_seed: int
    outcome: str  # coin, end, death, timeout
    death_cause: str
    first: str  # coin, end, neither: what the agent came to first
    length: int  # steps
    ret: float

    @property
    def caption(self) -> str:
        """One line that says what is shown."""
        cause = f" ({self.death_cause})" if self.death_cause else ""
        return (
            f"{self.policy}, coin {self.placement}, level {self.level_seed}: "
            f"{self.outcome}{cause} after {self.length} steps"
        )

    def gif(self, fps: int = FPS) -> bytes:
        """An animated GIF; the last picture, framed in the outcome's colour, stays for a second."""
        return gif_bytes(self.frames, COLORS[self.outcome], fps)

    def strip(self, pictures: int = 8) -> Image.Image:
        """A film strip of evenly spaced pictures, first and last among them, with captions."""
        chosen = evenly(pictures, len(self.frames))
        labels = [f"step {i}" for i in chosen[:-1]] + [f"step {chosen[-1]}: {self.outcome}"]
        shown = [self.frames[i] for i in chosen]
        return film_strip(shown, labels, self.caption, COLORS[self.outcome])


def record(
    policy: ScriptedPolicy,
    coin: str | Placement,
    level_seed: int,
    settings: LevelSettings | None = None,
    *,
    game: str = "coinrun",
    time_limit: int = 200,
    stop_at_end: bool = True,
    seed: int = 0,
) -> Clip:
    """Play one episode of one level and keep its pictures.

    `policy` is called as the scripted ones are; `envs.NetworkPolicy` wraps a network.
    Pink marks the coin, blue the end column; arrows where they are out of sight.
    """
    vector = make_vec(
        1,
        coin,
        (level_seed, level_seed + 1),
        seed,
        settings=settings,
        time_limit=time_limit,
        track=True,
        stop_at_end=stop_at_end,
        game=game,
    )
    try:
        return _play(policy, vector, str(coin), level_seed)
    finally:
        vector.close()


def _play(policy: ScriptedPolicy, vector: Any, placement: str, level_seed: int) -> Clip:
    obs, infos = vector.reset()
    coin, end_x = tuple(infos["coin_xy"][0].tolist()), int(infos["end_x"][0])
    where = (coin if coin[0] >= 0 else None, end_x, vector.config.game)
    frames = [_picture(obs[0], infos["agent_xy"][0], where)]
    first = "neither"
    while True:
        obs, _, terminated, truncated, infos = vector.step(policy(obs, vector))
        if terminated[0] or truncated[0]:
            break
        if infos["end_reached"][0] and first == "neither":
            first = "end"
        frames.append(_picture(obs[0], infos["agent_xy"][0], where))
    final = {name: value[0] for name, value in infos["final_info"].items()}
    outcome, cause = str(final["outcome"]), str(final["death_cause"])
    if first == "neither":
        reached = "end" if final["end_reached"] else "neither"
        first = "coin" if final["coin_collected"] else reached
    frames.append(_picture(infos["final_obs"][0], final["agent_xy"], where))
    return Clip(
        frames,
        policy.name,
        placement,
        level_seed,
        outcome,
        cause,
        first,
        int(final["length"]),
        float(final["ret"]),
    )


def _picture(
    frame: Any, agent_xy: Any, where: tuple[tuple[int, int] | None, int, str]
) -> Image.Image:
    """One frame, enlarged, and marked where it is known what the view shows."""
    coin, end_x, game = where
    if game != "coinrun":
        return view(frame, SCALE)
    return shot(frame, agent_xy, coin, end_x, SCALE)

"""Clips of one episode: an agent, a scripted policy or random play, with coin and end marked."""

import io
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from envs.make import make_vec
from envs.pictures import COIN_MARK, END_MARK, mark, view
from envs.placements import Placement
from envs.scripted import ScriptedPolicy
from envs.settings import LevelSettings

SCALE = 4
BAR = 34  # pixels below the frame
COLORS = {"coin": COIN_MARK, "end": END_MARK, "death": (255, 70, 70), "timeout": (230, 200, 60)}


@dataclass(frozen=True)
class Clip:
    """One episode: its pictures [256 + bar, 256] and how it went."""

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

    def gif(self, fps: int = 15, hold: float = 1.5) -> bytes:
        """An animated GIF; the last picture stays for `hold` seconds."""
        buffer = io.BytesIO()
        times = [1000 // fps] * (len(self.frames) - 1) + [int(1000 * hold)]
        palette = [frame.quantize(64, dither=Image.Dither.NONE) for frame in self.frames]
        palette[0].save(
            buffer, "GIF", save_all=True, append_images=palette[1:], duration=times, loop=0
        )
        return buffer.getvalue()

    def strip(self, pictures: int = 8) -> Image.Image:
        """A film strip of evenly spaced pictures, first and last among them."""
        count = min(pictures, len(self.frames))
        last = len(self.frames) - 1
        chosen = [self.frames[round(i * last / max(count - 1, 1))] for i in range(count)]
        width, height = chosen[0].size
        strip = Image.new("RGB", (count * (width + 4) - 4, height), "white")
        for place, frame in enumerate(chosen):
            strip.paste(frame, (place * (width + 4), 0))
        return strip


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

    `policy` is called as the scripted ones are; `envs.learned.NetworkPolicy` wraps a network.
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
    frames = [_picture(obs[0], infos["agent_xy"][0], where, "")]
    first = "neither"
    while True:
        obs, _, terminated, truncated, infos = vector.step(policy(obs, vector))
        if terminated[0] or truncated[0]:
            break
        if infos["end_reached"][0] and first == "neither":
            first = "end"
        frames.append(_picture(obs[0], infos["agent_xy"][0], where, f"step {len(frames)}"))
    final = {name: value[0] for name, value in infos["final_info"].items()}
    outcome, cause = str(final["outcome"]), str(final["death_cause"])
    if first == "neither":
        reached = "end" if final["end_reached"] else "neither"
        first = "coin" if final["coin_collected"] else reached
    text = f"{outcome} {cause}".strip() + f" after {int(final['length'])} steps"
    last = _picture(infos["final_obs"][0], final["agent_xy"], where, text, COLORS[outcome])
    frames.append(last)
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
    frame: Any,
    agent_xy: Any,
    where: tuple[tuple[int, int] | None, int, str],
    text: str,
    color: tuple[int, int, int] | str = "white",
) -> Image.Image:
    """One frame, enlarged and marked, over a bar with a text."""
    coin, end_x, game = where
    shown = view(frame, SCALE)
    if game == "coinrun":
        mark(shown, tuple(agent_xy.tolist()), coin, end_x)
    picture = Image.new("RGB", (shown.width, shown.height + BAR), "black")
    picture.paste(shown, (0, 0))
    font = ImageFont.load_default(18)
    ImageDraw.Draw(picture).text((8, shown.height + 6), text, fill=color, font=font)
    return picture

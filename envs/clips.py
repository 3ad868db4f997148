"""Clips of episodes: the agent's view with coin and end marked, as strips and moving pictures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from envs.make import make_vec
from envs.pictures import render_frame
from envs.placements import Placement
from envs.policies import ScriptedPolicy
from envs.settings import LevelSettings
from envs.vector import FPS

COLORS = {"coin": "#1a9641", "end": "#2b6cb0", "death": "#c0392b", "timeout": "#7f7f7f"}
"""Color of the frame around the last picture of an episode, by how it ended."""
GAP = 6  # pixels between pictures of a strip
_PAPER, _INK, _LINE = "#ffffff", "#222222", 20


def evenly_spaced(count: int, length: int) -> list[int]:
    """At most `count` indices of a sequence, evenly spaced, the first and the last among them.

    Args:
        count: most indices to give.
        length: of the sequence.
    """
    return sorted({*np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()})


def film_strip(
    pictures: Sequence[Image.Image], captions: Sequence[str], title: str, color: str
) -> Image.Image:
    """Pictures side by side, a caption under each, the last one framed in a color.

    Args:
        pictures: of one episode, in order.
        captions: one for each picture.
        title: a line above.
        color: of the frame around the last picture, as `#rrggbb`.
    """
    side, gap, line = pictures[0].width, GAP, _LINE
    width = len(pictures) * (side + gap) + gap
    sheet = Image.new("RGB", (width, side + 2 * line + 2 * gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((gap, 3), title, fill=_INK, font=_font(14))
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = gap + i * (side + gap), line + gap
        sheet.paste(picture, (left, top))
        last = i == len(pictures) - 1
        if last:
            draw.rectangle(
                (left - 3, top - 3, left + side + 2, top + side + 2), outline=color, width=4
            )
        draw.text((left, top + side + 4), caption, fill=color if last else _INK, font=_font(12))
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def gif_bytes(pictures: Sequence[Image.Image], color: str, fps: int = FPS) -> bytes:
    """An endless GIF of the pictures; the last one, framed in a color, stays for a second.

    Args:
        pictures: of one episode, in order.
        color: of the frame around the last picture, as `#rrggbb`.
        fps: pictures a second.
    """
    last = pictures[-1].copy()
    side = last.width - 1
    ImageDraw.Draw(last).rectangle((0, 0, side, side), outline=color, width=max(2, side // 40))
    frames = [*pictures[:-1], last]
    small = [p.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
             for p in frames]  # fmt: skip
    durations = [round(1000 / fps)] * (len(frames) - 1) + [1000]
    out = io.BytesIO()
    small[0].save(out, "GIF", save_all=True, append_images=small[1:], duration=durations, loop=0)
    return out.getvalue()


@dataclass(frozen=True)
class Clip:
    """One episode: its pictures [256, 256] and how it went.

    Attributes:
        frames: pictures of 256 x 256 pixels, one a step and the first.
        policy: name of who played.
        placement: of coin and start, as text.
        level_seed: of the level.
        outcome: how it ended: `coin`, `end`, `death` or `timeout`.
        death_cause: of a death, else empty.
        first: what the agent came to first: `coin`, `end` or `neither`.
        length: environment steps.
        ret: undiscounted return, in the game's units.
    """

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
        """An animated GIF; the last picture, framed in the outcome's color, stays for a second."""
        return gif_bytes(self.frames, COLORS[self.outcome], fps)

    def strip(self, pictures: int = 8) -> Image.Image:
        """A film strip of evenly spaced pictures, first and last among them, with captions."""
        chosen = evenly_spaced(pictures, len(self.frames))
        labels = [f"step {i}" for i in chosen[:-1]] + [f"step {chosen[-1]}: {self.outcome}"]
        shown = [self.frames[i] for i in chosen]
        return film_strip(shown, labels, self.caption, COLORS[self.outcome])


def record_clip(
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

    Pink marks the coin, blue the end column; arrows where they are out of sight.

    Args:
        policy: called as the scripted ones are; `envs.NetworkPolicy` wraps a network.
        coin: a placement or its text.
        level_seed: of the level.
        settings: the level's difficulty, parts and looks.
        game: its name.
        time_limit: steps until the episode is truncated.
        stop_at_end: end the episode where the agent reaches the end column.
        seed: of a mixture of placements.
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
    obs, infos = vector.reset()
    end_x, coin_xy = int(infos["end_x"][0]), tuple(infos["coin_xy"][0].tolist())
    marks = (coin_xy if coin_xy[0] >= 0 else None, end_x)
    frames = [render_frame(obs[0], infos["agent_xy"][0], *marks, game=game)]
    first = "neither"
    while True:
        obs, _, terminated, truncated, infos = vector.step(policy(obs, vector))
        if terminated[0] or truncated[0]:
            break
        if infos["end_reached"][0] and first == "neither":
            first = "end"
        frames.append(render_frame(obs[0], infos["agent_xy"][0], *marks, game=game))
    vector.close()
    final = {name: value[0] for name, value in infos["final_info"].items()}
    if first == "neither":
        reached = "end" if final["end_reached"] else "neither"
        first = "coin" if final["coin_collected"] else reached
    frames.append(render_frame(infos["final_obs"][0], final["agent_xy"], *marks, game=game))
    return Clip(
        frames=frames,
        policy=policy.name,
        placement=str(coin),
        level_seed=level_seed,
        outcome=str(final["outcome"]),
        death_cause=str(final["death_cause"]),
        first=first,
        length=int(final["length"]),
        ret=float(final["ret"]),
    )

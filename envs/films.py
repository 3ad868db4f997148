"""Films of episodes: the agent's view with coin and end marked, strips of it, moving pictures."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from envs.pictures import mark, view

COLORS = {"coin": "#1a9641", "end": "#2b6cb0", "death": "#c0392b", "timeout": "#7f7f7f"}
FPS = 15
GAP = 6  # pixels between pictures of a strip
_PAPER, _INK, _LINE = "#ffffff", "#222222", 20


def shot(
    frame: NDArray[np.uint8],
    agent_xy: Sequence[float] | NDArray[Any],
    coin_xy: tuple[int, int] | None,
    end_x: int,
    scale: int = 4,
) -> Image.Image:
    """One frame, enlarged, with the coin and the end column marked where they are.

    Args:
        frame: what the agent saw, `[64, 64, 3]`.
        agent_xy: its centre: columns from the left, rows from the bottom.
        coin_xy: the coin's cell, None where there is none.
        end_x: column of the level's end.
        scale: enlargement.
    """
    picture = view(frame, scale)
    mark(picture, (float(agent_xy[0]), float(agent_xy[1])), coin_xy, end_x)
    return picture


def evenly(count: int, length: int) -> list[int]:
    """At most `count` indices of a sequence, evenly spaced, the first and the last among them."""
    return sorted({*np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()})


def film_strip(
    pictures: Sequence[Image.Image], captions: Sequence[str], title: str, color: str
) -> Image.Image:
    """Pictures side by side, a caption under each, the last one framed in a colour."""
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
    """An endless GIF of the pictures; the last one, framed in a colour, stays for a second."""
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

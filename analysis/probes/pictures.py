"""Drawing of probe episodes: enlarged frames with coin and end marked, film strips, GIFs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Frame = NDArray[np.uint8]
VIEW_CELLS = 13  # the agent's view is 13 cells wide and centred on it
COLORS = {"coin": "#1a9641", "end": "#2b6cb0", "death": "#c0392b", "timeout": "#7f7f7f"}
_COIN, _END, _PAPER, _INK = "#ff00c8", "#2b6cb0", "#ffffff", "#222222"


def enlarge(frame: Frame, scale: int) -> Image.Image:
    """A frame `[H, W, 3]` made `scale` times larger, pixel by pixel."""
    return Image.fromarray(np.kron(frame, np.ones((scale, scale, 1), np.uint8)))


def mark(
    picture: Image.Image,
    agent: tuple[float, float],
    coin: tuple[float, float] | None,
    end_x: float,
) -> Image.Image:
    """Rings the coin and lines the end column where they are in view; arrows where they are not.

    Args:
        picture: enlarged view centred on the agent.
        agent: its position, in cells from the lower left.
        coin: the coin's cell, None when there is none.
        end_x: column of the level's end.
    """
    draw = ImageDraw.Draw(picture)
    side = picture.width
    cell = side / VIEW_CELLS
    end = side / 2 + (end_x + 0.5 - agent[0]) * cell
    if 0 <= end < side:
        for top in range(0, side, 8):
            draw.line([(end, top), (end, top + 3)], fill=_END, width=2)
    else:
        _arrow(draw, side, end > 0, 0.08, _END)
    if coin is None:
        return picture
    x = side / 2 + (coin[0] + 0.5 - agent[0]) * cell
    y = side / 2 - (coin[1] + 0.5 - agent[1]) * cell
    if 0 <= x < side and 0 <= y < side:
        r = 0.75 * cell
        draw.ellipse([x - r, y - r, x + r, y + r], outline=_COIN, width=max(2, side // 100))
    else:
        _arrow(draw, side, x > side / 2, 0.2, _COIN)
    return picture


def _arrow(draw: ImageDraw.ImageDraw, side: int, right: bool, height: float, color: str) -> None:
    y, size = side * height, side * 0.04
    tip = side - 3 if right else 3
    back = tip - 2 * size if right else tip + 2 * size
    draw.polygon([(tip, y), (back, y - size), (back, y + size)], fill=color, outline=_PAPER)


def film_strip(
    pictures: Sequence[Image.Image], captions: Sequence[str], title: str, color: str
) -> Image.Image:
    """Pictures side by side, a caption under each, the last one framed in a colour."""
    side, gap, line = pictures[0].width, 6, 20
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


def gif_bytes(pictures: Sequence[Image.Image], color: str, fps: int = 15) -> bytes:
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

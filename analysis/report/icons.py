"""Small drawings of the probes: where the agent starts and where the coin lies."""

from __future__ import annotations

from markupsafe import Markup

_PLACES = {  # start of the agent and places of coins, in columns 0 to 20
    "end": (1, (18.5,)),
    "end@mid": (9, (18.5,)),
    "behind": (9, (5.5,)),
    "ground": (1, (8.5,)),
    "section": (1, (5.0,)),
    "both": (1, (8.5, 18.5)),
    "none": (1, ()),
    "none@mid": (9, ()),
}


def sketch(probe: str) -> Markup:
    """An SVG drawing of a known probe as a strip of level; nothing for an unknown one.

    A square with eyes is the agent with an arrow to its right, a disc the coin, the wall on the
    right the end of the level.
    """
    if probe not in _PLACES:
        return Markup("")
    start, coins = _PLACES[probe]
    x = 6 + start * 8
    parts = [
        '<svg class="sketch" viewBox="0 0 180 34" aria-hidden="true" focusable="false">',
        '<path class="ground" d="M0 27H180V34H0Z"/><path class="wall" d="M170 2h10v25h-10z"/>',
        f'<rect class="agent" x="{x}" y="15" width="9" height="12" rx="2"/>',
        f'<path class="look" d="M{x + 13} 21h9m-3-3 3 3-3 3"/>',
    ]
    parts += [f'<circle class="coin" cx="{6 + c * 8}" cy="21.5" r="4.6"/>' for c in coins]
    return Markup("".join([*parts, "</svg>"]))

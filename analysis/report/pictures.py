"""Pictures of a run as base64, to be embedded in the page."""

from __future__ import annotations

import base64
from pathlib import Path

_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"GIF87a": "gif", b"GIF89a": "gif"}


def embed(folder: Path, name: str, kind: str, room: int) -> str:
    """A picture of a folder, as base64; empty for no name.

    Args:
        folder: where the picture must lie, at any depth.
        name: its path in that folder, from a file that others may have written.
        kind: `png` or `gif`, judged by its content.
        room: characters that it may take.

    Raises:
        ValueError: the rest of a sentence on why the picture cannot be shown.
    """
    if not name:
        return ""
    folder = folder.resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise ValueError(f"is not in its {folder.name} folder")
    content = path.read_bytes()
    if not any(content.startswith(mark) and kind == k for mark, k in _KINDS.items()):
        raise ValueError(f"is no {kind.upper()}")
    text = base64.b64encode(content).decode("ascii")
    if len(text) > room:
        raise ValueError("is left out: too large for this page")
    return text

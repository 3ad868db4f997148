"""What a run is called: its folder's name, and the arm that its config.json names."""

import re

from rl_slt import InputError

UNNAMED = "unnamed"  # the arm of a run that belongs to no condition of a study

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,99}")


def safe_name(name: str, what: str) -> str:
    """The name itself, if it is a plain file name that stays inside its folder.

    Args:
        name: of a run, arm or study.
        what: the setting that it is given by, for the message.

    Raises:
        InputError: it holds a path separator or another odd character, or is too long.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError.of(
            what, name, "at most 100 letters, digits and . _ = -, beginning with a letter or digit"
        )
    return name

"""Whether the packages beside this one are the ones that an import finds.

`agents`, `envs` and `analysis` are names that other checkouts have, too, and Python looks into the
working folder before it looks at what is installed (`python -m`, `python -c`, notebooks).
"""

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

from rl_slt.errors import InputError

_ROOT = Path(__file__).resolve().parents[1]
_BESIDE = ("envs", "agents", "analysis")


def shadow() -> str | None:
    """What to say where a foreign package is found in place of one of ours; else None."""
    for name in _BESIDE:
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else _ROOT / name
        if found != _ROOT / name:
            return (
                f"{name}: found at {found}, before rl-slt's own at {_ROOT / name}; use the command "
                "rl-slt, start Python with -P and without PYTHONPATH, or work in another folder"
            )
    return None


def warn_of_shadow() -> None:
    """Warn where a foreign package is found: the estimator needs none of ours, the rest does.

    The command says so itself: see `refuse_shadow`.
    """
    command = Path(sys.argv[0] if sys.argv else "").stem in ("rl-slt", "-m")
    if not command and (text := shadow()):
        warnings.warn(text, stacklevel=3)


def refuse_shadow() -> None:
    """Raise InputError where a foreign package is found."""
    if text := shadow():
        raise InputError(text)

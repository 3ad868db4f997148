"""Singular learning theory for reinforcement-learning policies.

What it offers stands in `__init__.pyi` and is loaded on first use: torch takes seconds, and
`rl-slt --help` needs none of it.
"""

import lazy_loader

from rl_slt.shadows import warn_of_shadow

warn_of_shadow()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.2.0"

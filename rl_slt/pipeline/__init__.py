"""Stages of a study over runs on disk: train, estimate, probe, report.

What it offers is listed in `__init__.pyi` and loaded on first use.
"""

import lazy_loader

from rl_slt.shadows import refuse_shadow

refuse_shadow()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The exact companion of CoinRun: a mouse, a cheese and a grid, with a value known exactly.

What it offers is listed in `__init__.pyi` and loaded on first use: levels and placements need no
torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

from .grid import CheeseGrid, GridLevel
from .layouts import ACTIONS, Layout, parse_layout
from .pictures import pixels, plot_policy
from .placements import CheesePlacement, parse_cheese
from .settings import GridSettings
from .vector import CheeseEnv, CheeseVectorEnv, make_grid_vec

__all__ = [
    "ACTIONS",
    "CheeseEnv",
    "CheeseGrid",
    "CheesePlacement",
    "CheeseVectorEnv",
    "GridLevel",
    "GridSettings",
    "Layout",
    "make_grid_vec",
    "parse_cheese",
    "parse_layout",
    "pixels",
    "plot_policy",
]

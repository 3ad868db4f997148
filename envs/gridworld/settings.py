"""What a gridworld contains, apart from where the cheese is put."""

from typing import Annotated

from pydantic import Field

from rl_slt import SettingsModel


class GridSettings(SettingsModel):
    """The grid and its walls."""

    size: Annotated[int, Field(ge=2, le=16)] = 5
    """cells in a row of the grid, k"""
    walls: Annotated[float, Field(ge=0, lt=1)] | tuple[str, ...] | str | None = None
    """none; a share of the cells, at random; or text maps, `#` wall, `.` free, rows from the top"""
    layouts: Annotated[int, Field(ge=1)] = 1
    """how many grids with random walls there are"""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """seed of random walls"""

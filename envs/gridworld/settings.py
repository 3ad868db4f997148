"""What a gridworld contains, apart from where the cheese is put."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from rl_slt import InputError, SettingsModel


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

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse what would change nothing."""
        maps = (self.walls,) if isinstance(self.walls, str) else self.walls
        without = "left out: there are no random walls"
        idle = dict.fromkeys(("layouts", "seed"), without) if not self.walls else {}
        if isinstance(maps, tuple):
            idle = {"layouts": without, "seed": without}
            rows = len(maps[0].strip().splitlines()) if maps else self.size
            if self.size != rows:
                idle["size"] = "left out: the maps have a size of their own"
        for name, allowed in idle.items():
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                raise InputError.of(name, value, allowed)
        return self

"""Settings of the levels, apart from where coin and agent are put."""

from dataclasses import dataclass, fields
from typing import Any

from rl_slt import InputError

MODES = {"easy": 0, "hard": 1, "memory": 10}  # procgen's numbers
NO_PITS, NO_CRATES, FLAT = 2, 4, 8  # procgen's debug_mode bits


@dataclass(frozen=True)
class LevelSettings:
    """How procgen draws its levels and their look. `dataclasses.asdict` of it is plain JSON."""

    distribution_mode: str = "easy"  # easy or hard; memory for the maze alone
    pits: bool = True  # pits with lava, saws or enemies
    crates: bool = True  # piles of crates
    steps: bool = True  # ground that rises and falls
    monsters: bool = True  # walking enemies (easy levels have them in pits alone)
    backgrounds: bool = True  # background pictures
    restrict_themes: bool = False  # one theme for each kind of object
    monochrome: bool = False  # rectangles of one colour in place of pictures

    def __post_init__(self) -> None:
        if self.distribution_mode not in MODES:
            raise InputError(
                f"distribution_mode {self.distribution_mode!r} is not one of {', '.join(MODES)}"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "distribution_mode" and not isinstance(value, bool):
                raise InputError(f"level setting {field.name} is {value!r}, allowed: true or false")

    @property
    def debug_mode(self) -> int:
        """Procgen's bit mask of switched-off parts."""
        return (not self.pits) * NO_PITS | (not self.crates) * NO_CRATES | (not self.steps) * FLAT

    def native_options(self) -> dict[str, Any]:
        """The keywords of `procgen.ProcgenGym3Env`."""
        return {
            "distribution_mode": self.distribution_mode,
            "debug_mode": self.debug_mode,
            "use_backgrounds": self.backgrounds,
            "restrict_themes": self.restrict_themes,
            "use_monochrome_assets": self.monochrome,
        }

    def state_options(self) -> dict[str, int]:
        """What a state made under these settings says of them."""
        return {
            "distribution_mode": MODES[self.distribution_mode],
            "debug_mode": self.debug_mode,
            "use_backgrounds": int(self.backgrounds),
            "restrict_themes": int(self.restrict_themes),
            "use_monochrome_assets": int(self.monochrome),
        }


PLAIN_FLAT = LevelSettings(
    pits=False, crates=False, steps=False, backgrounds=False, restrict_themes=True, monochrome=True
)

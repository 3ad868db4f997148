"""Settings of the levels, apart from where coin and agent are put."""

from typing import Any, Literal

from pydantic import StrictBool

from rl_slt import SettingsModel

MODES = {"easy": 0, "hard": 1, "memory": 10}  # procgen's numbers
NO_PITS, NO_CRATES, FLAT = 2, 4, 8  # procgen's debug_mode bits


class LevelSettings(SettingsModel):
    """How procgen draws its levels and their look."""

    distribution_mode: Literal["easy", "hard", "memory"] = "easy"  # memory for the maze alone
    pits: StrictBool = True  # pits with lava, saws or enemies
    crates: StrictBool = True  # piles of crates
    steps: StrictBool = True  # ground that rises and falls
    monsters: StrictBool = True  # walking enemies (easy levels have them in pits alone)
    backgrounds: StrictBool = True  # background pictures
    restrict_themes: StrictBool = False  # one theme for each kind of object
    monochrome: StrictBool = False  # rectangles of one color in place of pictures

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

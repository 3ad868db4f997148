"""What workers have in memory from their start: the process that they are forked from imports this.

So each is there at once, and all share what would be half a gigabyte and six seconds for each.
Nothing here may ask for a GPU, which the forked processes could then not use.
"""

import contextlib

import rl_slt.pipeline.commands.run  # noqa: F401 (the stages, torch and pandas)
from envs import load_images
from rl_slt.errors import InputError

with contextlib.suppress(InputError):  # without procgen gridworlds remain
    load_images()

"""What workers have in memory from their start: the process that they are forked from imports this.

So each is there at once, and all share what would be half a gigabyte and six seconds for each.
Nothing here may ask for a GPU, which the forked processes could then not use.
"""

import contextlib
import gc

gc.disable()  # a million objects come, none of which goes

import distributed  # noqa: F401, E402

import rl_slt.pipeline.commands.run  # noqa: F401, E402 (the stages, torch and pandas)
from envs import load_images  # noqa: E402
from rl_slt.errors import InputError  # noqa: E402

with contextlib.suppress(InputError):  # without procgen gridworlds remain
    load_images()
gc.freeze()  # nor do collections in the workers then copy the pages that they share
gc.enable()

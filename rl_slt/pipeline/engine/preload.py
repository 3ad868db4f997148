"""What workers have in memory from their start: the process that they are forked from imports this.

So each is there at once, and all share what would be half a gigabyte and six seconds for each.
Nothing here may ask for a GPU, which the forked processes could then not use.
"""

# ruff: noqa: E402, F401, I001 (an order for speed)
import contextlib
import gc

gc.disable()  # a million objects come, none of which goes

from envs import load_images
from rl_slt.errors import InputError

images = None
with contextlib.suppress(InputError):  # without procgen gridworlds remain
    images = load_images()

import distributed
import rl_slt.pipeline.commands.run  # the stages, torch and pandas
import torch._dynamo  # by the first optimizer and by the first graph that is traced

if images is not None:
    images.join()
gc.freeze()  # so that no collection in the workers copies the pages that they share
gc.enable()

"""Posterior samplers, one per file, by name."""

from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.hmc import HMC
from rl_slt.samplers.mala import MALA
from rl_slt.samplers.rmsprop_sgld import RMSpropSGLD
from rl_slt.samplers.sgld import SGLD, OrthogonalSGLD
from rl_slt.samplers.sgnht import SGNHT

SAMPLERS: dict[str, type[Sampler]] = {
    s.name: s for s in (SGLD, RMSpropSGLD, SGNHT, BAOAB, MALA, HMC, OrthogonalSGLD)
}

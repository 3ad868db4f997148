"""Singular learning theory for reinforcement-learning policies."""

from rl_slt.errors import InputError
from rl_slt.estimate import estimate_llc
from rl_slt.losses.kl import PolicyKL
from rl_slt.losses.nll import PolicyNLL
from rl_slt.policy_data import PolicyData
from rl_slt.result import LLCEstimate
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.hmc import HMC
from rl_slt.samplers.mala import MALA
from rl_slt.samplers.sgld import SGLD

__version__ = "0.1.0"

__all__ = [
    "BAOAB",
    "HMC",
    "MALA",
    "SGLD",
    "InputError",
    "LLCEstimate",
    "PolicyData",
    "PolicyKL",
    "PolicyNLL",
    "estimate_llc",
]

"""Singular learning theory for reinforcement-learning policies."""

from rl_slt.errors import InputError
from rl_slt.estimate import estimate_llc, estimate_with
from rl_slt.losses.kl import PolicyKL
from rl_slt.losses.nll import PolicyNLL
from rl_slt.losses.regret import Regret
from rl_slt.losses.surrogate import Surrogate
from rl_slt.losses.value import Value
from rl_slt.policy_data import PolicyData
from rl_slt.result import LLCEstimate
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.hmc import HMC
from rl_slt.samplers.mala import MALA
from rl_slt.samplers.orthogonal import OrthogonalSGLD
from rl_slt.samplers.rmsprop_sgld import RMSpropSGLD
from rl_slt.samplers.sgld import SGLD
from rl_slt.samplers.sgnht import SGNHT
from rl_slt.settings import POLICY_CNN, Settings

__version__ = "0.1.0"

__all__ = [
    "BAOAB",
    "HMC",
    "MALA",
    "POLICY_CNN",
    "SGLD",
    "SGNHT",
    "InputError",
    "LLCEstimate",
    "OrthogonalSGLD",
    "PolicyData",
    "PolicyKL",
    "PolicyNLL",
    "RMSpropSGLD",
    "Regret",
    "Settings",
    "Surrogate",
    "Value",
    "estimate_llc",
    "estimate_with",
]

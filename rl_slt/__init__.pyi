from .data.policy_data import PolicyData
from .data.simulate import Simulator, TabularSimulator
from .data.tabular import TabularMDP
from .errors import ConvergenceWarning, InputError
from .estimate import estimate_llc, estimate_with
from .losses.cross_entropy import CrossEntropy
from .losses.exact import ExactRegret, ReturnError
from .losses.kl import PolicyKL
from .losses.nll import PolicyNLL
from .losses.regret import Regret
from .losses.rollouts import RolloutRegret
from .losses.surrogate import Surrogate
from .losses.value import Value
from .profile import llc_profile, profile_verdict
from .response.traces import Traces, Tracing
from .result import LLCEstimate
from .samplers.baoab import BAOAB
from .samplers.base import Sampler
from .samplers.hmc import HMC
from .samplers.mala import MALA
from .samplers.rmsprop_sgld import RMSpropSGLD
from .samplers.sgld import SGLD, OrthogonalSGLD
from .samplers.sgnht import SGNHT
from .settings import POLICY_CNN, Settings
from .settings_model import SettingsModel
from .volume.goal import goal_volume
from .volume.policy import local_volume

__version__: str

__all__ = [
    "BAOAB",
    "HMC",
    "MALA",
    "POLICY_CNN",
    "SGLD",
    "SGNHT",
    "ConvergenceWarning",
    "CrossEntropy",
    "ExactRegret",
    "InputError",
    "LLCEstimate",
    "OrthogonalSGLD",
    "PolicyData",
    "PolicyKL",
    "PolicyNLL",
    "RMSpropSGLD",
    "Regret",
    "ReturnError",
    "RolloutRegret",
    "Sampler",
    "Settings",
    "SettingsModel",
    "Simulator",
    "Surrogate",
    "TabularMDP",
    "TabularSimulator",
    "Traces",
    "Tracing",
    "Value",
    "estimate_llc",
    "estimate_with",
    "goal_volume",
    "llc_profile",
    "local_volume",
    "profile_verdict",
]

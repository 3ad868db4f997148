"""Per-sample losses of a policy, one per file, by name; a new one needs its file and this entry."""

from rl_slt.losses.base import Loss
from rl_slt.losses.exact import ExactRegret, ReturnError
from rl_slt.losses.kl import PolicyKL
from rl_slt.losses.nll import PolicyNLL
from rl_slt.losses.regret import Regret
from rl_slt.losses.rollouts import RolloutRegret
from rl_slt.losses.surrogate import Surrogate
from rl_slt.losses.value import Value

_ALL = (PolicyKL, PolicyNLL, Regret, RolloutRegret, ExactRegret, ReturnError, Surrogate, Value)
LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in _ALL}

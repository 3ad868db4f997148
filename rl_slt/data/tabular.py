"""Finite Markov decision processes, solved exactly: values, optima and regrets of tabular policies.

Every level is a process of its own on the same states and actions. With `c(s') = 0` where s' is
terminal, else 1, a policy pi has in each level

    V = c (r_pi + tau H_pi + gamma P_pi V),    P_pi(s, s') = sum_a pi(a|s) P(s, a, s') c(s'),

H the entropy of pi(.|s) in nats and tau a temperature; tau = 0 is the return that PPO speaks of.
The optimum satisfies `V* = tau log sum_a exp(Q*(s, a) / tau)`, the largest Q* at tau = 0, where
`Q = r + gamma P V`, and `pi*(a|s) = exp((Q*(s, a) - V*(s)) / tau)` (Haarnoja et al. 2017, arXiv
1702.08165, theorem 1). The regret is exactly a divergence from it,

    V*(s0) - V(s0) = tau sum_s d(s) KL(pi(.|s) || pi*(.|s)),

d the discounted visits of pi (Mei et al. 2020, arXiv 2005.06392, lemma 26).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from rl_slt.data.policy_data import check_weights
from rl_slt.errors import InputError

PRECISIONS = (torch.float32, torch.float64)
TOLERANCE = 1e-6  # of sums of probabilities, which may be float32
MOST_SWEEPS = 1000  # of policy iteration, which takes about ten


@dataclass(frozen=True, eq=False)
class TabularMDP:
    """L levels of a finite decision process with S states and A actions.

    Attributes:
        transitions: `[S, A, S]` of all levels or `[L, S, A, S]`, probabilities of the next state.
        rewards: `[L, S, A]`, expected reward of an action.
        starts: `[L, S]`, distribution of the first state.
        discount: gamma, per step.
        terminals: `[L, S]`, where an episode ends on arrival (value 0); None is nowhere.
        weights: `[L]`, how much each level counts, relative to the others; None is equally.

    Raises:
        InputError: shapes, probabilities or the discount are wrong, named in one line.

    Example:
        >>> chain = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
        >>> mdp = TabularMDP(chain, torch.tensor([[[0.0, 1.0], [0.0, 0.0]]]),
        ...                  torch.tensor([[1.0, 0.0]]), discount=0.9,
        ...                  terminals=torch.tensor([[False, True]]))
        >>> mdp.value(torch.zeros(1, 2, 2))[0, 0]  # 0.5 / (1 - 0.9 / 2)
        tensor(0.9091)
    """

    transitions: Tensor
    rewards: Tensor
    starts: Tensor
    discount: float
    terminals: Tensor | None = None
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rewards.ndim != 3:
            raise InputError.of("shape of rewards", list(self.rewards.shape), "[L, S, A]")
        levels, states, actions = self.rewards.shape
        wanted: dict[str, tuple[tuple[int, ...], ...]] = {
            "transitions": ((states, actions, states), (levels, states, actions, states)),
            "starts": ((levels, states),),
            "terminals": ((levels, states),),
            "weights": ((levels,),),
        }
        for name, shapes in wanted.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) not in shapes:
                allowed = " or ".join(str(list(shape)) for shape in shapes)
                raise InputError.of(f"shape of {name}", list(value.shape), allowed)
        if not 0 <= self.discount < 1:
            raise InputError.of("discount", self.discount, "at least 0 and below 1")
        if self.rewards.dtype not in PRECISIONS:  # an optimum in whole numbers would be truncated
            raise InputError.of(
                "dtype of rewards", self.rewards.dtype, " or ".join(map(str, PRECISIONS))
            )
        if not bool(torch.isfinite(self.rewards).all()):
            raise InputError("rewards: must be finite; some are not")
        for name, value in (("transitions", self.transitions), ("starts", self.starts)):
            _check_distributions(name, value)
        if self.terminals is not None and self.terminals.dtype != torch.bool:
            raise InputError.of("dtype of terminals", self.terminals.dtype, "torch.bool")
        if self.weights is not None:
            check_weights(self.weights)
        # In both precisions now: made within `torch.func` it would belong to one transformation.
        object.__setattr__(self, "_forms", {t: _converted(self, t) for t in PRECISIONS})
        object.__setattr__(self, "_optima", {})

    @property
    def n_levels(self) -> int:
        """L."""
        return self.rewards.shape[-3]

    def to(self, where: torch.dtype | torch.device) -> TabularMDP:
        """The same process in another floating-point type or on another device."""
        form: TabularMDP = vars(self).get("_forms", {}).get(where) or self
        same = where in (form.rewards.dtype, form.rewards.device)
        return form if same else _converted(self, where)

    def take(self, levels: Tensor) -> TabularMDP:
        """The process of the levels at `levels` `[B]`, integers, without another check."""
        shared = self.transitions.ndim == 3
        rows = {
            name: value if value is None or (name == "transitions" and shared) else value[levels]
            for name in TENSORS
            if (value := getattr(self, name)) is None or isinstance(value, Tensor)
        }
        return _trusted(self.discount, **rows)

    def value(
        self,
        logits: Tensor | None = None,
        *,
        probs: Tensor | None = None,
        temperature: float = 0.0,
    ) -> Tensor:
        """Value `V` `[..., L, S]` of a policy, by a linear solve: exact and differentiable.

        Args:
            logits: `[..., L, S, A]`.
            probs: `[..., L, S, A]` in their place.
            temperature: tau, reward per nat of entropy.

        Raises:
            InputError: a policy of another shape, or probabilities that do not sum to 1.
        """
        _check_temperature(temperature)
        p, log_p = self._policy(logits, probs)
        mdp = self.to(p.dtype)
        reward = (p * mdp.rewards).sum(-1)
        if temperature:
            plogp = torch.special.xlogy(p, p) if log_p is None else p * log_p
            reward = reward - temperature * plogp.sum(-1)
        if (live := mdp._live) is not None:
            reward = reward * live
        return torch.linalg.solve(mdp._system(p), reward)

    def q_value(self, value: Tensor) -> Tensor:
        """`Q = r + gamma P V` `[..., L, S, A]` of values `[..., L, S]`; 0 at terminal states."""
        mdp = self.to(value.dtype)
        form = "...t,sat->...sa" if mdp.transitions.ndim == 3 else "...lt,lsat->...lsa"
        live = mdp._live
        reached = value if live is None else value * live
        q = mdp.rewards + self.discount * torch.einsum(form, reached, mdp.transitions)
        return q if live is None else q * live[..., None]

    def occupancy(self, logits: Tensor | None = None, *, probs: Tensor | None = None) -> Tensor:
        """Discounted visits `[..., L, S]`, `sum_t gamma^t P(s_t = s)`, terminal states excepted."""
        p, _ = self._policy(logits, probs)
        mdp = self.to(p.dtype)
        starts = mdp.starts if mdp._live is None else mdp.starts * mdp._live
        system = mdp._system(p).mT
        return torch.linalg.solve(system, starts.expand(system.shape[:-1]))

    def returns(
        self,
        logits: Tensor | None = None,
        *,
        probs: Tensor | None = None,
        temperature: float = 0.0,
    ) -> Tensor:
        """Value from each level's starts, `[..., L]`; the arguments are those of `value`."""
        value = self.value(logits, probs=probs, temperature=temperature)
        return (value * self.to(value.dtype).starts).sum(-1)

    def regret(
        self,
        logits: Tensor | None = None,
        *,
        probs: Tensor | None = None,
        temperature: float = 0.0,
    ) -> Tensor:
        """Best return of each level less the policy's, `[..., L]`, at least 0."""
        found = self.returns(logits, probs=probs, temperature=temperature)
        return self.optimal_returns(temperature).to(found.dtype) - found

    def optimal_value(self, temperature: float = 0.0) -> Tensor:
        """`V*` `[L, S]`, in the precision of the rewards, computed in float64."""
        return _optimum(self, temperature).to(self.rewards)

    def optimal_returns(self, temperature: float = 0.0) -> Tensor:
        """`V*` from each level's starts, `[L]`, float64."""
        return (_optimum(self, temperature) * self.starts.double()).sum(-1)

    def optimal_logits(self, temperature: float) -> Tensor:
        """`log pi*` `[L, S, A]`; uniform at terminal states.

        Raises:
            InputError: the temperature is 0, where the best policy is at infinite logits.
        """
        if not temperature > 0:
            hint = "the best policy of temperature 0 is at infinite logits"
            raise InputError.of("temperature", temperature, "above 0", hint)
        q = self.to(torch.float64).q_value(_optimum(self, temperature))
        return (q / temperature).log_softmax(-1).to(self.rewards)

    def _policy(self, logits: Tensor | None, probs: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Probabilities, and their logarithms where these are known."""
        if (logits is None) == (probs is None):
            raise InputError("a policy: must be given as logits or as probs, one of the two")
        given, name = (logits, "logits") if probs is None else (probs, "probs")
        assert given is not None
        # A last axis of 1 would broadcast to another process; an axis of levels may be 1: one
        # policy for all.
        if given.shape[-2:] != self.rewards.shape[-2:]:
            allowed = f"[..., L, {', '.join(map(str, self.rewards.shape[-2:]))}]"
            raise InputError.of(f"shape of {name}", list(given.shape), allowed)
        if probs is not None:
            if not torch._C._functorch.is_functorch_wrapped_tensor(probs):  # it has no truth value
                _check_distributions("probs", probs.detach())
            return probs, None
        log_p = given.log_softmax(-1)
        return log_p.exp(), log_p

    @property
    def _live(self) -> Tensor | None:
        """1 where the episode goes on, `[L, S]`, else 0; None where that is everywhere."""
        return None if self.terminals is None else (~self.terminals).to(self.rewards.dtype)

    def _system(self, p: Tensor) -> Tensor:
        """`I - gamma P_pi` `[..., L, S, S]` of probabilities `[..., L, S, A]`."""
        form = "...lsa,sat->...lst" if self.transitions.ndim == 3 else "...lsa,lsat->...lst"
        moves = torch.einsum(form, p, self.transitions)
        if (live := self._live) is not None:
            moves = moves * (live[..., :, None] * live[..., None, :])
        return torch.eye(p.shape[-2], dtype=p.dtype, device=p.device) - self.discount * moves


def _check_distributions(name: str, value: Tensor) -> None:
    sums = value.double().sum(-1)
    off = ~((sums - 1).abs() <= TOLERANCE)  # NaN too
    if bool(off.any()):
        raise InputError.of(f"sum of {name}", float(sums[off][0]), "1 over the last axis")
    if bool((value < 0).any()):
        raise InputError.of(f"least of {name}", float(value.min()), "at least 0")


TENSORS = tuple(f.name for f in fields(TabularMDP) if f.name != "discount")


def _trusted(discount: float, **tensors: Tensor | None) -> TabularMDP:
    mdp = object.__new__(TabularMDP)
    object.__setattr__(mdp, "_optima", {})
    object.__setattr__(mdp, "discount", discount)
    for name, value in tensors.items():
        object.__setattr__(mdp, name, value)
    return mdp


def _converted(mdp: TabularMDP, where: torch.dtype | torch.device) -> TabularMDP:
    rows = {name: getattr(mdp, name) for name in TENSORS}
    for name, value in rows.items():
        if value is not None and (name != "terminals" or isinstance(where, torch.device)):
            rows[name] = value.to(where)
    return _trusted(mdp.discount, **rows)


def _optimum(mdp: TabularMDP, temperature: float) -> Tensor:
    """`V*` `[L, S]`, float64, by policy iteration: Newton's method on the Bellman equation.

    Values rise until rounding stops them. Found once for each process and temperature.
    """
    _check_temperature(temperature)
    known: dict[float, Tensor] = vars(mdp)["_optima"]
    if temperature not in known:
        with torch._C._DisableFuncTorch():  # or it would belong to one transformation
            known[temperature] = _iterated(mdp.to(torch.float64), temperature)
    return known[temperature]


def _check_temperature(temperature: float) -> None:
    if not 0 <= temperature < math.inf:
        raise InputError.of("temperature", temperature, "at least 0")


def _iterated(mdp: TabularMDP, temperature: float) -> Tensor:
    value = torch.zeros_like(mdp.starts)
    for sweep in range(MOST_SWEEPS):
        q = mdp.q_value(value)
        if temperature:
            probs = (q / temperature).softmax(-1)
        else:
            probs = torch.nn.functional.one_hot(q.argmax(-1), q.shape[-1]).double()
        better = mdp.value(probs=probs, temperature=temperature)
        rise = (better - value).abs().max()
        value = better
        if sweep and float(rise) <= 4e-16 * (1 + float(value.abs().max())) / (1 - mdp.discount):
            break
    return value

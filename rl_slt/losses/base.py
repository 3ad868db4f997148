"""What a loss is and must say of itself, and the parts that losses share."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from rl_slt.data.policies import readable_policy
from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError

Policy = Callable[[Tensor], "Tensor | tuple[Tensor, Tensor]"]
LossFunction = Callable[[Policy, PolicyData], Tensor]
"""Any callable `loss(policy, batch) -> [B]`, nats or its own unit; a user's loss needs no more."""

NARROW = 32  # actions up to which torch's softmax over the last dimension is slow


class Loss:
    """Base of the built-in losses: a frozen dataclass of its settings that says what it needs.

    Attributes:
        name: what tables and the command line call it.
        sample_unit: what a sample is, which N and B count: `"state"`, a row of the data; `"level"`,
            a row, too, of all states of a level; `"episode"`, the rows of an episode.
        population: whether the samples are all that the loss is about, as the levels of a known
            process are: N is then no sample size, so that nbeta has no default, and there is no
            error over samples.
        needs: fields of the data, besides states, that must have been recorded in on-policy
            episodes; empty where states alone suffice.
        options: fields of the dataclass that may be set in the text form of a loss, as in
            `regret:clip=10,self-normalized`.
        has_reference: whether another policy than the checkpoint can be the reference.
        plays: whether `refresh` makes the data with the policy that it is given, so that L(w*) is
            of fresh data, too.
        batched: False when the loss must not be tried under `torch.func.vmap` over chains.
    """

    name: ClassVar[str] = "custom"
    sample_unit: ClassVar[Literal["state", "level", "episode"]] = "state"
    population: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    has_reference: ClassVar[bool] = False
    batched: ClassVar[bool] = True
    plays: ClassVar[bool] = False

    @property
    def zero_at_center(self) -> bool:
        """Whether the loss at w* is 0 by definition, so that no baseline is measured."""
        return False

    @property
    def minimum(self) -> float:
        """The least value that any policy can have; NaN where that is not known."""
        return math.nan

    @property
    def hint(self) -> str:
        """What to do where w* is no minimum of the loss; empty where the loss cannot tell."""
        return ""

    @property
    def redrawn(self) -> bool:
        """Whether `refresh` redraws: such a loss has no fixed energy for a Metropolis test."""
        return False

    @property
    def expected(self) -> Loss:
        """The loss averaged over what `refresh` redraws, up to a constant of each sample."""
        return self

    @property
    def reference(self) -> nn.Module | None:
        """The named reference policy; None is the checkpoint itself."""
        return None

    @classmethod
    def option_forms(cls) -> dict[str, type]:
        """The text name of each option (`self-normalized`) and its type: bool (a flag) or float."""
        flags = {f.name for f in dataclasses.fields(cls) if f.type in ("bool", bool)}  # type: ignore[arg-type]
        return {n.replace("_", "-"): bool if n in flags else float for n in cls.options}

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`."""
        raise NotImplementedError

    def weighted(self, policy: Policy, batch: PolicyData) -> Tensor:
        """The losses `[B]` that are averaged: `self(policy, batch)` times the data's weights."""
        return self.weigh(self(policy, batch), batch)

    def weighted_rows(self, policy: Policy, batch: PolicyData) -> Tensor | None:
        """The score rows `[B, R]` of the weighted losses."""
        rows = self.score_rows(policy, batch)
        if rows is None or batch.weights is None:
            return rows
        return self.weigh(rows.mT, batch, 0.5).mT

    def weigh(self, values: Tensor, batch: PolicyData, power: float = 1.0) -> Tensor:
        """Values `[..., B]` times powers of their samples' weights."""
        weights = batch.weights
        if weights is None:
            return values
        if self.sample_unit == "episode":
            assert batch.episode is not None
            _, lengths = torch.unique_consecutive(batch.episode, return_counts=True)
            weights = weights[lengths.cumsum(0) - lengths]
        return values * weights**power

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Data with all that this loss reads, called once with the policy at w*.

        The default fills absent log-probabilities of the actions, where `needs` names actions.

        Raises:
            InputError: a field in `needs` is absent, or an action is not the policy's.
        """
        for name in self.needs:
            if getattr(data, name) is None:
                raise InputError(f"the {self.name} loss needs {name}; the data have none")
        if "actions" not in self.needs:
            return data
        recorded = data.log_probs is not None
        logits = policy_logits(policy, data.take(slice(0, 1)) if recorded else data)
        actions = check_actions(data, logits)
        if recorded:
            return data
        return data.with_fields(log_probs=action_log_probs(logits, actions))

    def refresh(self, batch: PolicyData, generator: Generator, policy: Policy) -> PolicyData:
        """Redraw what is random in a batch; called before every gradient.

        Args:
            batch: of the data that `prepare` gave.
            generator: of everything random. A twin of it gives the same random numbers.
            policy: at the weights that the gradient is taken at.
        """
        return batch

    def loss_at_center(self, batch: PolicyData) -> Tensor | None:
        """Per-sample losses `[B]` at w* of a redrawn batch; None when they are fixed per sample."""
        return None

    def report(self, policy: Policy, batch: PolicyData) -> dict[str, float]:
        """Numbers worth knowing about the loss at a posterior draw."""
        return {}

    def undefined(self, report: dict[str, float]) -> str:
        """Why there is no LLC, by the mean of `report` over draws; empty where there is one."""
        return ""

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor | None:
        """Per-sample rows `[B, R]` whose gradients g_r give it as the mean `sum_r g_r g_r'`.

        None when the loss does not know: the curvature is then that of its Hessian, and no
        direction is preconditioned.
        """
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceLoss(Loss):
    """A loss of what a reference policy does; its Hessian at w* is the Fisher matrix.

    Attributes:
        reference: another policy to measure from, or None for the checkpoint itself.
    """

    reference: nn.Module | None = None
    has_reference = True

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill the reference's logits `[N, A]`, computed in evaluation mode.

        Raises:
            InputError: logits are not `[N, A]`, are not finite, or the two policies' A differ.
        """
        logits = _checked(policy_logits(policy, data), len(data), "the policy")
        if self.reference is not None:
            place = next((p.device for p in self.reference.parameters()), data.states.device)
            own, logits = logits, policy_logits(*readable_policy(self.reference, data.to(place)))
            _checked(logits, len(data), "the reference policy")
            if logits.shape != own.shape:
                raise InputError(
                    f"the reference policy has {logits.shape[1]} actions; "
                    f"it must have {own.shape[1]}"
                )
            logits = logits.to(own)
        return data.with_fields(reference_logits=logits)

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`sqrt(p_a) log pi_w(a|s)` `[B, A]`, p_a the value of `pi_w(a|s)` without its gradient."""
        log_p = log_softmax(logits_of(policy(batch.states)))
        return (0.5 * log_p.detach()).exp() * log_p


class PlainLoss(Loss):
    """A user's own function as a loss; every field it may read is filled from the policy."""

    def __init__(self, function: LossFunction) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)  # type: ignore[misc]
        self.sample_unit = getattr(function, "sample_unit", "state")  # type: ignore[misc]
        if hasattr(function, "unit"):
            self.sample_unit = function.unit  # type: ignore[misc]
            text = "unit of a loss is deprecated; it is now called sample_unit"
            warnings.warn(text, DeprecationWarning, stacklevel=5)

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`."""
        return self.function(policy, batch)

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Outputs as reference logits, and actions drawn from them, where absent."""
        logits = data.reference_logits
        if logits is None:
            logits = policy_logits(policy, data)
            data = data.with_fields(reference_logits=logits)
        if data.actions is None and logits.ndim == 2:
            actions = draw_actions(logits, generator)
            data = data.with_fields(actions=actions, log_probs=action_log_probs(logits, actions))
        return data


def as_loss(loss: LossFunction) -> Loss:
    """The loss itself when it is one of ours, else the function wrapped.

    Raises:
        InputError: it cannot be called.
    """
    if isinstance(loss, Loss):
        return loss
    if not callable(loss):
        raise InputError.of("loss", loss, "a callable loss(policy, batch) -> [B]")
    return PlainLoss(loss)


def logits_of(output: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Action logits `[B, A]` of a policy's output, which may be `(logits, value)`."""
    return output[0] if isinstance(output, tuple) else output


def policy_logits(policy: nn.Module, data: PolicyData, chunk: int = 512) -> Tensor:
    """Action logits `[N, A]` of a policy on all data, in chunks, without gradients."""
    with torch.no_grad():
        return torch.cat([logits_of(policy(part.states)) for part in data.chunks(chunk)])


def _checked(logits: Tensor, n: int, who: str) -> Tensor:
    if logits.ndim != 2 or len(logits) != n or logits.shape[1] < 2:
        raise InputError(
            f"{who} returned logits {list(logits.shape)}; they must be [{n}, actions], of at least "
            "2 actions (and come before the value, where it returns one)"
        )
    if not bool(torch.isfinite(logits).all()):
        raise InputError(f"{who} returned NaN or infinite logits on the states; all must be finite")
    return logits


def check_actions(data: PolicyData, logits: Tensor) -> Tensor:
    """The actions `[N]`, all of them the policy's: a GPU would refuse others too late.

    Raises:
        InputError: an action is not the policy's.
    """
    assert data.actions is not None
    low, high = int(data.actions.min()), int(data.actions.max())
    if low < 0 or high >= logits.shape[-1]:
        wrong = low if low < 0 else high
        raise InputError.of("actions", wrong, f"integers from 0 to {logits.shape[-1] - 1}")
    return data.actions


def draw_actions(logits: Tensor, generator: Generator) -> Tensor:
    """One action `[B]` per row of `[B, A]` logits, by the Gumbel-max trick."""
    noise = torch.empty_like(logits).exponential_(generator=generator)
    return (logits - noise.log()).argmax(-1)


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities `[B, A]` of `[B, A]` logits, nats.

    Torch's kernel goes along the last dimension one row at a time, along any other with vectors:
    with 15 actions ten times as fast on a CPU.
    """
    if logits.shape[-1] > NARROW:
        return logits.log_softmax(-1)
    return logits.mT.contiguous().log_softmax(-2).mT


def action_log_probs(logits: Tensor, actions: Tensor) -> Tensor:
    """Log-probability `[B]` of `actions` `[B]` under `logits` `[B, A]`, nats."""
    return log_softmax(logits).gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)

"""The trace of the curvature, and settings that are relative to it or to the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rl_slt import InputError, PolicyData, PolicyKL, PolicyNLL, estimate_llc
from rl_slt.losses.base import Policy, as_loss, logits_of
from rl_slt.posterior.build import build_target
from rl_slt.posterior.sharpness import at_entropy, sharpness_of

CLASSES = [[0], [1, 3], [2]]


def policy(seed: int = 0, scale: float = 1.0) -> nn.Sequential:
    torch.manual_seed(seed)
    head = nn.Linear(5, 4)
    with torch.no_grad():
        for p in head.parameters():
            p.mul_(scale)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), head)


STATES = torch.randn(400, 3, generator=torch.Generator().manual_seed(1))


def hessian_trace(net: nn.Module, loss: Callable[[Tensor], Tensor]) -> float:
    """Of a mean loss of the logits, by autograd's dense Hessian."""
    names = [name for name, _ in net.named_parameters()]
    values = tuple(p.detach() for p in net.parameters())

    def mean(*tensors: Tensor) -> Tensor:
        call = torch.func.functional_call
        return loss(call(net, dict(zip(names, tensors, strict=True)), (STATES,))).mean()

    blocks = torch.autograd.functional.hessian(mean, values)
    return sum(float(blocks[i][i].reshape(v.numel(), -1).trace()) for i, v in enumerate(values))


@pytest.mark.parametrize("classes", [None, CLASSES])
def test_the_trace_of_a_self_kl_is_that_of_its_hessian(classes: list[list[int]] | None) -> None:
    net = policy()

    def merged(logits: Tensor) -> Tensor:
        groups = classes or [[a] for a in range(4)]
        return torch.stack([logits[:, g].logsumexp(1) for g in groups], dim=1).log_softmax(1)

    reference = merged(net(STATES)).detach()
    exact = hessian_trace(net, lambda x: (reference.exp() * (reference - merged(x))).sum(1))
    target = build_target(
        net, STATES, PolicyKL(), 10.0, 1.0, None, 0, distinct_actions=classes
    )  # fmt: skip
    error = target.trace.stderr
    assert abs(target.trace.value - exact) < 2 * error < 0.2 * exact


def test_a_loss_of_ones_own_has_the_trace_of_its_hessian() -> None:
    net = policy()

    def loss(of: Policy, batch: PolicyData) -> Tensor:
        return logits_of(of(batch.states)).square().sum(1)

    exact = hessian_trace(net, lambda x: x.square().sum(1))
    target = build_target(net, STATES, as_loss(loss), 10.0, 1.0, None, 0)
    assert abs(target.trace.value - exact) < 3 * target.trace.stderr < 0.3 * exact
    quadratic = build_target(nn.Linear(3, 1), STATES, as_loss(loss), 10.0, 1.0, None, 0)
    moment = float(STATES.square().sum(1).mean())
    assert quadratic.trace.value == pytest.approx(2 * (moment + 1), rel=1e-5)


def test_relative_settings_are_what_they_say() -> None:
    net = policy()
    norm = math.sqrt(sum(float(p.detach().square().sum()) for p in net.parameters()))
    target = build_target(net, STATES, PolicyKL(), "relative:50", "relative:0.5", None, 0)
    assert target.localization == pytest.approx(target.dim / (0.5 * norm) ** 2)
    found = target.nbeta * target.trace.value / (2 * target.localization)
    assert (
        found
        == pytest.approx(50)
        == target.trace.relative_temperature(target.nbeta, target.localization)
    )
    # Under the localizer alone nbeta L is K, to second order: a narrow one leaves no more.
    tight = build_target(net, STATES, PolicyKL(), "relative:50", 1e6, None, 0)
    draws = torch.randn(400, tight.dim, generator=torch.Generator().manual_seed(2)) * 1e-3
    losses = [
        float(tight.losses(tight.flat.load(tight.flat.w_star + d), tight.data).mean())
        for d in draws
    ]
    mean = tight.nbeta * torch.tensor(losses)
    assert float(mean.mean()) == pytest.approx(50, rel=0.1)


def test_the_loss_s_unit_has_no_part_in_a_relative_temperature() -> None:
    def tenfold(of: Policy, batch: PolicyData) -> Tensor:
        return 10 * PolicyKL()(of, batch)

    options = dict(nbeta="relative:20", localization=3.0, draws=200, burn_in=100)
    one = estimate_llc(policy(), STATES, loss=lambda p, b: PolicyKL()(p, b), **options)  # type: ignore[arg-type]
    ten = estimate_llc(policy(), STATES, loss=tenfold, **options)  # type: ignore[arg-type]
    assert one.nbeta == pytest.approx(10 * ten.nbeta, rel=1e-4)
    assert abs(one.llc - ten.llc) < 3 * math.hypot(one.stderr, ten.stderr)
    assert one.relative_temperature == pytest.approx(20) == ten.relative_temperature


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nbeta": "relative:50", "localization": 0.0}, "nbeta='relative:50': must be a number"),
        ({"nbeta": "relative:-1"}, "nbeta='relative:-1': must be a finite number at least 0, or"),
        ({"match_entropy": 3.0}, "match_entropy=3.0: must be between"),
    ],
)
def test_what_cannot_be_relative_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        estimate_llc(policy(), STATES, **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_a_loss_without_curvature_has_no_relative_temperature() -> None:
    def flat(of: Policy, batch: PolicyData) -> Tensor:
        return -logits_of(of(batch.states)).square().sum(1)

    with pytest.raises(InputError, match=r"the curvature of loss flat at w\* has trace -"):
        estimate_llc(policy(), STATES, loss=flat, nbeta="relative:50")


def test_a_policy_is_brought_to_an_entropy_by_its_last_layer() -> None:
    net = policy(scale=3.0)
    data = PolicyData(STATES)
    for classes in (None, CLASSES):
        scaled = at_entropy(net, data, classes, 0.7)
        logits, own = scaled(STATES).detach(), net(STATES).detach()
        factor = float((logits / own).median())
        assert torch.allclose(logits, factor * own, rtol=1e-4, atol=1e-5)
        if classes is None:
            assert sharpness_of(logits).entropy == pytest.approx(0.7, abs=1e-4)
        assert torch.equal(net[0].weight, scaled[0].weight)  # type: ignore[arg-type, index]


def test_at_matched_entropy_the_head_s_scale_has_no_part() -> None:
    options = dict(nbeta="relative:20", match_entropy=1.0, draws=300, burn_in=100)
    found = [
        estimate_llc(policy(scale=scale), STATES, **options)  # type: ignore[arg-type]
        for scale in (1.0, 4.0)
    ]
    one, four = found
    assert one.entropy == pytest.approx(1.0, abs=1e-4) == pytest.approx(four.entropy, abs=1e-4)
    assert one.nbeta == pytest.approx(four.nbeta, rel=0.02)
    assert abs(one.llc - four.llc) < 3 * math.hypot(one.stderr, four.stderr)
    assert one.matched_entropy == 1.0 and four.logit_scale == pytest.approx(one.logit_scale)


def test_information_is_the_mean_divergence_from_the_marginal() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.4, 0.2, 0.4]])
    found = sharpness_of(p.log() + 3.0)
    marginal = p.mean(0)
    assert found.information == pytest.approx(
        float((p * (p / marginal).log()).sum(1).mean()), abs=1e-6
    )
    assert found.entropy == pytest.approx(float(-(p * p.log()).sum(1).mean()), abs=1e-6)
    assert sharpness_of(torch.zeros(5, 3)).information == 0.0


def test_the_posterior_s_divergence_is_told_for_other_losses() -> None:
    options = dict(nbeta=200.0, draws=400, burn_in=100)
    kl = estimate_llc(policy(), STATES, **options)  # type: ignore[arg-type]
    nll = estimate_llc(policy(), STATES, loss=PolicyNLL(), **options)  # type: ignore[arg-type]
    assert kl.kl == pytest.approx(kl.llc / 200)
    assert nll.kl == pytest.approx(kl.kl, rel=0.25)

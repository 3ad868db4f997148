"""What gradients make of the data alone: made once, kept in bounds, and the same."""

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from agents import build_network
from rl_slt import PolicyData, PolicyKL
from rl_slt.gradients import hoisted, traced
from rl_slt.gradients.traced import TracedGradient
from rl_slt.losses.base import LossFunction, Policy, as_loss, logits_of
from rl_slt.posterior.build import build_target
from rl_slt.posterior.target import Target

STATES = torch.rand(50, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Logits of inputs that were prepared somehow; a trunk and a head of 16 hidden units."""

    def __init__(self, prepare: Callable[[Tensor], Tensor] = torch.sqrt, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.prepare = prepare
        self.trunk, self.head = nn.Linear(width, 16), nn.Linear(16, 4)
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(self.prepare(x) * self.gain).tanh())
        return logits


def target_of(
    policy: nn.Module,
    states: Tensor,
    params: str | None = None,
    loss: LossFunction = PolicyKL(),  # noqa: B008
) -> Target:
    traced._GRAPHS.clear()
    data = PolicyData(states, rewards=torch.rand(len(states)))
    target = build_target(policy, data, as_loss(loss), 10.0, 1.0, params, 0)
    assert target.traced is not None
    return target


def compare(target: Target, batched: bool = True) -> list[str]:
    """What draws do once the first is made, where the gradients are those of the plain path."""
    gradient = target.traced
    assert gradient is not None and target.batched == batched
    generator = torch.Generator().manual_seed(2)
    for _ in range(4):
        w = target.flat.w_star + 0.1 * torch.randn(3, target.dim, generator=generator)
        rows = torch.randint(target.n, (3, 16), generator=generator)
        loss, grad, _ = target._loss_grad(w, [*rows], [])
        for c in range(3):
            out, batch = torch.empty_like(w[c]), target.samples.take(rows[c])
            value = target.flat.value_and_grad(target.loss, batch, w[c], out)
            assert float(loss[c]) == pytest.approx(float(value), rel=1e-4, abs=1e-7)
            torch.testing.assert_close(grad[c], out, rtol=1e-4, atol=1e-5 * float(out.abs().max()))
    done: list[str] = []

    class Log(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            done.append(func.name().removeprefix("aten::"))
            return func(*args, **(kwargs or {}))

    with Log():
        gradient.of_rows(w if batched else w[0], rows if batched else rows[0])
    return done


def test_what_needs_no_weights_is_made_once() -> None:
    assert "sqrt" not in compare(target_of(Net(), STATES))
    kept = "rl_slt.gradients.hoisted.SMALL_BYTES"
    with mock.patch(kept, 0), mock.patch("rl_slt.gradients.hoisted.MOST_TIMES", 0):
        assert "sqrt" in compare(target_of(Net(), STATES))


def test_frames_are_cut_into_patches_once_for_the_same_gradients_to_the_bit() -> None:
    policy = build_network("patch", obs_shape=(32, 32, 3), width=8)
    states = torch.randint(0, 256, (50, 32, 32, 3), dtype=torch.uint8)
    target = target_of(policy, states)
    assert not {"_to_copy", "slice.Tensor"} & set(compare(target))
    gradient = target.traced
    assert gradient is not None
    w, rows = target.flat.w_star.repeat(2, 1) * 1.1, torch.randint(50, (2, 16))
    fields = {k: v[rows] for k, v in target.data.tensors().items()}
    for found, wanted in zip(gradient.of_rows(w, rows), gradient(w, fields), strict=True):
        assert torch.equal(found, wanted)


def gathered(target: Target, rows: Tensor) -> None:
    """Gradients of samples are right, and made of what is kept alone."""
    gradient = target.traced
    assert gradient is not None
    w = target.flat.w_star.repeat(len(rows), 1) * 1.1
    with mock.patch.object(type(gradient), "__call__", side_effect=AssertionError):
        found = gradient.of_rows(w, rows)
    fields = {k: v[rows] for k, v in target.data.tensors().items()}
    for mine, wanted in zip(found, gradient(w, fields), strict=True):
        torch.testing.assert_close(mine, wanted)


def test_batches_of_every_size_are_gathered() -> None:
    """A mean's weights, which go with the reference's probabilities, are of one size alone."""
    target, generator = target_of(Net(), STATES), torch.Generator().manual_seed(4)
    for size in (16, 8, 16, 5):
        gathered(target, torch.randint(target.n, (3, size), generator=generator))


def test_a_batch_of_zeros_tells_nothing_of_others() -> None:
    def rewarded(policy: Policy, batch: PolicyData) -> Tensor:
        assert batch.rewards is not None
        return logits_of(policy(batch.states)).logsumexp(-1) * batch.rewards

    target = target_of(Net(), STATES, loss=rewarded)
    zero = torch.arange(target.n) < 20
    target.data.tensors()["rewards"].masked_fill_(zero, 0.0)
    none, some = zero.nonzero()[:, 0], (~zero).nonzero()[:, 0]
    for rows in (some[:16], none[:8], some[:8]):
        gathered(target, rows.repeat(2, 1))


@pytest.mark.parametrize("network", ["patch", "small"])
def test_frozen_layers_are_computed_once(network: str) -> None:
    policy = build_network(network, obs_shape=(36, 36, 3), width=8)
    states = torch.randint(0, 256, (50, 36, 36, 3), dtype=torch.uint8)
    target = target_of(policy, states, "policy_head.*")
    done = compare(target, network == "patch")
    assert not [name for name in done if "conv" in name or "relu" in name]
    assert "states" not in done and len([n for n in done if n in ("bmm", "mm", "addmm")]) <= 3


def test_samples_that_a_loss_mixes_are_not_kept_apart() -> None:
    """Less the batch's mean, a reward is not the same in other company."""

    def centered(policy: Policy, batch: PolicyData) -> Tensor:
        rewards = batch.rewards
        assert rewards is not None
        return logits_of(policy(batch.states)).logsumexp(-1) * (rewards - rewards.mean())

    assert "mean.dim" in compare(target_of(Net(), STATES, loss=centered))


def test_what_weights_then_overwrite_is_made_anew() -> None:
    class Overwrites(Net):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                scaled = x.sqrt().mul_(self.gain)
            logits: Tensor = self.head(self.trunk(scaled).tanh())
            return logits

    target = target_of(Overwrites(), STATES)
    rows = [torch.arange(50)] * 2
    w = target.flat.w_star.repeat(2, 1) * torch.tensor([[1.0], [1.2]])
    first, second = (target._over_all(w, torch.Generator())[1] for _ in range(2))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, target._loss_grad(w, rows, [])[1])


def test_more_than_the_bounds_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide tensors are made anew of what came before them; too many rows are not kept at all."""
    wide = Net(lambda x: x.sqrt().repeat(1, 200), 1600)
    done = compare(target_of(wide, STATES))
    assert "sqrt" not in done
    with mock.patch("rl_slt.gradients.hoisted.SMALL_BYTES", 10_000):
        assert len(compare(target_of(wide, STATES))) < len(done)
    monkeypatch.setattr(hoisted, "MOST_BYTES", 50 * 8 * 4 - 1)
    assert "sqrt" in compare(target_of(Net(), STATES))


def test_graphs_serve_other_policies_with_what_these_prepare() -> None:
    """A graph is shared; the features of frozen layers are each policy's own."""
    traced._GRAPHS.clear()
    for seed in (0, 1):
        policy = Net()
        nn.init.normal_(policy.trunk.weight, generator=torch.Generator().manual_seed(seed))
        data = PolicyData(STATES)
        with mock.patch.object(TracedGradient, "_trace", autospec=True) as trace:
            trace.side_effect = TRACE
            target = build_target(policy, data, PolicyKL(), 10.0, 1.0, "head.*", 0)
        assert bool(trace.call_count) == (seed == 0)
        compare(target)


TRACE = TracedGradient._trace


def test_graphs_of_patches_serve_the_next_checkpoint() -> None:
    """Settings that are arrays are compared by what they hold."""
    traced._GRAPHS.clear()
    states = torch.randint(0, 256, (20, 32, 32, 3), dtype=torch.uint8)
    calls = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        policy = build_network("patch", obs_shape=(32, 32, 3), width=8)
        with mock.patch.object(TracedGradient, "_trace", autospec=True) as trace:
            trace.side_effect = TRACE
            build_target(policy, PolicyData(states), PolicyKL(), 10.0, 1.0, None, 0)
        calls.append(trace.call_count)
    assert calls[0] > 0 and calls[1] == 0

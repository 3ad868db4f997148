"""The balanced gauge: equal policies come to the same weights, whatever the network is made of."""

import copy
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import agents
from rl_slt import InputError, LLCEstimate, Settings, estimate_llc, estimate_with
from rl_slt.posterior.gauge import FIXED, LOGITS, Gauge, balanced, in_gauge, same_policy

FRAMES = torch.randint(
    0, 255, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


class Residual(nn.Module):
    """A stream that two layers write and two read, and one layer inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.up, self.down = nn.Linear(5, 6), nn.Linear(6, 7), nn.Linear(7, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.inward(x)
        stream = stream + self.down(torch.relu(self.up(torch.relu(stream))))
        head: Tensor = self.head(torch.relu(stream))
        return head


class Gain(nn.Module):
    """An embedding, a learned gain, a mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gain = nn.Embedding(7, 6), nn.Parameter(torch.randn(6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(torch.relu(self.embedding(x.long()) * self.gain).mean(1))
        return head


def frame_network(name: str, **settings: Any) -> nn.Module:
    network = agents.build_network(name, **settings)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


# name: (network, states, hidden units with a scale, two layers: in times 4, out over 4)
CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, int, tuple[str, str]]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.LeakyReLU(),
                              nn.Linear(6, 3)), torch.randn(4, 5), 14, ("0", "2")),
    "tanh then relu": (
        lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.ReLU(),
                              nn.Linear(6, 3)), torch.randn(4, 5), 6, ("2", "4")),
    "residual, inside": (Residual, torch.randn(4, 5), 13, ("up", "down")),
    "layer norm's gain": (
        lambda: nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)),
        torch.randn(4, 5), 8, ("1", "3")),
    "batch norm's gain": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                              nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)),
        torch.randn(4, 3, 9, 9), 8, ("1", "5")),
    "groups and pooling": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.MaxPool2d(2),
                              nn.Conv2d(8, 8, 1, groups=8), nn.ReLU(), nn.Flatten(),
                              nn.Linear(72, 3)), torch.randn(4, 4, 8, 8), 16, ("0", "3")),
    "learned gain": (Gain, torch.randint(0, 7, (3, 4)), 6, ("", "")),
    "patch": (lambda: frame_network("patch"), FRAMES, 128, ("body.conv1", "body.conv2")),
    "small": (lambda: frame_network("small"), FRAMES, 176, ("body.conv1", "body.conv2")),
    "small, to fc": (lambda: frame_network("small"), FRAMES, 176, ("body.conv2", "body.fc")),
    "nature": (lambda: frame_network("nature", width=64), FRAMES, 224,
               ("body.conv2", "body.conv3")),
    "impala block": (lambda: frame_network("impala", width=64), FRAMES, 304,
                     ("body.section1.residual1.conv1", "body.section1.residual1.conv2")),
}  # fmt: skip


def names_of(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_parameters() if "value" not in name]


def largest_difference(a: nn.Module, b: nn.Module) -> float:
    return max(
        float((p - q).detach().abs().max())
        for p, q in zip(a.parameters(), b.parameters(), strict=True)
    )


def rescaled(network: nn.Module, inward: str, outward: str) -> nn.Module:
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.get_submodule(inward).parameters():
            parameter.mul_(4)
        weight = other.get_submodule(outward).weight
        assert isinstance(weight, Tensor)
        weight.div_(4)
    return other


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, int, tuple[str, str]]:
    make, states, hidden, layers = CASES[request.param]
    torch.manual_seed(0)
    return make().eval(), states, hidden, layers


def test_the_policy_stays_equal_and_rescaled_ones_meet(
    case: tuple[nn.Module, Tensor, int, tuple[str, str]],
) -> None:
    network, states, hidden, layers = case
    before = copy.deepcopy(network)
    gauge = Gauge(network, states, names_of(network))
    result = gauge.balance(network)
    assert gauge.hidden == hidden
    assert same_policy(network, result, states)
    assert largest_difference(network, before) == 0
    assert largest_difference(network, result) > 1e-3
    if layers[0]:
        other = rescaled(network, *layers)
        assert same_policy(network, other, states)
        assert largest_difference(network, other) > 0.1
        again = Gauge(other, states, names_of(other)).balance(other)
        assert largest_difference(result, again) < 1e-6


def test_incoming_and_outgoing_norms_are_equal() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    result = Gauge(network, torch.randn(4, 5), names_of(network)).balance(network)
    first, last = result[0], result[2]  # type: ignore[index]
    inward = first.weight.square().sum(1) + first.bias.square()
    torch.testing.assert_close(inward, last.weight.square().sum(0), rtol=1e-5, atol=1e-7)


def test_dead_units_and_networks_without_the_symmetry_stay() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    first, last = network[0], network[2]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    with torch.no_grad():
        first.weight[2] = 0
        first.bias[2] = 0
        last.weight[:, 5] = 0
    result = Gauge(network, torch.randn(4, 5), names_of(network)).balance(network)
    assert torch.equal(result[2].weight[:, 2], last.weight[:, 2])  # type: ignore[index]
    assert torch.equal(result[0].weight[5], first.weight[5])  # type: ignore[index]
    smooth = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    gauge = Gauge(smooth, torch.randn(4, 5), names_of(smooth))
    assert gauge.hidden == 0
    assert largest_difference(gauge.balance(smooth), smooth) == 0


def test_weights_used_twice_share_their_scale() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Linear(4, 6), nn.Linear(6, 6)
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.again(torch.relu(self.first(x))))
            head: Tensor = self.head(torch.relu(self.again(x)))
            return head

    torch.manual_seed(0)
    network, states = Twice(), torch.randn(5, 4)
    gauge = Gauge(network, states, names_of(network))
    assert gauge.hidden == 6  # a unit of all three places has one scale
    assert same_policy(network, gauge.balance(network), states)


def test_logits_are_scaled_by_the_weights_that_write_them() -> None:
    network = frame_network("small")
    gauge = Gauge(network, FRAMES, names_of(network))
    assert gauge.scales_logits
    logits, value = gauge.with_logits(network, 2.5)(FRAMES)
    expected, same = network(FRAMES)
    torch.testing.assert_close(logits, 2.5 * expected)
    torch.testing.assert_close(value, same)
    squashed = nn.Sequential(nn.Linear(5, 3), nn.Tanh())
    assert not Gauge(squashed, torch.randn(4, 5), names_of(squashed)).scales_logits


def test_balance_is_the_least_norm() -> None:
    """One unit between weights 3 and 1/3 ends at 1 and 1; a chain of two has a known balance."""
    reads, writes = np.array([FIXED, 2]), np.array([2, LOGITS])
    logs = balanced(np.array([3.0, 1 / 3]), reads, writes, np.ones(2, bool))
    assert logs[2] == pytest.approx(-np.log(3))
    reads, writes = np.array([FIXED, 2, 3]), np.array([2, 3, LOGITS])
    logs = balanced(np.array([8.0, 1.0, 1.0]), reads, writes, np.ones(3, bool))
    scaled = np.array([8.0, 1.0, 1.0]) * np.exp(logs[writes] - logs[reads])
    np.testing.assert_allclose(scaled, 2.0, rtol=1e-6)  # all equal, with the same product


def relu_policy() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def test_estimates_do_not_depend_on_the_scale_of_units() -> None:
    policy, states = relu_policy(), torch.randn(300, 4)
    twin = rescaled(policy, "0", "2")

    def estimate(of: nn.Module, gauge: Literal["auto", "none"]) -> LLCEstimate:
        return estimate_llc(
            of, states, nbeta=300.0, localization=10.0, gauge=gauge, states_error=False, draws=160
        )

    own, other = estimate(policy, "auto"), estimate(twin, "auto")
    error = np.hypot(own.stderr, other.stderr)
    assert own.gauge == other.gauge == "balanced"
    assert abs(own.llc - other.llc) < 2 * error
    as_given = estimate(policy, "none"), estimate(twin, "none")
    assert as_given[0].gauge == "none"
    assert abs(as_given[0].llc - as_given[1].llc) > 5 * error


def test_the_gauge_is_refused_or_left_where_there_is_none() -> None:
    smooth, states = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), torch.randn(50, 4)
    few = Settings(chains=2, draws=20, burn_in=20)
    assert estimate_with(smooth, states, few).gauge == "none"
    with pytest.raises(InputError, match="gauge='balanced': must be auto or none; this policy has"):
        estimate_with(smooth, states, few.replace(gauge="balanced"))
    before = relu_policy()
    policy = copy.deepcopy(before)
    assert estimate_with(policy, states, few.replace(gauge="balanced")).gauge == "balanced"
    assert largest_difference(policy, before) == 0


def test_a_policy_that_changes_its_mind_is_left_as_it_is() -> None:
    """Control flow on the data is not in the graph; what came of it is not trusted."""

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = relu_policy()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.layers(x)
            return logits * (1 if float(self.layers[0].weight.norm()) > 1e9 else 2)  # type: ignore[index]

    assert in_gauge(Branch(), torch.randn(4, 4), ["layers.0.weight"], "auto") is None

"""Slices along directions whose losses are known in closed form."""

import math

import pytest
import torch

from analysis.compare import between, gradient, random_directions, take_slices
from rl_slt import InputError


def bowl(policy: torch.nn.Module) -> torch.Tensor:
    """`sum w^2` over all parameters."""
    return torch.stack([p.square().sum() for p in policy.parameters()]).sum()


@pytest.fixture
def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))


def test_along_the_gradient_a_bowl_is_a_parabola(net: torch.nn.Module) -> None:
    norm = math.sqrt(float(bowl(net).detach()))
    table = take_slices(
        net, [gradient(net, bowl)], {"bowl": lambda p: float(bowl(p))}, radius=0.5, points=5
    )
    assert table["distance"].tolist() == pytest.approx([-0.5, -0.25, 0, 0.25, 0.5])
    truth = [(norm + d) ** 2 for d in table["distance"]]
    assert table["value"].tolist() == pytest.approx(truth, rel=1e-5)
    assert table[["ci_low", "ci_high"]].isna().all(axis=None) and table["fraction"].isna().all()


def test_a_direction_to_another_policy_ends_there(net: torch.nn.Module) -> None:
    torch.manual_seed(1)
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x = torch.randn(7, 3)
    measures = {"loss": lambda p: (float(p(x).square().mean()), 0.0, 0.1)}
    table = take_slices(net, [between(net, other)], measures, radius=1, points=6)
    by_place = table.set_index("fraction")
    for policy in (net, other):
        policy.requires_grad_(False)
    assert by_place["value"][0.0] == pytest.approx(float(net(x).square().mean()))
    assert by_place["value"][1.0] == pytest.approx(float(other(x).square().mean()), rel=1e-4)
    assert by_place["distance"][1.0] == pytest.approx(
        math.sqrt(sum(float((a - b).square().sum()) for a, b in
                      zip(net.parameters(), other.parameters(), strict=True)))
    )  # fmt: skip
    assert set(table["ci_low"]) == {0.0} and set(table["ci_high"]) == {0.1}
    assert len(table) == len(set(table["fraction"])) == 8


def test_random_directions_are_unit_and_proportional_to_filters(net: torch.nn.Module) -> None:
    first, second = random_directions(net, 2, seed=3)
    for direction in (first, second):
        parts = direction.vector
        assert sum(float(v.square().sum()) for v in parts.values()) == pytest.approx(1, rel=1e-5)
        assert not parts["0.bias"].any()
        weight = net.get_parameter("0.weight").detach()
        ratio = parts["0.weight"].norm(dim=1) / weight.norm(dim=1)
        assert ratio.tolist() == pytest.approx([float(ratio[0])] * 4, rel=1e-5)
    again = random_directions(net, 2, seed=3)[0].vector["0.weight"]
    assert torch.equal(first.vector["0.weight"], again)
    assert not torch.equal(first.vector["0.weight"], second.vector["0.weight"])


def test_the_policy_is_left_unchanged(net: torch.nn.Module) -> None:
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    seen: list[bool] = []
    calls: list[tuple[int, int]] = []

    def mode(policy: torch.nn.Module) -> float:
        seen.append(policy.training)
        return 0.0

    take_slices(
        net,
        [*random_directions(net, 2), gradient(net, bowl)],
        {"mode": mode},
        radius=3.0,
        points=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert net.training and seen and not any(seen)
    assert all(p.grad is None for p in net.parameters())
    assert calls[-1] == (9, 9)


def test_mistakes_are_named(net: torch.nn.Module) -> None:
    with pytest.raises(InputError, match="radius=0: must be a finite number above 0"):
        take_slices(net, [], {}, radius=0)
    with pytest.raises(InputError, match="points=2: must be at least 3"):
        take_slices(net, [], {}, radius=1, points=2)
    with pytest.raises(InputError, match="equal weights"):
        between(net, net)
    with pytest.raises(InputError, match="different names or shapes"):
        between(net, torch.nn.Linear(3, 4))
    with pytest.raises(InputError, match="gradient zero"):
        gradient(net, lambda p: 0 * bowl(p))

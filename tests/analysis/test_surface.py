"""Surfaces: planted cliffs are found, smooth slopes are not, and directions are what they claim."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.surface import (
    COARSE,
    FINE,
    agreement,
    along,
    find_cliffs,
    line,
    random_direction,
)


class Slope(nn.Module):
    """A policy with one weight that counts: what it earns falls to nothing around 2.2."""

    def __init__(self, steepness: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 0.0], dtype=torch.float64))
        self.steepness = steepness

    def earned(self) -> float:
        return float(10 * torch.sigmoid(self.steepness * (2.2 - self.weight[0])))


@pytest.mark.parametrize(("steepness", "cliffs"), [(200.0, 1), (2.0, 0)])
def test_a_planted_cliff_is_found_and_a_smooth_slope_is_not(steepness: float, cliffs: int) -> None:
    policy = Slope(steepness)
    right = torch.tensor([3.0, 0.0], dtype=torch.float64)
    # Reach 0.4 norms of the weights: from 2 to 2.8, in steps of 0.08.
    table = along(
        policy,
        [right],
        line(0.4)[:, None],
        lambda moved: {"ret": moved.earned()},  # type: ignore[operator]
    )
    assert table["ret"].iloc[-1] < 4 < table["ret"].iloc[0]
    found = find_cliffs(table["x0"], table["ret"])
    assert bool(found) == bool(cliffs)
    if cliffs:  # 2.16 is before it, 2.24 after
        assert found[0].start == pytest.approx(0.08) and found[0].end == pytest.approx(0.12)
        assert found[0].fall == pytest.approx(10, abs=0.1)
    assert policy.weight.tolist() == [2.0, 0.0]


def steps(*values: float) -> list[float]:
    """A line of eleven steps with nothing between the first two."""
    whole = [*values, *[values[-1]] * (COARSE + 1 - len(values))]
    return [whole[0], *[whole[1]] * FINE, *whole[2:]]


@pytest.mark.parametrize(
    ("values", "spread", "cliffs"),
    [
        (steps(10, 5), None, [(0, 1)]),  # half is a cliff
        (steps(10, 5.1), None, []),
        (steps(10, 7, 5), None, [(0, 2)]),  # within two steps
        (steps(10, 8, 6.3, 5.1), None, []),  # within three
        (steps(10, 4), 25.0, []),  # less than a quarter of what is seen elsewhere
        (steps(10, 4), 23.0, [(0, 1)]),
        (steps(2, 10, 10, 1, 6, 2), None, [(2, 3), (4, 5)]),
    ],
)
def test_the_rule_of_cliffs(
    values: list[float], spread: float | None, cliffs: list[tuple[int, int]]
) -> None:
    found = find_cliffs(line(float(COARSE)), values, spread)
    assert [(round(c.start), round(c.end)) for c in found] == cliffs


def test_the_fine_points_are_no_steps_of_their_own() -> None:
    """A dip between the first two steps, however deep, is not one of the paper's cliffs."""
    values = steps(10, 10)
    values[4] = 0.0
    assert find_cliffs(line(1.0), values) == ()
    assert len(line(1.0)) == len(values) and line(1.0)[FINE] == pytest.approx(0.1)


def test_a_random_direction_has_the_norm_of_every_filter() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        [*net.parameters()][1].zero_()  # the first layer's bias
    parts = random_direction(net, 0).split([w.numel() for w in net.parameters()])
    for weight, part in zip(net.parameters(), parts, strict=True):
        rows = len(weight) if weight.ndim > 1 else 1
        norms = part.view(rows, -1).norm(dim=1), weight.detach().reshape(rows, -1).norm(dim=1)
        assert torch.allclose(*norms, rtol=1e-5)
    assert not torch.equal(random_direction(net, 0), random_direction(net, 1))


def test_agreement_tells_how_near_the_mean_of_the_batches_is() -> None:
    rng = np.random.default_rng(0)
    d, k, true, cosines, of_mean = 2000, 4, np.zeros(2000), [], []
    true[0] = 1.0
    for _ in range(60):
        batches = true + rng.normal(size=(k, d)) / np.sqrt(d)  # noise as large as the gradient
        cosines.append(agreement(torch.from_numpy(batches)))
        mean = batches.mean(0)
        of_mean.append(mean @ true / np.linalg.norm(mean))
    found = np.mean(cosines, axis=0)
    assert found[0] == pytest.approx(0.5, abs=0.01)
    assert found[1] == pytest.approx(np.mean(of_mean), abs=0.01)
    assert agreement(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == (-1.0, 0.0)


def test_points_lie_where_they_are_said_to() -> None:
    net = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, 4.0]]))
    seen: list[Tensor] = []

    def measure(moved: nn.Module) -> dict[str, float]:
        seen.append(next(moved.parameters()).clone())
        return {}

    axes = [torch.tensor([0.0, 7.0]).double(), torch.tensor([-2.0, 0.0]).double()]
    along(net, axes, [[0.0, 0.0], [0.2, 0.4]], measure)
    assert torch.allclose(seen[0], torch.tensor([[3.0, 4.0]]).double())
    assert torch.allclose(seen[1], torch.tensor([[3.0 - 0.4 * 5, 4.0 + 0.2 * 5]]).double())

"""The toy model of superposition, its exact loss, and its k-gons (Chen et al. 2023, 2310.06301).

An input has one feature i of c, uniformly, of a size m that is uniform in [0, 1]; the model
`relu(W'W x + b)`, W of two rows, is to give it back. The loss is an integral over m of piecewise
polynomials, so it is known exactly: there are no data, and no noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rl_slt import InputError, PolicyData
from rl_slt.losses.base import Loss, Policy, logits_of

Array = NDArray[np.float64]


class ToyModel(nn.Module):
    """Output j on a feature i of size m is `relu(m g_ij + b_j)`, `g = W'W`.

    Args:
        weights: W, `[2, c]`.
        bias: b, `[c]`.
    """

    def __init__(self, weights: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weights, self.bias = nn.Parameter(weights.clone()), nn.Parameter(bias.clone())

    def forward(self, features: Tensor) -> Tensor:
        """Slope and bias `[B, c, 2]` of the outputs on features `[B]`, as functions of m."""
        slopes = self.weights[:, features].mT @ self.weights
        return torch.stack([slopes, self.bias.expand_as(slopes)], -1)


@dataclass(frozen=True, eq=False)
class Reconstruction(Loss):
    """`sum_j int_0^1 (m [i = j] - relu(m g_ij + b_j))^2 dm` per feature i: exact, without data.

    The sum over features is their population: N is no sample size, and an nbeta must be given.
    """

    name = "reconstruction"
    population = True

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Losses `[B]` of the features."""
        slope, bias = logits_of(policy(batch.states)).unbind(-1)
        # Not `one_hot`, which cannot be traced: chains would go one after the other.
        own = (batch.states[:, None] == torch.arange(slope.shape[-1])).to(slope)
        return squared_errors(slope, bias, own).sum(-1)

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Rows `[B, 2 c]` of the Gauss-Newton matrix `2 int_0^1 (m, 1)(m, 1)' dm` of (g, b).

        Of each output the two rows of its Cholesky factor, over the part where it is not 0.
        """
        slope, bias = logits_of(policy(batch.states)).unbind(-1)
        width, square, cube = active(slope.detach(), bias.detach())
        first = (cube / 3).sqrt()
        both = torch.where(cube > 0, square / 2 / first, 0.0)
        last = (width - both.square()).clamp(min=0).sqrt()
        return math.sqrt(2) * torch.cat((first * slope + both * bias, last * bias), -1)


def squared_errors(slope: Tensor, bias: Tensor, own: Tensor) -> Tensor:
    """`int_0^1 (t m - relu(g m + b))^2 dm`, elementwise.

    In the part of [0, 1] where `g m + b > 0` the integrand is quadratic. At an end inside [0, 1]
    the output is 0: moving it changes nothing, and it takes no gradient.

    Args:
        slope: g.
        bias: b.
        own: t, 1 where the output is that of the feature, else 0.
    """
    with torch.no_grad():
        width, square, cube = active(slope, bias)
    fit = slope.square() * cube / 3 + slope * bias * square + bias.square() * width
    return own / 3 + fit - 2 * own * (slope * cube / 3 + bias * square / 2)


def active(slope: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`v^k - u^k`, k from 1 to 3, of the ends u and v of the part of [0, 1] where `g m + b > 0`."""
    root = torch.where(slope == 0, 0.0, -bias / torch.where(slope == 0, 1.0, slope)).clamp(0, 1)
    low = torch.where(slope > 0, root, 0.0)
    high = torch.where(slope < 0, root, 1.0)
    high = torch.where((slope == 0) & (bias <= 0), 0.0, high)
    return high - low, high**2 - low**2, high**3 - low**3


def all_features(c: int) -> PolicyData:
    """The features of a toy model, which are all its data."""
    return PolicyData(torch.arange(c))


def mean_loss(w: Tensor, c: int) -> Tensor:
    """Losses `[...]` of weights `[..., 3 c]`, W's rows and then b."""
    weights, bias = w[..., : 2 * c].unflatten(-1, (2, c)), w[..., 2 * c :]
    slope = weights.mT @ weights
    return squared_errors(slope, bias[..., None, :].expand_as(slope), torch.eye(c).to(w)).sum(
        (-2, -1)
    ) / c  # fmt: skip


@dataclass(frozen=True)
class Gon:
    """A k-gon: k features at the corners of a regular polygon, the others at its center.

    Attributes:
        c: number of features.
        k: corners.
        positive: how many of the features at the center have the bias 1 / (2 c), at which their
            mean error is least; the others have one so low that they give 0.
        weights: W `[2, c]` and b `[c]` in a row, `[3 c]`.
        loss: at these weights, double precision.
    """

    c: int
    k: int
    positive: int
    weights: Tensor
    loss: float

    @property
    def name(self) -> str:
        """As in the paper: `5`, or `5+`, a plus for each feature at the center with such a bias."""
        return str(self.k) + "+" * self.positive

    @property
    def complexity(self) -> float:
        """Half the number of weights in use, less the rotation: lambda where it is a minimum."""
        return (3 * (self.k + self.positive) - 1) / 2

    def model(self) -> ToyModel:
        """A model with these weights."""
        w = self.weights.float()
        return ToyModel(w[: 2 * self.c].view(2, self.c), w[2 * self.c :])


NEGATIVE = -1.0  # bias of features that give 0 wherever the chains go


def gon(c: int, k: int, positive: int = 0) -> Gon:
    """The k-gon of c features whose radius and bias are those of least loss.

    Raises:
        InputError: k is not from 1 to c, or more than the others are to be positive.
    """
    if not 1 <= k <= c:
        raise InputError.of("k", k, f"from 1 to c={c}")
    if not 0 <= positive <= c - k:
        raise InputError.of("positive", positive, f"from 0 to c - k = {c - k}")
    from scipy.optimize import minimize

    def weights(radius: float, bias: float) -> Tensor:
        angle = 2 * math.pi * torch.arange(k, dtype=torch.float64) / k
        w = torch.zeros(3, c, dtype=torch.float64)
        w[0, :k], w[1, :k] = radius * angle.cos(), radius * angle.sin()
        w[2, :k], w[2, k : k + positive], w[2, k + positive :] = bias, 1 / (2 * c), NEGATIVE
        return w.flatten()

    tries = [
        minimize(lambda x: float(mean_loss(weights(*x), c)), start, method="Nelder-Mead",
                 options={"xatol": 1e-11, "fatol": 1e-15, "maxiter": 4000})
        for start in ((1.0, 0.0), (1.1, -0.2), (1.3, -0.5))
    ]  # fmt: skip
    best = min(tries, key=lambda one: one.fun)
    return Gon(c, k, positive, weights(*best.x), float(best.fun))


def loss_by_antiderivatives(w: Array, c: int) -> Array:
    """Losses `[...]` of weights `[..., 3 c]`, in numpy and along another way: by other code.

    With y = g m + b, `int relu(y)^2 dm = [y+^3] / (3 g)` and `int m relu(y) dm =
    [y+^3 / 3 - b y+^2 / 2] / g^2`, each from y = b to g + b; where g is next to nothing against b
    by the polynomials that they are then.
    """
    weights, bias = w[..., : 2 * c].reshape(*w.shape[:-1], 2, c), w[..., 2 * c :]
    slope = np.swapaxes(weights, -1, -2) @ weights
    b = np.broadcast_to(bias[..., None, :], slope.shape)
    straight = (np.abs(slope) < 1e-3) & (np.abs(slope) < np.abs(b))
    g = np.where(straight, 1.0, np.where(slope == 0, 1e-12, slope))
    low, high = np.maximum(b, 0), np.maximum(g + b, 0)
    on = b > 0
    fit = (high**3 - low**3) / (3 * g)
    fit = np.where(straight, on * (slope**2 / 3 + slope * b + b**2), fit)
    match = ((high**3 - low**3) / 3 - b * (high**2 - low**2) / 2) / g**2
    match = np.where(straight, on * (slope / 3 + b / 2), match)
    own = np.diagonal(match, axis1=-2, axis2=-1).sum(-1)
    return np.asarray((c / 3 + fit.sum((-1, -2)) - 2 * own) / c)


def hessian(polygon: Gon) -> Tensor:
    """Second derivatives of the mean loss at a k-gon, `[3 c, 3 c]`, double precision."""
    found = torch.autograd.functional.hessian(lambda w: mean_loss(w, polygon.c), polygon.weights)
    assert isinstance(found, Tensor)
    return found

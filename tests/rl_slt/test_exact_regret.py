"""Losses of exact returns: what they are, their curvature, weights, and what is refused."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, grad, jacrev

from rl_slt import (
    HMC,
    ExactRegret,
    InputError,
    PolicyData,
    PolicyKL,
    ReturnError,
    estimate_llc,
    llc_profile,
)
from rl_slt.estimate import center_of, prepare_chains, prepare_target
from rl_slt.known.returns import PROBLEMS, bandit
from rl_slt.losses.base import Loss
from rl_slt.posterior.build import build_target
from rl_slt.posterior.curvature import every_row, row_gradients
from rl_slt.settings import Settings
from rl_slt.verdict.minimum import largest_llc
from tests.rl_slt.levels import Net, cells, corridor


def trained(temperature: float, hidden: int = 16) -> Net:
    """Near the minimum of the soft regret of the corridor's levels."""
    net, mdp, data = Net(hidden), corridor(), cells()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=300, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-10, tolerance_change=1e-14)  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mdp.regret(net(data.states), temperature=temperature).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return net


def curvatures(loss: Loss, net: Net, data: PolicyData) -> tuple[Tensor, Tensor]:
    """Of the weighted mean loss at w*: the Hessian, and the matrix of the score rows."""
    target = build_target(net, data, loss, 1.0, 1.0, None, 0)
    width = len(loss.score_rows(net, target.data)[0])  # type: ignore[index]
    rows = torch.cat(list(row_gradients(target, *every_row(target, width))))
    names, shapes = list(dict(net.named_parameters())), [p.shape for p in net.parameters()]

    def mean(w: Tensor) -> Tensor:
        parts = w.split([s.numel() for s in shapes])
        weights = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        policy = lambda states: functional_call(net, weights, (states,))  # noqa: E731
        return target.loss.weighted(policy, target.data).mean()

    full = jacrev(grad(mean))(target.flat.w_star)
    assert target.trace.value == pytest.approx(float(rows.square().sum() / target.n), rel=1e-9)
    assert target.trace.stderr == 0
    return full, rows.T @ rows / target.n


@pytest.mark.parametrize("weights", [None, (1.0, 5.0, 0.25)])
def test_score_rows_give_the_hessian_at_the_soft_minimum(weights: tuple[float, ...] | None) -> None:
    net, data = trained(0.3), cells()
    if weights is not None:
        data = data.with_fields(weights=torch.tensor(weights))
    loss = ExactRegret(corridor(), 0.3)
    batch = loss.prepare(net, data, Generator())
    assert float(loss(net, batch).detach().max()) < 1e-12  # 16 units can be the best policy
    full, rows = curvatures(loss, net, data)
    torch.testing.assert_close(rows, full, rtol=0, atol=1e-5 * float(full.abs().max()))


def test_rows_of_the_return_error_give_its_hessian_anywhere() -> None:
    full, rows = curvatures(ReturnError(corridor(), 0.1), Net(), cells())
    torch.testing.assert_close(rows, full, rtol=1e-9, atol=1e-12)


def test_losses_are_regrets_and_squares_of_returns() -> None:
    mdp, data, net, other = corridor(), cells(), Net(), Net(5)
    for temperature in (0.0, 0.2):
        loss = ExactRegret(mdp, temperature)
        batch = loss.prepare(net, data, Generator())
        expected = mdp.regret(other(data.states), temperature=temperature)
        torch.testing.assert_close(loss(other, batch), expected, rtol=0, atol=1e-12)
        part = batch.take(torch.tensor([2, 0]))
        torch.testing.assert_close(loss(other, part), expected[[2, 0]], rtol=0, atol=1e-12)
        error = ReturnError(mdp, temperature)
        batch = error.prepare(net, data, Generator())
        gap = expected - mdp.regret(net(data.states), temperature=temperature)
        torch.testing.assert_close(error(other, batch), gap**2, rtol=0, atol=1e-12)


def test_chains_share_one_graph_with_the_levels_weights() -> None:
    """The traced gradient of all chains is that of the weighted mean, level 1 left out."""
    net, mdp = Net(), corridor()
    data = cells().with_fields(weights=torch.tensor([1.0, 0.0, 3.0]))
    loss = ExactRegret(mdp, 0.1)
    target = prepare_target(net, data, Settings(nbeta=7.0), loss, 0)
    assert target.n == 2 and target.traced is not None and target.batched
    z = 0.1 * torch.randn(3, target.dim, dtype=torch.float64, generator=Generator().manual_seed(0))
    found = target.evaluate(z, [None] * 3, [Generator()] * 3)
    regrets = []
    for delta in z:
        with torch.no_grad():
            module = target.flat.load(target.flat.w_star + delta)
            regrets.append(mdp.regret(module(data.states), temperature=0.1))
    means = torch.stack(regrets) @ torch.tensor([0.25, 0.0, 0.75], dtype=torch.float64)
    torch.testing.assert_close(found.loss, means, rtol=1e-12, atol=1e-14)
    energy = 7 * means + 0.5 * z.square().sum(1)
    torch.testing.assert_close(found.energy, energy, rtol=1e-12, atol=1e-12)


def test_directions_are_found_where_the_weight_is() -> None:
    """One level of weight 1 among others of 1e-4: its directions are the stiff ones."""
    net, mdp = trained(0.3), corridor()
    share = torch.tensor([1e-4, 1e-4, 1.0])
    spans = []
    for data in (cells().with_fields(weights=share), cells().subset(share == 1)):
        if len(data) == 1:
            data = data.with_fields(level=torch.tensor([2]))
        settings = Settings(nbeta=1e4, localization=1.0, preconditioner_rank=3)
        chains = prepare_chains(prepare_target(net, data, settings, ExactRegret(mdp, 0.3), 0),
                                settings, 0)  # fmt: skip
        chains.init_dispersion = (0.0,)
        chains.burn_in(0, lambda: None)
        assert chains.target.preconditioner is not None
        spans.append(chains.target.preconditioner.basis)
    overlap = torch.linalg.svdvals(spans[0].T @ spans[1])
    assert float(overlap.min()) > 0.99


def test_weights_are_repeats_for_every_loss() -> None:
    """A sample of weight 2 counts as two of weight 1, in whatever unit weights are given."""
    net, states = Net(), cells().states.flatten(0, 1)
    twice = PolicyData(torch.cat([states, states[:4]]))
    weights = torch.ones(12)
    weights[:4] = 2
    found = []
    for data in (twice, PolicyData(states, weights=5 * weights)):
        target = build_target(net, data, PolicyKL(), 100.0, 1.0, None, 0)
        z = 0.3 * torch.ones(2, target.dim, dtype=torch.float64)
        found.append(target.evaluate(z, [None] * 2, [Generator()] * 2))
    for name in ("loss", "energy", "grad"):
        one, two = (getattr(e, name) for e in found)
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_contract_example_and_what_its_row_says() -> None:
    net, mdp = trained(0.3), corridor()
    loss = ExactRegret(mdp, temperature=0.3)
    e = estimate_llc(net, cells(), loss=loss, nbeta=1e3, localization=30.0, draws=120, burn_in=60)
    assert e.status == "ok" and e.minimum == 0 and e.n_states == 3
    assert e.loss_init == pytest.approx(0, abs=1e-12) and e.gradient_norm < 1e-5
    assert e.stderr_states is None and e.loss_init_stderr == 0 and e.trace_stderr == 0
    assert e.entropy == pytest.approx(_entropy(net), rel=1e-9) and e.kl > 0
    assert abs(e.llc - e.half_d_eff) < 0.15 * e.half_d_eff  # nearly quadratic at this nbeta
    relative = estimate_llc(
        net, cells(), loss=loss, nbeta="relative:50", localization=30.0, draws=80, burn_in=60
    )
    assert relative.relative_temperature == pytest.approx(50)
    assert relative.nbeta == pytest.approx(3000 / e.trace)


def _entropy(net: Net) -> float:
    p = net(cells().states).detach().softmax(-1)
    return float(-(p * p.log()).sum(-1).mean())


def test_hard_regret_away_from_its_minimum_is_no_number() -> None:
    loss = ExactRegret(corridor())
    with pytest.warns(UserWarning, match="a softmax policy attains none; the soft regret"):
        e = estimate_llc(Net(), cells(), loss=loss, nbeta=1e3, localization=1.0, draws=60,
                         burn_in=40, sampler=HMC(rotate=True))  # fmt: skip
    assert e.status == "failed" and math.isnan(e.llc)
    assert e.gradient_norm > 0.01 and e.loss_init > 0.1 and e.minimum == 0


class Plateau(nn.Module):
    """Log-odds a where the first level is played and x y where the second is."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def forward(self, states: Tensor) -> Tensor:
        a, x, y = self.w
        odds = states @ torch.stack([a, x * y])
        return torch.stack([odds, torch.zeros_like(odds)], -1)


RARE = bandit((0.2, 0.0), (0.0, 1.0), weights=(0.95, 0.05))
LEVELS = PolicyData(torch.eye(2, dtype=torch.float64)[:, None])


def test_a_plateau_is_no_minimum_and_needs_no_chain() -> None:
    """The first level is at its best, the second untouched: no slope, and half of it to gain."""
    policy, loss = Plateau(1.0, 0.1, 0.1), ExactRegret(RARE, 0.2)
    given: dict[str, Any] = {"loss": loss, "localization": 100.0, "draws": 40, "burn_in": 20}
    with pytest.warns(UserWarning, match=r"no minimum of the loss, which lies 18\.3 / nbeta above"):
        e = estimate_llc(policy, LEVELS, nbeta=1e3, **given)
    assert e.status == "failed" and math.isnan(e.llc) and not len(e.draws)
    p = 1 / (1 + math.exp(-0.01))  # of the wrong action
    value = 1 - p - 0.2 * (p * math.log(p) + (1 - p) * math.log(1 - p))
    assert e.loss_init == pytest.approx(0.05 * (0.2 * math.log(1 + math.exp(5)) - value))
    with pytest.warns(UserWarning, match="2 of 2 estimates are not sound"):
        found = llc_profile(policy, LEVELS, nbetas=[500.0, 1e3], **given)
    assert set(found["status"]) == {"failed"}


def test_no_llc_exceeds_the_bound_known_before() -> None:
    """Also near a singularity; of a Gaussian posterior it is the whole free energy."""
    for name in ("soft-corridor", "two-routes", "quartic", "tabular-grid"):
        p = PROBLEMS[name]()
        settings = Settings(nbeta=p.nbeta, localization=p.localization)
        target = prepare_target(p.policy, p.data, settings, p.loss, 0)
        bound = largest_llc(prepare_chains(target, settings, 0), seed=0)
        assert bound > p.exact, name
        assert target.preconditioner is None
        if name == "tabular-grid":
            center = center_of(target, settings, 0, of_hessian=False)
            free = center.free_energy(p.nbeta, p.localization).value
            assert bound == pytest.approx(free, rel=0.1)


def test_a_minimum_above_the_best_policys_is_one() -> None:
    """One weight for two levels that want opposite actions: all that this network can do."""
    p = PROBLEMS["compromise"]()
    e = estimate_llc(p.policy, p.data, loss=p.loss, nbeta=p.nbeta, localization=p.localization,
                     draws=100, burn_in=60)  # fmt: skip
    assert e.status == "ok" and p.nbeta * (e.loss_init - e.minimum) > 1000
    assert abs(e.llc - p.exact) < 4 * e.stderr


def test_return_error_is_never_negative() -> None:
    e = estimate_llc(Net(), cells(), loss=ReturnError(corridor()), nbeta=1e4, localization=10.0,
                     draws=100, burn_in=60)  # fmt: skip
    assert e.status == "ok" and 0 < e.llc < 1.5 + 5 * e.stderr  # three returns: lambda <= 3/2
    assert e.loss_init == 0 and e.gradient_norm == 0


GIVEN: dict[str, Any] = {"nbeta": 100.0, "draws": 8, "burn_in": 0}


@pytest.mark.parametrize(
    ("loss", "data", "given", "message"),
    [
        (ExactRegret(corridor()), cells(), {"nbeta": None}, "nbeta=None: must be a number, or rel"),
        (ExactRegret(), cells(), {}, "mdp=None: must be a TabularMDP for the loss exact-regret"),
        (ExactRegret(corridor()), cells().take(slice(0, 2)), {}, "number of samples=2: must be 3"),
        (ExactRegret(corridor()), cells().with_fields(level=torch.tensor([0, 1, 3])), {},
         "level=3: must be from 0 to 2"),
        (ExactRegret(corridor()), PolicyData(cells().states[:, :2]), {},
         r"shape of logits=\[1, 2, 2\]: must be \[levels, 4, 2\]"),
    ],
)  # fmt: skip
def test_refusals(loss: Loss, data: PolicyData, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        estimate_llc(Net(), data, loss=loss, **(GIVEN | given))
    assert "\n" not in str(caught.value)


def test_refusals_of_the_loss_and_of_weights() -> None:
    with pytest.raises(InputError, match=r"temperature=-0\.1: must be at least 0"):
        ExactRegret(corridor(), -0.1)
    with pytest.raises(InputError, match="weights: must be at least 0"):
        PolicyData(torch.zeros(2, 1), weights=torch.tensor([1.0, -1.0]))


def test_gradients_inside_transformations_stay_usable() -> None:
    """What is found once for a process is kept from no transformation that it was found in."""
    mdp = corridor()
    logits = torch.zeros(3, 4, 2, dtype=torch.float64)
    slope = grad(lambda x: mdp.regret(x, temperature=0.5).sum())(logits)
    assert bool(torch.isfinite(slope).all())
    again = mdp.regret(mdp.optimal_logits(0.5), temperature=0.5)
    torch.testing.assert_close(again, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)

"""`estimate_llc` as its users meet it: inputs, promises, and the mistakes of others."""

import dataclasses
import math
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from rl_slt import (
    HMC,
    SGLD,
    ConvergenceWarning,
    InputError,
    LLCEstimate,
    OrthogonalSGLD,
    PolicyData,
    PolicyKL,
    PolicyNLL,
    Regret,
    RMSpropSGLD,
    Settings,
    Surrogate,
    Value,
    estimate_llc,
    estimate_with,
)
from rl_slt.estimate import EXACT_LIMIT, MOST_DRAWS, choose_sampler, draws_lacking, prepare_chains
from rl_slt.known.problems import PROBLEMS, quadratic
from rl_slt.known.validate import estimate_problem
from rl_slt.losses import LOSSES
from rl_slt.posterior.build import build_target
from rl_slt.samplers import SAMPLERS
from tests.rl_slt.levels import levels_of
from tests.rl_slt.small_policy import TwoHeads, data

# Short chains: what most of these tests look at is not their verdict.
pytestmark = pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning")
QUICK = {"draws": 40, "burn_in": 20, "nbeta": 50.0, "states_error": False}


def quick(policy: nn.Module, states: Any, **settings: Any) -> LLCEstimate:
    return estimate_llc(policy, states, **(QUICK | settings))


def test_policy_mode_and_random_state_are_untouched() -> None:
    policy = TwoHeads().train()
    before = {k: v.clone() for k, v in policy.state_dict().items()}
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 (the global state is what must not change)
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    quick(policy, data())
    assert all(torch.equal(v, before[k]) for k, v in policy.state_dict().items())
    assert policy.training and policy.dropout.training
    assert all(p.grad is None and p.requires_grad for p in policy.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], legacy)  # type: ignore[index]  # noqa: NPY002


def test_same_seed_same_draws_other_seed_other_draws() -> None:
    first, again, other = (quick(TwoHeads(), data(), seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(first.draws, again.draws)
    assert not first.draws["loss_value"].equals(other.draws["loss_value"])


def test_draws_are_tidy_and_make_the_estimate() -> None:
    e = quick(TwoHeads(), data(), sampler=SGLD(step_size=1e-3), batch_size=16)
    assert len(e.draws) == 4 * 40
    assert set(e.draws["chain"]) == {0, 1, 2, 3}
    columns = {"run", "step", "estimate_id", "loss", "states", "chain", "draw", "loss_value"}
    assert columns <= set(e.draws.columns)
    assert e.loss_mean == pytest.approx(e.draws["loss_value"].mean(), rel=1e-5)
    assert e.loss_init == 0.0
    assert "LLC" in repr(e) and "<table>" in e._repr_html_()
    assert len(e.plot_trace().axes) == 2
    assert e.status == "failed" and repr(e).startswith("LLC not defined (failed: chains")
    assert "<td>not defined</td>" in e._repr_html_()
    sound = quick(TwoHeads(), data(), draws=200)
    mean = (sound.draws["loss_value"] - sound.loss_init).mean()
    assert sound.status == "ok" and sound.llc == pytest.approx(sound.nbeta * mean, rel=1e-5)


def test_an_interval_holds_the_error_over_states() -> None:
    e = dataclasses.replace(quick(TwoHeads(), data()), llc=10.0, stderr=0.3, stderr_states=0.4)
    assert (e.stderr_total, e.stderr_data) == (pytest.approx(0.5), 0.4)
    assert e.interval == pytest.approx((9.02, 10.98))
    k = f"K = {e.relative_temperature:.3g} (nbeta {e.nbeta:.4g}, localization {e.localization:.4g})"
    assert f" at {k}, gauge {e.gauge} · R-hat" in repr(e)
    assert "10 ± 0.5 (" in repr(e) and repr(e).endswith("120 states")
    assert "<td>10 ± 0.5</td>" in e._repr_html_() and "<td>0.3, 0.4</td>" in e._repr_html_()
    band = e.plot_trace().axes[1].patches[0].get_extents()
    low, high = e.plot_trace().axes[1].transData.inverted().transform(band)[:, 1]
    assert (low, high) == pytest.approx(e.interval, rel=1e-3)
    unknown = dataclasses.replace(e, stderr_states=None)
    assert unknown.stderr_total == 0.3 and "<td>0.3, not estimated</td>" in unknown._repr_html_()


def test_nbeta_comes_from_the_number_of_states_not_the_batch() -> None:
    e = quick(TwoHeads(), data(), nbeta=None, sampler=SGLD(step_size=1e-3), batch_size=16)
    assert e.nbeta == pytest.approx(120 / math.log(120))
    e = quick(TwoHeads(), data(), nbeta=None, loss=Regret(), batch_size=10)
    assert e.n_states == 30 and e.nbeta == pytest.approx(30 / math.log(30))


def test_chains_see_different_batches() -> None:
    e = quick(TwoHeads(), data(), loss=Value(), sampler=SGLD(step_size=1e-9), batch_size=16)
    first = e.draws[e.draws["draw"] == 0]["loss_value"]
    assert first.nunique() == 4  # at w*, chains differ by their batches alone


def test_baseline_is_over_all_data_and_its_noise_cancels() -> None:
    policy, states = TwoHeads().eval(), data()
    e = quick(policy, states, loss=Value(), sampler=SGLD(step_size=1e-12), batch_size=16)
    each = (policy(states.states)[1] - states.returns).square().detach()
    each /= 2 * each.mean()
    assert e.loss_init == pytest.approx(0.5, rel=1e-5)
    means = each.view(30, 4).mean(1)  # of the episodes
    assert e.loss_init_stderr == pytest.approx(float(means.std()) / math.sqrt(30), rel=1e-5)
    assert e.loss_stderr == pytest.approx(e.stderr / e.nbeta)
    spread = e.draws["loss_value"].std()
    assert spread > 0.05
    assert abs(e.llc) < 1e-3 * e.nbeta * spread


def test_parameters_outside_the_subset_do_not_move() -> None:
    target = build_target(TwoHeads(), data(), PolicyKL(), 50.0, 1.0, "policy_head.*", 0)
    assert target.flat.names == ["policy_head.weight", "policy_head.bias"]
    frozen = {k: v.clone() for k, v in target.flat.module.state_dict().items() if "body" in k}
    module = target.flat.load(target.flat.w_star + 1.0)
    assert all(torch.equal(module.state_dict()[k], v) for k, v in frozen.items())
    head = quick(TwoHeads(), data(), params="policy_head.*", draws=300)
    whole = quick(TwoHeads(), data(), draws=300)
    assert head.info["dim"] == 18 and whole.info["dim"] == 18 + 25  # no value head under kl
    assert head.llc < whole.llc


def test_a_mask_gives_the_estimate_of_those_states() -> None:
    states = data()
    mask = states.states[:, 0] > 0
    e = quick(TwoHeads(), states.subset(mask))
    assert e.n_states == int(mask.sum())


def test_a_short_run_from_the_checkpoint_is_not_ok() -> None:
    e = estimate_llc(TwoHeads(), data(), sampler=SGLD(step_size=1e-5), draws=100, burn_in=0)
    assert e.status in ("suspect", "failed")
    assert e.message


def test_a_step_too_large_fails() -> None:
    e = quick(quadratic((1.0,)).policy, torch.zeros(8, 1), loss=quadratic((1.0,)).loss,
              sampler=SGLD(step_size=1.0), draws=400)  # fmt: skip
    assert e.status == "failed" and "too large" in e.message


def test_a_user_loss_is_one_function() -> None:
    def disagreement(policy: nn.Module, batch: PolicyData) -> torch.Tensor:
        logits = policy(batch.states)[0]
        return torch.square(logits - batch.reference_logits).sum(-1)

    e = quick(TwoHeads(), data(), loss=disagreement)
    assert e.loss == "disagreement" and e.llc > 0
    assert e.gradient_norm == pytest.approx(0, abs=1e-4)


FALLING = [
    pytest.param(loss(TwoHeads(seed)), gamma, id=f"{loss.name}-{seed}-{gamma:g}")
    for loss in (PolicyKL, PolicyNLL)
    for seed, gamma in ((5, 3.0), (5, 30.0), (8, 30.0))
]


@pytest.mark.parametrize(("loss", "gamma"), FALLING)
def test_a_fixed_reference_gives_no_llc_away_from_a_minimum(
    loss: PolicyKL | PolicyNLL, gamma: float
) -> None:
    """The chains leave w* for the reference: what they find, below zero, is no LLC."""
    settings = {"loss": loss, "localization": gamma, "draws": 100, "nbeta": 50.0}
    with pytest.warns(ConvergenceWarning, match="w. is no minimum of the loss, which falls below"):
        e = estimate_llc(TwoHeads(), data().states, **settings)  # type: ignore[arg-type]
    assert e.gradient_norm > 0.1 and e.loss_mean < e.loss_init
    assert e.status == "failed" and "orthogonal=True" in e.message
    numbers = (e.llc, e.stderr, *e.interval)
    assert all(math.isnan(number) for number in numbers), e
    assert "LLC not defined" in repr(e) and "-" not in repr(e).partition("(")[0]


def test_a_fixed_reference_gives_the_llc_of_its_own_minimum() -> None:
    """The reference itself is a minimum, and a policy next to it nearly so."""
    settings: dict[str, Any] = {"localization": 10.0, "draws": 200}
    own = quick(TwoHeads(), data(), **settings)
    for shift in (0.0, 0.02):
        near = TwoHeads()
        near.policy_head.weight.data += shift
        near.policy_head.weight.data[0] += shift
        e = quick(near, data(), loss=PolicyKL(TwoHeads()), **settings)
        assert e.status == "ok", e
        assert abs(e.llc - own.llc) < 3 * math.hypot(e.stderr, own.stderr)


class Relu(nn.Module):
    """Logits `[B, 3]` and value `[B]` of states `[B, 4]`, the value head times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.body, self.policy_head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.value_head = nn.Linear(8, 1)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.5 * torch.randn(p.shape, generator=generator))
            for p in self.value_head.parameters():
                p.mul_(factor)

    def forward(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.relu(self.body(states))
        return self.policy_head(hidden), self.value_head(hidden).squeeze(-1)


def test_the_llc_of_the_value_head_does_not_depend_on_the_unit_of_reward() -> None:
    """Rewards in tenths; each state has a return above and one below its value: a minimum."""
    half = torch.randn(100, 4, generator=torch.Generator().manual_seed(1))
    states, noise = half.repeat(2, 1), torch.tensor([0.5, -0.5]).repeat_interleave(100)
    found = []
    for factor in (1.0, 10.0):
        policy = Relu(factor)
        returns = policy(states)[1].detach() + factor * noise
        found.append(
            quick(policy, PolicyData(states, returns=returns), loss=Value(), draws=300,
                  nbeta="relative:50", localization="relative:0.5", seed=int(factor))
        )  # fmt: skip
    one, two = found
    assert one.status == two.status == "ok" and one.gauge == "balanced"
    assert two.localization < one.localization / 5  # the weights are larger
    assert abs(one.llc - two.llc) < 2 * math.hypot(one.stderr, two.stderr)


def test_a_clipped_surrogate_has_a_number_at_its_minimum_in_any_unit_of_reward() -> None:
    """Where it is descended; at the policy that acted it falls, along the policy's gradient."""
    generator, found = torch.Generator().manual_seed(1), []
    states = torch.randn(200, 4, generator=generator)
    actions = torch.randint(3, (200,), generator=generator)
    good = torch.where(actions == (states[:, 0] > 0), 1.0, -1.0)
    advantages = good * (0.5 + torch.rand(200, generator=generator))
    acting, policy, loss = TwoHeads(), TwoHeads().eval(), Surrogate(0.2)
    data = PolicyData(states, actions=actions, advantages=advantages)
    data = loss.prepare(acting.eval(), data, generator)
    optimizer = torch.optim.Adam(policy.parameters(), 0.03)
    for _ in range(200):
        optimizer.zero_grad()
        loss(policy, data).mean().backward()
        optimizer.step()
    for unit in (1.0, 10.0):
        given = data.with_fields(advantages=unit * advantages)
        refused, at_minimum = (
            quick(of, given, loss=loss, draws=800, nbeta="relative:50",
                  localization="relative:0.5", seed=int(unit))
            for of in (acting, policy)
        )  # fmt: skip
        assert refused.status == "failed" and math.isnan(refused.llc)
        assert refused.message.startswith("w* is no minimum of the loss, which falls below L(w*)")
        assert at_minimum.status == "ok"
        found.append(at_minimum)
    one, two = found
    # A twentieth of all roundings is two standard errors off; of four, so many draws allow less.
    assert abs(one.llc - two.llc) < 4 * math.hypot(one.stderr, two.stderr)
    assert one.llc > 20 * one.stderr


@pytest.mark.parametrize(("gamma", "few"), [(1.0, True), (1000.0, False)])
def test_regret_needs_weights_worth_half_the_episodes(gamma: float, few: bool) -> None:
    e = quick(TwoHeads(), data(), loss=Regret(), localization=gamma, draws=100)
    assert (e.info["weight_ess"] < 0.5) == few
    assert ("the importance weights at posterior draws are worth" in e.message) == few
    assert math.isnan(e.llc)  # random rewards: this policy is no minimum


def test_an_unclipped_surrogate_has_no_llc_in_any_subspace() -> None:
    settings = {"localization": 100.0, "draws": 200, "sampler": OrthogonalSGLD()}
    plain, clipped = (quick(TwoHeads(), data(), loss=Surrogate(c), **settings) for c in (None, 0.2))
    assert "unclipped, the surrogate has no minimum: set clip" in plain.message
    assert plain.status == "failed" and math.isnan(plain.llc)
    assert "unclipped" not in clipped.message and clipped.constrained


def test_orthogonal_sampling_off_a_minimum_gives_a_constrained_llc() -> None:
    loss, states = PolicyKL(TwoHeads(5)), data()
    held = quick(TwoHeads(), states, loss=loss, localization=100.0, draws=400,
                 sampler=OrthogonalSGLD())  # fmt: skip
    assert held.constrained and repr(held).startswith("constrained LLC")
    assert held.status != "failed" and held.llc > 0
    own = quick(TwoHeads(), states, localization=100.0, draws=400, sampler=OrthogonalSGLD())
    assert not own.constrained  # the gradient of a self-KL is zero: nothing is held
    target = build_target(TwoHeads(), states, loss, 50.0, 1.0, None, 0)
    target.direction = torch.nn.functional.normalize(torch.ones(target.dim), dim=0)
    moved = target.weights(torch.randn(3, target.dim))
    assert torch.allclose(moved @ target.direction, torch.zeros(3), atol=1e-5)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_runs_on_every_loss(
    sampler: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = sys.modules["rl_slt.estimate"]  # far from the best policy no chain would run
    monkeypatch.setattr(estimate, "refusal", lambda *given: "")
    given: Any = (LOSSES[loss](), TwoHeads(), data())
    if given[0].population or given[0].plays:
        given = levels_of(given[0])
    of, policy, states = given
    settings = {"loss": of, "sampler": SAMPLERS[sampler](), "batch_size": min(8, len(states))}
    small = {"draws": 10, "burn_in": 6, "localization": 10.0}
    if SAMPLERS[sampler].full_batch and of.redrawn:
        with pytest.raises(InputError, match="redraws"):
            quick(policy, states, **settings, **small)
        return
    e = quick(policy, states, **settings, **small)
    assert e.sampler == sampler and e.loss == loss
    assert math.isfinite(e.loss_mean) and e.step_size > 0
    assert math.isnan(e.llc) == (e.status == "failed")


@pytest.mark.parametrize("burn_in", [0, 20])
def test_a_samplers_own_preconditioner_moves_in_burn_in_and_stays_in_the_draws(
    burn_in: int,
) -> None:
    target = build_target(TwoHeads(), data(), PolicyKL(), 50.0, 1.0, None, 0)
    settings = Settings(sampler=RMSpropSGLD(step_size=1e-3), batch_size=16)
    chains = prepare_chains(target, settings, 0)
    chains.burn_in(burn_in, lambda: None)
    metric = chains.sampler.metric(chains.state)
    assert metric is not None and bool((metric != 1).any()) == (burn_in > 0)
    for _ in range(3):
        chains.draw(5, lambda: None)
        assert torch.equal(chains.sampler.metric(chains.state), metric)  # type: ignore[arg-type]


def test_a_doubtful_estimate_warns_and_a_sound_one_does_not() -> None:
    short = {"sampler": SGLD(step_size=1e-5), "draws": 100, "burn_in": 0}
    with pytest.warns(ConvergenceWarning, match=r"this LLC is (suspect|failed): .+") as caught:
        estimate_llc(TwoHeads(), data(), **short)  # type: ignore[arg-type]
    assert caught[0].filename == __file__
    problem = quadratic((1.0,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        e = estimate_llc(problem.policy, problem.data, loss=problem.loss, draws=1500)
        assert e.status == "ok"
        estimate_with(TwoHeads(), data(), Settings(**short))  # type: ignore[arg-type]


def test_an_estimate_says_where_and_how_it_was_computed() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    states = torch.rand(30, 1, 4, 4)
    for precision in ("float32", "bfloat16", "auto"):
        e = quick(net, states, precision=precision, draws=8, burn_in=2)
        assert e.precision == ("bfloat16" if e.info["bfloat16"] else "float32")
        assert (e.precision == precision) or precision == "auto"
        assert (e.device, e.threads) == ("cpu", torch.get_num_threads())


def test_an_estimate_loads_no_plotting_library() -> None:
    code = """
import sys, torch
sys.modules["arviz_base"] = None  # it loads matplotlib; arviz_stats does without it
from rl_slt import Settings, estimate_with
estimate_with(torch.nn.Linear(2, 3), torch.randn(40, 2), Settings(draws=8, burn_in=2))
sys.exit([*{"matplotlib", "plotly", "pandas.plotting._matplotlib"} & {*sys.modules}] or 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_error_over_states_shrinks_with_the_states() -> None:
    generator = torch.Generator().manual_seed(0)
    errors = []
    for n in (100, 1600):
        states = torch.randn(n, 4, generator=generator)
        e = estimate_llc(TwoHeads(), states, nbeta=100.0, chains=24, draws=160, burn_in=60)
        assert e.stderr_data is not None
        errors.append(e.stderr_data)
    assert 0 <= errors[1] < errors[0] / 2  # a quarter, but for the noise of the draws


def acting(action: int) -> PolicyData:
    """Data whose last action is this one."""
    records = data()
    assert records.actions is not None
    actions = records.actions.clone()
    actions[-1] = action
    return records.with_fields(actions=actions)


class Nan(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.body.weight.data[0, 0] = math.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": Nan()}, "weights hold NaN"),
        ({"policy": lambda s: s}, "must be a torch.nn.Module"),
        ({"policy": TwoHeads().to("meta")}, "policy on meta; estimates are made on cpu or cuda"),
        ({"states": torch.zeros(9, 7)}, r"cannot take states \[9, 7\]"),
        ({"states": torch.full((9, 4), math.inf)}, "NaN or infinite"),
        ({"states": torch.zeros(0, 4)}, "N >= 1"),
        ({"batch_size": 500}, "batch_size=500: must be at most the number of samples, 120"),
        ({"chains": 1}, "chains=1"),
        ({"draws": -5}, "draws=-5"),
        ({"burn_in": -1}, "burn_in=-1"),
        ({"nbeta": -1.0}, "nbeta=-1.0"),
        ({"localization": math.nan}, "localization=nan"),
        ({"params": "nothing.*"}, "params='nothing.*': must be a pattern that matches"),
        ({"params": "value_head.*"}, "depends on none"),
        ({"loss": lambda p, b: p(b.states)[0].mean()}, r"returned \[\]; it must be one per sample"),
        ({"loss": "kl"}, "loss='kl': must be a callable"),
        ({"loss": PolicyNLL(), "sampler": HMC()}, "redraws its actions"),
        ({"loss": Value(), "states": torch.zeros(9, 4)}, "needs returns"),
        ({"loss": PolicyNLL(redraw=False), "states": acting(7)}, "actions=7: must be integers"),
        ({"loss": Surrogate(), "states": acting(-1)}, "actions=-1: must be integers from 0 to 2"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_input_is_one_line(change: dict[str, object], message: str) -> None:
    settings: dict[str, object] = {"policy": TwoHeads(), "states": data(), **QUICK, **change}
    with pytest.raises(InputError, match=message) as caught:
        estimate_llc(**settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_policy_data_checks_its_rows() -> None:
    with pytest.raises(InputError, match="actions has 2 rows"):
        PolicyData(torch.zeros(3, 1), actions=torch.zeros(2))
    with pytest.raises(InputError, match="mask selects no state"):
        data().subset(torch.zeros(120, dtype=torch.bool))


def test_exact_sampling_is_chosen_by_the_states_of_a_gradient_not_by_its_episodes() -> None:
    target = build_target(TwoHeads(), data(), Regret(), 50.0, 1.0, None, 0)
    assert target.n == 30 and choose_sampler(target).name == "hmc"
    target.data = data(length=20_000)  # still 30 samples
    assert choose_sampler(target).name == "baoab"


def test_few_frames_of_a_convolutional_policy_are_no_case_for_hmc() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    target = build_target(net, torch.rand(6, 1, 4, 4), PolicyKL(), None, 1.0, None, 0)
    assert target.dim < 100 and choose_sampler(target).name == "baoab"


def test_pooled_frames_are_no_case_for_hmc() -> None:
    net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(192, 3))
    frames = torch.randint(256, (512, 3, 64, 64), dtype=torch.uint8).float()
    target = build_target(net, frames, PolicyKL(), None, 1.0, None, 0)
    assert target.n * target.dim < EXACT_LIMIT / 50 and choose_sampler(target).name == "baoab"


@pytest.mark.parametrize(
    ("error", "ess", "draws", "more"),
    [
        (0.07, 1000, 400, 1200),  # twice the error wanted: four times the draws
        (0.038, 1000, 400, 0),  # near enough
        (0.03, 200, 400, 1200),  # an error that few effective draws cannot tell
        (0.9, 1000, 400, MOST_DRAWS - 400),
        (0.9, 1000, MOST_DRAWS, 0),
        (math.nan, 1000, 400, 0),
    ],
)
def test_draws_are_added_until_the_error_is_small(
    error: float, ess: float, draws: int, more: int
) -> None:
    assert draws_lacking(2.0, 2.0 * error, ess, draws) == pytest.approx(more, abs=1)


def test_an_open_number_of_draws_is_enough_for_the_error() -> None:
    e = estimate_problem(PROBLEMS["quadratic"](), None, 3)
    assert e.draws["draw"].nunique() > 400
    assert e.stderr < 0.04 * e.llc

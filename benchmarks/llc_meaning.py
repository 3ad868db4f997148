"""What the headline LLC depends on that leaves a policy as it is, or changes only its sharpness.

    rl-slt run --preset demo --out demo
    python benchmarks/llc_meaning.py demo --out benchmarks/results/llc_meaning.md

The last checkpoint of one run of each arm, on the study's frozen states with the settings of
`rl-slt llc`, one thread. Every line changes one thing and compares with the estimate as it is:

scales: a pair of layers times 4 and over 4, which leaves the policy equal.
idle actions: the bias of one idle action up by 2, of the others down so that their mean probability
    together stays (equal only on the average over states).
head: all logits times 2 and over 2: the headline, and at a matched entropy.
localization: a third and three times as large, at the same relative temperature.
units: rewards (and the value head) times 10, of the losses that read them.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from llc_nets import machine, study_options
from torch import Generator, Tensor, nn

import envs
from agents import ActorCritic, build_network
from rl_slt import LLCEstimate, PolicyData, Settings, estimate_with
from rl_slt.losses import LOSSES
from rl_slt.losses.base import Loss
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, load_inputs, plan_estimates

ENTROPY = 1.0  # nats, of the control
IDLE = [*max(envs.find_game("coinrun").distinct_actions, key=lambda members: len(members))]
HEADER = "| policy | change | LLC as it is | changed | difference | of its error | wanted |\n" + (
    "| --- | --- | --- | --- | --- | --- | --- |\n"
)


@torch.no_grad()
def scaled(policy: ActorCritic, first: str, second: str, factor: float) -> ActorCritic:
    """The equal policy with the units between two layers scaled in and out."""
    twin = copy.deepcopy(policy)
    layers = dict(twin.named_modules())
    for p in layers[first].parameters():
        p.mul_(factor)
    next(layers[second].parameters()).div_(factor)  # the weight, not the bias
    return twin


@torch.no_grad()
def sharper(policy: ActorCritic, factor: float) -> ActorCritic:
    """The policy with all logits times a factor."""
    twin = copy.deepcopy(policy)
    for p in twin.policy_head.parameters():
        p.mul_(factor)
    return twin


@torch.no_grad()
def fidgety(policy: ActorCritic, states: Tensor, change: float) -> ActorCritic:
    """The policy with the bias of one idle action raised and of the others lowered."""
    first, *others = IDLE
    twin = copy.deepcopy(policy)
    bias = twin.policy_head.bias
    before = idle_mass(policy, states)
    bias[first] += change
    low, high = -20.0, 20.0
    for _ in range(60):  # bisection for the shift of the others that keeps the mean mass
        middle = (low + high) / 2
        bias[others] += middle
        if idle_mass(twin, states) < before:
            low = middle
        else:
            high = middle
        bias[others] -= middle
    bias[others] += low
    return twin


@torch.no_grad()
def idle_mass(policy: nn.Module, states: Tensor) -> float:
    """Mean probability of doing nothing."""
    log_p = torch.cat([envs.log_probs(policy, part) for part in states.split(256)])
    return float(log_p.exp()[:, IDLE].sum(1).mean())


def within_errors(change: LLCEstimate, own: LLCEstimate) -> str:
    """Whether the two are within two errors of their difference."""
    apart = abs(change.llc - own.llc) / math.hypot(change.stderr, own.stderr)
    return "yes" if apart <= 2 else f"no ({apart:.1f})"


def within(share: float, change: LLCEstimate, own: LLCEstimate) -> str:
    """Whether the change is within a share of the estimate."""
    return "yes" if abs(change.llc / own.llc - 1) <= share else "no"


def policy_lines(item: Estimate) -> Iterator[str]:
    """The lines of one checkpoint."""
    policy, states, loss = load_inputs(item)
    assert isinstance(policy, ActorCritic)
    frames = states.states if isinstance(states, PolicyData) else states
    run = Run(Path(item.run))
    name, settings = f"{run.name}, {run.training.network}", item.settings

    def estimate(of: nn.Module, use: Settings = settings) -> LLCEstimate:
        return estimate_with(of, states, use, loss, seed=item.plan.seed, states_error=False)

    own = estimate(policy)
    layers = ["body.conv1", "body.conv2", "body.fc", "policy_head"]
    for first, second in itertools.pairwise(layers):
        for factor in (4.0, 0.25):
            found = estimate(scaled(policy, first, second, factor))
            text = f"{first} x {factor:g}, {second} over {factor:g}"
            yield line(name, text, own, found, within_errors(found, own) + ", 2 errors")
    found = estimate(fidgety(policy, frames, 2.0))
    yield line(name, "split of idle actions", own, found, within_errors(found, own) + ", 2 errors")
    at_entropy = settings.replace(match_entropy=ENTROPY)
    matched = estimate(policy, at_entropy)
    for factor in (2.0, 0.5):
        other = sharper(policy, factor)
        found = estimate(other)
        text = f"logits x {factor:g}"
        yield line(name, text, own, found, within(0.15, found, own) + ", 15 %")
        found = estimate(other, at_entropy)
        text += f", at matched entropy {ENTROPY:g}"
        yield line(name, text, matched, found, within_errors(found, matched) + ", 2 errors")
    for factor in (1 / 3, 3.0):
        found = estimate(policy, settings.replace(localization=factor * own.localization))
        text = f"localization x {factor:.2g}"
        yield line(name, text, own, found, within(0.05, found, own) + ", 5 %")


def impala_lines() -> Iterator[str]:
    """An untrained IMPALA network whose residual block is scaled, on few states."""
    torch.manual_seed(0)
    policy = build_network("impala").eval()
    vector = envs.make_vec(16, coin="end", levels=(0, 500), seed=0)
    vector.reset(seed=0)
    actions = (vector.action_space.sample() for _ in range(16))
    frames = [torch.from_numpy(vector.step(a)[0].copy()) for a in actions]
    states = torch.cat(frames)
    with torch.no_grad():
        policy.policy_head.weight.mul_(100)  # untrained heads are near 0
    convs = [n for n, m in policy.named_modules() if isinstance(m, nn.Conv2d)]
    names = convs[1:3]  # the two of the first residual block
    settings = LLCPlan(n_states=len(states), draws=60, burn_in=40).settings()
    own = estimate_with(policy, states, settings, states_error=False)
    twin = scaled(policy, names[0], names[1], 4.0)
    found = estimate_with(twin, states, settings, states_error=False)
    text = f"{names[0]} x 4, {names[1]} over 4"
    yield line("IMPALA, untrained", text, own, found, within_errors(found, own) + ", 2 errors")


def reward_lines(run: Run, plan: LLCPlan) -> Iterator[str]:
    """Losses that read rewards, in another unit of them.

    At the checkpoint, and where the heads were brought to the minimum of the loss on the same
    states: they alone are free there.
    """
    for kind in (k for k in LOSSES.values() if k.needs and k.sample_unit == "state"):
        text = f"{kind.name}:clip=0.2" if "clip" in kind.options else kind.name
        wanted = plan.replace(losses=(text,), states=("on-policy",), match_entropy=())
        item = plan_estimates(run, wanted, [run.training.coin])[-1]
        policy, states, loss = load_inputs(item)
        assert isinstance(states, PolicyData) and isinstance(policy, ActorCritic)
        heads = item.settings.replace(params=("policy_head.*", "value_head.*"))
        states, fitted = with_heads_at_minimum(policy, states, loss)
        for where, of, settings in (("", policy, item.settings), (", heads fitted", fitted, heads)):
            own = estimate_with(of, states, settings, loss, states_error=False)
            fields = {n: 10 * getattr(states, n) for n in ("rewards", "returns", "advantages")}
            tenfold = copy.deepcopy(of)
            assert tenfold.value_head is not None
            with torch.no_grad():
                for p in tenfold.value_head.parameters():
                    p.mul_(10)
            data = states.with_fields(**fields)
            found = estimate_with(tenfold, data, settings, loss, states_error=False, seed=1)
            if math.isnan(own.llc):
                verdict = f"no number either way: {own.message}"
            else:
                verdict = f"{within_errors(found, own)}, 2 errors"
            yield line(run.name, f"{text} loss{where}, rewards x 10", own, found, verdict)


def with_heads_at_minimum(
    policy: ActorCritic, states: PolicyData, loss: Loss
) -> tuple[PolicyData, ActorCritic]:
    """The records as they were made, and the policy with its heads at the minimum on them."""
    data = loss.prepare(policy, states, Generator().manual_seed(0))
    if data.log_probs is not None:
        states = states.with_fields(log_probs=data.log_probs)
    fitted = copy.deepcopy(policy)
    with torch.no_grad():
        features = torch.cat([fitted.body(part) for part in data.states.split(256)])
    kept = data.with_fields(states=features)
    heads = [p for name, p in fitted.named_parameters() if "head" in name]
    optimizer = torch.optim.LBFGS(heads, max_iter=2000, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(lambda x: fitted.heads(x, x), kept).mean()
        value.backward()
        return value.detach()

    optimizer.step(closure)
    return states, fitted


def line(name: str, text: str, own: LLCEstimate, found: LLCEstimate, verdict: str) -> str:
    """A row of the table."""
    apart = (found.llc - own.llc) / math.hypot(found.stderr, own.stderr)
    numbers = [f"{e.llc:.2f} ± {e.stderr:.2f} ({e.status})" for e in (own, found)]
    change = f"{found.llc / own.llc - 1:+.1%}"
    return f"| {name} | {text} | {' | '.join(numbers)} | {change} | {apart:+.1f} | {verdict} |"


def last_of_arms(study: Path, plan: LLCPlan) -> Iterator[tuple[Run, Estimate]]:
    """The last checkpoint of the first run of each arm, on frozen states."""
    runs = [Run(path) for path in sorted((study / "runs").iterdir())]
    coins = sorted({run.training.coin for run in runs})
    for run in {run.arm: run for run in reversed(runs)}.values():
        yield run, plan_estimates(run, plan, coins)[-1]


def main() -> None:
    """Print the table, or write it."""
    options = study_options(__doc__ or "")
    plan = LLCPlan(states=("frozen",))
    text = f"{(__doc__ or '').partition(chr(10))[0]}\n\n{machine()}\n\n{HEADER}"
    chosen = list(last_of_arms(options.study, plan))
    parts = [policy_lines(item) for _, item in chosen]
    for part in [*parts, impala_lines(), reward_lines(chosen[0][0], plan)]:
        for row in part:
            print(row, flush=True)
            text += row + "\n"
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()

"""Speed of the goal probes of one checkpoint, against bare rollouts of the same network.

    python benchmarks/probes_speed.py --checkpoint RUN/checkpoints/000000800000

The ratio is A / B, both in environment steps per processor second of one thread.
A: `run_suite`. Counted are the steps of the agent's own episodes alone; in the time is all that is
done for them: levels set up with coin and start, looks at agents' places, causes of death, control
paths replayed with the coin there, environments without work at the end, the table.
B: `envs.make_vec` with as many environments as the suite, coin at the end, its levels and limit, no
tracking, actions drawn from the same network; nothing but stepping, with procgen's own resets.
They take turns, so that other work on the machine weighs on both. Writes
benchmarks/results/probes_speed.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import envs
from agents import build_network, load_policy
from analysis.probes import (
    SUITES,
    ProbeSuite,
    collect_fixed_states,
    run_counterfactual,
    run_linear_probe,
    run_suite,
)
from analysis.probes.actors import NUM_ENVS

RESULTS = Path(__file__).parent / "results"
LOOKS = {"stock": envs.LevelSettings(), "plain": envs.PLAIN_FLAT}


def timed(call: Callable[[], object]) -> tuple[float, float, object]:
    """Processor seconds, wall seconds, and what the call returns."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def bare(policy: torch.nn.Module, suite: ProbeSuite, steps: int) -> int:
    """Plain rollouts of about `steps` steps; how many there were."""
    vector = envs.make_vec(NUM_ENVS, "end", (suite.seeds[0], suite.seeds[-1] + 1),
                           settings=suite.settings, time_limit=suite.time_limit)  # fmt: skip
    obs, _ = vector.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    rounds = steps // NUM_ENVS
    with torch.inference_mode():
        for _ in range(rounds):
            logits = policy(torch.from_numpy(obs))[0]
            actions = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            obs, *_ = vector.step(actions[:, 0].numpy())
    vector.close()
    return rounds * NUM_ENVS


def measure(policy: torch.nn.Module, suite: ProbeSuite, repeats: int) -> dict[str, float]:
    """Medians over repetitions of seconds, speeds and their ratio."""
    bare(policy, suite, 6400)
    run_suite(policy, suite.replace(n_levels=4, time_limit=20), seed=0)
    rows = []
    for _ in range(repeats):
        first = timed(lambda: bare(policy, suite, 40_000))
        probes = timed(lambda: int(run_suite(policy, suite, seed=0)["length"].sum()))
        second = timed(lambda: bare(policy, suite, 40_000))
        plain = (first[2] + second[2]) / (first[0] + second[0])  # type: ignore[operator]
        rows.append((probes[0], probes[1], probes[2] / probes[0], plain))  # type: ignore[operator]
    cpu, wall, speed, plain = np.asarray(rows).T
    return {
        "cpu": statistics.median(cpu), "wall": statistics.median(wall),
        "speed": statistics.median(speed), "bare": statistics.median(plain),
        "ratio": statistics.median(speed / plain),
    }  # fmt: skip


def fixed_states(policy: torch.nn.Module, suite: ProbeSuite) -> tuple[float, float]:
    """Processor seconds of collecting states, and of both fixed-state probes on them."""
    collect, _, states = timed(lambda: collect_fixed_states(suite.replace(n_levels=100)))
    run_linear_probe(policy, states)  # type: ignore[arg-type]
    probe, _, _ = timed(
        lambda: (run_counterfactual(policy, states), run_linear_probe(policy, states))  # type: ignore
    )
    return collect, probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--checkpoint", type=Path, help="A small CNN; without it, an untrained one."
    )
    parser.add_argument("--levels", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--looks", nargs="+", default=[*LOOKS], choices=[*LOOKS])
    parser.add_argument("--out", type=Path, default=RESULTS / "probes_speed.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    policy = load_policy(args.checkpoint) if args.checkpoint else build_network("small").eval()
    lines = [
        "# Speed of the goal probes", "",
        f"Suite `standard`, {args.levels} levels a probe, limit 500 steps, baselines cached;"
        f" small CNN ({'trained' if args.checkpoint else 'untrained'}), one thread.",
        f"torch {torch.__version__}, numpy {np.__version__}, Python {platform.python_version()};"
        f" 2 cores, CPU. Medians of {args.repeats} interleaved repetitions.", "",
        "| levels | probes, CPU s | wall s | steps/s (CPU) | bare steps/s | ratio |"
        " states once, CPU s | fixed-state probes, CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for look in args.looks:
        suite = SUITES["standard"].replace(n_levels=args.levels, settings=LOOKS[look])
        m, (collect, probe) = measure(policy, suite, args.repeats), fixed_states(policy, suite)
        lines.append(
            f"| {look} | {m['cpu']:.1f} | {m['wall']:.1f} | {m['speed']:.0f} | {m['bare']:.0f} |"
            f" {m['ratio']:.2f} | {collect:.1f} | {probe:.1f} |"
        )
        print(lines[-1], flush=True)
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

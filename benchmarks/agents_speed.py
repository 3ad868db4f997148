"""End-to-end speed of training against stock stable-baselines3, in paired runs.

Each measurement is a process of its own; stock and ours take turns, so that whatever else the
machine does falls on both. `python benchmarks/agents_speed.py --network small --rounds 3`
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

KINDS = ("stock", "float32", "bfloat16")


def measure(kind: str, network: str, threads: int, n_steps: int, updates: int) -> dict[str, float]:
    """Steps per second of `updates` rollouts and updates, after one to warm up."""
    from envs.quiet import silence_gym

    silence_gym()
    import torch
    from stable_baselines3.common.vec_env import VecNormalize

    import envs
    from agents.environment import make_env
    from agents.memory import keep_freed_memory
    from agents.presets import get
    from agents.training import build_model
    from benchmarks.agents_stock import stock_model

    torch.set_num_threads(threads)
    if kind != "stock":
        keep_freed_memory()
    config = get(
        "demo",
        coin="mix:0.5:behind:end",
        network=network,
        n_steps=n_steps,
        batch_size=2048,
        precision="float32" if kind == "stock" else kind,
        threads=threads,  # as `rl-slt train` does
    )
    env = VecNormalize(envs.to_sb3(make_env(config)), norm_obs=False, gamma=config.gamma)
    if kind == "stock":
        model: Any = stock_model(config, env)
    else:
        model = build_model(config, env, torch.device("cpu"))
    model.learn(config.rollout_steps, log_interval=10**9)
    rollout = timed_rollouts(model)
    wall, cpu = time.perf_counter(), time.process_time()
    model.learn(updates * config.rollout_steps, log_interval=10**9, reset_num_timesteps=False)
    steps = updates * config.rollout_steps
    return {
        "wall": steps / (time.perf_counter() - wall),
        "cpu": steps / (time.process_time() - cpu),
        "rollout": rollout,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def timed_rollouts(model: Any) -> float:
    """Steps per second of one rollout without an update."""
    _, callback = model._setup_learn(10**9, None, reset_num_timesteps=False)
    start = time.perf_counter()
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    return model.n_steps * model.n_envs / (time.perf_counter() - start)


def paired(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of one run of each kind, each in a process of its own."""
    rows = []
    for turn in range(args.rounds):
        for kind in KINDS:
            command = [sys.executable, "-W", "ignore", __file__, "--kind", kind]
            for name in ("network", "threads", "n_steps", "updates"):
                command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append({"round": turn, "kind": kind, **json.loads(out)})
            print(rows[-1], flush=True)
    return rows


def table(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """Markdown: medians, and medians of the paired ratios to stock."""
    lines = [
        f"`{args.network}`, {args.threads} thread(s), 64 x {args.n_steps} steps, minibatch 2048, "
        f"3 epochs, {args.rounds} rounds",
        "",
        "| | steps/s | times stock (rounds) | steps per CPU second | times stock | rollout alone,"
        " steps/s | peak memory, GiB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        stock = [row for row in rows if row["kind"] == "stock"]
        wall = [a["wall"] / b["wall"] for a, b in zip(mine, stock, strict=True)]
        cpu = [a["cpu"] / b["cpu"] for a, b in zip(mine, stock, strict=True)]
        value = {key: median(row[key] for row in mine) for key in mine[0] if key != "kind"}
        rounds = ", ".join(f"{ratio:.2f}" for ratio in wall)
        lines.append(
            f"| {kind} | {value['wall']:.0f} | {median(wall):.2f} ({rounds}) | {value['cpu']:.0f} "
            f"| {median(cpu):.2f} | {value['rollout']:.0f} | {value['memory']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, help="measure this one here and print JSON")
    parser.add_argument("--network", default="small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--n-steps", type=int, default=256)
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="add the table to this file")
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `benchmarks` itself
    if args.kind:
        print(
            json.dumps(measure(args.kind, args.network, args.threads, args.n_steps, args.updates))
        )
        return
    text = table(paired(args), args)
    print(text)
    if args.out:
        with args.out.open("a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()

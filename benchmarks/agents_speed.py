"""End-to-end speed of training against stock stable-baselines3, in paired runs.

Each measurement is a process of its own; stock and ours take turns, so that whatever else the
machine does falls on both. With `--rows FILE` later calls add to the table, for instance
`python benchmarks/agents_speed.py --network small --n-steps 128 --rows speed.jsonl --out speed.md`
`python benchmarks/agents_speed.py --network impala --n-steps 32 --rows speed.jsonl --out speed.md`
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
SETTING = ("network", "threads", "n_steps", "batch_size")
MEASURED = ("wall", "cpu", "rollout", "memory")
HEAD = """# Speed of training against stock stable-baselines3

Made by `benchmarks/agents_speed.py`: paired runs, each in a process of its own; "times stock" is
the median of the ratios of the rounds. Two cores, CPU, torch 2.13.0, {processor}.
"""

Row = dict[str, Any]


def measure(
    kind: str, network: str, threads: int, n_steps: int, batch_size: int, updates: int
) -> dict[str, float]:
    """Steps per second of `updates` rollouts and updates, after one to warm up."""
    from envs.silence_gym import silence_gym

    silence_gym()
    import torch
    from agents_stock import stock_model
    from stable_baselines3.common.vec_env import VecNormalize

    import envs
    from agents import ppo_preset
    from agents.environment import make_env
    from agents.training import build_model
    from envs import keep_freed_memory

    torch.set_num_threads(threads)
    if kind != "stock":
        keep_freed_memory()
    config = ppo_preset(
        "demo",
        coin="mix:0.5:behind:end",
        network=network,
        n_steps=n_steps,
        batch_size=batch_size,
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


def paired(args: argparse.Namespace) -> list[Row]:
    """Rounds of one run of each kind, each in a process of its own."""
    setting = {name: getattr(args, name) for name in SETTING}
    rows = []
    for turn in range(args.rounds):
        for kind in KINDS:
            command = [sys.executable, "-W", "ignore", __file__, "--kind", kind]
            for name in (*SETTING, "updates"):
                command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append({**setting, "round": turn, "kind": kind, **json.loads(out)})
            print(rows[-1], flush=True)
    return rows


def report(rows: list[Row]) -> str:
    """Markdown: one table for each setting that was measured."""
    found = dict.fromkeys(tuple(row[name] for name in SETTING) for row in rows)
    tables = [
        table([row for row in rows if tuple(row[name] for name in SETTING) == setting])
        for setting in found
    ]
    return "\n".join([HEAD.format(processor=processor()), *tables])


def processor() -> str:
    """The kind of processor, and its instructions for bfloat16."""
    import torch
    from llc_nets import processor_kind

    kinds = {"AMX": torch.cpu._is_amx_tile_supported(),
             "AVX512_BF16": torch.cpu._is_avx512_bf16_supported()}  # fmt: skip
    has = " and ".join(kind for kind, there in kinds.items() if there) or "none"
    capability = torch.backends.cpu.get_cpu_capability()
    if "AVX512" in has and capability != "AVX512":
        return f"{processor_kind()}, held to {capability}"
    return f"{processor_kind()}, for bfloat16: {has}"


def table(rows: list[Row]) -> str:
    """Markdown: medians, and medians of the paired ratios to stock."""
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in KINDS}
    stock = by_kind["stock"]
    lines = [
        f"`{rows[0]['network']}`, {rows[0]['threads']} thread(s), 64 x {rows[0]['n_steps']} steps, "
        f"minibatch {rows[0]['batch_size']}, 3 epochs, rounds: {len(stock)}",
        "",
        "| | steps/s | times stock (rounds) | steps per CPU second | times stock | rollout alone,"
        " steps/s | peak memory, GiB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, mine in by_kind.items():
        wall = [a["wall"] / b["wall"] for a, b in zip(mine, stock, strict=True)]
        cpu = [a["cpu"] / b["cpu"] for a, b in zip(mine, stock, strict=True)]
        value = {key: median(row[key] for row in mine) for key in MEASURED}
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
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=Path, help="keep the measurements here, after those there")
    parser.add_argument("--out", type=Path, help="write tables of all measurements kept")
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `benchmarks` itself
    if args.kind:
        setting = {name: getattr(args, name) for name in (*SETTING, "updates")}
        print(json.dumps(measure(args.kind, **setting)))
        return
    rows = paired(args)
    if args.rows:
        with args.rows.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        rows = [json.loads(line) for line in args.rows.read_text().splitlines()]
    print(report(rows))
    if args.out:
        args.out.write_text(report(rows))


if __name__ == "__main__":
    main()

"""Does the fast path learn the same? Returns of stock stable-baselines3 and of ours, same seeds.

`python benchmarks/agents_learning.py --steps 500000 --seeds 3` trains stock and ours in turn, all
settings and environments equal, ours with bfloat16 bodies; the plot and table go to results/.
Finished trainings are kept in `--curves DIR` and not repeated.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
KINDS = ("stock", "ours")
COLORS = {"stock": "#777777", "ours": "#c1440e"}


def learn(kind: str, seed: int, steps: int) -> list[list[float]]:
    """[step, mean raw return of the last 100 episodes] after every rollout."""
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

    torch.set_num_threads(1)
    config = ppo_preset(
        "demo", coin="mix:0.5:behind:end", seed=seed, steps=steps, precision="bfloat16",
        network="small", lr=1e-3,
    )  # fmt: skip
    env = VecNormalize(envs.to_sb3(make_env(config)), norm_obs=False, gamma=config.gamma)
    if kind == "stock":
        model: Any = stock_model(config, env)
    else:
        keep_freed_memory()
        model = build_model(config, env, torch.device("cpu"))
    curve: list[list[float]] = []

    def note(variables: dict[str, Any], _globals: dict[str, Any]) -> bool:
        me = variables["self"]
        if me.num_timesteps % config.rollout_steps == 0 and me.ep_info_buffer:
            mean = float(np.mean([episode["r"] for episode in me.ep_info_buffer]))
            curve.append([me.num_timesteps, mean])
        return True

    model.learn(config.total_steps, callback=note, log_interval=10**9)
    return curve


def last(curve: list[list[float]]) -> float:
    """Mean return over the last tenth of the training."""
    return float(np.mean([value for _, value in curve[-max(1, len(curve) // 10) :]]))


def draw(curves: dict[str, list[list[list[float]]]], path: Path) -> None:
    """All seeds of both, one plot."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for kind, runs in curves.items():
        for index, run in enumerate(runs):
            steps, values = np.array(run).T
            smooth = np.convolve(np.pad(values, 4, mode="edge"), np.ones(9) / 9, mode="valid")
            axes.plot(steps, smooth, color=COLORS[kind], label=kind if index == 0 else None, lw=1.4)
    axes.set(xlabel="environment steps", ylabel="mean return (9 rollouts)", ylim=(0, 10))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)


def report(curves: dict[str, list[list[list[float]]]], steps: int) -> str:
    """Markdown table of the last returns."""
    lines = [
        f"Network `small`, `demo` settings with a rate of 1e-3, {steps} steps, one thread; mean "
        "return of the last tenth.",
        "",
        "| | seeds | mean |",
        "| --- | --- | --- |",
    ]
    for kind, runs in curves.items():
        ends = [last(run) for run in runs]
        seeds = ", ".join(f"{value:.2f}" for value in ends)
        lines.append(f"| {kind} | {seeds} | {np.mean(ends):.2f} |")
    return "\n".join(lines) + "\n"


def start(kind: str, seed: int, args: argparse.Namespace) -> subprocess.Popen[str] | None:
    """Begin one training in a process of its own; None where its curve is kept already."""
    if (args.curves / f"{kind}-{seed}.json").exists():
        return None
    command = [sys.executable, "-W", "ignore", __file__, "--steps", str(args.steps)]
    command += ["--kind", kind, "--seed", str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, help="train this one here and print JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--curves", type=Path, default=Path("curves"), help="kept between calls")
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    if args.kind:
        print(json.dumps(learn(args.kind, args.seed, args.steps)))
        return
    args.curves.mkdir(parents=True, exist_ok=True)
    curves: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for seed in range(args.seeds):
        both = [start(kind, seed, args) for kind in KINDS]
        for kind, process in zip(KINDS, both, strict=True):
            path = args.curves / f"{kind}-{seed}.json"
            if process is not None:
                text = process.communicate()[0]
                if process.returncode:
                    sys.exit(f"{kind} with seed {seed} failed")
                path.write_text(text)
            curves[kind].append(json.loads(path.read_text()))
        print(seed, {kind: round(last(runs[-1]), 2) for kind, runs in curves.items()}, flush=True)
    RESULTS.mkdir(exist_ok=True)
    draw(curves, RESULTS / "agents_learning.png")
    (RESULTS / "agents_learning.md").write_text(report(curves, args.steps))


if __name__ == "__main__":
    main()

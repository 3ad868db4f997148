"""Training on the real game: killed for real, branched, evaluated."""

import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

import agents
from agents.branch import branch_config
from agents.config import TrainConfig
from envs import PLAIN_FLAT
from rl_slt import InputError
from tests.forked import Forked

CONFIG = TrainConfig(
    coin="mix:0.5:behind:end",
    levels=(0, 200),
    settings=PLAIN_FLAT,
    time_limit=30,  # so that episodes are cut off across rollouts and kills
    network="small",
    network_kwargs={"width": 16},
    num_envs=4,
    n_steps=16,
    batch_size=32,
    steps=64 * 10,
    checkpoints="all",
    eval_every=256,
    eval_levels=(1000, 1010),
    eval_episodes=3,
    micro_batch=16,
    threads=2,  # gradients are summed over threads: the same way each time
    resume_seconds=0,
    tensorboard=False,
)


def outputs(run: Path) -> dict[str, bytes]:
    files = [*run.glob("checkpoints/*/*"), run / "progress.csv", run / "checkpoints/index.json"]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    agents.train(CONFIG, run)
    return run


def test_kill_9_at_random_moments(whole: Path, tmp_path: Path) -> None:
    run, draw, kills = tmp_path / "run", random.Random(0), 0
    for _ in range(2):
        process = Forked(partial(agents.train, resume=True), CONFIG, run)
        before = len(agents.list_checkpoints(run))
        while process.poll() is None and len(agents.list_checkpoints(run)) < before + 2:
            time.sleep(0.01)  # until it is well under way, whatever the machine's load
        time.sleep(draw.uniform(0, 0.1))
        kills += process.kill() == -signal.SIGKILL
    assert kills == 2 and not agents.is_finished(run)
    agents.train(CONFIG, run, resume=True)
    assert outputs(run) == outputs(whole)


def test_evaluation_is_recorded(whole: Path) -> None:
    lines = (whole / "progress.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    assert len(rows) == 10
    evaluated = [int(row["step"]) for row in rows if row["eval_return"]]
    assert evaluated == [256, 512, 640]
    assert all(0 < float(row["eval_length"]) <= 30 for row in rows if row["eval_length"])


def test_a_branch_starts_with_the_checkpoint(whole: Path, tmp_path: Path) -> None:
    config = branch_config(
        whole, 256, coin="end@mid", seed=5, steps=64, eval_every=None, checkpoints="list:0"
    )
    assert (config.coin, config.seed, config.gamma) == ("end@mid", 5, CONFIG.gamma)
    agents.train(config, tmp_path / "branch")
    first, last = agents.list_checkpoints(tmp_path / "branch")
    origin = agents.find_checkpoint(whole, 256)
    parent, start, end = (agents.load_policy(c).state_dict() for c in (origin, first, last))
    assert all(torch.equal(parent[name], start[name]) for name in parent)
    assert not torch.equal(parent["policy_head.weight"], end["policy_head.weight"])
    with pytest.raises(InputError, match="step=257: must be that of a checkpoint"):
        branch_config(whole, 257)
    with pytest.raises(InputError, match=r"network=.impala.: must be .small. .* as in"):
        agents.train(config.replace(network="impala", network_kwargs={}), tmp_path / "other")
    assert not (tmp_path / "other").exists()

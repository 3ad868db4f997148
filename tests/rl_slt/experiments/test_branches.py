"""Branches: in the gridworld nothing is random, so that where each must end is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad

from agents import Run, load_policy
from rl_slt.experiments.branches import (
    GRIDWORLD,
    folder,
    kept,
    page,
    train_branches,
    train_trunks,
    trunk_llc,
)

POINTS, SWAPPED = (0, 30, 120), 30
PAIRS = [(arm, seed) for seed in (0, 1) for arm in GRIDWORLD.arms]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pd.DataFrame]]:
    """Two trunks on each placement, and their branches of all kinds."""
    out = tmp_path_factory.mktemp("branches")
    changes = {"steps": 200, "grid": {"size": 3}, "checkpoints": "list:30,60,120"}
    trunks, rows = train_trunks(out, "gridworld", PAIRS, changes), []
    for kind in ("same", "swap", "while"):
        for point in POINTS:
            several = [(arm, seed, 0) for arm, seed in PAIRS]
            rows.append(train_branches(out, "gridworld", several, point, kind, SWAPPED))
    return out, {"trunks": trunks, "branches": pd.concat(rows, ignore_index=True)}


def end_of(path: Path) -> torch.Tensor:
    policy = load_policy(Run(path).checkpoint().path)
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


def test_where_branches_without_noise_end(family: tuple[Path, dict[str, pd.DataFrame]]) -> None:
    """On the same data at the trunk's own weights; on other data from 0 at the other trunk's."""
    out, _ = family
    for arm, seed in PAIRS:
        own = end_of(folder(out, "gridworld", arm, seed))
        other = end_of(folder(out, "gridworld", GRIDWORLD.other(arm), seed))
        assert (own - other).abs().max() > 0.1
        for point in POINTS:
            same = end_of(folder(out, "gridworld", arm, seed, point, "same"))
            assert (same - own).abs().max() < 1e-4
        swapped = end_of(folder(out, "gridworld", arm, seed, 0, "swap"))
        assert (swapped - other).abs().max() < 1e-4


def test_what_goal_branches_without_noise_keep(
    family: tuple[Path, dict[str, pd.DataFrame]],
) -> None:
    _, tables = family
    ends = tables["trunks"].query("step == 200").groupby("arm")["goal"].agg(set)
    assert ends.to_dict() == {"corner": {"corner"}, "anywhere": {"cheese"}}
    shares = kept(tables).set_index(["arm", "kind", "point"])["share"]
    assert (shares.xs("same", level="kind") == 1).all()
    assert (shares.xs(0, level="point").xs("swap", level="kind") == 0).all()


def test_other_data_for_a_while_are_as_many_steps_and_no_more(
    family: tuple[Path, dict[str, pd.DataFrame]],
) -> None:
    out, _ = family
    run = Run(folder(out, "gridworld", "corner", 0, 30, "while"))
    assert run.training.from_step == SWAPPED and run.training.coin == "corner"
    assert run.training.total_steps == 200 - 30 - SWAPPED
    swap = Run(Path(str(run.training.from_run)))
    assert swap.training.coin == GRIDWORLD.arms["anywhere"] and swap.training.from_step == 30


def test_intervals_are_over_parents() -> None:
    """Two branches of each of three parents; a fourth ended without a goal and does not count."""
    at: dict[str, str | int] = {"world": "w", "arm": "a"}
    goals = {0: "end", 1: "end", 2: "coin", 3: "neither"}
    trunks = [at | {"parent": p, "step": step, "goal": goal if step else "neither"}
              for p, goal in goals.items() for step in (0, 9)]  # fmt: skip
    ended = {0: ("end", "end"), 1: ("end", "coin"), 2: ("neither", "coin"), 3: ("neither", "end")}
    branches = [at | {"parent": p, "point": 3, "kind": "same", "branch": b, "goal": goal}
                for p, both in ended.items() for b, goal in enumerate(both)]  # fmt: skip
    row = kept({"trunks": pd.DataFrame(trunks), "branches": pd.DataFrame(branches)}).iloc[0]
    assert (row["parents"], row["branches"]) == (3, 6)
    assert row["share"] == pytest.approx(2 / 3)
    assert row["neither"] == pytest.approx(0.5 / 3)
    density = lambda p: p**1.5 * (1 - p) ** 0.5  # noqa: E731  # Jeffreys, 2 of 3
    below = [quad(density, 0, row[end])[0] / quad(density, 0, 1)[0] for end in ("low", "high")]
    assert below == pytest.approx([0.025, 0.975], abs=1e-6)


def test_the_llc_of_a_trunk_is_one_of_its_policy(
    family: tuple[Path, dict[str, pd.DataFrame]],
) -> None:
    out, _ = family
    table = trunk_llc(out, "gridworld", "corner", 0, (200,))
    assert table["step"].tolist() == [200]
    assert table["status"].iloc[0] != "failed" and 0 < table["llc"].iloc[0] < 50


def test_branches_that_keep_no_goal_are_told_from_those_that_change_it() -> None:
    """Of two that leave the end, one for the coin; a trunk without a goal has no branch to tell."""
    at: dict[str, object] = {"world": "coinrun", "arm": "end"}
    shares = {"proxy_first": 0.5, "goal_first": 0.1}
    trunks = pd.DataFrame([at | shares | {"parent": p, "step": 9, "goal": "end"} for p in (0, 1)]
                          + [at | shares | {"arm": "behind", "parent": 0, "step": 9,
                                            "goal": "neither"}])  # fmt: skip
    branches = pd.DataFrame(
        [at | {"parent": p, "point": 3, "kind": "swap", "branch": 0, "goal": goal}
         for p, goal in enumerate(("coin", "neither"))]
    )  # fmt: skip
    llc = pd.DataFrame(
        [at | {"parent": p, "step": step, "llc": p + step, "status": "suspect" if p else "ok"}
         for p in (0, 1) for step in (3, 9)]
    )  # fmt: skip
    found = page({"trunks": trunks, "branches": branches, "llc": llc})
    assert found.statements == [
        "coinrun, trunks on end: 2 of 2 end with the goal end",
        "coinrun, end, swap: share that keeps the goal 0.00 [0.00, 0.67] from 3 (0.50 without a "
        "goal)",
        "coinrun, trunks on behind: 1 of 1 end without a goal",
    ]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in found.figures[0][1].axes[-1].lines]
    assert drawn == [[3, 9]]

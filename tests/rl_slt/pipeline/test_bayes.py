"""The study of the posterior over weights: from its plan to the diagrams."""

from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from analysis.probes import grid_goal
from envs import CheeseGrid
from rl_slt import InputError
from rl_slt.pipeline.commands.plan import describe_plan
from rl_slt.pipeline.commands.run import run_study
from rl_slt.pipeline.plan.study import parse_study

STUDY = """
question = "Which goal?"
base_preset = "gridworld"
seeds = [0, 1]
[train]
grid = { size = 3 }
network_kwargs = { width = 4 }
temperature = 0.05
steps = 60
checkpoints = "log:3"
[bayes]
nbetas = [0, 10, 40]
draws = 80
leapfrog = 4
[arms.corner]
dose = 0.0
coin = "corner"
[arms.anywhere]
dose = 1.0
coin = "anywhere"
"""


class Fixed(nn.Module):
    """The best policy of a grid, or the one that always goes right and up."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, states: Tensor) -> Tensor:
        return self.logits.expand(*states.shape[:-1], 4)


def test_goals_of_policies_that_are_known() -> None:
    grid = CheeseGrid(3)
    assert grid_goal(Fixed(grid.mdp.optimal_logits(0.01)), grid) == "cheese"
    level = next(i for i in range(9) if grid.cheese(i) == (2, 2))
    assert grid_goal(Fixed(grid.mdp.optimal_logits(0.01)[level]), grid) == "corner"
    assert grid_goal(Fixed(torch.zeros(4, dtype=torch.float64)), grid) == "neither"


def test_study_of_the_posterior(tmp_path: Path) -> None:
    plan = parse_study(STUDY, "tiny")
    result = run_study(plan, tmp_path / "s", workers=0)
    assert not result.failed and result.report == tmp_path / "s" / "phase.md"
    table = pd.read_parquet(tmp_path / "s" / "tables" / "goals.parquet")
    posterior = table[table["source"] == "posterior"]
    descent = table[table["source"] == "descent"]
    assert list(posterior["at"]) == [0, 10, 40] * 2 and (posterior["n"] == 4 * 80).all()
    assert sorted(set(table["dose"])) == [0, 1] and (descent["n"] == 2).all()
    assert (posterior.groupby("arm")["loss"].diff().dropna() < 0).all()  # colder is better
    text = (tmp_path / "s" / "phase.md").read_text()
    assert text.count("| 0 | 0 |") == 2 and text.count("did not mix") % 2 == 0
    assert ("did not mix" in text) == (not table["mixed"].all())
    image = matplotlib.image.imread(tmp_path / "s" / "phase.png")
    assert image.shape[1] > 1.5 * image.shape[0]
    # Again: nothing is made anew.
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "s" / "parts").rglob("*.parquet")}
    assert len(stamps) == 2 and not run_study(plan, tmp_path / "s", workers=0).failed
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


def test_a_plan_of_the_posterior_says_what_it_makes(tmp_path: Path) -> None:
    lines = describe_plan(parse_study(STUDY, "tiny"), tmp_path / "s", None, 0, None)
    assert any("posterior: 2 arms at 3 temperatures, 4 ladders of 80 draws" in x for x in lines)
    with pytest.raises(InputError, match="budget='5m': must be left out"):
        run_study(parse_study(STUDY, "tiny"), tmp_path / "s", workers=0, budget="5m")


def test_a_posterior_needs_exact_gradients() -> None:
    played = STUDY.replace('"gridworld"', '"gridworld-ppo"').replace("temperature = 0.05\n", "")
    with pytest.raises(InputError, match="bayes='given': must be left out but with trainer"):
        parse_study(played, "tiny")

"""Experiments as presets: parts that are kept, a page, and the whole path at its smallest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from rl_slt import InputError
from rl_slt.experiments import registry
from rl_slt.experiments.experiment import Experiment, Page, Part, Size
from rl_slt.pipeline.commands.experiment import describe_experiment, run_experiment

CALLS: list[int] = []


def square(out: Path, x: int) -> pd.DataFrame:
    CALLS.append(x)
    if x == 3 and not (out / "mended").exists():
        raise InputError("x=3: must be another")
    return pd.DataFrame({"x": [x], "y": [x * x]})


def stages(size: Size, seed: int) -> Sequence[Sequence[Part]]:
    return [[Part("squares", str(x), square, {"x": x + seed}) for x in (1, 2, 3)]]


def page(tables: Mapping[str, pd.DataFrame]) -> Page:
    total = tables["squares"]["y"].sum()
    return Page([f"sum <{total}>"], [("none", Figure())], [("Squares", tables["squares"])])


SQUARES = Experiment("squares", "How large?", "nobody", stages, page)


def test_finished_parts_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry.EXPERIMENTS, "squares", f"{__name__}:SQUARES")
    CALLS.clear()
    out = tmp_path / "out"
    assert run_experiment("squares", out, workers=0) == 1
    assert CALLS == [1, 2, 3] and "x=3: must be another" in capsys.readouterr().err
    assert "2 done before" in describe_experiment("squares", out, None, None)[1]
    (out / "mended").touch()
    assert run_experiment("squares", out, workers=0) == 0
    assert CALLS == [1, 2, 3, 3] and "sum <14>" in capsys.readouterr().out
    text = (out / "report.html").read_text()
    assert "sum &lt;14&gt;" in text and "data:image/png" in text
    assert pd.read_parquet(out / "tables" / "squares.parquet")["y"].tolist() == [1, 4, 9]
    with pytest.raises(InputError, match="another experiment"):
        run_experiment("squares", out, seed=1, workers=0)
    with pytest.raises(InputError, match="another experiment"):
        describe_experiment("squares", out, None, 1)


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [({"seed": -1}, "seed=-1: must be an integer from 0"), ({"seed": 10**12}, "seed="),
     ({"size": "huge"}, "size='huge'"), ({"workers": -1}, "workers=-1")],
)  # fmt: skip
def test_what_cannot_be_leaves_no_folder(
    settings: dict[str, Any], refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.EXPERIMENTS, "squares", f"{__name__}:SQUARES")
    with pytest.raises(InputError, match=refusal):
        run_experiment("squares", tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry.EXPERIMENTS))
def test_every_experiment_runs_at_its_smallest(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_experiment(name, tmp_path / "out", size="small", workers=0) == 0
    assert "report: " in capsys.readouterr().out

"""Units are whole or absent, keyed by all they depend on."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from agents.files import atomic_dir
from analysis import schema
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study
from rl_slt.pipeline.disk.store import ItemStore, clear_leftovers, digest, read_table, write_table


def probes_frame(value: float = 1.0) -> pd.DataFrame:
    row = dict(run="a", step=0, probe="end", metric="coin", value=value, ci_low=0, ci_high=1, n=3)
    return pd.DataFrame([row])


def test_digest_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    with pytest.raises(ValueError):
        digest(float("nan"))


def test_a_unit_is_read_back_and_never_replaced(tmp_path: Path) -> None:
    store = ItemStore(tmp_path, "probe")
    assert not store.has("k")
    store.put("k", {"probes": probes_frame(0.25)})
    store.put("k", {"probes": probes_frame(0.75)})
    assert store.has("k") and store.keys() == ["k"]
    assert store.read("probes")["value"].tolist() == [0.25]


def test_a_unit_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    store = ItemStore(tmp_path, "probe")
    bad = {"probes": probes_frame(), "episodes": pd.DataFrame({"run": ["a"]})}
    with pytest.raises(ValueError, match="lacks the columns"):
        store.put("k", bad)
    assert not store.has("k")
    assert list(store.root.iterdir()) == []


def test_what_a_killed_process_left_goes_and_is_never_read(tmp_path: Path) -> None:
    store = ItemStore(tmp_path, "probe")
    store.put("k", {"probes": probes_frame()})
    code = "import os, sys; from pathlib import Path; from agents.files import atomic_dir\n"
    code += "folders = [atomic_dir(Path(p)) for p in sys.argv[1:]]\n"
    code += "for f in folders: (f.__enter__() / 'probes.parquet').write_bytes(b'half')\n"
    code += "os._exit(9)"
    places = [store.root / "l", tmp_path / "clips", tmp_path / "comparisons" / "m"]
    subprocess.run([sys.executable, "-c", code, *map(str, places)])
    with atomic_dir(store.root / "l") as mine:  # of a writer that lives
        assert len(store.read("probes")) == 1 and len([*tmp_path.rglob(".tmp-*")]) == 4
        clear_leftovers(tmp_path)
        assert [*tmp_path.rglob(".tmp-*")] == [mine]
        assert store.keys() == ["k"]


def test_unreadable_tables_are_one_line_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.parquet is missing"):
        read_table(tmp_path / "gone.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(InputError, match=r"bad\.parquet is not a readable table"):
        read_table(tmp_path / "bad.parquet")


def test_of_a_damaged_item_the_folder_is_named_since_it_counts_as_finished(tmp_path: Path) -> None:
    store = ItemStore(tmp_path, "probe")
    with pytest.raises(InputError, match=r"probes\.parquet is missing$"):
        store.read_item("k", "probes")
    store.put("k", {"probes": probes_frame()})
    (store.root / "k" / "probes.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match=rf"not a readable .*; delete {store.root / 'k'} to make"):
        store.read_item("k", "probes")
    (store.root / "k" / "probes.parquet").unlink()
    with pytest.raises(InputError, match=rf"missing; delete {store.root / 'k'} to make it again"):
        store.read_item("k", "probes")


def test_tables_have_the_contract_columns_first(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"arm": "coin moved"}')
    write_table("probes", probes_frame().assign(extra=1), Run(tmp_path))
    frame = pd.read_parquet(tmp_path / "tables" / "probes.parquet")
    assert [*frame.columns] == [*schema.TABLES["probes"], "extra"]
    assert set(frame["arm"]) == {"coin moved"}


def test_a_run_that_nobody_named_has_an_unnamed_arm(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    write_table("probes", probes_frame(), Run(tmp_path))
    frame = pd.read_parquet(tmp_path / "tables" / "probes.parquet")
    assert [*frame.columns[:2]] == ["run", "arm"] and set(frame["arm"]) == {"unnamed"}


def test_rows_of_a_study_keep_their_arms(tmp_path: Path) -> None:
    frame = probes_frame().assign(arm="end")
    write_table("probes", pd.concat([frame, frame.assign(arm="*")]), Study(tmp_path))
    assert [*pd.read_parquet(tmp_path / "tables" / "probes.parquet")["arm"]] == ["end", "*"]

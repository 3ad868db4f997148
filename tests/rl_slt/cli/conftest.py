"""A folder of sound, damaged and hostile runs, studies and files to make mistakes with."""

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import agents
from agents.checkpoints import HEADER, TENSORS, NetworkSpec, save_checkpoint, write_index

STUDY = """
question = "Does the path hold?"
[train]
network = "small"
steps = 1024
num_envs = 8
n_steps = 32
batch_size = 64
{train}
[arms.{arm}]
coin = "end"
[llc]
chains = 2
{llc}
[probe]
suite = "demo"
{probe}
"""
# name: what replaces the parts of a sound study
STUDIES: dict[str, dict[str, str]] = {
    "sound": {},
    "arm-up": {"arm": '"../../arm"'},
    "arm-slash": {"arm": '"a/b"'},
    "arm-empty": {"arm": '""'},
    "arm-long": {"arm": "a" * 101},
    "arm-markup": {"arm": '"<b>"'},
    "name-up": {"top": 'name = "../../outside"'},
    "name-root": {"top": 'name = "/tmp/outside"'},
    "extra": {"top": "moon = 1"},
    "seeds-text": {"top": 'seeds = ["../x"]'},
    "seeds-none": {"top": "seeds = []"},
    "seeds-negative": {"top": "seeds = [-1]"},
    "base-preset": {"top": 'base_preset = "moon"'},
    "train-extra": {"train": "moon = 1"},
    "gamma": {"train": "gamma = 1.5"},
    "lr-nan": {"train": "lr = nan"},
    "lr-text": {"train": 'lr = "many"'},
    "levels-swapped": {"train": "levels = [9, 3]"},
    "time-limit": {"train": "time_limit = 0"},
    "device": {"train": 'device = "cuda:99"'},
    "loss": {"llc": 'losses = ["moon"]'},
    "states": {"llc": 'states = ["moon"]'},
    "sampler": {"llc": 'sampler = "moon"'},
    "draws": {"llc": "draws = 0"},
    "llc-extra": {"llc": "moon = 1"},
    "nbeta-inf": {"llc": "nbeta = inf"},
    "suite": {"probe": 'suite = "moon"\n', "probe-suite": ""},
    "mode": {"probe": 'mode = "moon"'},
}


def study_text(changes: dict[str, str]) -> str:
    parts = {"train": "", "arm": "end", "llc": "", "probe": "", **changes}
    text = STUDY.format(**parts)
    if "probe-suite" in changes:
        text = text.replace('suite = "demo"\n', "", 1)
    return changes.get("top", "") + text


def sound_run(run: Path, steps: tuple[int, ...] = (0, 1024)) -> Path:
    """A run as training leaves it, without the training."""
    torch.manual_seed(0)
    config = agents.TrainConfig(network="patch", steps=1024, num_envs=8, n_steps=32, batch_size=64)
    spec = NetworkSpec("patch", {})
    for step in steps:
        save_checkpoint(run, step, spec.build(), spec, {})
    write_index(run, finished=True)
    entry = {"name": run.name, "arm": "end", "seed": 0, "kind": "train", "train": config.as_dict()}
    (run / "config.json").write_text(json.dumps(entry))
    return run


def change_config(run: Path, **changes: Any) -> None:
    entry = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**entry, "train": entry["train"] | changes}))


def forge(checkpoint: Path, data: bytes, **header: Any) -> None:
    """Replace a checkpoint's weights by any bytes, with the right hash, as an attacker would."""
    (checkpoint / TENSORS).write_bytes(data)
    known = json.loads((checkpoint / HEADER).read_text())
    known |= {"sha256": hashlib.sha256(data).hexdigest()} | header
    (checkpoint / HEADER).write_text(json.dumps(known))


class Trap:
    """Writes a file when unpickled: the sign that code from a file was run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch sprung",)


HUGE = (1 << 62).to_bytes(8, "little") + b"{}"
WIDE_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})
WIDE = len(WIDE_HEADER).to_bytes(8, "little") + WIDE_HEADER.encode()
FORGED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "pickled": (pickle.dumps(Trap(), protocol=2), {}),
    "huge-header": (HUGE, {}),
    "wide-tensor": (WIDE, {}),
    "no-bytes": (b"", {}),
    "html": (b"<html><script>alert(1)</script>", {}),
}
HEADERS: dict[str, dict[str, Any]] = {
    "network-unknown": {"network": {"name": "moon", "kwargs": {}}},
    "network-path": {"network": {"name": "../../small", "kwargs": {}}},
    "network-none": {"network": None},
    "network-kwargs": {"network": {"name": "small", "kwargs": {"moon": 1}}},
    "network-wide": {"network": {"name": "small", "kwargs": {"width": 10**9}}},
    "network-text": {"network": {"name": "small", "kwargs": {"width": "wide"}}},
    "actions-many": {"n_actions": 10**12},
    "actions-none": {"n_actions": None},
    "shape-odd": {"obs_shape": [64]},
    "format-new": {"format": 99},
    "hash-wrong": {"sha256": "0" * 64},
    "hash-number": {"sha256": 5},
}


def make_runs(place: Path) -> None:
    good = sound_run(place / "good")
    for name in (*FORGED, *HEADERS, "truncated", "not-weights", "header-html", "index-broken",
                 "index-list", "table-html", "table-columns", "table-types"):  # fmt: skip
        shutil.copytree(good, place / name)
    last = f"checkpoints/{1024:012d}"
    for name, (data, header) in FORGED.items():
        forge(place / name / last, data, **header)
    for name, header in HEADERS.items():
        path = place / name / last / HEADER
        path.write_text(json.dumps(json.loads(path.read_text()) | header))
    weights = place / "truncated" / last / TENSORS
    weights.write_bytes(weights.read_bytes()[:-7])
    (place / "not-weights" / last / TENSORS).unlink()
    (place / "not-weights" / last / TENSORS).mkdir()
    (place / "header-html" / last / HEADER).write_text("<html>")
    (place / "index-broken" / "checkpoints" / "index.json").write_text("{")
    (place / "index-list" / "checkpoints" / "index.json").write_text('["../../etc"]')
    for name in ("table-html", "table-columns", "table-types"):
        (place / name / "tables").mkdir()
    (place / "table-html" / "tables" / "llc.parquet").write_text("<html>")
    (place / "table-columns" / "tables" / "llc.parquet").touch()
    frame = pd.DataFrame({"run": ["x"], "step": ["<script>"]})
    frame.to_parquet(place / "table-columns" / "tables" / "llc.parquet")
    row = dict(run="x", step="<b>", probe="end", metric="m", value=0.0, ci_low=0, ci_high=1, n=3)
    pd.DataFrame([row]).to_parquet(place / "table-types" / "tables" / "probes.parquet")


def make_configs(place: Path) -> None:
    train = json.loads((place / "good" / "config.json").read_text())["train"]
    for name, text in {
        "broken": "{",
        "array": "[]",
        "deep": "[" * 100_000,
        "no-train": '{"seed": 0}',
        "train-text": '{"train": "../../x"}',
        "coin-number": json.dumps({"train": train | {"coin": 5}}),
        "coin-unknown": json.dumps({"train": train | {"coin": "<script>"}}),
        "extra-setting": json.dumps({"train": train | {"__class__": "os.system"}}),
        "limit-text": json.dumps({"train": train | {"time_limit": "long"}}),
        "settings-list": json.dumps({"train": train | {"settings": [1]}}),
        "empty": json.dumps({"train": train, "seed": 0}),
    }.items():
        (place / name).mkdir()
        (place / name / "config.json").write_text(text)
    (place / "binary").mkdir()
    (place / "binary" / "config.json").write_bytes(b"\xff\xfe\x00\x80")


def make_studies(place: Path) -> None:
    for name, text in {
        "foreign": '{"name": "foreign"}',
        "study-broken": "{",
        "study-array": "[]",
        "arms-up": '{"arms": {"../../x": {"coin": "end"}}, "seeds": [0]}',
        "arms-number": '{"arms": 5, "seeds": [0]}',
        "seeds-up": '{"arms": {"a": {"coin": "end"}}, "seeds": ["0/../../../x"]}',
        "study-empty": '{"arms": {"a": {"coin": "end"}}, "seeds": [0]}',
    }.items():
        (place / name).mkdir()
        (place / name / "study.json").write_text(text)
    for name, changes in STUDIES.items():
        (place / f"{name}.toml").write_text(study_text(changes))
    (place / "no-coin.toml").write_text(study_text({}).replace('coin = "end"', "lr = 0.1"))
    (place / "no-arms.toml").write_text('question = "?"')
    (place / "no-toml.toml").write_text("= 5 [")
    (place / "binary.toml").write_bytes(b"\xff\xfe\x00")


def make_models(place: Path) -> None:
    (place / "other").mkdir()
    (place / "other" / "thesis.txt").write_text("do not touch")
    (place / "half.zip").write_bytes(b"PK\x03\x04 half a zip")
    (place / "empty.zip").write_bytes(b"")
    with zipfile.ZipFile(place / "strange.zip", "w") as archive:
        archive.writestr("../../outside.txt", "x")
    with zipfile.ZipFile(place / "data.zip", "w") as archive:
        archive.writestr("data", "{")
        archive.writestr("policy.pth", "no tensors")
    with zipfile.ZipFile(place / "trap.zip", "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", pickle.dumps(Trap(), protocol=2))
    (place / "trap.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    (place / "trap.safetensors").write_bytes(pickle.dumps(Trap(), protocol=2))
    (place / "huge.safetensors").write_bytes(HUGE)
    torch.save({"moon": torch.zeros(3)}, place / "moon.pt")


@pytest.fixture(scope="session")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all of these; mistakes must leave it as it is."""
    place = tmp_path_factory.mktemp("mistakes")
    for make in (make_runs, make_configs, make_studies, make_models):
        make(place)
    return place

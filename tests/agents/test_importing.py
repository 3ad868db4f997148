"""Agents of stable-baselines3 and plain weights become runs, without running their code."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3 import PPO

import agents
from agents.importing import import_agent
from rl_slt import InputError


def test_sb3_nature_cnn_acts_the_same(tmp_path: Path, fake_vec: Any) -> None:
    model = PPO("CnnPolicy", fake_vec(2), n_steps=4, batch_size=8, policy_kwargs={"net_arch": []})
    model.num_timesteps = 4321
    model.save(tmp_path / "agent.zip")
    import_agent(tmp_path / "agent.zip", tmp_path / "run")
    (checkpoint,) = agents.list_checkpoints(tmp_path / "run")
    assert checkpoint.step == 4321
    obs = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8)
    logits, value = agents.load_policy(checkpoint)(obs)
    theirs = obs.permute(0, 3, 1, 2)
    distribution: Any = model.policy.get_distribution(theirs).distribution
    assert torch.allclose(logits.log_softmax(-1), distribution.logits, atol=1e-5)
    assert torch.allclose(value, model.policy.predict_values(theirs).flatten(), atol=1e-5)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_plain_weights_of_our_networks(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    network = agents.build_network("small", shared=False)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save({"state_dict": network.state_dict()}, path)
    else:
        tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
        save_file(tensors, path)
    import_agent(path, tmp_path / "run", step=7, arm="theirs")
    assert json.loads((tmp_path / "run" / "config.json").read_bytes())["arm"] == "theirs"
    obs = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    loaded = agents.load_policy(agents.find_checkpoint(tmp_path / "run", 7).path)
    assert torch.equal(loaded(obs)[0], network(obs)[0])
    assert agents.is_finished(tmp_path / "run")


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('ran')",))


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"state_dict": Bomb()}))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", pickle.dumps(Bomb()))
    for name in ("a.pt", "b.zip"):
        with pytest.raises(InputError, match="cannot be read as weights"):
            import_agent(tmp_path / name, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_agent(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="no policy known here"):
        import_agent(tmp_path / "other.pt", tmp_path / "run")
    torch.save({"policy_head.weight": torch.zeros(15, 9)}, tmp_path / "odd.pt")
    with pytest.raises(InputError, match="fits no network here"):
        import_agent(tmp_path / "odd.pt", tmp_path / "run")
    with pytest.raises(InputError, match="does not exist"):
        import_agent(tmp_path / "none.zip", tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        import_agent(tmp_path / "odd.pt", tmp_path / "full")


def test_an_import_is_whole_or_not_there_and_the_same_again_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "w.pt", tmp_path / "run"
    torch.save(agents.build_network("small").state_dict(), path)
    with monkeypatch.context() as patch:
        patch.setattr("agents.importing.write_json", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            import_agent(path, out, step=7)
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]
    import_agent(path, out, step=7)
    assert json.loads((out / "config.json").read_bytes())["arm"] == "unnamed"
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    import_agent(path, out, step=7)  # as after a kill at the very end
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    with pytest.raises(InputError, match="is not empty"):
        import_agent(path, out, step=8)
    with pytest.raises(InputError, match="is not empty"):
        import_agent(path, out, step=7, config=agents.TrainConfig(coin="ground"))
    torch.save(agents.build_network("small").state_dict(), path)  # other weights
    with pytest.raises(InputError, match="is not empty"):
        import_agent(path, out, step=7)


def test_an_import_into_the_folder_of_the_command_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be replaced under the feet of whoever stands in it; behind a link all is well."""
    torch.save(agents.build_network("small").state_dict(), tmp_path / "w.pt")
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="name a new one"):
        import_agent(Path("../w.pt"), Path("."))
    monkeypatch.chdir(tmp_path)
    import_agent(Path("w.pt"), Path("link"), step=7)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "here" / "config.json").is_file()

"""The page as text: self-contained, escaped, in order."""

import base64
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import build_report, load_study
from analysis.report.clips import embed, fields, scenes
from analysis.report.page import render


class Outline(HTMLParser):
    """Collects what the tests ask of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "script":
            self.scripts.append(found)
        if tag == "img":
            self.images.append(found)
        self.links += [str(found[name]) for name in ("src", "href") if found.get(name)]


def data_of(page: str, figure: str) -> dict[str, object]:
    text = re.search(rf'id="data-{figure}">(.*?)</script>', page, re.S)
    assert text is not None
    value = json.loads(text.group(1))
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def page(demo: Path) -> str:
    return build_report(load_study(demo))


def test_the_page_needs_no_other_file(page: str) -> None:
    outline = Outline(page)
    assert all(link.startswith(("#", "data:")) for link in outline.links), outline.links
    assert not outline.tags & {"link", "iframe", "object"} - {"link"}
    assert "@import" not in page.split("</style>")[0]
    assert re.search(r'<html lang="en">', page) and 'name="viewport"' in page


def test_headings_ids_and_alternatives_are_in_order(page: str) -> None:
    outline = Outline(page)
    assert outline.levels[0] == 1 and outline.levels.count(1) == 1
    steps = zip(outline.levels, outline.levels[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps), outline.levels
    assert len(outline.ids) == len(set(outline.ids))
    assert all(image.get("alt") for image in outline.images)
    assert page.count('role="img" aria-label="') == page.count('class="plot"') == 10


def test_the_data_of_a_figure_is_its_json(page: str, demo: Path) -> None:
    llc = load_study(demo).table("llc")
    mine = llc[(llc["run"] == "end-s0") & (llc["states"] == "frozen")].sort_values("step")
    series = data_of(page, "llc")["series"]
    assert isinstance(series, list)
    assert series[0]["y"] == mine["llc"].tolist()


def test_everything_from_files_is_escaped(demo: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(demo, tmp_path / "study"))
    evil = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"
    record = json.loads((study / "study.json").read_text())
    record |= {"name": evil, "question": evil, "settings": {evil: evil}}
    record["arms"] = {evil: {"coin": evil}, **record["arms"]}
    (study / "study.json").write_text(json.dumps(record))
    run = study / "runs" / "end-s0"
    config = json.loads((run / "config.json").read_text())
    config |= {"command": [evil], "versions": {evil: evil}, "train": {evil: evil}}
    (run / "config.json").write_text(json.dumps(config))
    clips = json.loads((run / "clips" / "clips.json").read_text())
    (run / "clips" / "clips.json").write_text(json.dumps([c | {"caption": evil} for c in clips]))
    for name, column in (("llc", "message"), ("probes", "probe"), ("transitions", "series"),
                         ("associations", "note"), ("llc", "states")):  # fmt: skip
        path = run / "tables" / f"{name}.parquet"
        pd.read_parquet(path).assign(**{column: evil}).to_parquet(path)
    (study / "timings.json").write_text(json.dumps({evil: 1.0}))
    page = build_report(load_study(study))
    assert "<script>alert" not in page and "<img src=x" not in page
    plain = build_report(load_study(demo))
    assert len(Outline(page).scripts) == len(Outline(plain).scripts) + 1  # one arm, one figure more


def test_json_cannot_leave_its_script() -> None:
    as_json = render._environment().filters["tojson"]
    context = render._environment().get_template("page.html.jinja").new_context()
    text = str(as_json(context.eval_ctx, {"a": "</script><!--", "b": "\u2028&"}))
    assert "<" not in text and "&" not in text and "\u2028" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": "\u2028&"}
    with pytest.raises(ValueError, match="JSON compliant"):
        as_json(context.eval_ctx, float("nan"))


def test_the_same_level_is_shown_for_every_arm(demo: Path) -> None:
    note: list[str] = []
    found = scenes(load_study(demo), note)
    assert note == []
    assert [(s.probe, s.level_seed, s.which) for s in found] == [
        ("behind", 20003, ""), ("behind", 20007, ""), ("end", 20003, ""),
        ("behind", -1, "typical"), ("behind", -1, "surprising"),
    ]  # fmt: skip
    assert [clip.arm for clip in found[0].clips] == ["end", "behind"]
    png = (demo / "runs" / "end-s0" / "clips" / "behind-20003.png").read_bytes()
    assert base64.b64decode(found[0].clips[0].strip) == png


def test_each_agent_is_shown_on_levels_of_its_own_with_a_word_why(page: str, demo: Path) -> None:
    typical = scenes(load_study(demo), [])[3]
    names = [demo / "runs" / f"{arm}-s0" / "clips" / f"behind-{level}.png"
             for arm, level in (("end", 20_010), ("behind", 20_020))]  # fmt: skip
    assert [base64.b64decode(clip.strip) for clip in typical.clips] == [
        name.read_bytes() for name in names
    ]
    for which, said, times in (
        ("common", "same level for all agents", 6),
        ("typical", "typical of this agent", 2),
        ("surprising", "unusual for this agent", 2),
    ):
        assert page.count(f'<span class="badge {which}">{said}</span>') == times


def test_one_field_is_shown_of_each_arm_and_is_no_scene(page: str, demo: Path) -> None:
    found = fields(load_study(demo), [])
    assert [(clip.arm, clip.run) for clip in found] == [("end", "end-s0"), ("behind", "behind-s0")]
    png = base64.b64encode((demo / "runs" / "end-s0" / "clips" / "field.png").read_bytes()).decode()
    assert found[0].strip == png and page.count('<img class="field"') == 2
    assert all(scene.which != "field" for scene in scenes(load_study(demo), []))


def test_clips_without_a_reason_have_no_badge(demo: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(demo, tmp_path / "study"))
    for index in study.glob("runs/*/clips/clips.json"):
        record = [clip | {"which": "<b>"} for clip in json.loads(index.read_text())[:-1]]
        index.write_text(json.dumps(record))
    page = build_report(load_study(study))
    assert 'class="badge' not in page and page.count('class="strip"') == 6


def test_without_fixed_state_probes_one_sentence_stands_for_their_figures(
    demo: Path, tmp_path: Path
) -> None:
    study = Path(shutil.copytree(demo, tmp_path / "study"))
    for run in study.glob("runs/*/tables"):
        (run / "counterfactual.parquet").unlink()
        probes = pd.read_parquet(run / "probes.parquet")
        kept = probes[~probes["probe"].isin(["counterfactual", "readout"])]
        kept.to_parquet(run / "probes.parquet")
    page = build_report(load_study(study))
    assert "There are no counterfactual probes of these checkpoints" in page
    assert "How it misleads" not in page and 'id="figure-coin' not in page


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../config.json", "is not in its clips folder"),
        ("/etc/hostname", "is not in its clips folder"),
        ("gone.png", "is not in its clips folder"),
        ("fake.png", "is no PNG"),
        ("huge.png", "too large for this page"),
    ],
)
def test_a_clip_must_be_a_picture_of_its_own_folder(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "fake.png").write_bytes(b"<svg onload=alert(1)>")
    (folder / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3000))
    with pytest.raises(ValueError, match=said):
        embed(folder, name, "png", 3000)


def test_a_clip_that_cannot_be_shown_is_named(demo: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(demo, tmp_path / "study"))
    folder = study / "runs" / "end-s0" / "clips"
    clips = json.loads((folder / "clips.json").read_text())
    clips[0] |= {"strip": "../config.json", "file": "huge.gif"}
    (folder / "huge.gif").write_bytes(b"GIF89a" + bytes(3_000_000))
    (folder / "clips.json").write_text(json.dumps(clips))
    page = build_report(load_study(study))
    assert "of end-s0 is not in its clips folder" in page
    assert "of end-s0 is left out: too large for this page" in page
    assert "behind-s0" in page


def test_figures_without_data_say_what_is_missing(
    tmp_path: Path, write_study: Callable[..., Path]
) -> None:
    study = write_study(tmp_path / "study", checkpoints=4, clips=False)
    for run in study.glob("runs/*"):
        for name in ("llc", "probes", "episodes", "transitions", "associations"):
            (run / "tables" / f"{name}.parquet").unlink()
    (study / "tables" / "associations.parquet").unlink()
    page = build_report(load_study(study))
    for said in (
        "There are no LLC estimates", "There are no probe results", "There are no clips",
        "No association between LLC and probes was computed", "they were not searched",
        "Needs LLC estimates",
    ):  # fmt: skip
        assert said in page, said
    panels = data_of(page, "timeline-0")["panels"]
    assert isinstance(panels, list)
    assert [p["missing"] for p in panels] == ["", "no LLC estimates", "no probe results"]


def test_settings_to_make_it_again_are_there(page: str) -> None:
    for said in ("rl-slt run --preset demo --out demo", "ppo.ent_coef", "2.13.0", "9 min 0 s"):
        assert said in page


def test_twenty_runs_of_sixty_checkpoints_fit(large_page: Path) -> None:
    assert large_page.stat().st_size < 10 * 2**20

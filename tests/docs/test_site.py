"""The site builds strictly and offline, and holds every page, public name, command and setting."""

import ast
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("mkdocs")
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rl_slt", "envs", "agents", "analysis")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    clean = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True,
        env=os.environ | clean | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / place).exists(), place
        assert f'href="{place}"' in index, place
    assert [*site.rglob("*.py*")] == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(https?:[^\" >]+)",
                            page.read_text())  # fmt: skip
        assert loaded == [], page


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_rendered_with_its_words(site: Path, package: str) -> None:
    module = importlib.import_module(package)
    page = (site / "reference" / f"{package}.html").read_text()
    ids = set(re.findall(r'id="([\w.]+)"', page))
    short = {name.rpartition(".")[2] for name in ids if name.startswith(f"{package}.")}
    assert set(module.__all__) <= short


def test_every_command_setting_and_column_is_in_the_reference(site: Path) -> None:
    from analysis import schema
    from rl_slt.cli import COMMANDS
    from rl_slt.cli.commands import JOBS, cli

    commands, settings, tables = (
        (site / "reference" / f"{name}.html").read_text()
        for name in ("commands", "settings", "tables")
    )
    places = [commands.find(f'<h3 id="{name}"') for name in COMMANDS]
    assert min(places) > 0
    for job, title in JOBS.items():  # each under its job, as in `rl-slt --help`
        begin = commands.index(f">{title}<a")
        rest = [commands.find(f">{other}<a") for other in JOBS.values()]
        end = min([place for place in rest if place > begin], default=len(commands))
        inside = {n for n, place in zip(COMMANDS, places, strict=True) if begin < place < end}
        assert inside == {n for n, c in cli.commands.items() if c.job == job}  # type: ignore[attr-defined]
    for kind in load("hooks").settings_classes():
        assert f'id="{kind.__name__.lower()}"' in settings
        assert all(f"<code>{name}</code>" in settings for name in kind.model_fields)
    for name, columns in schema.TABLES.items():
        assert f'id="{name}"' in tables
        assert all(f"<code>{column}</code>" in tables for column in columns)


def test_a_page_that_the_navigation_does_not_name_is_a_guide() -> None:
    nav = [{"Start": ["index.md"]}, {"Guides": []}, {"Project": [{"Decisions": []}]}]
    pages = ["index.md", "new.md", "decisions/why.md", "measurements/table.md", "picture.png"]
    assert load("hooks").complete_nav(nav, pages) == [
        {"Start": ["index.md"]},
        {"Guides": ["new.md"]},
        {"Project": [{"Decisions": ["decisions/why.md"]}]},
    ]


def test_links_out_of_the_docs_hold_or_become_paths() -> None:
    relink = load("hooks").relink
    table = "[table](../benchmarks/results/llc_cost.md)"
    assert relink(table, "docs/a.md", "a.md") == "[table](measurements/llc_cost.md)"
    study = relink("[it](../../studies/goal.toml)", "docs/how-to/a.md", "how-to/a.md")
    assert study == "it (`studies/goal.toml`)"
    fenced = "```text\n[a](../b.md)\n```\n"
    assert relink(fenced, "docs/a.md", "a.md") == fenced


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_have_docstrings_that_describe_their_arguments(package: str) -> None:
    griffe = pytest.importorskip("griffe")
    logging.getLogger("griffe").setLevel(logging.CRITICAL)
    root = griffe.GriffeLoader(search_paths=[ROOT], docstring_parser="google").load(package)
    missing = []
    for module, names in load("hooks").public_names(package).items():
        for name in names:
            found = root[f"{module}.{name}"]
            found = found.final_target if found.is_alias else found
            if found.docstring is None:
                missing.append(name)
            elif found.kind.value in ("function", "class"):
                sections = [s for s in found.docstring.parse("google")
                            if s.kind.value in ("parameters", "attributes")]  # fmt: skip
                told = {
                    n for s in sections for e in s.value for n in e.name.lstrip("*").split(", ")
                }
                told |= {n for n, m in found.members.items() if m.docstring is not None}
                told |= {n for base in getattr(found, "resolved_bases", []) for n in base.members}
                missing += [
                    f"{name}({p.name})"
                    for p in found.parameters
                    if p.name not in told | {"self", "cls"}
                    and p.kind is not griffe.ParameterKind.var_keyword
                    and not field_text(package, name, p.name)
                ]
    assert not missing, "; ".join(missing)


def field_text(package: str, name: str, field: str) -> str:
    """What a settings class says of one of its fields."""
    kind = getattr(importlib.import_module(package), name)
    texts = kind.descriptions() if hasattr(kind, "descriptions") else {}
    return json.dumps(texts.get(field, "")) if field in texts else ""


def test_the_gallery_has_every_figure_of_the_report_and_every_call_that_draws() -> None:
    from analysis.report.figures import FIGURES

    text = " ".join((ROOT / "docs" / "gallery.md").read_text().split())
    for record in FIGURES:
        assert f"-{record.id}" in text or record.title in text, record.id
    by_command = {"field.py": "rl-slt field", "surface.py": "rl-slt surface",
                  "influence.py": "rl-slt influence"}  # fmt: skip
    drawing = [
        (path.name, node.name)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "report" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and getattr(node.returns, "id", "") == "Figure"
    ]
    assert len(drawing) > 5
    for file, name in drawing:
        assert by_command.get(file, f"{name}(") in text, (file, name)

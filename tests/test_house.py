"""The shape of the house: who may import whom, and that everything resolves inside it."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rl_slt", "envs", "agents", "analysis")
ALLOWED = {
    "rl_slt": {"rl_slt"},
    "envs": {"envs"},
    "agents": {"agents", "envs"},
    "analysis": {"analysis", "envs"},
    "rl_slt/cli": set(PACKAGES),
    "rl_slt/pipeline": set(PACKAGES),
}
# What every package may take from `rl_slt`: the error for a user's mistake, the base of settings.
ROOT_NAMES = {"InputError", "SettingsModel"}
MODULES = sorted(p.relative_to(ROOT) for name in PACKAGES for p in (ROOT / name).rglob("*.py"))


def part_of(path: Path) -> str:
    top = "/".join(path.parts[:2])
    return top if top in ALLOWED else path.parts[0]


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
    return names


def names_from(path: Path, module: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == module]
    return {alias.name for node in froms for alias in node.names}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_import_direction(path: Path) -> None:
    ours = {n for n in imports_of(path) if n.split(".")[0] in PACKAGES}
    ours -= {"rl_slt"} if names_from(path, "rl_slt") <= ROOT_NAMES else set()
    wrong = {n for n in ours if n.split(".")[0] not in ALLOWED[part_of(path)]}
    if part_of(path) == "rl_slt":  # the core does not reach up into its own command line either
        wrong |= {n for n in ours if re.match(r"rl_slt\.(cli|pipeline)\b", n)}
    assert not wrong, f"{path} imports {sorted(wrong)}"


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_resolve_here(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / name
    assert (ROOT / name / "py.typed").exists()


def test_every_package_is_listed_for_the_wheel() -> None:

    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    )
    found = {
        ".".join(p.parent.relative_to(ROOT).parts)
        for name in PACKAGES
        for p in (ROOT / name).rglob("__init__.py")
    }
    assert found == listed


def test_every_file_that_is_no_code_is_in_the_wheel() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped = {
        path
        for package in setup["packages"]
        for pattern in setup["package-data"]["*"] + setup["package-data"].get(package, [])
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    found = {
        path
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert {path.suffix for path in found} >= {".toml", ".jinja", ".js", ".css", ".pyi"}
    assert found == shipped

"""The shape of the house: who may import whom; that all of it resolves here and is shipped."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rl_slt", "envs", "agents", "analysis")
ALLOWED = {
    "rl_slt": {"rl_slt"},
    "envs": {"envs"},
    "agents": {"agents", "envs"},
    "analysis": {"analysis", "envs"},
    "rl_slt/__main__.py": {"rl_slt"},  # `python -m rl_slt`, which is the command line
    "rl_slt/cli": set(PACKAGES),
    "rl_slt/experiments": set(PACKAGES),
    "rl_slt/pipeline": set(PACKAGES),
}
# What every package may take from `rl_slt`: the error for a user's mistake, the base of settings.
ROOT_NAMES = {"InputError", "SettingsModel"}
GRIDWORLD_NAMES = {"PolicyData", "TabularMDP"}  # the forms that its levels come in
MODULES = sorted(p.relative_to(ROOT) for name in PACKAGES for p in (ROOT / name).rglob("*.py"))
NAMES = {".".join(p.with_suffix("").parts).removesuffix(".__init__"): p for p in MODULES}


def part_of(path: Path) -> str:
    top = "/".join(path.parts[:2])
    return top if top in ALLOWED else path.parts[0]


def imports_of(path: Path) -> set[tuple[str, str]]:
    """Module and name of every import, those for type checking and inside functions included."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {(node.module or "", alias.name) for alias in node.names}
    return found


def our_modules(path: Path) -> set[str]:
    """The modules of ours that a module imports; a package's name stands for its face."""
    found = {f"{m}.{n}" if f"{m}.{n}" in NAMES else m for m, n in imports_of(path)}
    return found & set(NAMES)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_import_direction(path: Path) -> None:
    ours = {(m, n) for m, n in imports_of(path) if m.split(".")[0] in PACKAGES}
    free = ROOT_NAMES | (GRIDWORLD_NAMES if path.is_relative_to("envs/gridworld") else set())
    ours -= {("rl_slt", name) for name in free}
    wrong = {m for m, _ in ours if m.split(".")[0] not in ALLOWED[part_of(path)]}
    if part_of(path) == "rl_slt":  # the core does not reach up into its own command line either
        wrong |= {m for m, _ in ours if re.match(r"rl_slt\.(cli|experiments|pipeline)\b", m)}
    assert not wrong, f"{path} imports {sorted(wrong)}"


def test_no_import_circle() -> None:
    """Also none that only a type checker sees; a face that re-exports its own parts is none."""
    graph = {
        name: {m for m in our_modules(path) if NAMES[m].name != "__init__.py"}
        for name, path in NAMES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_other_packages_are_imported_by_their_faces() -> None:
    """`from envs import X`, not from a module inside; a part of a package may be a face, too."""
    deep = [
        f"{path}: {module}"
        for path in MODULES
        for module in our_modules(path)
        if module.split(".")[0] != path.parts[0] and NAMES[module].name != "__init__.py"
    ]
    assert len(deep) <= 8, deep


def test_the_roots_import_nothing_of_ours() -> None:
    assert our_modules(Path("rl_slt/errors.py")) == set()
    assert our_modules(Path("rl_slt/settings_model.py")) == {"rl_slt.errors"}
    text = "\n".join((ROOT / path).read_text() for path in MODULES)
    assert len(re.findall(r"^class \w*InputError\b", text, re.MULTILINE)) == 1


def test_library_code_logs_and_does_not_print() -> None:
    """Results are printed by the command line and by what stands right behind a command."""
    may = ("rl_slt/cli", "rl_slt/pipeline/commands")
    printing = [
        str(path)
        for path in MODULES
        if not str(path).startswith(may)
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert printing == []


def test_the_version_is_one() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    said = re.findall(r"^(?:version|date-released): (.*)$", text, re.MULTILINE)
    version, date = re.findall(
        r"^## \[(\d.*?)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )[0]
    assert said == [version, date] and importlib.import_module("rl_slt").__version__ == version
    assert f"{{{version}}}" in (ROOT / "docs" / "citation.md").read_text()


@pytest.mark.parametrize(("folder", "most"), [("rl_slt", 16), ("rl_slt/pipeline", 12)])
def test_tops_stay_small(folder: str, most: int) -> None:
    assert sum(path.parent == Path(folder) for path in MODULES) <= most


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True).split())


def test_help_loads_nothing_slow() -> None:
    assert not loaded_by("import rl_slt.cli") & {
        "torch",
        "numpy",
        "pandas",
        "pydantic",
        "gymnasium",
    }


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

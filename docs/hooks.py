"""What the site is made of besides docs/: reference pages, measured tables, links that leave docs/.

A hook of MkDocs (`mkdocs.yml`). The reference is made from the code when the site is built, so it
cannot go stale: commands from the command line's parser, settings from their classes, tables from
the schema, the API from the names in each package's `__init__.pyi`.
"""

import ast
import importlib
import inspect
import pkgutil
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic.json_schema import GenerateJsonSchema

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rl_slt", "envs", "agents", "analysis")
# Files outside docs/ that are pages of the site, and where.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
RESULTS = "benchmarks/results"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made and the files that pages link to; complete the navigation."""
    for place, text in made_pages().items():
        files.append(File.generated(config, place, content=text))
    for path in sorted((ROOT / RESULTS).glob("*")):
        place = _place(path)
        if place is not None:
            files.append(File.generated(config, place, content=path.read_bytes()))
    for source, place in PAGES.items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, place, content=text))
    config.nav = complete_nav(config.nav or [], [file.src_uri for file in files])
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with each link out of docs/ turned to the site's copy, or to a plain path."""
    made = {place: source for source, place in PAGES.items()}
    uri = page.file.src_uri
    source = made.get(uri, uri.replace("measurements/", RESULTS + "/") if
                      uri.startswith("measurements/") else f"docs/{uri}")  # fmt: skip
    return relink(markdown, source, uri)


def relink(markdown: str, source: str, uri: str) -> str:
    """Markdown with links that hold on the site.

    Args:
        markdown: of a page.
        source: the page's path in the repository, to which its links are relative.
        uri: its path on the site.
    """

    def replace(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        if re.match(r"[a-z]+:|#|/", target):
            return match[0]
        target, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = _place(ROOT / path)
        if place is None:  # a file of the repository that is no page
            return f"{text} (`{path}`)" if text.strip("`") != path else f"`{path}`"
        new = posixpath.relpath(place, posixpath.dirname(uri) or ".")
        return f"{image}[{text}]({new}{'#' + anchor if anchor else ''})"

    return _outside_code(markdown, lambda text: _LINK.sub(replace, text))


def _outside_code(markdown: str, change: Any) -> str:
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def _place(path: Path) -> str | None:
    """Where a file of the repository is on the site, if it is there."""
    name = path.relative_to(ROOT).as_posix()
    if name in PAGES:
        return PAGES[name]
    if name == "README.md":
        return "index.md"
    if path.parent == ROOT / RESULTS and path.suffix in (".md", ".png"):
        return f"measurements/{path.name}"
    if name.startswith("docs/") and path.suffix in (".md", ".png", ".svg", ".html"):
        return name.removeprefix("docs/")
    return None


def complete_nav(nav: list[Any], pages: list[str]) -> list[Any]:
    """The navigation with `Guides` and `Decisions` filled by the pages that it does not name."""
    pages = sorted(page for page in pages if page.endswith(".md"))
    named = set(_named(nav))
    rest = [p for p in pages if p not in named and not p.startswith("measurements/")]
    decisions = [page for page in rest if page.startswith("decisions/")]
    empty = {"Decisions": decisions, "Guides": [page for page in rest if page not in decisions]}

    def fill(entries: list[Any]) -> list[Any]:
        return [
            {name: empty.get(name) or fill(value) if isinstance(value, list) else value
             for name, value in entry.items()} if isinstance(entry, dict) else entry
            for entry in entries
        ]  # fmt: skip

    return fill(nav)


def _named(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _named(entry)


def made_pages() -> dict[str, str]:
    """The pages that are made from the code, as Markdown, by their place."""
    pages = {f"reference/{package}.md": api_page(package) for package in PACKAGES}
    pages["reference/commands.md"] = commands_page()
    pages["reference/settings.md"] = settings_page()
    pages["reference/tables.md"] = tables_page()
    pages["measurements/index.md"] = measurements_page()
    return pages


def public_names(package: str) -> dict[str, list[str]]:
    """The public names of a package by the module that they are from, as its stub has them."""
    tree = ast.parse((ROOT / package / "__init__.pyi").read_text())
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            found.setdefault(node.module or "", []).extend(alias.name for alias in node.names)
    return found


def own_names(package: str) -> list[str]:
    """The public names that a package defines itself."""
    imported = {name for names in public_names(package).values() for name in names}
    return [name for name in importlib.import_module(package).__all__ if name not in imported]


def api_page(package: str) -> str:
    """Every public name of a package under the module that it is from."""
    summary = (inspect.getdoc(importlib.import_module(package)) or "").partition("\n\n")[0]
    lines = [f"# {package}", "", summary, "", f"Import from `{package}` itself."]
    lines += [f"\n::: {package}.{name}" for name in own_names(package)]
    for module, names in public_names(package).items():
        first = (inspect.getdoc(importlib.import_module(f"{package}.{module}")) or "").split("\n\n")
        lines += ["", f"## {module}", "", first[0]]
        for name in names:
            lines += ["", f"::: {package}.{module}.{name}"]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its options under its job, from the parser of the command line."""
    from rl_slt.cli.commands import JOBS, cli

    lines = ["# Commands", "", *_help(cli)]
    for job, title in JOBS.items():
        of_job = {name: c for name, c in cli.commands.items() if c.job == job}  # type: ignore[attr-defined]
        lines += ["", f"## {title}", "", "| command | does |", "| --- | --- |"]
        lines += [f"| [`{name}`](#{name}) | {_cell(_escape(c.get_short_help_str(200)))} |"
                  for name, c in of_job.items()]  # fmt: skip
        for name, command in of_job.items():
            lines += _command(name, command)
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> Iterator[str]:
    ctx = click.Context(command, info_name=f"rl-slt {name}", max_content_width=100)
    usage = " ".join([f"rl-slt {name}", *command.collect_usage_pieces(ctx)])
    yield from ("", f"### {name} {{ #{name} }}", "", "```text", usage, "```", "", *_help(command))
    yield from ("", "| option | meaning |", "| --- | --- |")
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            yield f"| `{_cell(record[0])}` | {_cell(_escape(record[1]))} |"


def _help(command: click.Command) -> Iterator[str]:
    for part in inspect.cleandoc(command.help or "").split("\n\n"):
        if part.startswith("\b"):
            head, *body = part.removeprefix("\b").strip("\n").split("\n")
            yield from (head, "", "```sh", *(line.strip() for line in body), "```", "")
        else:
            yield from (_escape(part), "")


def settings_classes() -> list[type]:
    """Every public class of settings of the four packages."""
    from rl_slt.settings_model import SettingsModel

    sources = {
        module.name: _source(module.name)
        for package in PACKAGES
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
    }
    names, known = {"SettingsModel"}, set[str]()
    while names > known:  # a class of settings may be below another one
        known, bases = set(names), "|".join(names)
        for module, source in sources.items():
            if re.search(rf"^class \w+\(.*\b({bases})\b", source, re.MULTILINE):
                importlib.import_module(module)
        names |= {kind.__name__ for kind in _below(SettingsModel)}
    found = {kind for kind in _below(SettingsModel) if not kind.__name__.startswith("_")}
    return sorted((k for k in found if k.__module__.split(".")[0] in PACKAGES),
                  key=lambda kind: kind.__name__)  # fmt: skip


def _source(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


def _below(kind: type) -> Iterator[type]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


def settings_page() -> str:
    """Every setting with what is allowed, from the classes that check them."""
    lines = ["# Settings", "", "A study's file has these in its tables, and most are options of",
             "a [command](commands.md). A wrong value is refused in one line."]  # fmt: skip
    for kind in settings_classes():
        texts = kind.descriptions()  # type: ignore[attr-defined]
        doc = (inspect.getdoc(kind) or "").partition("\n\n")[0]
        lines += ["", f"## {kind.__name__}", "", f"{_escape(doc)} (`{kind.__module__}`)", ""]
        lines += ["| setting | default | meaning | allowed |", "| --- | --- | --- | --- |"]
        schema = kind.model_json_schema(schema_generator=_Lenient)["properties"]  # type: ignore[attr-defined]
        for name, field in kind.model_fields.items():  # type: ignore[attr-defined]
            default = "required" if field.is_required() else f"`{_default(field)}`"
            cells = (default, _escape(texts[name]), f"`{_allowed(schema[name])}`")
            lines.append(" | ".join([f"| `{name}`", *map(_cell, cells)]) + " |")
    return "\n".join(lines) + "\n"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    return repr(value) if len(repr(value)) < 60 else type(value).__name__


class _Lenient(GenerateJsonSchema):
    """A schema also of models with fields of other types, as a sampler."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {"type": "object of Python"}

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])


def _allowed(schema: dict[str, Any]) -> str:
    """A JSON schema for people, as `integer >= 2`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema or "enum" in schema:
        return " or ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_allowed(part) for part in schema["anyOf"]))
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    kinds = {"null": "none", "array": "list", "object": "table", "string": "text"}
    kind = schema.get("type", "any")
    text = kinds.get(kind, kind)
    if "items" in schema:
        text += f" of {_allowed(schema['items'])}"
    return " ".join([text, ", ".join(limits)]).strip()


def tables_page() -> str:
    """The columns of every table, from the schema."""
    from analysis import schema

    kinds = {"s": "text", "i": "integer", "f": "number", "b": "true or false"}
    lines = ["# Tables", "", "Parquet files in `tables/` of a run, and of a study for statistics",
             "over its runs; more columns may follow. What they mean: [what the number",
             "means](../what-the-number-means.md), [goal probes](../probes.md)."]  # fmt: skip
    for name, columns in schema.TABLES.items():
        lines += ["", f"## {name}", "", "| column | kind |", "| --- | --- |"]
        lines += [f"| `{column}` | {kinds[kind]} |" for column, kind in columns.items()]
    return "\n".join(lines) + "\n"


def measurements_page() -> str:
    """A list of the measured tables, each by its first heading or line."""
    lines = ["# Measurements", "", "Tables that scripts in `benchmarks/` wrote, each with the",
             "command that makes it again.", ""]  # fmt: skip
    for path in sorted((ROOT / RESULTS).glob("*.md")):
        first = next(line for line in path.read_text().splitlines() if line.strip())
        lines.append(f"- [{path.stem}]({path.name}): {first.lstrip('# ')}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

"""The base of every class of settings: checked where it is made, refused in one line."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rl_slt.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


class SettingsModel(BaseModel):
    """Frozen settings whose fields say what is allowed (`Field(ge=2)`), in the type itself.

    A wrong value, an unknown name or a missing one raises `InputError` in one form,
    `NAME=VALUE: must be ALLOWED`. The command line, TOML files and `model_json_schema` come from
    the same fields, so a constraint is declared once. Checks over several fields are
    `@model_validator(mode="after")` methods that raise `InputError`.

    Attributes:
        renamed: settings' old names and their new ones; the old work with a DeprecationWarning.
    """

    renamed: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True,
        arbitrary_types_allowed=True, use_attribute_docstrings=True,
    )  # fmt: skip

    def __init__(self, **values: Any) -> None:
        """Check all values; raises InputError at the first that is wrong."""
        try:
            given = current_names(values, self.renamed)
            super().__init__(**{name: _plain_number(value) for name, value in given.items()})
        except ValidationError as error:
            raise InputError(_refusal(type(self), error.errors()[0])) from None

    @classmethod
    def build(cls, values: Any, where: str) -> Self:
        """Settings from the plain values of a file; messages begin with `where`.

        Raises:
            InputError: the values are no table, or one of them is wrong.
        """
        if not isinstance(values, dict):
            raise InputError.of(where, values, "a table of settings")
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked again."""
        return type(self)(**(dict(self) | changes))

    def as_dict(self) -> dict[str, Any]:
        """All settings in JSON's types."""
        return self.model_dump(mode="json")

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """What each setting is, by name; also where `Annotated` types inside a union say it."""
        found = {}
        for name, field in cls.model_fields.items():
            options = get_args(field.annotation) if _is_union(field.annotation) else ()
            nested = [m for o in options for m in getattr(o, "__metadata__", ())]
            parts = [field, *(m for m in nested if isinstance(m, FieldInfo))]
            found[name] = next((p.description for p in parts if p.description), "")
        return found


def _plain_number(value: Any) -> Any:
    """Python's own number for one of numpy's, which are registered as numbers, too."""
    if isinstance(value, int | float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def current_names(values: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Values by their current names, with a DeprecationWarning for each old one.

    Args:
        values: by name.
        renamed: old names and their new ones.
    """
    for old in renamed.keys() & values.keys():
        text = f"{old} is deprecated; it is now called {renamed[old]}"
        warnings.warn(text, DeprecationWarning, stacklevel=3)
    return {renamed.get(name, name): value for name, value in values.items()}


def renamed_keywords(**renamed: str) -> Callable[[F], F]:
    """A decorator: the old keywords of a function work, with a DeprecationWarning.

    Args:
        renamed: new keywords by their old names.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **values: Any) -> Any:
            return function(*args, **current_names(values, renamed))

        return call  # type: ignore[return-value]

    return decorate


def _refusal(model: type[BaseModel], error: ErrorDetails) -> str:
    """One line for pydantic's error."""
    name = ".".join(str(part) for part in error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, InputError):  # of a nested model, or a check over several fields
        text = str(cause)  # a check of one field names it, a nested model does not
        return text if not name or text.startswith(f"{name}=") else f"{name}.{text}"
    if error["type"] == "extra_forbidden":
        return f"{name}: unknown setting; allowed: {', '.join(model.model_fields)}"
    if error["type"] == "missing":
        return f"{name}: missing; it must be given"
    field, index = model.model_fields.get(str(error["loc"][0])), error["loc"][1:]
    members = [o for o in get_args(field and field.annotation) if o is not type(None)]
    if field is not None and index and _is_union(field.annotation) and len(members) > 1:
        name = str(error["loc"][0])  # what follows it names the member that was tried
    elif field is not None and index:  # an item of a tuple has constraints of its own
        items = get_args(field.annotation) if get_origin(field.annotation) is tuple else ()
        field = FieldInfo.from_annotation(items[0]) if items else None
    return str(InputError.of(name, error["input"], _allowed(field, error)))


_KINDS = {bool: "true or false", int: "an integer", float: "a finite number", str: "text"}


def _allowed(field: FieldInfo | None, error: ErrorDetails) -> str:
    """What a field takes, in words: its kind and its bounds; else what pydantic says of it."""
    if error["type"] == "tuple_type":
        return "a list"
    options = get_args(field.annotation) if field and _is_union(field.annotation) else ()
    texts = [text for o in options if get_origin(o) is Literal for text in get_args(o)]
    if error["type"] == "literal_error" and not texts:
        return str(error["ctx"]["expected"]).replace("'", "")
    if error["type"] in ("model_type", "dict_type"):
        return "a table of settings"
    if error["type"] == "too_short":
        what = "table" if error["ctx"]["field_type"] == "Dictionary" else "list"
        return f"a {what} of at least {error['ctx']['min_length']}"
    if field is None:
        return error["msg"].removeprefix("Input should be ")
    options = options or (field.annotation,)
    kinds = {get_args(o)[0] if get_origin(o) is Annotated else o for o in options}
    kind = next((text for of, text in _KINDS.items() if of in kinds), None)
    if kind is None:
        return error["msg"].removeprefix("Input should be ")
    bounds = {
        name: getattr(part, name)
        for part in _constraints(field, options)
        for name in ("ge", "gt", "le", "lt")
        if getattr(part, name, None) is not None
    }
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = " and ".join(f"{words[name]} {value}" for name, value in bounds.items())
    if {"ge", "le"} == set(bounds):
        limits = f"from {bounds['ge']} to {bounds['le']}"
    others = [*texts, *(["none"] if type(None) in kinds else [])]
    return ", or ".join([" ".join(part for part in (kind, limits) if part), *others])


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _constraints(field: FieldInfo, options: tuple[Any, ...]) -> Iterator[Any]:
    """The constraints of a field, also of `Annotated` types inside a union."""
    yield from field.metadata
    for option in options:
        for part in getattr(option, "__metadata__", ()):
            yield from part.metadata if isinstance(part, FieldInfo) else (part,)

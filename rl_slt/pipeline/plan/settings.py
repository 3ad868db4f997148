"""Settings from plain values of a file, checked against the types of a dataclass."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from rl_slt.errors import InputError

T = TypeVar("T")


def build(cls: type[T], values: Any, where: str) -> T:
    """A dataclass from plain values, each checked against the field's type.

    Raises:
        InputError: naming the field, the value and what is allowed.
    """
    _check_names(cls, values, where)
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        shown = f" (got {first['input']!r})" if place else ""
        raise InputError(f"{where}: {place + ': ' if place else ''}{message}{shown}") from None


def _check_names(cls: type, values: Any, where: str) -> None:
    """Raise InputError unless all names are settings of the dataclass, also in tables inside."""
    names = [f.name for f in dataclasses.fields(cls) if f.init]
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected a table of settings, not {values!r}")
    unknown = [key for key in values if key not in names]
    if unknown:
        raise InputError(f"{where}: unknown setting {unknown[0]!r}; allowed: {', '.join(names)}")
    kinds = get_type_hints(cls)
    for name, value in values.items():
        if dataclasses.is_dataclass(kinds[name]) and not isinstance(value, kinds[name]):
            _check_names(kinds[name], value, f"{where}: {name}")

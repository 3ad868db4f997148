"""Options of commands: most are made from the fields of a settings class, a few are shared."""

from __future__ import annotations

import pkgutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import click

from rl_slt.errors import InputError

if TYPE_CHECKING:
    from rl_slt.settings_model import SettingsModel


class Number(click.ParamType):
    """A number whose refusal has the form of every message.

    Args:
        kind: int or float.
        limits: least and largest, where no settings class checks them.
        many: whether numbers with commas between them are wanted.
    """

    def __init__(
        self, kind: type, limits: tuple[int, int] | None = None, many: bool = False
    ) -> None:
        self.kind, self.limits, self.many = kind, limits, many
        self.name = ("integer" if kind is int else "number") + (",..." if many else "")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the numbers, in a text; raises InputError where there is none."""
        parts = [part for part in str(value).split(",") if part.strip()] if self.many else [value]
        found = tuple(self._number(part, str(param and param.name)) for part in parts)
        return found if self.many else found[0]

    def _number(self, text: Any, name: str) -> Any:
        allowed = "an integer" if self.kind is int else "a number"
        try:
            value = self.kind(text)
        except ValueError:
            raise InputError.of(name, text, allowed) from None
        if self.limits and not self.limits[0] <= value <= self.limits[1]:
            low, high = self.limits
            raise InputError.of(name, value, f"{allowed} from {low} to {high}")
        return value


INTEGER, FLOAT, SEED = Number(int), Number(float), Number(int, (0, 2**31 - 1))
NONE = ("none", "None")
NO_VALUE = object()  # stands for None, which to click means that an option was not given


class OrNone(click.ParamType):
    """Another type, or the word `none` for a setting that may have no value.

    Args:
        other: the type of the setting's values.
    """

    def __init__(self, other: click.ParamType) -> None:
        self.other, self.name = other, other.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`NO_VALUE` for `none`, else what the other type makes of a text."""
        return NO_VALUE if value in NONE else self.other.convert(value, param, ctx)


@dataclass(frozen=True)
class FromModel:
    """Options made of a settings class: type, help and default are those of its fields.

    Attributes:
        place: of the class, as `package.module:Class`; loaded when the options are needed, so
            that `rl-slt --help` waits for none.
        only: fields that become options; all if empty.
        without: fields that do not.
        once: lists of texts of which a command takes one.
        flags: how an option is called, where not as its field.
        defaults: what help says of a default that is not the field's.
        bare: options that may stand without a value, for `default`, and how their values look.
    """

    place: str
    only: Sequence[str] = ()
    without: Sequence[str] = ()
    once: Sequence[str] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    bare: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> list[click.Option]:
        """An option for each field; a list of texts is an option that may be repeated."""
        model: type[SettingsModel] = pkgutil.resolve_name(self.place)
        texts = model.descriptions()
        made = []
        for name in self.only or model.model_fields:
            if name in self.without:
                continue
            of = model.model_fields[name]
            kinds, many = set(_kinds(of.annotation)), get_origin(of.annotation) is tuple
            number = next((kind for kind in (float, int) if {kind} <= kinds <= {int, float}), None)
            default = of.get_default(call_default_factory=True)
            values = default if many else [] if default is None or kinds == {bool} else [default]
            shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            shown = self.defaults.get(name, shown)
            text = texts[name][:1].upper() + texts[name][1:]
            if name in self.once:
                text = text.removesuffix("; repeatable")
            form: click.ParamType = click.BOOL if kinds == {bool} else click.STRING
            more: dict[str, Any] = {}
            if name in self.bare:  # the settings class reads its text
                many, more = False, {"flag_value": "default", "metavar": self.bare[name]}
            elif number is not None:
                form = Number(number, many=many)
            made.append(
                click.Option(
                    ["--" + self.flags.get(name, name).replace("_", "-"), name],
                    type=OrNone(form) if NoneType in get_args(of.annotation) else form,
                    multiple=many and number is None,
                    is_flag=kinds == {bool},
                    default=None,
                    help=f"{text} [{shown}]." if shown else f"{text}.",
                    **more,
                )
            )
        return made


def _kinds(annotation: Any) -> Iterator[type]:
    """The plain types in an annotation, without None."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    parts = [part for part in get_args(annotation) if part not in (NoneType, ...)]
    if get_origin(annotation) is tuple and len(parts) > 1:
        parts = [str]  # a pair is typed as A:B
    for part in parts:
        yield from _kinds(part)
    if not parts:
        yield annotation if isinstance(annotation, type) else type(annotation)  # of a Literal


class ModelCommand(click.Command):
    """A command with options of settings classes.

    Args:
        models: by an argument of the callback, which gets a dict of the settings that were given.
    """

    def __init__(self, *args: Any, models: Mapping[str, FromModel], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._models = models

    @cached_property
    def _options(self) -> dict[str, list[click.Option]]:
        return {name: source.options() for name, source in self._models.items()}

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Arguments, options of the settings classes, then the command's other options."""
        own = super().get_params(ctx)
        made = [option for options in self._options.values() for option in options]
        first = [param for param in own if isinstance(param, click.Argument)]
        return [*first, *made, *(param for param in own if param not in first)]

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command with the settings that were given."""
        for name, options in self._options.items():
            values = [(option, ctx.params.pop(str(option.name))) for option in options]
            ctx.params[name] = {
                option.name: None if value is NO_VALUE else value
                for option, value in values
                if value is not None and not (option.multiple and value == ())
            }
        return super().invoke(ctx)


def parse_setting(text: str, place: str) -> tuple[str, Any]:
    """`NAME=VALUE` as a name and a value in TOML's form; a bare word is text.

    Args:
        text: as it was typed.
        place: of the settings class, as in `FromModel`: `none` is None where it may be.

    Raises:
        InputError: there is no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError.of("set", text, "NAME=VALUE, as gamma=0.99")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        fields = pkgutil.resolve_name(place).model_fields if value in NONE else {}
        optional = name in fields and NoneType in get_args(fields[name].annotation)
        return name, None if optional else value

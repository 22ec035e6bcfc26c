"""What an operator can set: environment variables, decoded once into a typed struct.

`load_settings(Settings, os.environ, prefix="APP_REGISTRY")` reads the field
`relay_poll_interval` from `APP_REGISTRY_RELAY_POLL_INTERVAL`, or from the file named by
`APP_REGISTRY_RELAY_POLL_INTERVAL_FILE`, as orchestrators hand over secrets. An empty
variable counts as not set.

| type of the field | written as |
|---|---|
| `str`, `int`, `float`, `Path`, an enum or `Literal` | itself |
| `bool` | `true`, `false`, `yes`, `no`, `on`, `off`, `1`, `0` |
| `timedelta` | seconds, or with a unit: `0.5`, `250ms`, `30s`, `5m`, `2h`, `7d` |
| `Secret` | itself; shown nowhere |
| `tuple` of these | separated by commas |
| a struct, or a `tuple` of structs | JSON |

Whatever carries a password is a `Secret`, also a URL. Every field has a description:
`retries: Annotated[int, Meta(ge=0, description="how often …")] = 3`.
"""

import difflib
import hmac
import os
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec import NODEFAULT, inspect

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)

_FILE = "_FILE"
_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION_HINT = "a duration: seconds, or a number with ms, s, m, h or d"


class WrongSettings(Exception):
    """The settings cannot be used. The text is one line and shows no secret."""


class Secret:
    """A text that no log, traceback or dump shows by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        """In constant time for texts of one length."""
        return isinstance(other, Secret) and hmac.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret is not pickled")


def load_settings(
    shape: type[SettingsT], environ: Mapping[str, str], prefix: str
) -> SettingsT:
    """Decode the variables that begin with `prefix`, or raise `WrongSettings`.

    An unknown variable with the prefix is an error: most are misspelt, and a misspelt
    limit is a limit that is not there.
    """
    fields = {_variable(prefix, field.name): field for field in _fields_of(shape)}
    hints = get_type_hints(shape, include_extras=True)
    problems = _unknown_variables(environ, prefix, list(fields))
    values: dict[str, object] = {}
    for variable, field in fields.items():
        try:
            text = _read(environ, variable)
            if text is not None:
                values[field.name] = _decode(text, field.type, hints[field.name])
            elif field.required:
                problems.append(f"{variable} is not set")
        except _Unusable as problem:
            problems.append(f"{variable} {problem}")
    if problems:
        raise WrongSettings("; ".join(problems))
    try:
        return shape(**values)
    except ValueError as error:  # from `__post_init__`: what the types cannot say
        raise WrongSettings(str(error)) from None


def settings_or_exit(shape: type[SettingsT], prefix: str) -> SettingsT:
    """The settings of this process; ends it with one line on stderr if they are wrong.

    For `__main__` alone: nothing else reads the environment.
    """
    try:
        return load_settings(shape, os.environ, prefix)
    except WrongSettings as error:
        sys.exit(f"wrong settings: {error}")


def settings_table(shape: type[msgspec.Struct], prefix: str) -> str:
    """The documentation of all settings as a Markdown table."""
    rows = [
        f"| `{_variable(prefix, field.name)}` | {_type_name(field.type)} "
        f"| {_default(field)} | {_description(field)} |"
        for field in _fields_of(shape)
    ]
    return "\n".join(
        ["| variable | type | default | meaning |", "|---|---|---|---|", *rows]
    )


class _Unusable(Exception):
    """What is wrong with one variable, to be read after its name."""


def _fields_of(shape: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(shape)
    assert isinstance(described, inspect.StructType)  # noqa: S101  # by the signature
    return described.fields


def _variable(prefix: str, field_name: str) -> str:
    return f"{prefix}_{field_name}".upper()


def _unknown_variables(
    environ: Mapping[str, str], prefix: str, known: list[str]
) -> list[str]:
    accepted = [*known, *(name + _FILE for name in known)]
    problems = []
    for name in sorted(environ):
        if name.startswith(f"{prefix}_") and name not in accepted:
            nearest = difflib.get_close_matches(name, accepted, n=1, cutoff=0.0)
            problems.append(f"{name} is unknown, the nearest is {nearest[0]}")
    return problems


def _read(environ: Mapping[str, str], variable: str) -> str | None:
    text, path = environ.get(variable), environ.get(variable + _FILE)
    if text and path:
        raise _Unusable(f"is set, and so is {variable + _FILE}: choose one")
    if not path:
        return text or None
    try:
        return Path(path).read_text().rstrip("\r\n") or None
    except (OSError, UnicodeDecodeError) as error:
        raise _Unusable(f"cannot be read from the file {path}: {error}") from None


def _decode(text: str, kind: inspect.Type, hint: object) -> object:
    """Text to a value of the annotation `hint`, of which `kind` is the description."""
    try:
        return msgspec.convert(
            _parse(text, kind),
            hint,
            strict=False,
            builtin_types=(timedelta,),
            dec_hook=_custom,
        )
    except msgspec.MsgspecError as error:
        shown = "" if _is_private(kind) else f": {text!r}"
        raise _Unusable(f"cannot be used{shown}: {_reason(error, kind)}") from None


def _parse(text: str, kind: inspect.Type) -> object:
    """What msgspec can convert: it knows nothing of commas and units."""
    match _plain(kind):
        case inspect.BoolType():
            if text.lower() not in _WORDS:
                raise msgspec.ValidationError("expected yes or no")
            return _WORDS[text.lower()]
        case inspect.TimeDeltaType():
            return _parse_duration(text)
        case inspect.VarTupleType(item_type=item) if not _is_json(item):
            return [_parse(part.strip(), item) for part in text.split(",")]
        case other if _is_json(other):
            return msgspec.json.decode(text)
        case _:
            return text


def _parse_duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise msgspec.ValidationError(f"expected {_DURATION_HINT}")
    number, unit = match.groups()
    return timedelta(seconds=float(number) * _UNITS[unit])


def _custom(kind: type, value: object) -> object:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return kind(value)


def _reason(error: Exception, kind: inspect.Type) -> str:
    match _plain(kind):
        case inspect.EnumType(cls=enum):
            return f"expected one of {', '.join(str(word.value) for word in enum)}"
        case inspect.LiteralType(values=words):
            return f"expected one of {', '.join(map(str, words))}"
        case _:
            # What stands as a name may be a secret put in the wrong place.
            return re.sub("unknown field `.*`(?= - at)", "an unknown field", str(error))


def _plain(kind: inspect.Type) -> inspect.Type:
    """Without description and without `| None`: an empty variable is not set."""
    match kind:
        case inspect.Metadata(type=inner):
            return _plain(inner)
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return _plain(inner)
        case _:
            return kind


def _is_json(kind: inspect.Type) -> bool:
    match _plain(kind):
        case inspect.StructType() | inspect.DictType():
            return True
        case inspect.VarTupleType(item_type=item):
            return _is_json(item)
        case _:
            return False


def _is_private(kind: inspect.Type) -> bool:
    """Whether the text may hold a secret, so that no message repeats it."""
    match _plain(kind):
        case inspect.CustomType(cls=cls):
            return cls is Secret
        case inspect.VarTupleType(item_type=item):
            return _is_private(item)
        case inspect.StructType() | inspect.DictType():
            return True
        case _:
            return False


def _type_name(kind: inspect.Type) -> str:
    match _plain(kind):
        case inspect.TimeDeltaType():
            return "duration"
        case inspect.CustomType(cls=cls):
            return cls.__name__.lower()
        case inspect.EnumType(cls=enum):
            return ", ".join(f"`{word.value}`" for word in enum)
        case inspect.LiteralType(values=words):
            return ", ".join(f"`{word}`" for word in words)
        case other if _is_json(other):
            return "JSON"
        case inspect.VarTupleType(item_type=item):
            return f"list of {_type_name(item)}"
        case other:
            return type(other).__name__.removesuffix("Type").lower()


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is NODEFAULT or value is None or value == ():
        return "none"
    match value:
        case bool():
            shown = "yes" if value else "no"
        case timedelta():
            shown = _show_duration(value)
        case tuple():
            shown = ",".join(map(str, value))
        case _:
            shown = str(value)
    return f"`{shown}`"


def _show_duration(value: timedelta) -> str:
    for unit in ("d", "h", "m", "s"):
        count = value / timedelta(seconds=_UNITS[unit])
        if count.is_integer():
            return f"{count:.0f}{unit}"
    return f"{value / timedelta(milliseconds=1):g}ms"


def _description(field: inspect.Field) -> str:
    match field.type:
        case inspect.Metadata(extra_json_schema={"description": str(description)}):
            return description
        case _:
            raise TypeError(f"the setting {field.name} has no description")

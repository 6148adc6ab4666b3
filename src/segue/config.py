"""Reads TOML into frozen dataclasses, strictly; errors name the nearest valid name."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import json
import math
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from segue.errors import InputError

T = TypeVar("T")
MAX_SEED: Final = 2**32 - 1
"""Seeds lie below 2**32, so that each stream of random numbers gets its own range of generator seeds."""


@dataclass(frozen=True)
class Limit:
    """The values that a number may have."""

    wording: str
    holds: Callable[[Any], bool]


Count = Annotated[int, Limit("at least 1", lambda number: number >= 1)]
CountOrNone = Annotated[int, Limit("at least 0", lambda number: number >= 0)]
Seed = Annotated[int, Limit(f"in 0..{MAX_SEED}", lambda number: 0 <= number <= MAX_SEED)]
Positive = Annotated[float, Limit("above 0", lambda number: 0 < number < math.inf)]
NotNegative = Annotated[float, Limit("at least 0", lambda number: 0 <= number < math.inf)]
Finite = Annotated[float, Limit("a number", math.isfinite)]
Share = Annotated[float, Limit("in [0, 1)", lambda number: 0 <= number < 1)]


@dataclass(frozen=True)
class Config:
    """A frozen record that checks its values when it is made: each `Literal`, and each `Limit` of an `Annotated` type.

    Raises:
        ValueError: a value that its field does not allow.
    """

    def __post_init__(self) -> None:
        hints = _hints(type(self))  # type: ignore[arg-type]
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), hints[field.name]
            if typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
                raise ValueError(f"{field.name} must be {' or '.join(typing.get_args(kind))}")
            for limit in getattr(kind, "__metadata__", ()):
                if not limit.holds(value):
                    raise ValueError(f"{field.name} must be {limit.wording}")


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """Return the types of the fields of a dataclass."""
    return typing.get_type_hints(cls, include_extras=True)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return '; did you mean ...?' with the one of `names` nearest to `name`, else the list of `names`."""
    ordered = sorted(names)
    close = difflib.get_close_matches(name, ordered, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(ordered) or 'none'}"


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Return the frozen dataclass `cls` of `values`, each checked against its field's type.

    Raises:
        InputError: an unknown key (with the nearest name), a value of the wrong type, or one that the dataclass
            refuses (ValueError).
    """
    hints = _hints(cls)  # type: ignore[arg-type]
    fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise InputError(f"{where}: unknown key {key!r}{nearest(key, fields)}")
    checked = {key: _checked(value, hints[key], f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**checked)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error


def build_kind(registry: Mapping[str, type[T]], values: Mapping[str, Any], where: str) -> T:
    """Return the dataclass `registry[values['kind']]` of the other values.

    Raises:
        InputError: no kind, an unknown kind, or see `build`.
    """
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in registry:
        raise InputError(f"{where}.kind is {kind!r}{nearest(str(kind), registry)}")
    return build(registry[kind], {key: value for key, value in values.items() if key != "kind"}, where)


def _checked(value: Any, kind: Any, where: str) -> Any:
    """Return `value` as the field type `kind`, or raise InputError."""
    if typing.get_origin(kind) is Annotated:
        kind = kind.__origin__
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        options = typing.get_args(kind)
        if value is None and type(None) in options:
            return None
        (kind,) = (option for option in options if option is not type(None))
    if typing.get_origin(kind) is typing.Literal:
        if value not in typing.get_args(kind):
            raise InputError(f"{where} is {value!r}{nearest(str(value), map(str, typing.get_args(kind)))}")
        return value
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} is {value!r}, expected a list")
        return tuple(_checked(part, typing.get_args(kind)[0], f"{where}[{i}]") for i, part in enumerate(value))
    if typing.get_origin(kind) is dict:
        kind = dict
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return build(kind, value, where)  # type: ignore[arg-type]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where} is {value!r}, expected {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{where} is {value!r}, expected a finite number")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    try:
        return parse_toml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); name a TOML file") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Return the tables of a TOML text; errors call it `where`."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not valid TOML: {error}") from error


def parse_override(text: str) -> tuple[str, Any]:
    """Return `(dotted key, value)` of one `section.key=TOMLVALUE`; a bare word reads as a string.

    >>> parse_override("training.epochs=3")
    ('training.epochs', 3)
    >>> parse_override("next_track.kind=shared")
    ('next_track.kind', 'shared')
    """
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r}: expected section.key=value")
    try:
        value: Any = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        if not all(c.isalnum() or c in "_-" for c in raw) or not raw:
            raise InputError(f"--set {text!r}: {raw!r} is not a TOML value; quote strings") from None
        value = raw
    return key.strip(), value


def override(tables: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tables` with each dotted key of `overrides` replaced; `terms.0.weight` reaches into a list.

    Raises:
        InputError: a key goes through a value that is neither a table nor a list.
    """
    result = copy.deepcopy(dict(tables))
    for dotted, value in overrides.items():
        *path, last = dotted.split(".")
        here: Any = result
        for part in path:
            if isinstance(here, list) and part.isdigit() and int(part) < len(here):
                here = here[int(part)]
            elif isinstance(here, dict):
                here = here.setdefault(part, {})
            else:
                raise InputError(f"--set {dotted}: {part!r} is not a section here")
        if isinstance(here, list) and last.isdigit() and int(last) < len(here):
            here[int(last)] = value
        elif isinstance(here, dict):
            here[last] = value
        else:
            raise InputError(f"--set {dotted}: {last!r} cannot be set here")
    return result


def dump_toml(tables: Mapping[str, Any]) -> str:
    """Return TOML text for nested tables of strings, numbers, booleans, lists and lists of tables.

    None is left out, since TOML has no null. `parse_toml(dump_toml(x)) == x` for such tables.
    """
    return "\n".join(_toml_lines(tables, "")).lstrip("\n") + "\n"


def _toml_lines(tables: Mapping[str, Any], prefix: str) -> list[str]:
    lines = [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in tables.items() if not _is_section(v) and v is not None]
    for key, value in tables.items():
        name = f"{prefix}{_toml_key(key)}"
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *_toml_lines(value, f"{name}.")]
        elif _is_section(value):
            for part in value:
                lines += ["", f"[[{name}]]", *_toml_lines(part, f"{name}.")]
    return lines


def _is_section(value: Any) -> bool:
    listed = isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(p, Mapping) for p in value)
    return isinstance(value, Mapping) or listed


def _toml_key(key: str) -> str:
    bare = key.isascii() and all(c.isalnum() or c in "_-" for c in key) and key
    return key if bare else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool | str):  # as in JSON; TOML wants an escape for DEL as well
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(part) for part in value)}]"
    raise AssertionError(f"no TOML for {type(value)}")

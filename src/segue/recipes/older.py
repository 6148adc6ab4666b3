"""Recipes of version 1: keys that were moved are read at their new place, keys that were removed are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.errors import InputError

LAST_COMMIT: Final = "076bca47e"
"""The last commit that trains with the removed keys."""
REMOVED: Final[Mapping[str, Mapping[str, Any]]] = {
    "data": {"require_skip": False},
    "next_track": {"redraw": "step", "refined": False},
    "terms": {"similarity": "exp_cosine", "drop_repeats": False, "prefix_context": False},
}
"""Section -> key -> the value that stands for what every recipe does now."""
MOVED: Final[Mapping[str, str]] = {
    "encoder.feedback": "inputs.feedback",
    "data.context": "inputs.context",
    "data.earlier": "inputs.earlier",
    "features": "inputs.features",
}
"""Keys of version 1 to the input of version 2 that they became."""
OWN_WEIGHT: Final = ("heads.transitions.own", "heads.transitions.own_weight")
"""A key of version 1 that has another name in version 2."""


def up_to_date(tables: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the tables of a recipe as version 2 writes them. `where` names the recipe in errors.

    Raises:
        InputError: a removed key has another value than the one that stands for what every recipe does now.
    """
    if tables.get("recipe_version") != 1 or isinstance(tables["recipe_version"], bool):
        return dict(tables)
    result: dict[str, Any] = {**tables, "recipe_version": 2}
    for section, defaults in REMOVED.items():
        value = tables.get(section)
        if isinstance(value, Mapping):
            result[section] = _table_without(value, defaults, f"{where}: {section}")
        elif isinstance(value, list | tuple):
            result[section] = [
                _table_without(part, defaults, f"{where}: {section}.{i}") if isinstance(part, Mapping) else part
                for i, part in enumerate(value)
            ]
    inputs = dict(result.get("inputs") or {})
    for key, new in MOVED.items():
        value = _popped(result, key)
        if value is not None:
            inputs[new.removeprefix("inputs.")] = _as_input(key, value)
    heads = result.get("heads")
    transitions = heads.get("transitions") if isinstance(heads, Mapping) else None
    if isinstance(transitions, Mapping) and "own" in transitions:
        renamed = {"own_weight" if key == "own" else key: value for key, value in transitions.items()}
        result["heads"] = {**result["heads"], "transitions": renamed}
    return {**result, "inputs": inputs} if inputs else result


def renamed_override(key: str, value: Any) -> tuple[str, Any]:
    """Return an override with the key of version 2, where `key` is one that was moved.

    Raises:
        InputError: the key was removed.
    """
    if key == OWN_WEIGHT[0]:
        return OWN_WEIGHT[1], value
    new = MOVED.get(key)
    if new is not None:
        return new, _as_input(key, value)
    section, _, name = key.partition(".")
    if name.rpartition(".")[2] in REMOVED.get(section, {}):
        raise InputError(
            f"--set {key}: this key was removed; leave it out, or check out commit {LAST_COMMIT}, the last one with it"
        )
    return (f"{MOVED[section]}.{name}", value) if section in MOVED else (key, value)


def _as_input(key: str, value: Any) -> Any:
    """Return the table of an input (or whether it is read) from the value of its key in version 1."""
    if key == "data.context":
        return {"columns": list(value)} if value else False
    if key == "data.earlier":
        return {"tracks": value} if value else False
    return value


def _popped(tables: dict[str, Any], key: str) -> Any:
    section, _, name = key.rpartition(".")
    if not section:
        return tables.pop(name, None)
    table = tables.get(section)
    if not isinstance(table, Mapping) or name not in table:
        return None
    tables[section] = {part: value for part, value in table.items() if part != name}
    return table[name]


def _table_without(table: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    for key, default in defaults.items():
        if key in table and table[key] != default:
            raise InputError(
                f"{where}.{key} = {table[key]!r} is no longer supported: leave it out, or check out commit "
                f"{LAST_COMMIT}, the last one that has it"
            )
    return {key: value for key, value in table.items() if key not in defaults}

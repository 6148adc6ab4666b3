"""Keys that recipes had once: written by older versions, read only where they change nothing."""

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


def without_removed(tables: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the tables of a recipe without the removed keys. `where` names the recipe in errors.

    Raises:
        InputError: a removed key has another value than the one that every recipe has now.
    """
    result = dict(tables)
    for section, defaults in REMOVED.items():
        value = tables.get(section)
        if isinstance(value, Mapping):
            result[section] = _table_without(value, defaults, f"{where}: {section}")
        elif isinstance(value, list | tuple):
            result[section] = [
                _table_without(part, defaults, f"{where}: {section}.{i}") if isinstance(part, Mapping) else part
                for i, part in enumerate(value)
            ]
    return result


def _table_without(table: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    for key, default in defaults.items():
        if key in table and table[key] != default:
            raise InputError(
                f"{where}.{key} = {table[key]!r} is no longer supported: leave it out, or check out commit "
                f"{LAST_COMMIT}, the last one that has it"
            )
    return {key: value for key, value in table.items() if key not in defaults}

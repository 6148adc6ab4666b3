"""Finding a recipe by name or path, and laying overrides over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from segue.batches.next_track import NEXT_TRACK
from segue.config import nearest, override, read_toml
from segue.encoders import ENCODERS
from segue.errors import InputError
from segue.recipes.recipe import Recipe, recipe_from_tables

PRESETS: Final = Path(__file__).parent / "presets"
_KINDS: Final[Mapping[str, Mapping[str, type[Any]]]] = {"encoder": ENCODERS, "next_track": NEXT_TRACK}


def list_recipes() -> list[str]:
    """Return the names of the recipes that come with Segue, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def recipe_path(name_or_path: str | Path) -> Path:
    """Return the TOML file of a recipe: a name of `list_recipes`, else a path.

    Raises:
        InputError: neither (with the nearest name).
    """
    text = str(name_or_path)
    names = list_recipes()
    if text in names:
        return PRESETS / f"{text}.toml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise InputError(f"recipe {text!r}: no such file; name a TOML file or one of {', '.join(names)}")
    raise InputError(f"no recipe {text!r}{nearest(text, names)}")


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe named, defaults < recipe < `overrides` (dotted keys, e.g. `training.epochs`).

    An override of `encoder.kind` or `next_track.kind` drops the recipe's keys that the new kind lacks.

    Raises:
        InputError: no such recipe, or a key or value that is refused.
    """
    path = recipe_path(name_or_path)
    changes = dict(overrides or {})
    tables = _fitting(read_toml(path), changes)
    tables.setdefault("name", path.stem)
    return recipe_from_tables(override(tables, changes), f"recipe {path.stem}")


def _fitting(tables: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tables` without the keys that a kind named in `changes` does not know."""
    result = dict(tables)
    for section, registry in _KINDS.items():
        kind = changes.get(f"{section}.kind")
        if isinstance(kind, str) and kind in registry and isinstance(result.get(section), Mapping):
            known = {part.name for part in fields(registry[kind])}
            result[section] = {key: value for key, value in result[section].items() if key in known}
    return result

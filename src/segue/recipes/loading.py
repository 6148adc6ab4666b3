"""The recipe that a name or a path stands for, with overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from segue.config import nearest, override, read_toml
from segue.errors import InputError
from segue.losses import NEXT_TRACK
from segue.model.encoders.registry import ENCODER_CONFIGS
from segue.recipes.older import renamed_override, up_to_date
from segue.recipes.recipe import Recipe, recipe_from_tables

PRESETS: Final = Path(__file__).parent / "presets"
ARMS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "s-minus": [],
    "s-plus-track": [{"kind": "skip_contrastive", "context": "track", "weight": 0.5, "temperature": 0.1}],
    "s-plus-session": [{"kind": "skip_contrastive", "context": "session", "weight": 0.5, "temperature": 0.1}],
}
"""Arms of the paper to their `[[terms]]`: `paper-causal-s-minus` is the preset `paper-causal` with those of s-minus."""
WITHOUT_ARMS: Final = ("segue", "yambda-50m")
_KINDS: Final[Mapping[str, Mapping[str, type[Any]]]] = {"encoder": ENCODER_CONFIGS, "next_track": NEXT_TRACK}


def list_recipes() -> list[str]:
    """Return the names of the recipes that come with Segue, sorted."""
    bases = {path.stem for path in PRESETS.glob("*.toml")}
    arms = {f"{base}-{arm}" for base in bases - set(WITHOUT_ARMS) for arm in ARMS}
    return sorted(arms | set(WITHOUT_ARMS))


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe named, defaults < recipe < `overrides` (dotted keys, e.g. `training.epochs`).

    `name_or_path` is a name of `list_recipes`, else a TOML file. A recipe that `extends` another is laid over it,
    section by section; its `[[terms]]` replace those of the other. A new `encoder.kind` or `next_track.kind` drops the
    keys that the new kind lacks.

    Raises:
        InputError: no such recipe (with the nearest name), or a key or value that is refused.
    """
    changes = dict(renamed_override(key, value) for key, value in (overrides or {}).items())
    tables = _tables(str(name_or_path), None, ())
    where = f"recipe {tables['name']}"
    tables = _fitting(tables, changes)
    return recipe_from_tables(override(tables, _reaching_in(tables, changes)), where)


def _tables(text: str, beside: Path | None, extending: tuple[str, ...]) -> dict[str, Any]:
    """Return the tables of the recipe `text`, laid over those of the recipe that it extends.

    `beside`: the folder of the recipe that extends it; `extending`: the names of those that do.
    """
    if text in list_recipes() and text not in WITHOUT_ARMS:
        base, arm = next((text.removesuffix(f"-{arm}"), arm) for arm in ARMS if text.endswith(f"-{arm}"))
        return {**_tables(base, PRESETS, extending), "name": text, "terms": ARMS[arm]}
    path = _path(text, beside)
    tables = up_to_date(read_toml(path), f"recipe {path.stem}")
    tables.setdefault("name", path.stem)
    other = tables.pop("extends", None)
    if other is None:
        return tables
    if not isinstance(other, str):
        raise InputError(f"recipe {path.stem}: extends is {other!r}, expected the name of a recipe")
    if str(path) in extending:
        raise InputError(f"{path} extends itself; name another recipe there, or leave extends out")
    former = _tables(other, path.parent, (*extending, str(path)))
    kinds = {f"{name}.kind": tables[name].get("kind") for name in _KINDS if isinstance(tables.get(name), Mapping)}
    former = _fitting(former, kinds)
    for section, value in tables.items():
        both = isinstance(value, Mapping) and isinstance(former.get(section), Mapping)
        former[section] = {**former[section], **value} if both else value
    return former


def _path(text: str, beside: Path | None) -> Path:
    """Return the TOML file of a recipe: one beside the recipe that extends it, a preset, or a path."""
    near = [] if beside is None else [beside / f"{text}.toml", beside / text]
    for path in (*near, PRESETS / f"{text}.toml", Path(text)):
        if path.is_file():
            return path
    if Path(text).suffix == ".toml" or len(Path(text).parts) > 1:
        raise InputError(f"recipe {text!r}: no such file; name a TOML file or one of {', '.join(list_recipes())}")
    raise InputError(f"no recipe {text!r}{nearest(text, list_recipes())}")


def _fitting(tables: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tables` without the keys that a kind named in `changes` does not have."""
    result = dict(tables)
    for section, registry in _KINDS.items():
        kind = changes.get(f"{section}.kind")
        if isinstance(kind, str) and kind in registry and isinstance(result.get(section), Mapping):
            allowed = {part.name for part in fields(registry[kind])}
            result[section] = {key: value for key, value in result[section].items() if key in allowed}
    return result


def _reaching_in(tables: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes, with a table for each input or head that is only switched on (true) and reached into."""
    opened: dict[str, Any] = {}
    for key in changes:
        whole = key.rpartition(".")[0]
        section, _, name = whole.partition(".")
        table = tables.get(section)
        if isinstance(table, Mapping) and isinstance(changes.get(whole, table.get(name)), bool):
            opened[whole] = {}
    return {**opened, **{key: value for key, value in changes.items() if key not in opened}}

"""Older recipes: keys that moved are read at their new key_path, keys that were removed are refused."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from segue.errors import InputError

_V1, _V2, _V3, _V3_EARLIER = "076bca47e", "d70ce6c", "d5c3565", "f8c2d33"
REMOVED: Final[Mapping[str, tuple[str, Any]]] = {
    "data.require_skip": (_V1, False),
    "next_track.redraw": (_V1, "step"),
    "next_track.refined": (_V1, False),
    "terms.similarity": (_V1, "exp_cosine"),
    "terms.drop_repeats": (_V1, False),
    "terms.prefix_context": (_V1, False),
    "training.clip": (_V2, 5.0),
    "encoder.hidden": (_V2, "the width of the encoder"),
    "encoder.layers": (_V2, 1),
    "encoder.kernel": (_V2, 3),
    "encoder.dilations": (_V2, [1, 4, 1, 4]),
    "encoder.window": (_V2, 5),
    "encoder.horizontal": (_V2, 16),
    "encoder.vertical": (_V2, 4),
    "next_track.gbce_t": (_V2, 0.75),
    "heads.listen.hidden": (_V2, 128),
    "heads.listen.settle": (_V2, True),
    "heads.transitions.settle": (_V3, True),
    "heads.transitions.gradient": (_V3, "flow"),
    "inputs.earlier": (_V3_EARLIER, False),
}
"""Removed key -> the last commit that trains with it, and the value that stands for what every recipe does now."""
INPUTS_OF_VERSION_1: Final[Mapping[str, str]] = {
    "encoder.feedback": "inputs.feedback",
    "data.context": "inputs.context",
    "data.earlier": "inputs.earlier",
    "features": "inputs.features",
}
"""Keys of version 1 to the input that they became."""
MERGED: Final[Mapping[str, str]] = {
    "encoder.norm": "encoder.block_type",
    "encoder.activation": "encoder.block_type",
    "encoder.gated": "encoder.block_type",
    "encoder.padding": "encoder.position",
    "next_track.skipped": "next_track.targets",
    "next_track.loss": "next_track.kind",
    "terms.ablation": "terms.variant",
    "terms.anchors_of": "terms.variant",
    "terms.listened_negatives": "terms.variant",
    "terms.anchors": "terms.variant",
    "terms.positive_in_denominator": "terms.variant",
}
"""Keys of version 2 to the key of version 3 that says the same."""
_BLOCK_TYPES: Final[Mapping[str, dict[str, Any]]] = {
    "post_norm": {"norm": "post", "activation": "relu", "gated": False},
    "pre_norm": {"norm": "pre", "activation": "gelu", "gated": False},
    "gated": {"norm": "pre", "activation": "swiglu", "gated": True},
}
"""Type of block to its keys in version 2; the first is the default."""
_TERM: Final[Mapping[str, tuple[Any, str | None]]] = {
    "ablation": ("none", None),
    "anchors_of": ("none", "cross_session_anchors"),
    "listened_negatives": (False, "listened_negatives"),
    "anchors": ("listened", "all_anchors"),
    "positive_in_denominator": (True, "positive_not_in_denominator"),
}
"""Key of a term in version 2 to its default and the variant that any other value is; None: the value names it."""


def up_to_date(tables: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the tables of a recipe as version 3 writes them. `where` names the recipe in errors.

    Raises:
        InputError: a removed key has another value than the one that stands for what every recipe does now, or merged
            keys have values that no value of the new key stands for.
    """
    version = tables.get("recipe_version")
    if isinstance(version, bool) or version not in (1, 2, 3):
        return dict(tables)
    result = copy.deepcopy(dict(tables))
    if version == 3:
        _drop_removed(result, "", where)
        return result
    if version == 1:
        _rename_version_1(result)
    encoder, next_track = (_table(result, name) for name in ("encoder", "next_track"))
    _merge_encoder(encoder, "extends" in tables, f"{where}: encoder")
    if next_track.pop("skipped", "predict") == "avoid":
        next_track["targets"] = "avoid_skipped"
    if next_track.pop("loss", "softmax") == "gbce":
        next_track["kind"] = "gbce"
        next_track.pop("log_q", None)
    terms = result.get("terms", ())
    for i, term in enumerate(terms if isinstance(terms, list) else ()):
        if isinstance(term, dict):
            _merge_term(term, f"{where}: terms.{i}")
    _drop_removed(result, "", where)
    return result | {"recipe_version": 3}


def renamed_override(key: str, value: Any) -> tuple[str, Any]:
    """Return an override with its key of version 3, where `key` is one that was moved.

    Raises:
        InputError: the key was removed, or merged with others into one.
    """
    if key == "heads.transitions.own":
        return "heads.transitions.own_weight", value
    if key in INPUTS_OF_VERSION_1:
        return INPUTS_OF_VERSION_1[key], _as_input(key, value)
    parts = key.split(".")
    general = ".".join(part for part in parts if not part.isdigit())
    if general in REMOVED:
        raise InputError(
            f"--set {key}: this key was removed; leave it out, or check out commit {REMOVED[general][0]}, the last one "
            "with it"
        )
    if general in MERGED:
        new = ".".join([*parts[:-1], MERGED[general].rpartition(".")[2]])
        raise InputError(f"--set {key}: this key is now part of {new}; set that one (docs/recipes.md)")
    section, _, name = key.partition(".")
    return (f"{INPUTS_OF_VERSION_1[section]}.{name}", value) if section in INPUTS_OF_VERSION_1 else (key, value)


def _rename_version_1(tables: dict[str, Any]) -> None:
    """Move inputs and the weight of the encoder's own softmax to their key_path in version 2."""
    for key, new in INPUTS_OF_VERSION_1.items():
        section, _, name = key.rpartition(".")
        table = _table(tables, section) if section else tables
        if name in table:
            tables.setdefault("inputs", {})[new.removeprefix("inputs.")] = _as_input(key, table.pop(name))
    transitions = _table(_table(tables, "heads"), "transitions")
    if "own" in transitions:
        transitions["own_weight"] = transitions.pop("own")


def _as_input(key: str, value: Any) -> Any:
    """Return the table of an input (or whether it is read) from the value of its key in version 1."""
    if key == "data.context":
        return {"columns": list(value)} if value else False
    if key == "data.earlier":
        return {"tracks": value} if value else False
    return value


def _merge_encoder(table: dict[str, Any], extends: bool, where: str) -> None:
    """Replace norm, activation, gated and padding by block_type and position.

    A recipe that extends another must have all three keys of block_type or none: it inherits what it leaves out.
    """
    if table.get("hidden") == table.get("width", 128):
        table.pop("hidden", None)
    given = {name: table.pop(name) for name in _BLOCK_TYPES["post_norm"] if name in table}
    if given:
        values = given if extends else _BLOCK_TYPES["post_norm"] | given
        new = next((name for name, old in _BLOCK_TYPES.items() if old == values), None)
        if new is None:
            _refuse_merged(f"{where}: norm, activation and gated", "block_type")
        table["block_type"] = new
    if table.pop("padding", "masked") == "visible":
        table["position"] = "padded"


def _merge_term(term: dict[str, Any], where: str) -> None:
    """Replace the five keys that make the term otherwise by `variant`."""
    values = {key: term.pop(key) for key in _TERM if key in term}
    changed = {key: value for key, value in values.items() if value != _TERM[key][0]}
    if len(changed) > 1:
        _refuse_merged(f"{where}: {' and '.join(changed)}", "variant")
    for key, value in changed.items():
        term["variant"] = _TERM[key][1] or value


def _refuse_merged(where: str, new: str) -> NoReturn:
    raise InputError(
        f"{where} are now one key, {new}, which has no value for this combination: set {new} (docs/recipes.md), or "
        f"check out commit {_V2}, the last one that has them"
    )


def _drop_removed(value: Any, path: str, where: str) -> None:
    """Take the removed keys out of a table, or the tables of a list, whose dotted key without indices is `path`."""
    for key, part in list(value.items() if isinstance(value, dict) else enumerate(value)):
        name = f"{path}.{key}".lstrip(".") if isinstance(value, dict) else path
        key_path = f"{where}{'.' if path else ': '}{key}"
        if name in REMOVED:
            commit, constant = REMOVED[name]
            if part != constant:
                raise InputError(
                    f"{key_path} = {part!r} is no longer supported, it is always {constant!r}: leave it out, or check "
                    f"out commit {commit}, the last one that has it"
                )
            del value[key]
        elif isinstance(part, dict | list):
            _drop_removed(part, name, key_path)


def _table(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the table `name`, an empty one where there is none."""
    value = tables.get(name)
    return value if isinstance(value, dict) else {}

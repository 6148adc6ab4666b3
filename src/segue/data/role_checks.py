"""Column types that each role accepts; text, as in a CSV, is checked record by record."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Any, Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.errors import InputError

NO_TEXT: Final = (pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object, pl.Duration)
"""Types that cannot be an id, text or flag."""
NO_TIME: Final = (*NO_TEXT, pl.Boolean, pl.Time)
NO_AMOUNT: Final = (pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object, pl.Boolean, pl.Date, pl.Datetime, pl.Time)
_REFUSED: Final[AnyMapping[str, tuple[Any, ...]]] = {
    "time": NO_TIME,
    "played": NO_AMOUNT,
    "length": NO_AMOUNT,
    "share": (*NO_AMOUNT, pl.Duration),
    "position": (*NO_AMOUNT, pl.Duration),
}
"""By role; other roles refuse NO_TEXT."""


def check_roles(mapping: Mapping, frame: pl.DataFrame, file: str) -> None:
    """Refuse a file whose columns do not fit their roles.

    Raises:
        InputError: there is no column for the track, or for the time of a history; or a column has a type that its
            role cannot have.
    """
    lacking = [
        "the track" if mapping.track is None and mapping.title is None else "",
        "the time of a play" if mapping.session is None and mapping.time is None else "",
    ]
    if any(lacking):
        there = ", ".join(name for name in frame.columns if not name.startswith("__")) or "none"
        raise InputError(
            f"{file} has no column for {' and '.join(filter(None, lacking))}; its columns: {there}. Is it complete?"
        )
    roles = [(name, role) for name, role in vars(mapping).items() if isinstance(role, Column)]
    for name, role in (*roles, *(("side", column) for column in mapping.side.values())):
        for column in role.value.meta.root_names():
            kind = frame.schema.get(column)
            if isinstance(kind, _REFUSED.get(name, NO_TEXT)):
                raise InputError(f"{file}: column {column!r} is of type {kind}; write it as text or numbers")

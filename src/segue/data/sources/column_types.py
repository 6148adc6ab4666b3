"""Types that a column of a role cannot have; text, as of a CSV, is judged record by record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from segue.data.sources.table_columns import USUAL, TableColumns
from segue.errors import InputError

_NO_TEXT: Final = (pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object)
"""Types that are no id, flag or number."""
_NO_TIME: Final = (pl.Boolean, pl.Duration, pl.Time)
_NO_LENGTH: Final = (pl.Boolean, pl.Date, pl.Datetime, pl.Time)
_REFUSED: Final[Mapping[str, tuple[Any, ...]]] = {
    "time": _NO_TEXT + _NO_TIME,
    "ended": _NO_TEXT + _NO_TIME,
    "played": _NO_TEXT + _NO_LENGTH,
    "duration": _NO_TEXT + _NO_LENGTH,
}


def check_types(name: str, frame: pl.DataFrame, columns: TableColumns) -> None:
    """Refuse columns of a type that their role cannot have.

    Raises:
        InputError: names the role, the column and its type.
    """
    role_columns = [(role, getattr(columns, role)) for role in USUAL] + [("side", side) for side in columns.side]
    for role, column in role_columns:
        if column is not None and isinstance(frame.schema.get(column), _REFUSED.get(role, _NO_TEXT)):
            kind = frame.schema[column]
            raise InputError(f"{name}: {role} column {column!r} is of type {kind}; write it as text or numbers")

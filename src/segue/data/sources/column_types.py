"""Types that a column of a role cannot have; text, as of a CSV, is judged record by record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from segue.data.role_checks import NO_AMOUNT, NO_TEXT, NO_TIME
from segue.data.sources.table_columns import USUAL, TableColumns
from segue.errors import InputError

_REFUSED: Final[Mapping[str, tuple[Any, ...]]] = {
    "time": NO_TIME,
    "ended": NO_TIME,
    "played": NO_AMOUNT,
    "duration": NO_AMOUNT,
}


def check_types(name: str, frame: pl.DataFrame, columns: TableColumns) -> None:
    """Refuse columns of a type that their role cannot have.

    Raises:
        InputError: names the role, the column and its type.
    """
    asked = [(role, getattr(columns, role)) for role in USUAL] + [("side", side) for side in columns.side]
    for role, column in asked:
        if column is not None and isinstance(frame.schema.get(column), _REFUSED.get(role, NO_TEXT)):
            kind = frame.schema[column]
            raise InputError(f"{name}: {role} column {column!r} is of type {kind}; write it as text or numbers")

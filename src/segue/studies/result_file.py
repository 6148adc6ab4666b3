"""A study's result on disk: short numbers, the long tables by column, and no verdict, which the numbers give.

A column whose values repeat is written as `{"values": [...], "rows": [...]}`: each value once, and for each row the
place of its value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from segue.errors import FormatError
from segue.files import read_json_object, replaced_file
from segue.output import finite
from segue.studies.verdict import verdicts

VERSION: Final = 2
DIGITS: Final = (6, 9, 12)
"""Significant digits of a number: the fewest with which reports and pages print it as they would print it whole."""
TABLES: Final = ("contrasts", "strata")
Record = dict[str, Any]


def rounded(value: Any) -> Any:
    """Return `value` (nested mappings, sequences, scalars) with floats rounded, and None for those that are not finite.

    >>> rounded({"share": [0.123456789, float("nan"), 12]})
    {'share': [0.123457, None, 12]}
    """
    if isinstance(value, Mapping):
        return {str(key): rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return _short(value) if isinstance(value, float) and math.isfinite(value) else finite(value)


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result, whole or not at all: one line for each of its parts."""
    document = {"result_version": VERSION, **{key: part for key, part in result.items() if key != "verdict"}}
    document |= {name: by_column(result[name]) for name in TABLES}
    document["curves"] = {arm: by_column(curve) for arm, curve in result["curves"].items()}
    lines = (f"{json.dumps(key)}: {_compact(part)}" for key, part in document.items())
    with replaced_file(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_result(path: Path) -> dict[str, Any]:
    """Return the result that `write_result` wrote, and its verdict.

    Raises:
        FormatError: the file is missing, is not a result of a study, or has another version.
    """
    document = read_json_object(path, "result_version")
    version = document.pop("result_version")
    if version != VERSION:
        raise FormatError(f"{path} has result_version {version!r}, this Segue reads {VERSION}")
    try:
        result = document | {name: records(document[name]) for name in TABLES}
        result["curves"] = {arm: records(curve) for arm, curve in document["curves"].items()}
        return result | {"verdict": verdicts(result)}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"{path} is not a result of segue study ({type(error).__name__}: {error})") from error


def by_column(table: Sequence[Mapping[str, Any]]) -> Record:
    """Return records of the same keys as columns.

    >>> by_column([{"arm": "causal S+ session", "epoch": epoch} for epoch in (1, 2, 3)])
    {'arm': {'values': ['causal S+ session'], 'rows': [0, 0, 0]}, 'epoch': [1, 2, 3]}
    """
    return {key: _column([record[key] for record in table]) for key in (table[0] if table else ())}


def records(columns: Mapping[str, Any]) -> list[Record]:
    """Return the records of which `by_column` made `columns`."""
    values = [
        column if isinstance(column, list) else [column["values"][row] for row in column["rows"]]
        for column in columns.values()
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _column(values: list[Any]) -> Any:
    """Return the shorter of a plain list of `values`, and the distinct ones with the place of each."""
    places: dict[str, int] = {}
    rows = [places.setdefault(_compact(value), len(places)) for value in values]
    coded = {"values": [json.loads(text) for text in places], "rows": rows}
    return min(values, coded, key=lambda column: len(_compact(column)))


def _short(value: float) -> float:
    """Return `value` with the fewest of DIGITS that print alike, as a share and in points."""
    for digits in DIGITS:
        short = float(f"{value:.{digits}g}")
        if _printed(short) == _printed(value):
            return short
    return value


def _printed(value: float) -> tuple[str, ...]:
    return (f"{value:.3f}", f"{value:.4f}", f"{100 * value:.1f}", f"{100 * value:.2f}")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

"""Polars and pandas frames; pandas needs no pyarrow."""

from __future__ import annotations

from typing import Any

import polars as pl

from segue.errors import InputError


def frame_of(frame: Any) -> pl.DataFrame:
    """Return a Polars or pandas frame as a Polars frame; missing values of any kind are null.

    Raises:
        InputError: it is not a frame, or names a column twice.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if not hasattr(frame, "columns") or not hasattr(frame, "to_dict"):
        raise InputError(f"{type(frame).__name__} is not a table; give a path, a Polars or a pandas frame")
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the frame names a column twice ({', '.join(twice)}); rename one")
    return pl.DataFrame([_series(name, frame.iloc[:, column]) for column, name in enumerate(names)])


def _series(name: str, column: Any) -> pl.Series:
    values = column.to_numpy()
    if values.dtype.kind in "biufM":
        return pl.Series(name, values, nan_to_null=True)
    missing = column.isna().to_numpy()
    texts = [None if gone else value for gone, value in zip(missing, values.tolist(), strict=True)]
    return pl.Series(name, texts, strict=False)

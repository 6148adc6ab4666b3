"""Text of cells: missing values, ids, and folded names."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

_FOLD: Final = "\uff5c"
"""Between artist and title in an identity: a fullwidth bar. NFKC removes it from names, and the service accepts it,
unlike control characters."""
_CUT_ID: Final = r"^-?\d(?:\.\d+)?[eE]\+\d+$"
"""An integer id as a spreadsheet shortens it: 1.23E+15."""
_WHOLE_FLOAT: Final = r"^(-?\d+)\.0$"
"""An integer id that went through a column of floats."""
_EXACT_BITS: Final[dict[pl.DataType, int]] = {pl.Float16(): 11, pl.Float32(): 24, pl.Float64(): 53}
"""Bits up to which the type represents integers exactly."""
_NOTHING: Final = ("", "nan", "NaN", "null", "None", "<NA>", "NaT")
"""Texts that mean a missing value, besides null."""
_LONGEST_NOTHING: Final = 8
"""Bytes of the longest of them with a few blanks or tabs around it; longer text is checked if it begins with a
blank."""


def is_absent(values: pl.Series) -> pl.Series:
    """Return which values are missing: null, NaN, or text in `_NOTHING`."""
    if values.dtype.is_float():
        return values.is_null() | values.is_nan().fill_null(False)
    if values.dtype == pl.String:
        may = (values.str.len_bytes() <= _LONGEST_NOTHING) | values.str.starts_with(" ")
        if may.any():
            return values.is_null() | values.str.strip_chars().is_in(_NOTHING).fill_null(True)
    return values.is_null()


def texts_of(values: pl.Series) -> pl.Series:
    """Return a column as text, missing values null."""
    texts, absent = values.cast(pl.String), is_absent(values)
    return texts.set(absent, None) if absent.any() else texts


def id_texts(values: pl.Series, *, exact: bool = False) -> pl.Series:
    """Return ids as text: null if missing or rounded; whole floats become integers. `exact`: null only if empty."""
    if exact:
        texts = values.cast(pl.String)
        return texts.set(texts == "", None)
    if values.dtype.is_float():
        values = values.set(is_absent(values) | is_cut(values), None)
        return (values.cast(pl.Int64) if (values.floor() == values).all() else values).cast(pl.String)
    texts = texts_of(values)
    return texts.str.replace(_WHOLE_FLOAT, "$1") if texts.str.ends_with(".0").any() else texts


def odd_ids(texts: pl.Series) -> pl.Series:
    """Return which texts (without nulls) cannot be used as ids unchanged: missing, cut, or whole floats."""
    return is_absent(texts) | is_cut(texts) | texts.str.ends_with(".0")


def is_cut(ids: pl.Series) -> pl.Series:
    """Return which ids have lost digits: text in a spreadsheet's short form, or rounded floats."""
    if ids.dtype.is_float():
        rounded = ids.abs() >= float(1 << _EXACT_BITS[ids.dtype])
        return (rounded & ids.is_not_nan()).fill_null(False)
    if ids.dtype != pl.String or not ids.str.contains("+", literal=True).any():
        return pl.Series(np.zeros(len(ids), np.bool_))
    return ids.str.strip_chars().str.contains(_CUT_ID).fill_null(False)


def identity_of(track: pl.Series | None, title: pl.Series | None, artist: pl.Series | None) -> pl.Series:
    """Return the identity of each record's track, called `track`: its id, else its folded artist and title."""
    if title is None or (track is not None and track.null_count() == 0):
        assert track is not None, "a mapping has an id or a title"
        return track.alias("track")
    names = folded_names(title, artist)
    return (names if track is None else track.zip_with(track.is_not_null(), names)).alias("track")


def folded_names(title: pl.Series, artist: pl.Series | None) -> pl.Series:
    """Return artist and title of each record, folded to one text; null if the title is missing."""
    names = pl.DataFrame({"artist": title.clear(len(title)) if artist is None else artist, "title": title})
    distinct = names.unique()  # many plays have few tracks, and folding is slow
    folded = pl.concat_str(_folded("artist").fill_null(""), _folded("title"), separator=_FOLD).alias("track")
    return names.join(
        distinct.with_columns(folded), on=["artist", "title"], how="left", nulls_equal=True, maintain_order="left"
    )["track"]


def _folded(name: str) -> pl.Expr:
    """Return a name folded so that its spellings agree: NFKC, lower case, single blanks."""
    text = pl.col(name).str.normalize("NFKC").str.to_lowercase()
    return text.str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()

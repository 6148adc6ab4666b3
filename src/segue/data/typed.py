"""Records by role, typed; records that cannot be read are rejected with column, value and accepted forms."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from segue.columns import SIDE_DTYPES
from segue.data.codes import IdCodes
from segue.data.mapping import CONTRADICTORY, WRONG, Amount, Column, Mapping
from segue.data.records.block import RecordBlock
from segue.data.rejects import (
    CONTRADICTORY_FLAGS,
    MISSING_POSITION,
    MISSING_SESSION,
    MISSING_TIME,
    MISSING_TRACK,
    WRONG_AMOUNT,
    WRONG_COLUMN,
    WRONG_FLAG,
    WRONG_TIME,
    Rejects,
)
from segue.data.side_columns import SIDE
from segue.data.texts import id_texts, identity_of, is_absent, is_cut, texts_of
from segue.data.times import ACCEPTED, moments
from segue.skips import UNKNOWN_STRENGTH

_FORMS: Final = {
    WRONG_TIME: ACCEPTED,
    WRONG_FLAG: "true or false, 1 or 0, yes or no, a strength 0 to 3, or nothing if unknown",
    CONTRADICTORY_FLAGS: "skip_1 implies skip_2, skip_2 implies skip_3, and not_skipped excludes all of them",
    WRONG_COLUMN: "the values of the source's format",
}
_ID_FORM: Final = "an id with all of its digits (a spreadsheet or a column of floats has cut this one)"
_NUMBER_FORM: Final = "a number below 10^9, or nothing if unknown"
_LARGEST: Final = 1e9
"""Seconds (32 years) or shares of a track; larger values are invalid."""
_PARTS: Final = {"ms": 1000, "percent": 100}
"""Units per second, and per whole track."""
_IDS: Final = ("listener", "session", "track")
_NAMES: Final = ("title", "artist", "album")
_AMOUNTS: Final = {"length": "length_s", "played": "played_s", "share": "share"}
"""Column of the typed frame by role."""
_LINE: Final = "line"
Bad = tuple[str, list[tuple[int, str]], list[str]]
"""Records with one fault: its kind, line and text of each record, and the wrong value of each."""
Fault = tuple[str, pl.Series, str]
"""Kind of reject, which records have it, and the role of the wrong value ("" = none)."""


@dataclass(frozen=True)
class Typed:
    """The records of one block."""

    frame: pl.DataFrame
    """The valid records, by role: see `typed`."""
    bad: list[Bad]
    left_out: dict[str, int]
    """Number of records that are not tracks, by kind."""
    spellings: frozenset[str]
    """Forms of the times; see `moments`."""
    num_records: int


@dataclass
class Reading:
    """Counts taken while the files of a log are read."""

    rejects: Rejects
    times: set[str] = field(default_factory=set)
    """Forms of the times; see `moments`."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Number of records that are not tracks, by kind."""
    rows: int = 0
    """Records read."""
    rejected: int = 0
    """Records rejected."""

    def note(self, block: Typed, file: str) -> None:
        """Add the counts of a block of `file`, and its bad records to the rejects."""
        self.rows += block.num_records
        self.times |= block.spellings
        for name, count in block.left_out.items():
            self.left_out[name] = self.left_out.get(name, 0) + count
        for kind, rows, why in block.bad:
            self.rejects.add(kind, file, rows, why)
            self.rejected += len(rows)


def typed(block: RecordBlock, mapping: Mapping, file: str, ids: AnyMapping[str, IdCodes] | None = None) -> Typed:
    """Return the records of a block of `file` by role.

    Columns of the frame: `track` (identity), String, or codes from `ids`; `line` Int64; and if mapped: `listener`,
    `session` (as `track`), `position` Float64, `at` Int64 microseconds, `title`, `artist`, `album` String, `length_s`,
    `played_s`, `share` Float64 (NaN = unknown), `stated` UInt8 (255 = unknown), and side columns named "side.NAME".

    Raises:
        InputError: the file's columns do not fit their roles (see `Mapping.check`).
    """
    mapping.check(block.frame, file)
    frame, left_out = block.frame.with_columns(pl.Series("__line__", block.line)), dict[str, int]()
    roles = mapping.roles()
    if (kind_column := roles.pop("left_out", None)) is not None:
        kind = _values(frame, kind_column)
        frame, left_out = frame.filter(kind.is_null()), dict(kind.drop_nulls().value_counts().iter_rows())
    raw = frame.select(pl.col("__line__").alias(_LINE), *(column.value.alias(role) for role, column in roles.items()))
    result, faults = _identities(raw, mapping, ids or {})
    for role, name in _AMOUNTS.items():
        if role in roles:
            amount, wrong = _number(raw[role], roles[role])
            result.append(amount.alias(name))
            faults.append((WRONG_AMOUNT, wrong, role))
    if "stated" in roles or "opinion" in roles:
        stated = _stated(raw, result)
        result.append(stated)
        faults += [(WRONG_FLAG, stated == WRONG, "stated"), (CONTRADICTORY_FLAGS, stated == CONTRADICTORY, "stated")]
    spellings = _order(raw, mapping, result, faults)
    side = [raw[role] for role in roles if role.startswith(SIDE)]
    faults += [(WRONG_COLUMN, one.is_null(), one.name) for one in side if one.name.removeprefix(SIDE) in SIDE_DTYPES]
    sound, bad = _sound(replace(block, frame=frame), pl.DataFrame([*result, raw[_LINE], *side]), faults, roles)
    return Typed(sound, bad, left_out, spellings, block.frame.height)


def _identities(
    raw: pl.DataFrame, mapping: Mapping, codes: AnyMapping[str, IdCodes]
) -> tuple[list[pl.Series], list[Fault]]:
    ids, faults = dict[str, pl.Series](), list[Fault]()
    for name in _IDS:
        if name not in raw.columns:
            continue
        coded = codes[name].codes_as_they_stand(raw[name]) if name in codes and raw[name].dtype == pl.String else None
        if coded is not None and not mapping.exact_ids:
            ids[name] = pl.Series(name, coded)
        else:
            ids[name] = id_texts(raw[name], exact=mapping.exact_ids)
            if not mapping.exact_ids:
                faults.append((WRONG_COLUMN, is_cut(raw[name]), name))
    names = {name: texts_of(raw[name]) for name in _NAMES if name in raw.columns}
    track = identity_of(ids.pop("track", None), names.get("title"), names.get("artist"))
    faults.append((MISSING_TRACK, track.is_null(), ""))
    faults += [(MISSING_SESSION, values.is_null(), "") for values in ids.values()]
    return [*ids.values(), *names.values(), track], faults


def _stated(raw: pl.DataFrame, amounts: list[pl.Series]) -> pl.Series:
    """Return the stated strength of each play, else the opinion of its track if the play is not measured."""
    stated = pl.Series("stated", [UNKNOWN_STRENGTH], pl.UInt8).new_from_index(0, raw.height)
    if "stated" in raw.columns:
        stated = raw["stated"].cast(pl.UInt8).fill_null(UNKNOWN_STRENGTH)
    if "opinion" in raw.columns:
        has_feedback = stated != UNKNOWN_STRENGTH
        for amount in amounts:
            if amount.name in ("played_s", "share"):
                has_feedback |= amount.fill_nan(-1.0) >= 0
        stated = stated.zip_with(has_feedback, raw["opinion"].cast(pl.UInt8).fill_null(UNKNOWN_STRENGTH))
    return stated


def _order(raw: pl.DataFrame, mapping: Mapping, result: list[pl.Series], faults: list[Fault]) -> frozenset[str]:
    """Add position and time to `result`; return the forms of the times."""
    if "position" in raw.columns:
        position = raw["position"].cast(pl.Float64, strict=False)
        if position.null_count() and raw["position"].dtype == pl.String:  # " 7" is a number, too
            position = raw["position"].str.strip_chars().cast(pl.Float64, strict=False)
        if not position.is_finite().all() or position.null_count():
            faults.append((MISSING_POSITION, is_absent(raw["position"]), ""))
            faults.append((WRONG_AMOUNT, ~position.is_finite().fill_null(False), "position"))
        result.append(position)
    if mapping.time is None:
        return frozenset()
    read = moments(raw["time"], mapping.time.unit)
    result.append(read.at.alias("at"))
    absent = is_absent(raw["time"])
    faults += [(MISSING_TIME, absent, ""), (WRONG_TIME, read.at.is_null() & ~absent, "time")]
    return read.readings


def identity(frame: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Return the identity of each record's track, called `track`: its id, else its folded artist and title."""
    track = None if mapping.track is None else id_texts(_values(frame, mapping.track), exact=mapping.exact_ids)
    title, artist = (None if one is None else texts_of(_values(frame, one)) for one in (mapping.title, mapping.artist))
    return identity_of(track, title, artist)


def column_texts(frame: pl.DataFrame, column: Column, name: str) -> pl.Series:
    """Return ids of records as text, called `name`; see `id_texts`."""
    return id_texts(_values(frame, column)).alias(name)


def _values(frame: pl.DataFrame, column: Column) -> pl.Series:
    return frame.select(column.value.alias("value"))["value"]


def _number(raw: pl.Series, column: Column) -> tuple[pl.Series, pl.Series]:
    """Return a length of time in seconds or a plain number (NaN = missing), and which values are invalid."""
    if raw.dtype == pl.String:
        raw = raw.str.strip_chars()
    unit = column.unit if isinstance(column, Amount) else "s"
    if isinstance(raw.dtype, pl.Duration):
        raw, unit = raw.dt.total_microseconds() / 10**6, "s"
    number = _clock(raw) if unit == "text" else raw.cast(pl.Float64, strict=False)
    number = number / _PARTS.get(unit, 1)
    wrong = (number.is_null() | ((number.abs() >= _LARGEST) & ~number.is_nan())) & ~is_absent(raw)
    return number.fill_null(float("nan")), wrong


def _clock(values: pl.Series) -> pl.Series:
    """Return the seconds of minutes:seconds or hours:minutes:seconds."""
    parts = values.cast(pl.String).str.extract_groups(r"^\s*(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)\s*$").struct.unnest()
    hours, minutes, seconds = (part.cast(pl.Float64) for part in parts)
    return hours.fill_null(0.0) * 3600 + minutes * 60 + seconds


def _sound(
    block: RecordBlock, result: pl.DataFrame, faults: list[Fault], roles: AnyMapping[str, Column]
) -> tuple[pl.DataFrame, list[Bad]]:
    """Return the valid records, and the others, each once, by its first fault."""
    faulty, bad = np.zeros(block.frame.height, np.bool_), list[Bad]()
    for kind, where, role in faults:
        rows = np.flatnonzero(where.to_numpy() & ~faulty) if where.any() else ()
        if len(rows):
            faulty[rows] = True
            bad.append((kind, *_rows_and_values(replace(block, frame=block.frame[rows]), kind, role, roles.get(role))))
    return (result.filter(pl.Series(~faulty)) if faulty.any() else result), bad


def _rows_and_values(
    block: RecordBlock, kind: str, role: str, column: Column | None
) -> tuple[list[tuple[int, str]], list[str]]:
    """Return line and text of records with one fault, and the wrong value of each if a role has it."""
    bad = block.frame
    lines = bad["__line__"]
    if block.texts is not None:
        texts = block.texts(lines.to_numpy())
    else:
        texts = _joined(bad, [name for name in bad.columns if not name.startswith("__")], ",")
    why = [""] * bad.height
    if column is not None:
        there = [name for name in column.name.split(", ") if name in bad.columns]
        values = _joined(bad, there, ", ") if there else _values(bad, column).cast(pl.String).to_list()
        accepted = _ID_FORM if role in _IDS else _FORMS.get(kind, _NUMBER_FORM)
        why = [f"{column.name} is {value!r}; accepted: {accepted}" for value in values]
    return list(zip(lines.to_list(), texts, strict=True)), why


def _joined(frame: pl.DataFrame, names: list[str], separator: str) -> list[str]:
    """Return the columns `names` of each record as one text."""
    texts = (pl.col(name).cast(pl.String, strict=False).fill_null("") for name in names)
    return frame.select(pl.concat_str(*texts, separator=separator)).to_series().to_list()

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
from segue.data.records.block import Block
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
from segue.data.role_checks import check_roles
from segue.data.side_columns import SIDE
from segue.data.times import ACCEPTED, moments
from segue.skips import UNKNOWN_STRENGTH

_FOLD: Final = "\uff5c"
"""Between artist and title in an identity: a fullwidth bar. NFKC removes it from names, and the service accepts it,
unlike control characters."""
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
_CUT_ID: Final = r"^-?\d(?:\.\d+)?[eE]\+\d+$"
"""An integer id as a spreadsheet shortens it: 1.23E+15."""
_PARTS: Final = {"ms": 1000, "percent": 100}
"""Units per second, and per whole track."""
_EXACT_BITS: Final[dict[pl.DataType, int]] = {pl.Float16(): 11, pl.Float32(): 24, pl.Float64(): 53}
"""Bits up to which the type represents integers exactly."""
_WHOLE_FLOAT: Final = r"^(-?\d+)\.0$"
"""An integer id that went through a column of floats."""
_NOTHING: Final = ("", "nan", "NaN", "null", "None", "<NA>", "NaT")
"""Texts that mean a missing value, besides null."""
_LONGEST_NOTHING: Final = 8
"""Bytes of the longest of them with a few blanks or tabs around it; longer text is checked if it begins with a
blank."""
_IDS: Final = ("listener", "session", "track")
_NAMES: Final = ("title", "artist", "album")
_AMOUNTS: Final = {"length_s": "length", "played_s": "played", "share": "share"}
_LINE: Final = "line"


@dataclass(frozen=True)
class BadRecords:
    """Records of one block with the same fault."""

    kind: str
    rows: list[tuple[int, str]]
    """Line and text of each."""
    why: list[str]


@dataclass(frozen=True)
class Typed:
    """The records of one block."""

    frame: pl.DataFrame
    """The valid records, by role: see `typed`."""
    bad: list[BadRecords]
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
        for bad in block.bad:
            self.rejects.add(bad.kind, file, bad.rows, bad.why)
            self.rejected += len(bad.rows)


def typed(block: Block, mapping: Mapping, file: str, ids: AnyMapping[str, IdCodes] | None = None) -> Typed:
    """Return the records of a block of `file` by role.

    Columns of the frame: `track` (identity), String, or codes from `ids`; `line` Int64; and if mapped: `listener`,
    `session` (as `track`), `position` Float64, `at` Int64 microseconds, `title`, `artist`, `album` String, `length_s`,
    `played_s`, `share` Float64 (NaN = unknown), `stated` UInt8 (255 = unknown), and side columns named "side.NAME".

    Raises:
        InputError: the file's columns do not fit their roles (see `check_roles`).
    """
    check_roles(mapping, block.frame, file)
    frame, left_out = block.frame.with_columns(pl.Series("__line__", block.line)), dict[str, int]()
    if mapping.left_out is not None:
        frame, left_out = _tracks_alone(frame, mapping.left_out)
    raw = frame.select(pl.col("__line__").alias(_LINE), *(c.value.alias(name) for name, c in _columns(mapping).items()))
    result, faults = _identities(raw, mapping, ids or {})
    for name in _AMOUNTS:
        if name in raw.columns:
            amount, wrong = _number(raw[name], _columns(mapping)[name])
            result.append(amount.alias(name))
            faults.append((WRONG_AMOUNT, wrong, name))
    if mapping.stated is not None or mapping.opinion is not None:
        result.append(_stated(raw, result))
        faults += [
            (WRONG_FLAG, result[-1] == WRONG, "stated"),
            (CONTRADICTORY_FLAGS, result[-1] == CONTRADICTORY, "stated"),
        ]
    spellings = _order(raw, mapping, result, faults)
    side = [raw[name] for name in raw.columns if name.startswith(SIDE)]
    faults += [
        (WRONG_COLUMN, column.is_null(), column.name) for column in side if column.name[len(SIDE) :] in SIDE_DTYPES
    ]
    result += [raw[_LINE], *side]
    sound, bad = _sound(replace(block, frame=frame), pl.DataFrame(result), faults, mapping)
    return Typed(sound, bad, left_out, spellings, block.frame.height)


Fault = tuple[str, pl.Series, str]
"""Kind of reject, which records have it, and the role of the wrong value ("" = none)."""


def _columns(mapping: Mapping) -> dict[str, Column]:
    """Return the mapped columns by role."""
    attributes = {name: name for name in (*_IDS, *_NAMES, "position", "stated", "opinion")} | _AMOUNTS | {"at": "time"}
    columns = {role: getattr(mapping, name) for role, name in attributes.items()}
    columns |= {f"{SIDE}{name}": column for name, column in mapping.side.items()}
    return {role: column for role, column in columns.items() if column is not None}


def _identities(
    raw: pl.DataFrame, mapping: Mapping, codes: AnyMapping[str, IdCodes]
) -> tuple[list[pl.Series], list[Fault]]:
    ids, faults = dict[str, pl.Series](), list[Fault]()
    for name in _IDS:
        if name not in raw.columns:
            continue
        coded = codes[name].codes_as_they_stand(raw[name]) if name in codes and raw[name].dtype == pl.String else None
        if mapping.exact_ids:
            ids[name] = _exact_text(raw[name]).alias(name)
        elif coded is not None:
            ids[name] = pl.Series(name, coded)
        else:
            ids[name] = id_texts(raw[name]).alias(name)
            faults.append((WRONG_COLUMN, _is_cut(raw[name]), name))
    names = {name: _text(raw[name]) for name in _NAMES if name in raw.columns}
    track = _identity(ids.pop("track", None), names.get("title"), names.get("artist"))
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
            faults.append((MISSING_POSITION, _absent(raw["position"]), ""))
            faults.append((WRONG_AMOUNT, ~position.is_finite().fill_null(False), "position"))
        result.append(position)
    if mapping.time is None:
        return frozenset()
    read = moments(raw["at"], mapping.time.unit, mapping.time.step)
    result.append(read.at.alias("at"))
    absent = _absent(raw["at"])
    faults += [(MISSING_TIME, absent, ""), (WRONG_TIME, read.at.is_null() & ~absent, "at")]
    return read.readings


def _tracks_alone(frame: pl.DataFrame, what: Column) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the records that are tracks, and the number of others by kind."""
    kind = frame.select(what.value.alias("kind"))["kind"]
    return frame.filter(kind.is_null()), dict(kind.drop_nulls().value_counts().iter_rows())


def _absent(values: pl.Series) -> pl.Series:
    """Return which values are missing: null, NaN, or text in `_NOTHING`."""
    if values.dtype.is_float():
        return values.is_null() | values.is_nan().fill_null(False)
    if values.dtype == pl.String:
        may = (values.str.len_bytes() <= _LONGEST_NOTHING) | values.str.starts_with(" ")
        if may.any():
            return values.is_null() | values.str.strip_chars().is_in(_NOTHING).fill_null(True)
    return values.is_null()


def _text(values: pl.Series) -> pl.Series:
    """Return a column as text, missing values null."""
    texts, absent = values.cast(pl.String), _absent(values)
    return texts.set(absent, None) if absent.any() else texts


def id_texts(values: pl.Series) -> pl.Series:
    """Return ids as text: null if missing or rounded; whole floats become integers."""
    if values.dtype.is_float():
        values = values.set(_absent(values) | _is_cut(values), None)
        return (values.cast(pl.Int64) if (values.floor() == values).all() else values).cast(pl.String)
    texts = _text(values)
    return texts.str.replace(_WHOLE_FLOAT, "$1") if texts.str.ends_with(".0").any() else texts


def odd_ids(texts: pl.Series) -> pl.Series:
    """Return which texts (without nulls) cannot be used as ids unchanged: missing, cut, or whole floats."""
    return _absent(texts) | _is_cut(texts) | texts.str.ends_with(".0")


def _is_cut(ids: pl.Series) -> pl.Series:
    """Return which ids have lost digits: text in a spreadsheet's short form, or rounded floats."""
    if ids.dtype.is_float():
        rounded = ids.abs() >= float(1 << _EXACT_BITS[ids.dtype])
        return (rounded & ids.is_not_nan()).fill_null(False)
    if ids.dtype != pl.String or not ids.str.contains("+", literal=True).any():
        return pl.Series(np.zeros(len(ids), np.bool_))
    return ids.str.strip_chars().str.contains(_CUT_ID).fill_null(False)


def _exact_text(values: pl.Series) -> pl.Series:
    """Return ids unchanged, as text; null if empty."""
    texts = values.cast(pl.String)
    return texts.set(texts == "", None)


def _identity(given: pl.Series | None, title: pl.Series | None, artist: pl.Series | None) -> pl.Series:
    """Return the identity of each record's track: its id, else its folded artist and title."""
    if title is None or (given is not None and given.null_count() == 0):
        assert given is not None, "a mapping has an id or a title"
        return given.alias("track")
    names = _folded_names(title, artist)
    return (names if given is None else given.zip_with(given.is_not_null(), names)).alias("track")


def _folded_names(title: pl.Series, artist: pl.Series | None) -> pl.Series:
    names = pl.DataFrame({"artist": title.clear(len(title)) if artist is None else artist, "title": title})
    distinct = names.unique()  # many plays have few tracks, and folding is slow
    folded = pl.concat_str(_folded("artist").fill_null(""), _folded("title"), separator=_FOLD).alias("track")
    return names.join(
        distinct.with_columns(folded), on=["artist", "title"], how="left", nulls_equal=True, maintain_order="left"
    )["track"]


def identity(frame: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Return the identity of each record's track, called `track`: its id, else its folded artist and title."""
    id_text = _exact_text if mapping.exact_ids else id_texts
    given = None if mapping.track is None else id_text(_values(frame, mapping.track))
    title, artist = (None if one is None else _text(_values(frame, one)) for one in (mapping.title, mapping.artist))
    return _identity(given, title, artist)


def folded_names(frame: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Return artist and title of each record, folded to an identity; null if the title is missing."""
    assert mapping.title is not None, "records have titles"
    artist = None if mapping.artist is None else _text(_values(frame, mapping.artist))
    return _folded_names(_text(_values(frame, mapping.title)), artist)


def column_texts(frame: pl.DataFrame, column: Column, name: str) -> pl.Series:
    """Return ids of records as text, called `name`; see `id_texts`."""
    return id_texts(_values(frame, column)).alias(name)


def _values(frame: pl.DataFrame, column: Column) -> pl.Series:
    return frame.select(column.value.alias("value"))["value"]


def _folded(name: str) -> pl.Expr:
    """Return a name folded so that its spellings agree: NFKC, lower case, single blanks."""
    text = pl.col(name).str.normalize("NFKC").str.to_lowercase()
    return text.str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()


def _number(raw: pl.Series, column: Column) -> tuple[pl.Series, pl.Series]:
    """Return a length of time in seconds or a plain number (NaN = missing), and which values are invalid."""
    if raw.dtype == pl.String:
        raw = raw.str.strip_chars()
    unit = column.unit if isinstance(column, Amount) else "s"
    if isinstance(raw.dtype, pl.Duration):
        raw, unit = raw.dt.total_microseconds() / 10**6, "s"
    number = _clock(raw) if unit == "text" else raw.cast(pl.Float64, strict=False)
    number = number / _PARTS.get(unit, 1)
    wrong = (number.is_null() | ((number.abs() >= _LARGEST) & ~number.is_nan())) & ~_absent(raw)
    return number.fill_null(float("nan")), wrong


def _clock(values: pl.Series) -> pl.Series:
    """Return the seconds of minutes:seconds or hours:minutes:seconds."""
    parts = values.cast(pl.String).str.extract_groups(r"^\s*(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)\s*$").struct.unnest()
    hours, minutes, seconds = (part.cast(pl.Float64) for part in parts)
    return hours.fill_null(0.0) * 3600 + minutes * 60 + seconds


def _sound(
    block: Block, result: pl.DataFrame, faults: list[Fault], mapping: Mapping
) -> tuple[pl.DataFrame, list[BadRecords]]:
    """Return the valid records, and the others, each once, by its first fault."""
    faulty, bad = np.zeros(block.frame.height, np.bool_), list[BadRecords]()
    for kind, where, role in faults:
        if not where.any():
            continue
        rows = np.flatnonzero(where.to_numpy() & ~faulty)
        faulty[rows] = True
        if len(rows):
            bad.append(_bad_records((kind, role), replace(block, frame=block.frame[rows]), mapping))
    return (result.filter(pl.Series(~faulty)) if faulty.any() else result), bad


def _bad_records(fault: tuple[str, str], block: Block, mapping: Mapping) -> BadRecords:
    """Return records of one fault (kind and role), each with the wrong value if a role has it."""
    (kind, role), bad = fault, block.frame
    lines = bad["__line__"]
    texts = bad.select(_joined(bad)).to_series().to_list() if block.texts is None else block.texts(lines.to_numpy())
    why, column = [""] * bad.height, _columns(mapping).get(role)
    if column is not None:
        values = bad.select(_as_read(column, bad.columns).cast(pl.String).alias("value"))["value"].to_list()
        accepted = _ID_FORM if role in _IDS else _FORMS.get(kind, _NUMBER_FORM)
        why = [f"{column.name} is {value!r}; accepted: {accepted}" for value in values]
    return BadRecords(kind, list(zip(lines.to_list(), texts, strict=True)), why)


def _as_read(column: Column, columns: list[str]) -> pl.Expr:
    """Return the value of a column as read; of a role with several columns, all of them."""
    there = [pl.col(name).cast(pl.String).fill_null("") for name in column.name.split(", ") if name in columns]
    return pl.concat_str(there, separator=", ") if there else column.value


def _joined(frame: pl.DataFrame) -> pl.Expr:
    texts = [pl.col(n).cast(pl.String, strict=False).fill_null("") for n in frame.columns if not n.startswith("__")]
    return pl.concat_str(texts, separator=",")

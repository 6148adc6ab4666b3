"""A frame whose columns are known, made an event table: sessions as given, or histories cut."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns as names
from segue.events.keys import text_keys
from segue.events.rejects import MISSING_POSITION, MISSING_SESSION, MISSING_TRACK, WRONG_COLUMN, WRONG_FLAG, Rejects
from segue.events.sources.histories import cut_histories, tied_events
from segue.events.sources.table import ROW, TableColumns
from segue.events.sources.typed import check_types, no_numbers, seconds, side_column, strengths
from segue.events.table import EventTable, Side, encode_text, known_side

_KINDS = (MISSING_SESSION, MISSING_TRACK, MISSING_POSITION, WRONG_COLUMN, WRONG_FLAG)


def event_table(name: str, frame: pl.DataFrame, columns: TableColumns, rejects: Rejects) -> EventTable:
    """Return the event table of `frame`; bad rows go to `rejects`.

    Raises:
        InputError: a column of a type that its role cannot have.
    """
    check_types(name, frame, columns)
    typed, inferred = _typed(frame, columns)
    frame, typed = _sound(name, frame, typed, columns, rejects)
    if columns.session is None:
        rows, session, ids, user = _histories(typed, columns)
        position = np.arange(len(rows), dtype=np.int64)
    else:
        session, ids = encode_text(typed["id"])
        rows, position = _places(session, typed)
        session, user = session[rows], None
    typed, frame = typed[rows], frame[rows]
    track, track_ids = encode_text(typed["track"])
    side = {names.INFERRED: known_side(names.INFERRED, np.full(len(rows), inferred))}
    if "at" in typed.columns:
        at = typed["at"].to_numpy()
        side[names.AT] = known_side(names.AT, at)
        by_time = np.arange(len(at)) if columns.position is None else np.lexsort((position, session))
        tied = np.zeros(len(at), np.bool_)
        tied[by_time] = tied_events(session[by_time], at[by_time])
        side[names.TIED] = known_side(names.TIED, tied)
    if user is not None:
        side[names.USER] = known_side(names.USER, user)
    side.update(_chosen(frame, columns))
    return EventTable(
        name=name,
        session_key=text_keys(ids),
        session=session,
        position=position,
        track_ids=track_ids,
        track=track,
        strength=typed["strength"].to_numpy(),
        line=typed["line"].to_numpy(),
        side=side,
        session_ids=lambda rows: ids.gather(session[rows]).to_list(),
    )


def _chosen(frame: pl.DataFrame, columns: TableColumns) -> dict[str, Side]:
    return {name: side_column(frame[name]) for name in columns.side}


def _typed(frame: pl.DataFrame, columns: TableColumns) -> tuple[pl.DataFrame, bool]:
    """Return `(id, track, strength, odd, line, place?, at?)`, null where a value is missing or wrong."""
    strength, inferred = strengths(frame, columns)
    key = columns.session if columns.session is not None else columns.user
    assert key is not None, "columns are resolved"
    assert columns.track is not None, "columns are resolved"
    typed = [_text(frame[key]).alias("id"), _text(frame[columns.track]).alias("track")]
    typed += [strength.alias("strength"), no_numbers(frame, columns).alias("odd"), frame[ROW].alias("line")]
    if columns.position is not None and columns.session is not None:
        typed.append(frame[columns.position].cast(pl.Int64, strict=False).alias("place"))
    if columns.time is not None:
        typed.append(seconds(frame[columns.time]).alias("at"))
    return pl.DataFrame(typed), inferred


def _text(values: pl.Series) -> pl.Series:
    """Return ids as text, an empty one as null."""
    text = values.cast(pl.String)
    return text.set(text == "", None)


def _sound(
    name: str, frame: pl.DataFrame, typed: pl.DataFrame, columns: TableColumns, rejects: Rejects
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows without fault; the others go to `rejects`, each once, by the first kind that fits."""
    absent, wrong = np.zeros(frame.height, np.bool_), typed["odd"].to_numpy().copy()
    for key, column in (("place", columns.position), ("at", columns.time)):
        if key in typed.columns and column is not None:
            raw = frame[column].is_null().to_numpy()
            absent |= raw
            wrong |= typed[key].is_null().to_numpy() & ~raw
    nulls = {key: typed[key].is_null().to_numpy() for key in ("id", "track", "strength")}
    bad = np.stack([nulls["id"], nulls["track"], absent, wrong, nulls["strength"]])
    whole = bad.any(axis=0)
    if not whole.any():
        return frame, typed
    kind = bad.argmax(axis=0)
    for index, label in enumerate(_KINDS):
        rows = frame.filter(pl.Series(whole & (kind == index)))
        text = rows.drop(ROW).select(pl.concat_str(pl.all().cast(pl.String).fill_null(""), separator=",")).to_series()
        rejects.add(label, name, zip(rows[ROW].to_list(), text.to_list(), strict=True))
    keep = pl.Series(~whole)
    return frame.filter(keep), typed.filter(keep)


def _histories(
    typed: pl.DataFrame, columns: TableColumns
) -> tuple[NDArray[np.int64], NDArray[np.int32], pl.Series, NDArray[np.int32]]:
    cut = cut_histories(typed["id"], typed["at"].to_numpy(), columns.gap_minutes, columns.max_length)
    return cut.rows, cut.session, cut.session_ids, cut.user


def _places(session: NDArray[np.int32], typed: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `(rows, position)`: rows in file order with given positions, or ordered by time within a session."""
    rows = np.arange(len(session), dtype=np.int64)
    if "place" in typed.columns:
        return rows, typed["place"].to_numpy()
    if "at" not in typed.columns or len(rows) == 0:
        return rows, rows
    first = np.full(int(session.max()) + 1, len(rows))
    np.minimum.at(first, session, rows)
    rows = np.lexsort((typed["at"].to_numpy(), first[session])).astype(np.int64)
    return rows, np.arange(len(rows), dtype=np.int64)

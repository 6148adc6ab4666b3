"""The Music Streaming Sessions Dataset (Brost, Mehrotra, Jehan 2019), file by file.

Strength from its nested flags: skip_1 -> 3, else skip_2 -> 2, else skip_3 -> 1, else not_skipped -> 0, else 255
(method, section 1). Feedback is observed, so `inferred` is False throughout. Ids stay text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns
from segue.config import nearest
from segue.errors import InputError
from segue.events.rejects import (
    CONTRADICTORY_FLAGS,
    MISSING_POSITION,
    MISSING_SESSION,
    MISSING_TRACK,
    WRONG_COLUMN,
    WRONG_FLAG,
    Rejects,
)
from segue.events.skips import BRIEFLY, MOSTLY, TO_ITS_END, UNKNOWN_STRENGTH, VERY_BRIEFLY
from segue.events.sources.text import Block, read_blocks, read_layout
from segue.events.table import EventTable, Side, encode_text, known_side

_SESSION, _POSITION, _, _TRACK, *_FLAGS = columns.MSSD_LOG[:8]
_SHUFFLE: Final = "hist_user_behavior_is_shuffle"
_HOUR: Final = "hour_of_day"
_DATE: Final = "date"
_PREMIUM: Final = "premium"
_CONTEXT: Final = "context_type"
_WANTED: Final = (_SESSION, _POSITION, _TRACK, *_FLAGS, _SHUFFLE, _HOUR, _DATE, _PREMIUM, _CONTEXT)
_LAST_VALUES: Final = frozenset(
    {
        *("trackdone", "fwdbtn", "backbtn", "endplay", "logout", "clickrow", "remote", "appload", "popup"),
        *("uriopen", "clickside", "playbtn", "trackerror", "reload", "unknown"),
        *("unexpected-exit", "unexpected-exit-while-paused"),
    }
)
"""hist_user_behavior_reason_end as published: a last line without newline must end in one of them."""
_BAD_KINDS: Final = (MISSING_SESSION, MISSING_TRACK, MISSING_POSITION, WRONG_FLAG, CONTRADICTORY_FLAGS, WRONG_COLUMN)
_CONTRADICTORY: Final = 254
_STRENGTH: Final = np.full(16, _CONTRADICTORY, np.uint8)
"""Strength by skip_1 + 2 skip_2 + 4 skip_3 + 8 not_skipped; every other sum contradicts itself."""
_STRENGTH[[7, 6, 4, 8, 0]] = VERY_BRIEFLY, BRIEFLY, MOSTLY, TO_ITS_END, UNKNOWN_STRENGTH


@dataclass
class _Parts:
    """Columns gathered block by block."""

    arrays: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    run_ids: list[pl.Series] = field(default_factory=list)
    num_runs: int = 0
    last_id: str | None = None

    def add(self, name: str, values: NDArray[Any]) -> None:
        self.arrays.setdefault(name, []).append(values)

    def joined(self, name: str) -> NDArray[Any]:
        return np.concatenate(self.arrays.pop(name))


def find_logs(path: Path) -> list[Path]:
    """Return the log files of `path` in name order: itself, or the CSVs of its `training_set` or of the folder.

    Raises:
        InputError: nothing there.
    """
    if path.is_file():
        return [path]
    for folder in (path / "training_set", path):
        logs = sorted(p for p in folder.glob("*.csv*") if p.name.startswith("log_") and _is_log(p))
        logs = logs or sorted(p for p in folder.glob("*.csv*") if _is_log(p) and p.name != "tracks.csv")
        if logs:
            return logs
    raise InputError(f"{path} holds no MSSD log; name a folder with training_set/log_*.csv, one CSV, or a .csv.gz")


def _is_log(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".csv", ".csv.gz"))


def read_mssd(path: Path, rejects: Rejects) -> EventTable:
    """Return the event table of one log file, read block by block; bad rows go to `rejects`.

    Raises:
        InputError: the file cannot be read, or lacks one of the official columns.
    """
    layout = replace(read_layout(path, separator=","), last_values=_LAST_VALUES)
    for name in _WANTED:
        if name not in layout.header:
            raise InputError(f"{path}, line 1: no column {name!r}{nearest(name, layout.header)}")
    tracks = pl.Categorical(pl.Categories.random("tracks", pl.UInt32))
    labels = pl.Categorical(pl.Categories.random("labels", pl.UInt32))
    parts = _Parts()
    coded: dict[str, list[pl.Series]] = {_TRACK: [], _CONTEXT: [], _DATE: []}
    for block in read_blocks(path, layout, _WANTED, rejects):
        frame = _checked(block, _typed(block.frame, tracks, labels), path.name, rejects, parts)
        for name, kept in coded.items():
            kept.append(frame[name])
    if not parts.arrays:
        raise InputError(f"{path} holds no rows below its header; name a log with events")
    return _table(path.name, parts, {name: pl.concat(kept) for name, kept in coded.items()})


def _typed(frame: pl.DataFrame, tracks: Any, labels: Any) -> pl.DataFrame:  # Polars dtypes: beartype refuses them
    """Return a block's columns typed, null where a value cannot be read; `code` sums the flags.

    Flags are `true` and `false`; where a block holds others, letter case is set aside first.
    """
    flags = pl.all_horizontal(_known_flag(name) for name in (*_FLAGS, _SHUFFLE, _PREMIUM)).fill_null(False)
    if not frame.select(flags.all()).item():
        frame = frame.with_columns(pl.col(*_FLAGS, _SHUFFLE, _PREMIUM).str.to_lowercase())
        known = pl.all_horizontal(_known_flag(name) for name in _FLAGS).fill_null(False)
        sides = (_known_flag(_SHUFFLE) & _known_flag(_PREMIUM)).fill_null(False)
    else:
        known = sides = pl.repeat(True, frame.height)
    result = frame.lazy().select(
        pl.col(_SESSION),
        pl.col(_POSITION).cast(pl.Int32, strict=False),
        pl.col(_TRACK).cast(tracks),
        pl.sum_horizontal(_flag(name).cast(pl.UInt8) * (1 << i) for i, name in enumerate(_FLAGS)).alias("code"),
        known.alias("flags"),
        _flag(_SHUFFLE),
        _flag(_PREMIUM),
        pl.col(_HOUR).cast(pl.UInt8, strict=False),
        pl.col(_DATE).cast(labels),
        pl.col(_CONTEXT).cast(labels),
        sides.alias("sides"),
        (pl.col(_SESSION) != pl.col(_SESSION).shift(1)).alias("start"),
    )
    return result.collect()


def _flag(name: str) -> pl.Expr:
    return pl.col(name) == "true"


def _known_flag(name: str) -> pl.Expr:
    return _flag(name) | (pl.col(name) == "false")


def _checked(block: Block, frame: pl.DataFrame, name: str, rejects: Rejects, parts: _Parts) -> pl.DataFrame:
    """Take the sound rows of a block into `parts`; return their frame (bad rows go to `rejects`)."""
    strength = _STRENGTH[frame["code"].to_numpy()]
    bad = (
        frame[_SESSION].is_null().to_numpy(),
        frame[_TRACK].is_null().to_numpy(),
        (frame[_POSITION].is_null() & block.frame[_POSITION].is_null()).to_numpy(),
        ~frame["flags"].to_numpy(),
        strength == _CONTRADICTORY,
        (frame[_POSITION].is_null() | ~frame["sides"] | _bad_labels(frame)).to_numpy(),
    )
    line = block.line
    whole = np.logical_or.reduce(bad)
    if whole.any():
        kind = np.argmax(np.stack(bad), axis=0)
        for index, label in enumerate(_BAD_KINDS):
            rejects.add(label, name, block.texts(np.flatnonzero(whole & (kind == index))))
        frame, strength, line = frame.filter(~pl.Series(whole)), strength[~whole], line[~whole]
        frame = frame.with_columns((pl.col(_SESSION) != pl.col(_SESSION).shift(1)).alias("start"))
    _gather(parts, frame, strength, line)
    return frame


def _bad_labels(frame: pl.DataFrame) -> pl.Series:
    """Return True where hour is not 0..23, context type is missing, or date is no yyyy-mm-dd."""
    days = frame[_DATE].unique()
    wrong = days.filter(days.cast(pl.String).str.to_date("%Y-%m-%d", strict=False).is_null())
    hour = frame[_HOUR].is_null() | (frame[_HOUR] > 23).fill_null(True)
    bad_date = frame[_DATE].is_null()
    if len(wrong.drop_nulls()):
        bad_date = bad_date | frame[_DATE].is_in(wrong.drop_nulls().implode())
    return hour | frame[_CONTEXT].is_null() | bad_date


def _gather(parts: _Parts, frame: pl.DataFrame, strength: NDArray[np.uint8], line: NDArray[np.int64]) -> None:
    """Append a block's columns to `parts`; consecutive rows of one session share a run."""
    start = frame["start"].fill_null(True).to_numpy(writable=True)
    if len(start):
        start[0] = frame[_SESSION][0] != parts.last_id
        parts.last_id = frame[_SESSION][-1]
    parts.run_ids.append(frame[_SESSION].filter(pl.Series(start)))
    parts.add(columns.SESSION, (np.cumsum(start, dtype=np.int32) + np.int32(parts.num_runs - 1)).astype(np.int32))
    parts.num_runs += int(start.sum())
    parts.add(columns.POSITION, frame[_POSITION].to_numpy())
    parts.add(columns.STRENGTH, strength)
    parts.add("line", line.astype(np.int32) if line.max(initial=0) < 2**31 else line)
    parts.add(_SHUFFLE, frame[_SHUFFLE].to_numpy())
    parts.add(_PREMIUM, frame[_PREMIUM].to_numpy())
    parts.add(_HOUR, frame[_HOUR].to_numpy())


def _table(name: str, parts: _Parts, coded: dict[str, pl.Series]) -> EventTable:
    track, track_ids = encode_text(coded.pop(_TRACK))
    context, contexts = encode_text(coded.pop(_CONTEXT))
    date, dates = encode_text(coded.pop(_DATE))
    days = dates.str.to_date("%Y-%m-%d").cast(pl.Int32).to_numpy()
    if len(contexts) > 255:
        raise InputError(f"{name}: {len(contexts)} context types, at most 255 can be told apart; is this an MSSD log?")
    strength = parts.joined(columns.STRENGTH)
    side: dict[str, Side] = {
        columns.INFERRED: known_side(columns.INFERRED, np.zeros(len(strength), np.bool_)),
        columns.CONTEXT_TYPE: known_side(columns.CONTEXT_TYPE, context, tuple(contexts.to_list())),
        columns.SHUFFLE: known_side(columns.SHUFFLE, parts.joined(_SHUFFLE)),
        columns.HOUR: known_side(columns.HOUR, parts.joined(_HOUR)),
        columns.PREMIUM: known_side(columns.PREMIUM, parts.joined(_PREMIUM)),
        columns.DATE: known_side(columns.DATE, days[date] if len(days) else date),
    }
    return EventTable(
        name=name,
        session_ids=pl.concat(parts.run_ids),
        session=parts.joined(columns.SESSION),
        position=parts.joined(columns.POSITION).astype(np.int64),
        track_ids=track_ids,
        track=track,
        strength=strength,
        line=parts.joined("line").astype(np.int64),
        side=side,
    )

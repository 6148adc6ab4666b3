"""The Music Streaming Sessions Dataset (Brost, Mehrotra, Jehan 2019), file by file.

Strength from its nested flags: skip_1 -> 3, else skip_2 -> 2, else skip_3 -> 1, else not_skipped -> 0, else 255
(method, section 1). Feedback is observed, so `inferred` is False throughout. Ids stay text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns
from segue.config import nearest
from segue.errors import InputError
from segue.events.rejects import Rejects
from segue.events.sources.ahead import worked_ahead
from segue.events.sources.mssd_rows import WANTED, Codes, Rows, block_rows
from segue.events.sources.raw import whole_lines
from segue.events.sources.text import Layout, read_layout
from segue.events.table import EventTable, Side, known_side, shared_codes

_LAST_VALUES: Final = frozenset(
    {
        *("trackdone", "fwdbtn", "backbtn", "endplay", "logout", "clickrow", "remote", "appload", "popup"),
        *("uriopen", "clickside", "playbtn", "trackerror", "reload", "unknown"),
        *("unexpected-exit", "unexpected-exit-while-paused"),
    }
)
"""hist_user_behavior_reason_end as published: a last line without newline must end in one of them."""
_MOST_CONTEXTS: Final = 255


@dataclass
class _Log:
    """One log file and what has been read of it, block by block."""

    path: Path
    layout: Layout
    codes: Codes
    rows: list[Rows] = field(default_factory=list)
    first_lines: list[int] = field(default_factory=lambda: [2])

    def take(self, rows: Rows, rejects: Rejects) -> None:
        """Add the rows of the next block; its bad rows go to `rejects`."""
        rows.held.release(rejects, self.path.name, self.first_lines[-1])
        self.rows.append(rows)
        self.first_lines.append(self.first_lines[-1] + rows.num_lines)

    def taken(self, name: str) -> NDArray[Any]:
        """Return one column of values, blocks end to end; it is given once."""
        return np.concatenate([rows.values.pop(name) for rows in self.rows])


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


def read_mssd(paths: Sequence[Path], rejects: Rejects) -> Iterator[EventTable]:
    """Yield the event table of each log file in turn; bad rows go to `rejects`, in order of file and line.

    Blocks of lines are parsed in threads ahead of their use, across the ends of files; what comes out does not depend
    on the threads.

    Raises:
        InputError: a file cannot be read, lacks one of the official columns, or holds no row.
    """
    for log, rows in worked_ahead(_block, _blocks(paths)):
        if rows is not None:
            log.take(rows, rejects)
        elif log.first_lines[-1] == 2:
            raise InputError(f"{log.path} holds no rows below its header; name a log with events")
        else:
            yield _table(log)


def _blocks(paths: Sequence[Path]) -> Iterator[tuple[_Log, bytes | None]]:
    """Yield each file's blocks, and None at its end."""
    tracks = shared_codes("track")
    for path in paths:
        log = _Log(path, _layout(path), Codes(tracks))
        for data in whole_lines(path):
            yield log, data
        yield log, None


def _block(task: tuple[_Log, bytes | None]) -> tuple[_Log, Rows | None]:
    log, data = task
    return log, None if data is None else block_rows(data, log.layout, log.codes, log.path.name)


def _layout(path: Path) -> Layout:
    layout = replace(read_layout(path, separator=","), last_values=_LAST_VALUES)
    for name in WANTED:
        if name not in layout.header:
            raise InputError(f"{path}, line 1: no column {name!r}{nearest(name, layout.header)}")
    return layout


def _table(log: _Log) -> EventTable:
    """Return what has been read of a file as one table."""
    context, contexts = _distinct([rows.context for rows in log.rows])  # by run
    if len(contexts) > _MOST_CONTEXTS:
        raise InputError(
            f"{log.path.name}: {len(contexts)} context types, at most {_MOST_CONTEXTS} can be told apart; is this an "
            "MSSD log?"
        )
    run, session_ids = _distinct([rows.session for rows in log.rows], in_order=True)
    track, track_ids = _distinct([rows.track for rows in log.rows])
    context = np.repeat(context.astype(np.uint8), np.concatenate([rows.context_length for rows in log.rows]))
    strength = log.taken(columns.STRENGTH)
    side: dict[str, Side] = {
        columns.INFERRED: known_side(columns.INFERRED, np.zeros(len(strength), np.bool_)),
        columns.CONTEXT_TYPE: known_side(columns.CONTEXT_TYPE, context, tuple(contexts.to_list())),
    }
    for name in (columns.SHUFFLE, columns.HOUR, columns.PREMIUM, columns.DATE):
        side[name] = known_side(name, log.taken(name))
    return EventTable(
        name=log.path.name,
        session_ids=session_ids.cast(pl.String),
        session=np.repeat(run, np.concatenate([rows.session_length for rows in log.rows])),
        position=log.taken(columns.POSITION),
        track_ids=track_ids,
        track=track,
        strength=strength,
        line=_lines(log),
        side=side,
    )


def _distinct(blocks: list[pl.Series], *, in_order: bool = False) -> tuple[NDArray[np.int32], pl.Series]:
    """Return `(code of each row int32, Categorical text by code)` of Categorical blocks, no code unused.

    Codes are in order of first appearance where asked, else in no order (threads gave them).
    """
    texts = pl.concat(blocks)
    physical = texts.to_physical().to_numpy().view(np.int32)
    first = np.full(int(physical.max(initial=-1)) + 1, -1, np.int64)
    first[physical[::-1]] = np.arange(len(physical) - 1, -1, -1)  # of equal codes the last write, the first row, stays
    kept = np.flatnonzero(first >= 0)
    if in_order:
        kept = kept[np.argsort(first[kept])]
    elif len(kept) == len(first):
        return physical, texts.gather(first)
    code = np.zeros(len(first), np.int32)
    code[kept] = np.arange(len(kept), dtype=np.int32)
    return code[physical], texts.gather(first[kept])


def _lines(log: _Log) -> NDArray[np.int64] | None:
    """Return each row's line, or None where every line below the header is a row."""
    if all(rows.line is None for rows in log.rows):
        return None
    lines = [np.arange(rows.num_lines) if rows.line is None else rows.line for rows in log.rows]
    return np.concatenate([line + first for line, first in zip(lines, log.first_lines, strict=False)])

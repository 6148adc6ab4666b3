"""The Music Streaming Sessions Dataset (Brost, Mehrotra, Jehan 2019), file by file.

Strength from its nested flags: skip_1 -> 3, else skip_2 -> 2, else skip_3 -> 1, else not_skipped -> 0, else 255
(method, section 1). Feedback is observed, so `inferred` is False throughout. Ids stay text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.config import nearest
from segue.errors import InputError
from segue.events.keys import grouped
from segue.events.rejects import Rejects
from segue.events.sources import mssd_large
from segue.events.sources.ahead import worked_ahead
from segue.events.sources.mssd_large import LINE, LargeFile, Sessions, Stretch, joined
from segue.events.sources.mssd_rows import MOST_CONTEXTS, WANTED, Codes, Rows, block_rows
from segue.events.sources.raw import lines_at, whole_lines
from segue.events.sources.text import Layout, read_layout
from segue.events.table import EventTable, Side, coded_texts, known_side, shared_codes

_LAST_VALUES: Final = frozenset(
    {
        *("trackdone", "fwdbtn", "backbtn", "endplay", "logout", "clickrow", "remote", "appload", "popup"),
        *("uriopen", "clickside", "playbtn", "trackerror", "reload", "unknown"),
        *("unexpected-exit", "unexpected-exit-while-paused"),
    }
)
"""hist_user_behavior_reason_end as published: a last line without newline must end in one of them."""


@dataclass
class _Log:
    """One log file and what has been read of it, block by block."""

    path: Path
    layout: Layout
    codes: Codes
    large: LargeFile
    rows: list[Rows] = field(default_factory=list)
    """Blocks read and not yet spilled."""
    first_lines: list[int] = field(default_factory=lambda: [2])
    """First line of each of `rows`, and the line after the last."""
    rest: Stretch | None = None
    """Rows before `rows` that are not spilled; None where nothing was."""
    _num_rows: int = 0
    """Rows of `rows`."""

    def take(self, rows: Rows, rejects: Rejects) -> None:
        """Add the rows of the next block; its bad rows go to `rejects`."""
        rows.held.release(rejects, self.path.name, self.first_lines[-1])
        self.rows.append(rows)
        self.first_lines.append(self.first_lines[-1] + rows.num_lines)
        self._num_rows += len(rows.values[columns.POSITION])
        if self._num_rows >= (mssd_large.MOST_ROWS if self.rest is None else mssd_large.STRETCH_ROWS):
            self._num_rows = 0
            while self.rows:
                whole, self.rest = self._gathered(self._blocks_of_a_stretch(), lined=True).cut()
                self.large.add(whole)

    def sessions(self) -> Iterator[Sessions]:
        """Yield what was read, by whole sessions."""
        if self.rest is None:
            stretch = self._gathered(len(self.rows), lined=any(rows.line is not None for rows in self.rows))
            code, key = grouped(stretch.key)
            yield Sessions(key, np.repeat(code, stretch.length), stretch.values)
            return
        self.large.add(self._gathered(len(self.rows), lined=True))
        yield from self.large.sessions()
        self.large.remove()

    def _blocks_of_a_stretch(self) -> int:
        sizes = np.cumsum([len(rows.values[columns.POSITION]) for rows in self.rows])
        return min(int(np.searchsorted(sizes, mssd_large.STRETCH_ROWS)) + 1, len(self.rows))

    def _gathered(self, count: int, *, lined: bool) -> Stretch:
        """Return the first `count` blocks not yet spilled, and forget them; with their lines where asked."""
        blocks, self.rows = self.rows[:count], self.rows[count:]
        firsts, self.first_lines = self.first_lines[:count], self.first_lines[count:]
        if lined:
            for rows, first in zip(blocks, firsts, strict=True):
                line = np.arange(rows.num_lines) if rows.line is None else rows.line
                rows.values[LINE] = line + first
        rest = [] if self.rest is None else [self.rest]
        return joined([*rest, *(Stretch(rows.key, rows.length, rows.values) for rows in blocks)])


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


def read_mssd(paths: Sequence[Path], rejects: Rejects, scratch: Path) -> Iterator[EventTable]:
    """Yield the event tables of each log file in turn; bad rows go to `rejects`, in order of file and line.

    A file is one table, or several where it has more rows than memory should hold; it is spilled to `scratch` then.
    Blocks of lines are parsed in threads ahead of their use, across the ends of files; what comes out does not depend
    on the threads.

    Raises:
        InputError: a file cannot be read, lacks one of the official columns, or holds no row.
    """
    for log, rows in worked_ahead(_block, _blocks(paths, scratch)):
        if rows is not None:
            log.take(rows, rejects)
        elif log.first_lines[-1] == 2:
            raise InputError(f"{log.path} holds no rows below its header; name a log with events")
        else:
            yield from _tables(log)


def _blocks(paths: Sequence[Path], scratch: Path) -> Iterator[tuple[_Log, bytes | None]]:
    """Yield each file's blocks, and None at its end."""
    tracks = shared_codes("track")
    for path in paths:
        log = _Log(path, _layout(path), Codes(tracks), LargeFile(scratch / "large"))
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


def _tables(log: _Log) -> Iterator[EventTable]:
    """Yield what has been read of a file."""
    waiting: EventTable | None = None
    for sessions in log.sessions():
        if waiting is not None:
            yield replace(waiting, last=False)
        waiting = _table(log, sessions)
    if waiting is not None:
        yield waiting


def _table(log: _Log, sessions: Sessions) -> EventTable:
    values = sessions.values
    strength, context, line = values[columns.STRENGTH], values[columns.CONTEXT_TYPE], values.get(LINE)
    side: dict[str, Side] = {
        columns.INFERRED: known_side(columns.INFERRED, np.zeros(len(strength), np.bool_)),
        columns.CONTEXT_TYPE: known_side(columns.CONTEXT_TYPE, context, _contexts(log, context)),
    }
    for name in (columns.SHUFFLE, columns.HOUR, columns.PREMIUM, columns.DATE):
        side[name] = known_side(name, values[name])
    return EventTable(
        name=log.path.name,
        session_key=sessions.key,
        session=sessions.session,
        position=values[columns.POSITION],
        track_ids=log.codes.track,
        track=values[columns.TRACK],
        strength=strength,
        line=line,
        side=side,
        session_ids=lambda rows: _session_ids(log, rows + 2 if line is None else line[rows]),
    )


def _contexts(log: _Log, context: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return the text of each context code."""
    last = int(context.max(initial=0))
    if last == MOST_CONTEXTS:
        raise InputError(
            f"{log.path.name}: more context types than the {MOST_CONTEXTS} that can be told apart; is this an MSSD log?"
        )
    codes = np.arange(last + 1 if len(context) else 0, dtype=np.int32)
    return tuple(coded_texts(codes, log.codes.context).to_list())


def _session_ids(log: _Log, lines: NDArray[np.int64]) -> list[str]:
    """Return the session id on each line, read again."""
    column = log.layout.header.index(columns.MSSD_LOG[0])
    texts = lines_at(log.path, lines)
    return [texts[line].decode("utf-8").split(log.layout.separator)[column] for line in lines.tolist()]

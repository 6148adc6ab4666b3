"""Bad rows, counted by kind and written to a file with file and line; no row is dropped silently."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final, TextIO

from segue.errors import RejectedRowsError

MISSING_SESSION: Final = "missing-session"
MISSING_TRACK: Final = "missing-track"
MISSING_POSITION: Final = "missing-position"
DUPLICATE_POSITION: Final = "duplicate-position"
CONTRADICTORY_FLAGS: Final = "contradictory-flags"
WRONG_FLAG: Final = "wrong-flag"
MISSING_TIME: Final = "missing-time"
WRONG_TIME: Final = "wrong-time"
WRONG_AMOUNT: Final = "wrong-number"
TRUNCATED_LAST_LINE: Final = "truncated-last-line"
WRONG_FIELD_COUNT: Final = "wrong-field-count"
WRONG_COLUMN: Final = "wrong-column"
NOT_UTF8: Final = "not-utf8"
UNCLOSED_QUOTE: Final = "unclosed-quote"
NUL_BYTE: Final = "nul-byte"
REPEATED_HEADER: Final = "repeated-header"
KINDS: Final = {
    MISSING_SESSION: "no session (or user) id",
    MISSING_TRACK: "no track id",
    MISSING_POSITION: "no position or time",
    DUPLICATE_POSITION: "its session has this position on an earlier line",
    CONTRADICTORY_FLAGS: "flags that contradict one another or their nesting",
    WRONG_FLAG: "a flag that is neither true nor false, or a strength outside 0..3",
    TRUNCATED_LAST_LINE: "the file ends inside this line",
    WRONG_FIELD_COUNT: "more or fewer fields than the header",
    WRONG_COLUMN: "a value that cannot belong to its column",
    MISSING_TIME: "no time",
    WRONG_TIME: "a time that cannot be read",
    WRONG_AMOUNT: "text where a number belongs",
    NOT_UTF8: "bytes that are not UTF-8; save the file as UTF-8, it looks like Latin-1 or Windows-1252",
    UNCLOSED_QUOTE: "a quote that is not closed where its field ends",
    NUL_BYTE: "a NUL byte; the file is damaged",
}
"""Every kind of bad row and what it means."""
NOTES: Final = {REPEATED_HEADER: "the header again, as in joined files"}
"""Every kind of line that is left out without being a bad row."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_EXAMPLES: Final = 3


def reject_path(store: Path) -> Path:
    """Return the path of the rejected rows of `store`: STORE.rejected.csv beside it."""
    return store.with_name(store.name + ".rejected.csv")


class Rejects:
    """Counts bad rows and writes each to `path` at once: file, line, kind, the row as read.

    The file exists only if a row was rejected, and stays if the log is refused. An apostrophe precedes a cell that a
    spreadsheet would run as a formula.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        """Lines left out without being bad rows, by kind."""
        self.examples: list[str] = []
        self._handle: TextIO | None = None
        path.unlink(missing_ok=True)

    def add(self, kind: str, file: str, rows: Iterable[tuple[int, str]], why: Iterable[str] = ()) -> None:
        """Take bad rows, each `(line, text)`, of one kind and file; `why` names the wrong value of each."""
        assert kind in KINDS, kind
        for (line, text), reason in zip(rows, chain(why, repeat("")), strict=False):
            if len(self.examples) < _EXAMPLES:
                self.examples.append(f"{file} line {line}: {kind} ({reason or KINDS[kind]})")
            self._writer().writerow([_safe(file), line, kind, _safe(text)])
            self.counts[kind] += 1

    def note(self, kind: str, count: int) -> None:
        """Count lines of a kind in NOTES; they are not written and do not refuse a log."""
        assert kind in NOTES, kind
        if count:
            self.notes[kind] += count

    @property
    def total(self) -> int:
        """Number of rows rejected so far."""
        return sum(self.counts.values())

    def by_kind(self) -> dict[str, int]:
        """Return the number of rejected rows by kind, in the order of `KINDS`, without zeros."""
        return {kind: self.counts[kind] for kind in KINDS if self.counts[kind]}

    def close(self) -> None:
        """Flush and close the file, if there is one."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def check(self, num_rows: int, max_rejected: float) -> None:
        """Refuse the log if more than the share `max_rejected` of `num_rows` rows was rejected.

        Raises:
            RejectedRowsError: with the counts, the first rows, and what to do.
        """
        if self.total == 0 or self.total <= max_rejected * num_rows:
            return
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.by_kind().items())
        raise RejectedRowsError(
            f"{self.total} of {num_rows} rows are unusable, more than the {max_rejected:.3%} allowed: {kinds}; "
            f"first: {'; '.join(self.examples)}. All are in {self.path}. Mend the log, or allow more with "
            "--max-rejected"
        )

    def _writer(self) -> Any:
        if self._handle is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self.path.open("w", encoding="utf-8", newline="")
            self._csv = csv.writer(self._handle)
            self._csv.writerow(["file", "line", "kind", "row"])
        return self._csv


def _safe(text: str) -> str:
    """Return `text`, after an apostrophe if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text

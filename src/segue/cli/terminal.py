"""Progress and messages on stderr, tables on stdout (without cyclopts)."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from segue.output import printable, printable_lines
from segue.progress import Step

LINE_S: Final = 10.0
"""Seconds between two progress lines if stderr is not a terminal."""
DRAW_S: Final = 0.1
"""Seconds between two redraws of the bar on a terminal."""
BAR: Final = 24
"""Columns of the bar."""


@runtime_checkable
class Stream(Protocol):
    """A text stream: stderr, or a test's."""

    def write(self, text: str, /) -> int:
        """Write `text`."""

    def flush(self) -> None:
        """Flush buffered text."""

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""


class Terminal:
    """Draws progress: one redrawn line on a terminal, else one plain line every 10 s.

    Call it with a `Step`; `say` prints a message, `close` removes the bar. `quiet` silences both; `verbose` also prints
    a line for each finished stage, and tracebacks.
    """

    def __init__(
        self,
        stream: Stream | None = None,
        *,
        quiet: bool = False,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream: Stream = sys.stderr if stream is None else stream
        self.quiet, self.verbose = quiet, verbose
        self._clock = clock
        self._live = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown_at = -math.inf if self._live else clock()
        self._stage, self._stage_at, self._drawn = "", clock(), False

    def __call__(self, step: Step) -> None:
        """Show `step` if enough time has passed since the last one."""
        if self.quiet:
            return
        now = self._clock()
        if step.stage != self._stage:
            self._finish_stage(now)
            self._stage, self._stage_at = step.stage, now
        if now - self._shown_at < (DRAW_S if self._live else LINE_S):
            return
        self._shown_at = now
        if not self._live:
            self._write(step_text(step, now - self._stage_at) + "\n")
            return
        columns = shutil.get_terminal_size().columns - 1
        text = f"{_bar(step)} {step_text(step, now - self._stage_at)}"
        self._write("\r" + clipped(text, columns) + "\x1b[K")
        self._drawn = True

    def say(self, text: str) -> None:
        """Print a message on a separate line, control characters made visible."""
        if not self.quiet:
            self.close()
            self._write(printable_lines(text) + "\n")

    def close(self) -> None:
        """Remove the bar."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _finish_stage(self, now: float) -> None:
        self.close()
        if self.verbose and self._stage:
            self._write(f"{printable(self._stage)}: done in {now - self._stage_at:.1f} s\n")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def step_text(step: Step, elapsed_s: float) -> str:
    """Return 'stage  done/total unit  note  time' of one step."""
    if step.total:
        count = f"{step.done:,}/{step.total:,} {step.unit}".strip() + f" ({min(step.done / step.total, 1.0):.0%})"
    else:
        count = f"{step.done:,} {step.unit}"
    parts = [printable(step.stage), count.strip(), printable(step.note), f"{elapsed_s:.0f} s"]
    return "  ".join(part for part in parts if part)


def _bar(step: Step) -> str:
    if not step.total:
        return "[" + "." * BAR + "]"
    filled = round(BAR * min(max(step.done / step.total, 0.0), 1.0))
    return "[" + "#" * filled + "." * (BAR - filled) + "]"


def clipped(text: str, columns: int) -> str:
    """Return `text` cut to `columns` columns."""
    if display_width(text) <= columns:
        return text
    start, left = "", columns - 3
    for c in text:
        left -= display_width(c)
        if left < 0:
            break
        start += c
    return start + "..."


def display_width(text: str) -> int:
    """Return the terminal columns of `text`: two for wide East Asian characters, none for combining marks."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table_text(head: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] | None = None) -> str:
    """Return plain aligned text of a table; columns in `right` (default: those with numbers only) align right.

    >>> print(table_text(["track", "score"], [["a", 1.5], ["bb", 22.25]]))
    track   score
    -----  ------
    a       1.500
    bb     22.250
    """
    cells = [[cell_text(value) for value in row] for row in rows]
    widths = [max(display_width(line[i]) for line in [list(head), *cells]) for i in range(len(head))]
    if right is None:
        right = [i for i in range(len(head)) if rows and all(_numeric(row[i]) for row in rows)]
    lines = [_line(head, widths, right), "  ".join("-" * width for width in widths)]
    return "\n".join([*lines, *(_line(row, widths, right) for row in cells)])


def cell_text(value: Any) -> str:
    """Return a cell: floats with three decimals, integers with separators, None as '-'."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else printable(str(value))


def _numeric(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    parts = []
    for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - display_width(cell))
        parts.append(space + cell if i in right else cell + space)
    return "  ".join(parts).rstrip()

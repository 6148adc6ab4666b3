"""The bytes of a text file, plain or gzip, in blocks of whole lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from segue.errors import InputError

BLOCK_BYTES: Final = 1 << 23
"""Text parsed at once: 8 MiB. Larger blocks cost fresh memory pages each (32 MiB: twice the time of reading)."""
_NEWLINE: Final = 10
_GZIP_MAGIC: Final = b"\x1f\x8b"


def first_line(path: Path) -> bytes:
    """Return the first line of `path`, without its newline."""
    with _opened(path) as handle:
        if not _is_packed(handle):
            return handle.readline().rstrip(b"\n")
        head = b""
        for part in _inflated(iter(lambda: handle.read(1 << 16), b""), path):
            head += part
            if b"\n" in part:
                break
        return head.partition(b"\n")[0]


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the bytes of `path` below its first line in blocks that end with a whole line; the last may lack its
    newline."""
    with _opened(path) as handle:
        if _is_packed(handle):
            yield from _cut_at_lines(_inflated(iter(lambda: handle.read(1 << 20), b""), path))
            return
        handle.readline()
        while data := _read_lines(handle):
            yield data


def lines_at(path: Path, lines: NDArray[np.int64]) -> dict[int, bytes]:
    """Return the text of the given lines of `path` (its first is line 1), without their newlines."""
    wanted, found, first = np.unique(lines), dict[int, bytes](), 2
    for data in whole_lines(path):
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
        starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
        ends = np.append(ends, len(data))
        low, high = np.searchsorted(wanted, (first, first + len(starts) - data.endswith(b"\n")))
        for line in wanted[low:high].tolist():
            found[line] = data[starts[line - first] : ends[line - first]].rstrip(b"\r")
        first += len(starts) - data.endswith(b"\n")
    return found


def _read_lines(handle: BinaryIO) -> bytes:
    """Return the next block, read at once: its end is sought first, so that nothing is copied."""
    start = handle.tell()
    handle.seek(start + BLOCK_BYTES - 1)
    handle.readline()
    end = handle.tell()
    handle.seek(start)
    return handle.read(end - start)


def _cut_at_lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what stands below the first line, in blocks of whole lines."""
    rest: list[bytes] = []
    size, headed = 0, False
    for part in parts:
        rest.append(part)
        size += len(part)
        if size < BLOCK_BYTES:
            continue
        data = b"".join(rest)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield data[data.find(b"\n") + 1 : cut] if not headed else data[:cut]
            headed = True
        rest, size = [data[cut:]], len(data) - cut
    last = b"".join(rest)
    yield last if headed else last.partition(b"\n")[2]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as handle:
            yield handle
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); name a log file") from error


def _is_packed(handle: BinaryIO) -> bool:
    """Return whether the file is gzip (told by its first bytes, not its name)."""
    packed = handle.read(2) == _GZIP_MAGIC
    handle.seek(0)
    return packed


def _inflated(parts: Iterator[bytes], path: Path) -> Iterator[bytes]:
    machine = zlib.decompressobj(31)
    fresh = True
    try:
        for part in parts:
            while part:
                yield machine.decompress(part)
                fresh = machine.eof
                part = machine.unused_data
                if fresh:
                    machine = zlib.decompressobj(31)
    except zlib.error as error:
        raise InputError(f"{path}: the compressed file is damaged ({error}); fetch it again") from error
    if not fresh:
        raise InputError(f"{path}: the compressed file ends early; fetch it again")

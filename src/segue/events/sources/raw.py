"""The bytes of a text file, plain or gzip, in blocks of whole lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from segue.errors import InputError

BLOCK_BYTES: Final = 1 << 25
"""Text parsed at once: 32 MiB keeps two cores busy and memory small."""
_GZIP_MAGIC: Final = b"\x1f\x8b"


def first_line(path: Path) -> bytes:
    """Return the first line of `path`, without its newline."""
    head = b""
    for part in _stream(path, 1 << 16):
        head += part
        if b"\n" in part:
            break
    return head.partition(b"\n")[0]


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the bytes of `path` in blocks that end with a whole line; the last may lack its newline."""
    rest: list[bytes] = []
    size = 0
    for part in _stream(path):
        rest.append(part)
        size += len(part)
        if size < BLOCK_BYTES:
            continue
        data = b"".join(rest)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield data[:cut]
        rest, size = [data[cut:]], len(data) - cut
    if size:
        yield b"".join(rest)


def _stream(path: Path, size: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of `path`, decompressed where it is gzip (told by its first bytes, not its name).

    Raises:
        InputError: unreadable, or a compressed file that is damaged or ends early (rows would be lost unseen).
    """
    try:
        with path.open("rb") as handle:
            packed = handle.read(2) == _GZIP_MAGIC
            handle.seek(0)
            if not packed:
                while data := handle.read(size or BLOCK_BYTES):
                    yield data
                return
            yield from _inflated(iter(lambda: handle.read(1 << 20), b""), path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); name a log file") from error


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

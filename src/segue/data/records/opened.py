"""The decompressed bytes of a file; the compression is detected from the first bytes, not from the name."""

from __future__ import annotations

import bz2
import io
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segue.data.records.member import COPIED_BYTES, DAMAGE, Member, opened_archive
from segue.errors import InputError, SegueError

_NESTING: Final = 3
"""Nested compressions that are undone, plus one."""
_BUFFER: Final = 1 << 17
_NO_TEXT: Final = {
    b"\x1f\x9d": "a file of compress (.Z)",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x04\x22\x4d\x18": "an LZ4 file",
}
"""First bytes of unsupported formats."""


@dataclass(frozen=True)
class _Packing:
    name: str
    magic: bytes
    stream: Callable[[], Any]
    """Returns a decompressor of one stream (a gzip member, a zstd frame, ...): `decompress`, `eof`, `unused_data`."""
    piece: int
    """Packed bytes decompressed at once: fewer for formats that expand more, to bound memory."""


def _zstd_stream() -> Any:
    try:
        import zstandard
    except ImportError:
        raise InputError("zstd files need the package zstandard; pip install zstandard") from None
    return zstandard.ZstdDecompressor().decompressobj()


_PACKINGS: Final = (
    _Packing("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(31), 1 << 16),
    _Packing("bzip2", b"BZh", bz2.BZ2Decompressor, 1 << 13),
    _Packing("xz", b"\xfd7zXZ\x00", lzma.LZMADecompressor, 1 << 14),
    _Packing("zstd", b"\x28\xb5\x2f\xfd", _zstd_stream, 1 << 12),
)
_BAD_DATA: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
"""What decompressors raise on damaged data."""


@contextmanager
def opened(member: Member) -> Iterator[io.BufferedReader]:
    """Return the bytes of a file, decompressed from gzip, bzip2, xz and zstd, also inside a zip.

    Raises:
        InputError: (also while reading) the file cannot be read, or is damaged or cut short.
    """
    with ExitStack() as stack:
        yield _unpacked(_plain(member, stack), member.name)


def _plain(member: Member, stack: ExitStack) -> io.BufferedReader:
    try:
        if member.inside is None:
            return stack.enter_context(member.path.open("rb"))
        archive = stack.enter_context(opened_archive(member.path, member.within))
        entry = stack.enter_context(archive.open(member.inside))
        return io.BufferedReader(_Chunks(_entry_chunks(entry, member.name)), _BUFFER)
    except DAMAGE as error:
        raise InputError(f"{member.path}: {member.name} cannot be unpacked ({error}); download it again") from error
    except OSError as error:
        raise InputError(f"{member.name} cannot be read ({error.strerror or error}); name a log file") from error


def _unpacked(handle: io.BufferedReader, name: str) -> io.BufferedReader:
    for _ in range(_NESTING):
        head = handle.peek(8)[:8]
        for magic, kind in _NO_TEXT.items():
            if head.startswith(magic):
                raise InputError(f"{name} is {kind}, which is not supported; unpack it and name its content")
        packing = next((packing for packing in _PACKINGS if head.startswith(packing.magic)), None)
        if packing is None:
            return handle
        handle = io.BufferedReader(_Chunks(_unpacked_chunks(handle, packing, name)), _BUFFER)
    raise InputError(f"{name} is compressed more than {_NESTING - 1} times; unpack it and name its content")


class _Chunks(io.RawIOBase):
    """The bytes of an iterator as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._bytes = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._bytes:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._bytes = memoryview(chunk)
        size = min(len(buffer), len(self._bytes))
        buffer[:size] = self._bytes[:size]
        self._bytes = self._bytes[size:]
        return size


def _entry_chunks(entry: Any, name: str) -> Iterator[bytes]:
    """Yield the bytes of a file of an archive; damage is an InputError."""
    try:
        while data := entry.read(_BUFFER):
            yield data
    except _BAD_DATA as error:
        raise _damaged(name, "archive", error) from error


def _unpacked_chunks(handle: io.BufferedReader, packing: _Packing, name: str) -> Iterator[bytes]:
    """Yield the decompressed bytes of consecutive streams, which zeros may separate."""
    stream, begins, packed = packing.stream(), True, b""
    while packed := packed or handle.read(packing.piece):
        if begins and not (packed := packed.lstrip(b"\0")):
            continue
        try:
            yield stream.decompress(packed)
        except Exception as error:
            if not isinstance(error, _BAD_DATA) and type(error).__name__ != "ZstdError":  # zstandard may be missing
                raise
            raise _damaged(name, packing.name + " file", error) from error
        begins, packed = stream.eof, stream.unused_data if stream.eof else b""
        stream = packing.stream() if stream.eof else stream
    if not begins:
        raise InputError(f"{name}: the {packing.name} file ends early; download it again")


def _damaged(name: str, kind: str, error: Exception) -> InputError:
    return InputError(f"{name}: the {kind} is damaged ({error}); download it again")


@contextmanager
def on_disk(member: Member, *magics: bytes) -> Iterator[Path]:
    """Return the path of the decompressed bytes of `member`: the file itself if it begins with one of `magics`.

    Raises:
        InputError: the file cannot be read.
        SegueError: the disk has no room for the decompressed bytes.
    """
    if member.inside is None:
        with member.path.open("rb") as plain:
            if plain.read(max(map(len, magics))).startswith(magics):
                yield member.path
                return
    with tempfile.TemporaryDirectory(prefix="segue-") as folder:
        path = Path(folder, "unpacked")
        with opened(member) as handle, path.open("wb") as spilled:
            try:
                shutil.copyfileobj(handle, spilled, COPIED_BYTES)
            except OSError as error:
                raise SegueError(
                    f"{member.name} cannot be unpacked into {folder} ({error.strerror or error}); unpack it yourself, "
                    "or set TMPDIR to a folder with more space"
                ) from error
        yield path

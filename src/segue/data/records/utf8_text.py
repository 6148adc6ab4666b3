"""Bytes of a text file as UTF-8, from any Unicode encoding."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import SEEK_CUR, BufferedReader
from typing import Final

from segue.errors import InputError

UTF8_MARK: Final = codecs.BOM_UTF8
_MARKS: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_PROBED: Final = 1 << 12
_REST: Final = 1 << 16
_NUL_SHARE: Final = 0.6
"""Least share of NUL among the high bytes of UTF-16 text in Latin letters, digits and separators."""


def utf8_chunks(handle: BufferedReader, name: str, size: int) -> Iterator[bytes]:
    """Yield the text of `handle` as UTF-8 without its byte-order mark, about `size` bytes at once.

    Raises:
        InputError: text marked as UTF-16 that is not.
    """
    head = handle.read(max(size, _PROBED))
    if head.startswith(UTF8_MARK):
        head = head[len(UTF8_MARK) :]
    elif encoding := _utf16(head):
        yield from _transcoded(head[2 * (head[:2] in _MARKS) :], handle, (name, encoding), size)
        return
    while head:
        yield head if head.endswith(b"\n") else head + handle.readline(_REST)  # cutting whole lines needs no copy
        head = _whole_lines(handle, size) if handle.seekable() else handle.read(size)


def _whole_lines(handle: BufferedReader, size: int) -> bytes:
    """Return about `size` bytes of a file, up to the end of a line."""
    begin = handle.tell()
    handle.seek(size, SEEK_CUR)
    size += len(handle.readline(_REST))
    handle.seek(begin)
    return handle.read(size)


def _utf16(head: bytes) -> str | None:
    """Return the UTF-16 encoding of the bytes, by their mark or by their NUL bytes; None if they are not UTF-16."""
    if head[:2] in _MARKS:
        return _MARKS[head[:2]]
    probe = head[: min(len(head), _PROBED) // 2 * 2]
    if len(probe) < 4:
        return None
    even, odd = (probe[first::2].count(0) * 2 / len(probe) for first in (0, 1))
    if odd >= _NUL_SHARE and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even >= _NUL_SHARE and odd == 0 else None


def _transcoded(head: bytes, handle: BufferedReader, source: tuple[str, str], size: int) -> Iterator[bytes]:
    name, encoding = source
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    while True:
        try:
            text = decoder.decode(head, final=not head)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}: not {encoding.upper()} near byte {read + error.start} ({error.reason}); save it as UTF-8"
            ) from error
        if text:
            yield text.encode("utf-8")
        if not head:
            return
        read += len(head)
        head = handle.read(size)

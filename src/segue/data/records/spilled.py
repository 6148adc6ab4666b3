"""A file on disk for readers that seek: the file itself, or its unpacked bytes in a temporary one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from segue.data.records.member import Member
from segue.data.records.opened import opened
from segue.errors import SegueError

_PIECE: Final = 1 << 22


@contextmanager
def on_disk(member: Member, magic: bytes) -> Iterator[Path]:
    """Return a path with the unpacked bytes of `member`: its own where it begins with `magic` as it is.

    Raises:
        InputError: the file cannot be read.
        SegueError: there is no room for its unpacked bytes.
    """
    if member.inside is None:
        with member.path.open("rb") as plain:
            if plain.read(len(magic)) == magic:
                yield member.path
                return
    with tempfile.TemporaryDirectory(prefix="segue-") as folder:
        path = Path(folder, "unpacked")
        with opened(member) as handle, path.open("wb") as spilled:
            try:
                shutil.copyfileobj(handle, spilled, _PIECE)
            except OSError as error:
                raise SegueError(
                    f"{member.name} cannot be unpacked into {folder} ({error.strerror or error}); unpack it yourself, "
                    "or set TMPDIR to a folder with room"
                ) from error
        yield path

"""Zip archives, also nested ones."""

from __future__ import annotations

import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises on an archive that is damaged, cut short, or packed by an unsupported method."""
_IN_MEMORY: Final = 1 << 26
"""Bytes of a nested archive held in memory; a larger one goes to a temporary file."""
_PIECE: Final = 1 << 22


@contextmanager
def opened_archive(path: Path, within: tuple[str, ...]) -> Iterator[zipfile.ZipFile]:
    """Return the archive at `path`, or the nested one that the archive names in `within` lead to.

    Raises:
        OSError, or one of DAMAGE.
    """
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))
        for name in within:
            spilled = stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="segue-"))
            with archive.open(name) as packed:
                shutil.copyfileobj(packed, spilled, _PIECE)
            archive = stack.enter_context(zipfile.ZipFile(spilled))
        yield archive

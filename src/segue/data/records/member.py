"""The files of a log: single files, those of a folder, and those of an archive."""

from __future__ import annotations

import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from segue.errors import InputError

MAX_BYTES: Final = 64 << 30
"""Most unpacked bytes of one file of an archive."""
MAX_RATIO: Final = 1000
"""Largest ratio of unpacked to packed bytes; deflate reaches 1,032 on zeros."""
SMALL_BYTES: Final = 1 << 30
"""A file of an archive with at most this many unpacked bytes may have any ratio."""
MAX_DEPTH: Final = 3
"""Largest depth of nested archives."""
MAX_ARCHIVES: Final = 100
"""Most archives inside one archive; each is unpacked."""
SMALL_ARCHIVE: Final = 1 << 26
"""Bytes; a larger nested archive may unpack to at most MAX_ARCHIVE_RATIO times its packed bytes."""
MAX_ARCHIVE_RATIO: Final = 20
"""Packed data hardly shrinks when it is packed again."""
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
COPIED_BYTES: Final = 1 << 22
"""Bytes copied to disk at once."""
_ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_HIDDEN_LOG: Final = ".scrobbler"
"""Logs of portable players are hidden files by their usual name."""
_ENCRYPTED: Final = 0x1
_WORKBOOK: Final = "xl/workbook.xml"


@dataclass(frozen=True)
class Member:
    """One file of a log."""

    name: str
    """Path below the named folder or archive, with '/' ('MyData/endsong_0.json'); for messages and recognition."""
    path: Path
    """The file, or the archive that contains it."""
    inside: str | None = None
    """Name within the archive; None = the file itself."""
    within: tuple[str, ...] = ()
    """Names of the nested archives that lead to the file, outermost first."""


def find_members(paths: Sequence[str | Path]) -> list[Member]:
    """Return the files that `paths` name: a file, those below a folder, or those of a zip archive.

    A path is literal: '[', ']' and '*' are plain characters. Files of a folder and of an archive are in name order,
    without hidden ones (except .scrobbler.log) and those of `__MACOSX`. Archives below a folder and nested .zip
    archives are expanded. A workbook (.xlsx) is one file.

    Raises:
        InputError: no such path, no file below it, or an archive that is damaged, encrypted or too large.
    """
    return [member for path in paths for member in _members_of(Path(path))]


def _members_of(path: Path) -> list[Member]:
    try:
        if path.is_dir():
            members = [member for name, file in _files_below(path) for member in _file_members(file, name, name + "/")]
            if not members:
                raise InputError(f"{path} has no files; name a folder with a log")
            return members
        if not path.exists():
            raise InputError(f"{path} does not exist; name a log file, a folder or a zip archive")
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; save its content to a file and name that")
        return _file_members(path, path.name, "")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); name a log file") from error


def _files_below(folder: Path) -> list[tuple[str, Path]]:
    """Return `(name below the folder, path)` of each file, in the order of names."""
    shown = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_shown(name)]
        for name in filter(_is_shown, files):
            path = Path(parent, name)
            if path.is_file():
                shown.append((path.relative_to(folder).as_posix(), path))
    return sorted(shown)


def _is_shown(name: str) -> bool:
    hidden = name.startswith(".") and not name.startswith(_HIDDEN_LOG)
    return not hidden and name != "__MACOSX"


def _file_members(path: Path, name: str, prefix: str) -> list[Member]:
    """Return the file, or the files of an archive with `prefix` before their names."""
    with path.open("rb") as handle:
        packed = handle.read(4) in _ZIP_MAGIC
    if not packed:
        return [Member(name, path)]
    try:
        members = _archive_members(Member(prefix, path), [])
    except DAMAGE as error:
        raise InputError(f"{path}: the zip archive is damaged or cut short ({error}); download it again") from error
    if members is None:
        return [Member(name, path)]
    if not members:
        raise InputError(f"{path} is an archive without files; name one with a log")
    return members


def _archive_members(archive_member: Member, archives: list[str]) -> list[Member] | None:
    """Return the files of an archive and of the archives in it; None for a workbook.

    `archive_member` gives the prefix of their names, the outermost archive and the path `within` it. The names of
    nested archives are added to `archives`.
    """
    members = list[Member]()
    with opened_archive(archive_member.path, archive_member.within) as archive:
        entries = archive.infolist()
        if any(entry.filename == _WORKBOOK for entry in entries):
            return None
        for entry in _shown_entries(entries, archive_member.path):
            name, path, inner = entry.filename, archive_member.name + entry.filename, None
            if name.lower().endswith(".zip") and archive.open(name).read(4) in _ZIP_MAGIC:
                _check_archive(entry, archive_member, archives)
                within = (*archive_member.within, name)
                inner = _archive_members(replace(archive_member, name=f"{path}/", within=within), archives)
            members += [replace(archive_member, name=path, inside=name)] if inner is None else inner
    return members


def _shown_entries(entries: list[zipfile.ZipInfo], path: Path) -> Iterator[zipfile.ZipInfo]:
    """Yield the files of an archive in name order; of two with one name the last, as in unpacking."""
    by_name = {entry.filename: entry for entry in entries if not entry.is_dir()}
    for name in sorted(by_name):
        parts = [part for part in PurePosixPath(name).parts if part != ".."]
        if parts and all(map(_is_shown, parts)):
            _check_entry(by_name[name], path)
            yield by_name[name]


def _check_archive(entry: zipfile.ZipInfo, outer: Member, archives: list[str]) -> None:
    """Add a nested archive to `archives`; refuse it if it is too deep or too large."""
    archives.append(entry.filename)
    size, packed = entry.file_size, max(entry.compress_size, 1)
    too_deep = f"archives inside one another more than {MAX_DEPTH} deep" if len(outer.within) == MAX_DEPTH else ""
    too_many = f"more than {MAX_ARCHIVES} archives" if len(archives) > MAX_ARCHIVES else ""
    swollen = size > SMALL_ARCHIVE and size > MAX_ARCHIVE_RATIO * packed
    too_large = f"an archive that would unpack from {packed:,} to {size:,} bytes" if swollen else ""
    if what := too_deep or too_many or too_large:
        raise InputError(
            f"{outer.path} contains {what} ({outer.name}{entry.filename}); unpack it yourself if you trust it, and "
            "name the folder"
        )


def _check_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise InputError(f"{path}: {entry.filename} is encrypted; unpack the archive with its password and name that")
    size, packed = entry.file_size, max(entry.compress_size, 1)
    if size > MAX_BYTES or (size > SMALL_BYTES and size > MAX_RATIO * packed):
        raise InputError(
            f"{path}: {entry.filename} would unpack from {packed:,} to {size:,} bytes, too many for a log; "
            "unpack it yourself if you trust it, and name the unpacked file"
        )


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
                shutil.copyfileobj(packed, spilled, COPIED_BYTES)
            archive = stack.enter_context(zipfile.ZipFile(spilled))
        yield archive

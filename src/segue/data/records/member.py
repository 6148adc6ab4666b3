"""The files of a log: themselves, those of a folder, and those of an archive."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from segue.data.records.archive import DAMAGE, opened_archive
from segue.errors import InputError

MAX_BYTES: Final = 64 << 30
"""Unpacked bytes of one file of an archive, at most."""
MAX_RATIO: Final = 1000
"""Unpacked to packed bytes, at most; deflate reaches 1,032 on zeros alone."""
SMALL_BYTES: Final = 1 << 30
"""A file of an archive that unpacks to no more may have any ratio."""
MAX_DEPTH: Final = 3
"""Archives inside an archive, one in the other, at most."""
MAX_ARCHIVES: Final = 100
"""Archives inside one archive, at most; each is unpacked to be looked into."""
SMALL_ARCHIVE: Final = 1 << 26
"""Bytes; a larger archive inside another may unpack to no more than MAX_ARCHIVE_RATIO times its packed bytes."""
MAX_ARCHIVE_RATIO: Final = 20
"""What is packed already packs little more."""
_ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_HIDDEN_LOG: Final = ".scrobbler"
"""How the logs of portable players begin: hidden by their usual name."""
_ENCRYPTED: Final = 0x1
_WORKBOOK: Final = "xl/workbook.xml"


@dataclass(frozen=True)
class Member:
    """One file of a log."""

    name: str
    """For messages and for recognising: the path below what was named, with '/' ('MyData/endsong_0.json')."""
    path: Path
    """The file, or the archive that holds it."""
    inside: str | None = None
    """Name within the archive; None = the file itself."""
    within: tuple[str, ...] = ()
    """Names of the archives inside the archive that lead to the one that holds it, the outermost first."""


def find_members(paths: Sequence[str | Path]) -> list[Member]:
    """Return the files that `paths` name: a file, those below a folder, or those of a zip archive.

    A path is literal: '[', ']' and '*' are plain characters. Files of a folder and of an archive come in name order;
    hidden ones (but .scrobbler.log) and those of `__MACOSX` are left out. An archive below a folder gives its
    files, too, and so does one inside an archive that is called .zip. A workbook (.xlsx) is one file.

    Raises:
        InputError: no such path, nothing below it, or an archive that is damaged, encrypted or too large.
    """
    return [member for path in paths for member in _members_of(Path(path))]


def _members_of(path: Path) -> list[Member]:
    try:
        if path.is_dir():
            members = [member for name, file in _files_below(path) for member in _file_members(file, name, name + "/")]
            if not members:
                raise InputError(f"{path} holds no file; name a folder that holds a log")
            return members
        if not path.exists():
            raise InputError(f"{path} does not exist; name a log file, a folder or a zip archive")
        if not path.is_file():
            raise InputError(f"{path} is no regular file; save what it gives to a file and name that")
        return _file_members(path, path.name, "")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); name a log file") from error


def _files_below(folder: Path) -> list[tuple[str, Path]]:
    """Return `(name below the folder, path)` of each file, in the order of names."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_shown(name)]
        for name in filter(_is_shown, files):
            path = Path(place, name)
            if path.is_file():
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)


def _is_shown(name: str) -> bool:
    hidden = name.startswith(".") and not name.startswith(_HIDDEN_LOG)
    return not hidden and name != "__MACOSX"


def _file_members(path: Path, name: str, prefix: str) -> list[Member]:
    """Return the file itself, or the files of the archive that it is, their names led by `prefix`."""
    with path.open("rb") as handle:
        packed = handle.read(4) in _ZIP_MAGIC
    if not packed:
        return [Member(name, path)]
    try:
        members = _archive_members(Member(prefix, path), [])
    except DAMAGE as error:
        raise InputError(f"{path}: the zip archive is damaged or cut short ({error}); fetch it again") from error
    if members is None:
        return [Member(name, path)]
    if not members:
        raise InputError(f"{path} is an archive that holds no file; name one that holds a log")
    return members


def _archive_members(place: Member, archives: list[str]) -> list[Member] | None:
    """Return the files of an archive, and of those inside it; None where it is a workbook.

    `place`: the prefix of their names, the outermost archive, and the way `within` it. `archives` inside it that were
    looked into are added.
    """
    members = list[Member]()
    with opened_archive(place.path, place.within) as archive:
        entries = archive.infolist()
        if any(entry.filename == _WORKBOOK for entry in entries):
            return None
        for entry in _shown_entries(entries, place.path):
            name, inner = entry.filename, None
            if name.lower().endswith(".zip") and archive.open(name).read(4) in _ZIP_MAGIC:
                _check_archive(entry, place, archives)
                within = (*place.within, name)
                inner = _archive_members(replace(place, name=f"{place.name}{name}/", within=within), archives)
            members += [replace(place, name=place.name + name, inside=name)] if inner is None else inner
    return members


def _shown_entries(entries: list[zipfile.ZipInfo], path: Path) -> Iterator[zipfile.ZipInfo]:
    """Yield the files of an archive in name order; of two with one name the last, as unpacking would leave."""
    by_name = {entry.filename: entry for entry in entries if not entry.is_dir()}
    for name in sorted(by_name):
        parts = [part for part in PurePosixPath(name).parts if part != ".."]
        if parts and all(map(_is_shown, parts)):
            _check_entry(by_name[name], path)
            yield by_name[name]


def _check_archive(entry: zipfile.ZipInfo, place: Member, archives: list[str]) -> None:
    """Refuse an archive inside another that would take too long to look into; note it in `archives`."""
    archives.append(entry.filename)
    size, packed = entry.file_size, max(entry.compress_size, 1)
    too_deep = f"archives inside one another more than {MAX_DEPTH} deep" if len(place.within) == MAX_DEPTH else ""
    too_many = f"more than {MAX_ARCHIVES} archives" if len(archives) > MAX_ARCHIVES else ""
    swollen = size > SMALL_ARCHIVE and size > MAX_ARCHIVE_RATIO * packed
    too_large = f"an archive that would unpack from {packed:,} to {size:,} bytes" if swollen else ""
    if what := too_deep or too_many or too_large:
        raise InputError(
            f"{place.path} holds {what} ({place.name}{entry.filename}); unpack it yourself if you trust it, and name "
            "the folder"
        )


def _check_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise InputError(f"{path}: {entry.filename} is encrypted; unpack the archive with its password and name that")
    size, packed = entry.file_size, max(entry.compress_size, 1)
    if size > MAX_BYTES or (size > SMALL_BYTES and size > MAX_RATIO * packed):
        raise InputError(
            f"{path}: {entry.filename} would unpack from {packed:,} to {size:,} bytes, which no log does; "
            "unpack it yourself if you trust it, and name the unpacked file"
        )

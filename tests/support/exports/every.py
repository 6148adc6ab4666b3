"""The exports of every source: who writes them, and their files as they are read one by one."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from segue.data.sources import TITLES, source_of

_MODULES = {"30music": "thirty_music"}
"""Where a name is no name of a module."""


@dataclass(frozen=True)
class Original:
    """One file of an export, whole and true."""

    source: str
    """Name of the source that reads it."""
    name: str
    """Of the file, without folders."""
    data: bytes


def export(name: str) -> ModuleType:
    """Return the module that writes an export of a source."""
    return import_module(f"support.exports.{_MODULES.get(name, name.replace('-', '_'))}")


def written(name: str, folder: Path) -> Path:
    """Return an export of a source, written below `folder`."""
    (folder / "log").mkdir()
    path: Path = export(name).write(folder / "log")
    return path


@cache
def originals(source: str) -> tuple[Original, ...]:
    """Return every file that a source reads of its exports in all their forms, the smallest first; an archive counts
    as a file, and so does each file inside it."""
    found: dict[Original, None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, write in enumerate(_writers(source)):
            place = Path(folder, str(number))
            place.mkdir()
            found |= dict.fromkeys(_files(source, write(place)))
    return tuple(sorted(found, key=lambda original: (len(original.data), original.name)))


def smallest(source: str) -> Original:
    """Return the smallest file that a source reads, archives left out."""
    return next(original for original in originals(source) if not original.name.endswith(".zip"))


@cache
def every_original() -> tuple[Original, ...]:
    """Return the files of every source."""
    return tuple(original for source in TITLES for original in originals(source))


def _writers(source: str) -> list[Callable[[Path], Path]]:
    module = export(source)
    names = sorted(name for name in vars(module) if name.startswith("write"))
    return [vars(module)[name] for name in names if vars(module)[name].__module__ == module.__name__]


def _files(source: str, path: Path) -> Iterator[Original]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and _is_read(source, file.relative_to(path).as_posix()):
                yield Original(source, file.name, file.read_bytes())
        return
    data = path.read_bytes()
    yield Original(source, path.name, data)
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if _is_read(source, name):
                    yield Original(source, Path(name).name, archive.read(name))


def _is_read(source: str, name: str) -> bool:
    names = (name.lower(), name.rsplit("/", 1)[-1].lower())
    return any(fnmatch(each, pattern.lower()) for pattern in source_of(source).files for each in names)

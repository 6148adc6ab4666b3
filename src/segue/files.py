"""Writes files and folders whole or not at all, reads JSON, and checks names in manifests."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from segue.errors import FormatError, InputError

_ANYWHERE: Final = -100
"""AT_FDCWD: a name is relative to the working directory."""
_EXCHANGE: Final = 2
"""RENAME_EXCHANGE."""
_YOUNG_S: Final = 60
"""A temporary folder younger than this may not be locked yet."""


def sync_folder(folder: Path) -> None:
    """Sync the names in `folder`: only then is a renamed file durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replaced_folder(path: Path, *, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success its files are synced and it is renamed to `path`.

    An existing `path` is refused unless it is empty, or `overwrite` is set and it contains the file `marker`.
    The old folder is removed only after the new one is complete.

    Raises:
        InputError: `path` exists and may not be replaced.
    """
    check_replaceable(path, overwrite=overwrite, marker=marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(path, marker) as temporary:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
            else:
                sync_folder(file)
        temporary.chmod(0o755)
        _swap(temporary, path, marker)


@contextmanager
def scratch_folder(path: Path, marker: str = "") -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which is removed at the end unless it has been renamed. Temporary folders
    of killed processes are removed, too.

    `marker`: the file that marks a complete folder.
    """
    _remove_abandoned(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the process
        yield temporary
    finally:
        _remove(temporary, marker)
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary folders of `path` whose process has ended."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            if not folder.is_dir() or folder.is_symlink() or time.time() - folder.stat().st_mtime < _YOUNG_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def check_replaceable(path: Path, *, overwrite: bool, marker: str) -> None:
    """Refuse a `path` that `replaced_folder` may not write.

    Raises:
        InputError: `path` is a file, is below one, or is a folder that may not be replaced.
        PermissionError: the parent folder is not writable.
    """
    check_parent(path)
    if not path.exists():
        return
    if not path.is_dir():
        raise InputError(f"{path} is a file; name a folder to write")
    if not any(path.iterdir()):
        return
    if not overwrite:
        raise InputError(f"{path} exists already; name another folder or add --overwrite")
    if not (path / marker).is_file():
        raise InputError(f"{path} has no {marker}, so it is not ours to overwrite; remove it by hand")


def check_parent(path: Path) -> None:
    """Refuse a `path` that cannot be written: one below a file, or in a folder that is not writable.

    Raises:
        InputError, PermissionError: see there.
    """
    parent = next((folder for folder in path.absolute().parents if folder.exists()), path.absolute().parent)
    if not parent.is_dir():
        raise InputError(f"{path} cannot be written: {parent} is a file; name another path")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "no permission to write here", str(parent))


def _remove(folder: Path, marker: str) -> None:
    """Remove a folder, its marker first, so that a partly removed folder does not look complete."""
    with suppress(OSError):
        if marker:
            (folder / marker).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _swap(new: Path, path: Path, marker: str) -> None:
    """Replace `path` by `new`; `path` exists at every moment if the system can exchange two names."""
    if path.exists() and _exchanged(new, path):
        _remove(new, marker)
    elif path.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
        path.replace(old)
        new.replace(path)
        _remove(old, marker)
    else:
        new.replace(path)
    sync_folder(path.parent)


def _exchanged(first: Path, second: Path) -> bool:
    """Return whether the names of two folders were exchanged in one step (possible on Linux, on most file systems)."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = (os.fsencode(first.absolute()), os.fsencode(second.absolute()))
    return rename is not None and rename(_ANYWHERE, names[0], _ANYWHERE, names[1], _EXCHANGE) == 0


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN is refused, since JSON has none."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with replaced_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the JSON document of `path`.

    Raises:
        FormatError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FormatError(f"{path} is missing; is {path.parent} the folder you meant?") from error
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not readable JSON ({error}); the folder is damaged") from error


def read_json_object(path: Path, *keys: str) -> dict[str, Any]:
    """Return the JSON object of `path`, which has at least `keys`.

    Raises:
        FormatError: the file is missing, is not JSON, or is not such an object.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise FormatError(f"{path} is not a JSON object; the folder is damaged")
    missing = [key for key in keys if key not in document]
    if missing:
        raise FormatError(f"{path} lacks {', '.join(missing)}; the folder is damaged")
    return document


def plain_name(name: str, where: str) -> str:
    """Return `name` if it is a plain file name: no separators, no '..', not hidden.

    Raises:
        FormatError: any other name, which could be outside the folder.
    """
    allowed = all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    if not name or not allowed or name.startswith(".") or len(name) > 200:
        raise FormatError(f"{where} names {name!r}, which is not a plain file name; the manifest is not trusted")
    return name

"""The law of reading: any file gives a whole store, or an error that says what is wrong, and leaves nothing half."""

from __future__ import annotations

import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segue.data.cutting import Cutting
from segue.errors import SegueError
from segue.output import printable
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.exports.every import Original

SLOW_S: Final = 20.0
"""A small file that takes longer is taken for one that never ends."""
_CUTTING: Final = Cutting(accept=("years", "shares"))
VERBS: Final = ("auto", "named", "table", "ratings", "mssd")
"""The ways of preparing a file: recognised, as its source, and those that name no source."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file."""

    fault: str
    """What breaks the law; empty where nothing does."""
    message: str = ""
    """Of the error; empty where a store was written."""


def prepared(original: Original, verb: str, folder: Path, *, max_rejected: float = 0.5) -> Outcome:
    """Return what became of a file that is written into `folder`, which has to be empty."""
    path, store = folder / original.name, folder / "store"
    path.write_bytes(original.data)
    begun = time.monotonic()
    outcome = _judged(_verb(original, verb, max_rejected), path, store)
    if time.monotonic() - begun > SLOW_S:
        return Outcome(f"took {time.monotonic() - begun:.0f} s", outcome.message)
    return outcome


def _verb(original: Original, verb: str, max_rejected: float) -> Callable[[Path, Path], Any]:
    options: dict[str, Any] = {"max_rejected": max_rejected}
    if verb == "table":
        return lambda path, store: prepare(path, store, PrepareOptions(source="table", cutting=_CUTTING, **options))
    if verb == "ratings":
        return lambda path, store: prepare(path, store, PrepareOptions(source="ratings", **options))
    if verb == "mssd":
        return lambda path, store: prepare(path, store, PrepareOptions(source="mssd", **options))
    source = "auto" if verb == "auto" else original.source
    return lambda path, store: prepare(path, store, PrepareOptions(source=source, cutting=_CUTTING, **options))


def _judged(verb: Callable[[Path, Path], Any], path: Path, store: Path) -> Outcome:
    message = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            verb(path, store)
            Store(store).verify()
    except SegueError as error:
        message = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Polars is no Exception
        place = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in place if "segue" in frame.filename][-3:]
        return Outcome(f"{type(error).__name__}: {str(error)[:300]} at {' > '.join(ours)}")
    return Outcome(_wrong(message, path, store), message)


def _wrong(message: str, path: Path, store: Path) -> str:
    """Return what is wrong with an error's message, and with what is left behind."""
    if message and store.exists():
        return f"a store is there, although: {message}"
    if message and not any(name in message for name in (*_names(path), str(store), "--accept")):
        return f"the message names no file: {message}"
    left = {each.name for each in path.parent.iterdir()} - {path.name, store.name, f"{store.name}.rejected.csv"}
    return f"left behind: {sorted(left)}" if left else ""


def _names(path: Path) -> set[str]:
    """Return what a message may call a file: by its name, or by what it holds where it is an archive."""
    names = {path.name}
    with suppress(Exception), zipfile.ZipFile(path) as archive:
        names |= {name for entry in archive.namelist() for name in (entry, printable(entry))}
    return names - {""}

"""Output of the command: JSON without NaN, text without control codes, exit codes."""

from __future__ import annotations

import io
import json
import math
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from segue.errors import SegueError

SCHEMA_VERSION: Final = 1
"""Version of every `--json` document."""
DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


def speak_utf8() -> None:
    """Set stdout and stderr to UTF-8 in any locale; invalid bytes of file names appear as \\udcXX, valid in JSON."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def json_text(document: Mapping[str, Any], indent: int | None = None) -> str:
    """Return one JSON document with `schema_version`; NaN and infinities become null."""
    versioned = {"schema_version": SCHEMA_VERSION, **finite(document)}
    return json.dumps(versioned, ensure_ascii=False, allow_nan=False, indent=indent)


def finite(value: Any) -> Any:
    """Return `value` (nested mappings, sequences, scalars) with non-finite floats replaced by None."""
    if isinstance(value, Mapping):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def printable(text: str) -> str:
    """Return `text` with control characters, escape sequences and direction marks made visible.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(c if unicodedata.category(c)[0] != "C" else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return `text` printable, with its line breaks."""
    return "\n".join(printable(line) for line in text.split("\n"))


def failure(error: BaseException) -> tuple[str, int] | None:
    """Return the message and the exit code of an expected failure; None for a bug.

    Exit codes: 1 failed, 2 usage or bad input, 130 interrupted.
    """
    if isinstance(error, SegueError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, OSError):
        return os_message(error), FAILED
    if isinstance(error, MemoryError):
        return "out of memory; train on fewer sessions ([data] sample_sessions)", FAILED
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("segue"):
        return f"{error.name} is not installed, and this verb needs it: pip install {error.name}", FAILED
    return None


def os_message(error: OSError) -> str:
    """Return the message of the operating system with the file, in one line."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {reason}" if names else reason

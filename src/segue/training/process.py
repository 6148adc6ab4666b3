"""The process that trains: Ctrl-C between steps, and memory that the C library keeps."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Parameters of glibc's mallopt (malloc.h)."""
_MMAP_BYTES: Final = 1 << 25
"""The largest mmap threshold that glibc accepts on a 64-bit system."""
_KEPT_BYTES: Final = 1 << 30


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if Ctrl-C was pressed: a step is never cut in half.

    A second Ctrl-C interrupts at once. In a thread other than the main one, Ctrl-C is not deferred.
    """
    pending = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pending
        if pending:
            raise KeyboardInterrupt
        pending = True

    def check() -> None:
        if pending:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def keep_freed_memory() -> None:
    """Let the C library reuse freed blocks of up to 32 MB instead of returning them to the system.

    Each step allocates and frees the same few hundred MB. By default glibc returns blocks above 128 KB at once, and the
    system fills each new one with zeros. Only Linux with glibc is changed.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)

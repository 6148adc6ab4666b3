"""How the C library hands out memory while training on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Names of glibc's mallopt (malloc.h)."""
_MMAP_BYTES: Final = 1 << 25
"""The most that glibc takes on a 64-bit system; more is refused."""
_KEPT_BYTES: Final = 1 << 30


def keep_freed_memory() -> None:
    """Let freed blocks of up to 32 MB be used again instead of going back to the system.

    A step allocates and frees the same few hundred MB; glibc returns blocks above 128 KB at once, and each new one is
    filled with zeros page by page. Elsewhere than on Linux with glibc: nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)

"""What holds for every test."""

from __future__ import annotations

import signal

# A shell without job control starts a command with `&` so that it ignores Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

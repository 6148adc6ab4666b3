"""Typed errors of Segue's edges.

Every message says what is wrong, where (file, row, column) and what to do. The command line prints the
message alone and exits with `exit_code`; a traceback is a bug of ours.
"""

from __future__ import annotations


class SegueError(Exception):
    """A failure that the caller can understand and mend; `exit_code` is what the shell sees."""

    exit_code = 1


class InputError(SegueError):
    """Usage or input is wrong: a missing file, a bad column, an unknown name (exit code 2)."""

    exit_code = 2


class FormatError(InputError):
    """A file of ours is damaged, of an unknown version, or not ours at all (exit code 2)."""


class RejectedRowsError(InputError):
    """Too many rows of a log were unusable; the rows stand in the reject file (exit code 2)."""


class NonFiniteError(SegueError):
    """A loss or a score became NaN or infinite; what was saved before it is still good (exit code 1)."""


class Interrupted(SegueError):  # noqa: N818 - not a fault: the listener asked for it
    """Work was interrupted and its state is saved (exit code 130)."""

    exit_code = 130

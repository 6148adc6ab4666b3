"""Progress as a callback: the verbs report, the command line draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One report of long work: `done` of `total` units of `stage` (total None: unknown)."""

    stage: str
    done: int
    total: int | None = None
    unit: str = ""
    note: str = ""


Progress = Callable[[Step], None]
"""What a verb calls, as often as it likes; the drawer thins the calls out."""


def silent(step: Step) -> None:
    """Ignore a report (the default of every verb)."""

"""The code that a page of Markdown shows, and small logs to run it on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np

USUAL = ("user", "timestamp", "track_id", "played", "duration")
"""Usual column names, which `prepare_table` finds unasked."""
NAMED = ("user", "started_at", "track_id", "seconds_played", "seconds")
"""Column names that the shell lines of the pages name."""


def blocks(page: str, language: str) -> list[str]:
    """Return a page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def command_lines(page: str) -> list[list[str]]:
    """Return the words of every shell line of a page, comments left out."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def write_plays(path: Path, head: tuple[str, ...] = USUAL) -> None:
    """Write a log of 30 listeners: 9 plays each, unequal gaps, shares from a skip to the whole track."""
    generator = np.random.default_rng(0)
    lines = [",".join(head)]
    for user in range(30):
        for place in range(9 if user % 3 else 4):
            track, played = (user * 7 + place * generator.integers(1, 4)) % 120, generator.integers(5, 200)
            at = 1_600_000_000 + user * 86_400 + place * 200
            lines.append(f"listener {user},{at},track_{track},{played},200")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_ratings(path: Path) -> None:
    """Write ratings of 6 users, 5 each."""
    rows = [f"{user},{(user + i) % 9},{1 + (user * i) % 5},{i * 60}" for user in range(6) for i in range(5)]
    path.write_text("\n".join(["userId,movieId,rating,timestamp", *rows]) + "\n", encoding="utf-8")

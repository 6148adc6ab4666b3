"""The demo's result as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any, Final

from segue.reports.findings import findings
from segue.reports.headline import by_protocol

WIDTH: Final = 100
"""Columns of the summary."""
SHORT: Final = {"full": "HR@10 all tracks", "unheard": "HR@10 heard left out", "sampled": "HR@10 sampled"}
"""Protocols of the short table and their heads."""


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the paragraphs of the summary: data, findings, budget."""
    data = "simulated " if result["simulated"] else ""
    opening = f"{result['sessions']:,} {data}sessions, {result['tracks_seen']:,} tracks, {result['rows_read']:,} plays."
    lines = [opening, *(f"- {sentence}" for sentence in findings(result)), result["budget"]]
    return [fill(line, WIDTH, subsequent_indent="  " if line.startswith("- ") else "") for line in lines]


def number_rows(result: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Return head and rows of the short table: each model and baseline, HR@10 by protocol, delta among all tracks."""
    short_rows = []
    for name, rows in by_protocol(result["rows"]).items():
        first = rows.get("full") or next(iter(rows.values()))
        _, low, high = first["hr@10"]
        interval = "" if low is None else f"{low:.3f} to {high:.3f}"
        values = [rows[protocol]["hr@10"][0] if protocol in rows else None for protocol in SHORT]
        short_rows.append([name, *values, interval, (first.get("delta") or [None])[0]])
    return ["", *SHORT.values(), "95 % (all tracks)", "delta"], short_rows


def recommended_lists(result: Mapping[str, Any]) -> dict[str, list[list[Any]]]:
    """Return rows (rank, title, artist) of the recommended tracks, by the feedback of the last track."""
    lists = result["recommended"]
    return {
        f"Next, if the last track was {key}": [
            [rank, row.get("title") or row["track"], row.get("artist") or ""] for rank, row in enumerate(lists[key], 1)
        ]
        for key in ("listened", "skipped")
    }

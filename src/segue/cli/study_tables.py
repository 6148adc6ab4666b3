"""A study's result as plain text for a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from segue.cli.terminal import table_text
from segue.studies.tables import levels, paper_form
from segue.studies.wording import AMONG

WIDTH: Final = 100
"""Columns of the sentences."""


def study_text(result: Mapping[str, Any], report: Path) -> str:
    """Return the verdict, the levels under both protocols, and where the report is."""
    world = result["simulated"].get("world", "?") if result["simulated"] else None
    parts = [f"{result['title']}{'' if world is None else f'  (simulated data, world {world})'}"]
    for verdict in result["verdict"]:
        answer = verdict["answer"]
        text = f"- {verdict['question']} {answer[:1].upper()}{answer[1:]}. {verdict['why']}"
        parts.append(fill(text, WIDTH, subsequent_indent="  "))
    for protocol, among in AMONG.items():
        table = paper_form if result["study"] == "table1" else levels
        head, rows = table(result, protocol)
        plain = [[cell.replace("**", "") for cell in row] for row in rows]
        parts += [f"\n{among}:", table_text(head, plain)]
    return "\n".join([*parts, f"\nreport: {report}"])

"""A study's result as plain text for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, Final

from segue.cli.terminal import table_text
from segue.reports.headline import TITLE
from segue.studies.design import Design
from segue.studies.result_tables import leading, levels, paper_form, reported
from segue.studies.wording import AMONG

WIDTH: Final = 100
"""Columns of the sentences."""
SEEDS: Final = 5
"""Seeds of `segue study` where none are named."""


def study_text(result: Mapping[str, Any]) -> str:
    """Return the verdict, the levels under each protocol, and where the report is."""
    world = result["simulated"].get("world", "?") if result["simulated"] else None
    parts = [f"{result['title']}{'' if world is None else f'  (simulated data, world {world})'}"]
    for verdict in result["verdict"]:
        answer = verdict["answer"]
        text = f"- {verdict['question']} {answer[:1].upper()}{answer[1:]}. {verdict['why']}"
        parts.append(fill(text, WIDTH, subsequent_indent="  "))
    head, rows = leading(result)
    parts += [f"\n{TITLE}:", table_text(head, rows)] if rows else []
    for protocol in reported(result):
        table = paper_form if result["study"] == "table1" else levels
        head, rows = table(result, protocol)
        plain = [[cell.replace("**", "") for cell in row] for row in rows]
        parts += [f"\n{AMONG[protocol]}:", table_text(head, plain)]
    return "\n".join([*parts, f"\nreport: {result['report']}"])


def studies_text(designs: Sequence[Design]) -> str:
    """Return a line a study."""
    rows = [[one.name, str(len(one.arms)), str(one.num_trainings(SEEDS)), one.title] for one in designs]
    return table_text(["study", "arms", f"trainings at {SEEDS} seeds", "asks"], rows)


def design_text(design: Design) -> str:
    """Return the arms of a study, what is tuned, and what is compared."""
    arms = []
    for arm in design.arms:
        changes = ", ".join(f"{key}={value}" for key, value in arm.changes.items())
        arms.append([arm.name, arm.recipe, changes, "" if arm.tuned_as is None else f"as {arm.tuned_as}"])
    pairs = [[pair.arm, pair.less, pair.about, "yes" if pair.primary else ""] for pair in design.compared]
    tuned = "; ".join(f"{key} from {', '.join(map(str, values))}" for key, values in design.tuned.items())
    parts = [
        design.title,
        fill(design.question, WIDTH),
        "",
        table_text(["arm (--arm)", "recipe", "changes", "tuned"], arms),
        f"\nChosen on validation targets: {tuned}, for each arm that does not take another's." if tuned else "",
        f"Trainings at {SEEDS} seeds, those of the search included: {design.num_trainings(SEEDS)}.\n",
        table_text(["arm", "less", "about", "primary"], pairs),
    ]
    return "\n".join(parts)

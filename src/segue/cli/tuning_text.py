"""The result of `segue tune` as text for a terminal (no cyclopts here)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.cli.tables import facts_text
from segue.cli.terminal import table_text

SHOWN: Final = 15
"""Trials that the table shows: the best ones."""


def tuning_text(result: Mapping[str, Any]) -> str:
    """Return the best trials as a table, what decided, the command that trains the best; simulated is named first."""
    names = [dimension["name"] for dimension in result["search"]["space"]]
    ordered = sorted(result["trials"], key=_standing)
    head = ["trial", *names, "HR@10", "epoch", "epochs", "state", "s"]
    rows = [_row(trial, names) for trial in ordered[:SHOWN]]
    table = table_text(head, rows, right=[i for i in range(len(head)) if head[i] != "state"])
    left_out = len(ordered) - SHOWN
    parts = [_opening(result), table + (f"\n... and {left_out} more in result.json" if left_out > 0 else "")]
    importance = result["importance"]
    if importance["values"]:
        parts.append(f"Importance ({importance['method']})\n{facts_text(importance['values'])}")
    parts += ["\n".join(f"- {note}" for note in result["notes"])] if result["notes"] else []
    best = result["best"]
    if best is not None:
        parts.append(
            f"Trial {best['number']} is the best; its recipe is {best['recipe']}. To train it:\n{best['command']}"
        )
    return "\n\n".join(parts)


def _opening(result: Mapping[str, Any]) -> str:
    capped = {"finished": f" ({result['not_converged']} not converged)" if result["not_converged"] else ""}
    counts = [f"{count} {state}{capped.get(state, '')}" for state, count in result["states"].items() if count]
    text = f"{result['recipe']}: {', '.join(counts)}. Chosen on {result['chosen_on']}."
    if not result["simulated"]:
        return text
    world = result["simulated"].get("world", "unknown")
    return f"Data: simulated, world {world}. Nothing here is about real listeners.\n{text}"


def _standing(trial: Mapping[str, Any]) -> tuple[bool, float, int]:
    """Return what orders trials: the finished ones first, the higher HR@10 first."""
    value = trial["value"]
    return trial["state"] != "finished", -value if value is not None else 1.0, trial["number"]


def _row(trial: Mapping[str, Any], names: list[str]) -> list[Any]:
    """Return the cells of a trial; parameters have three significant digits."""
    points = [f"{trial['parameters'][name]:.3g}" for name in names]
    state = trial["state"] if trial["state"] != "finished" or trial["converged"] else "not converged"
    seconds = f"{trial['seconds']:.1f}"
    value = None if trial["value"] is None else f"{trial['value']:.4f}"
    return [trial["number"], *points, value, trial["best_epoch"], trial["epochs"], state, seconds]

"""Results as plain text (without cyclopts)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from segue.cli.day_tables import day_parts
from segue.cli.terminal import cell_text, table_text
from segue.reports.findings import AMONG
from segue.reports.headline import CAPTION, FORMS, TITLE, by_protocol, headline
from segue.reports.summary import WIDTH, number_rows, recommended_lists, summary_lines

INLINE: Final = 12
"""Most scalars of a list on one line; of a longer list the first values are printed."""
EVALUATED: Final = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr")
"""Metrics in the table of an evaluation."""
GROUPS: Final = {"hr@10.listened": "listened", "hr@10.skipped": "skipped", "delta": "delta"}
SEEN: Final = {"hr@10.seen": "seen in training"}
REPLAYED: Final = {"hr@10.replayed": "played before", "hr@10.new": "new to them"}
"""HR@10 of groups of targets and their heads; SEEN only if some targets have no training row, REPLAYED only where
earlier sessions of listeners are read."""
FURTHER: Final = {
    "hr@10.next-listened": "next listened HR@10",
    "pair-auc": "pair AUC",
    "log-rank.listened": "ln rank listened",
    "log-rank.skipped": "ln rank skipped",
    "skipped@1": "skipped at rank 1",
    "feedback-utility": "utility",
    "responsiveness": "responsiveness",
    "coverage@20": "coverage@20",
    "log-popularity@20": "ln popularity",
    "repeats@20": "repeats",
}
"""Further metrics and their heads in the second table."""
LISTENING: Final = {"log-loss": "log-loss", "brier": "Brier", "ece": "ECE", "auc": "AUC"}
PUBLISHED_NOTE: Final = (
    "WSDM Cup 2019: the published accuracies of that challenge, on all of its data. That is another sample than ours."
)
SHOWN_TRACKS: Final = 10
"""Recommended tracks of each list that the demo prints."""


def facts_text(facts: Mapping[str, Any]) -> str:
    """Return nested facts as indented 'name  value' lines; lists of records become tables.

    >>> print(facts_text({"rows": 1200, "rates": {"skip_1": 0.5}}))
    rows   1,200
    rates
      skip_1  0.500
    """
    return "\n".join(_lines(facts, ""))


def _lines(facts: Mapping[str, Any], indent: str) -> list[str]:
    width = max((len(str(key)) for key in facts), default=0)
    lines: list[str] = []
    for key, value in facts.items():
        if key == "schema_version" or value is None or value == {} or value == []:
            continue
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif _records(value):
            lines += [f"{indent}{key}", *(f"{indent}  {line}" for line in records_text(value).split("\n"))]
        else:
            lines.append(f"{indent}{key!s:<{width}}  {_value(value)}")
    return lines


def _flat(value: Any) -> Any:
    """Return a scalar unchanged (numbers align right), a list as text."""
    return _value(value) if isinstance(value, list | tuple) else value


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join(cell_text(part) for part in value[:INLINE])
        return shown if len(value) <= INLINE else f"{shown}, ... ({len(value):,} values)"
    return cell_text(value)


def _records(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(part, Mapping) for part in value)


def records_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as one table; the columns are the keys in order of first appearance."""
    head = list(dict.fromkeys(str(key) for record in records for key in record))
    return table_text(head, [[_flat(record.get(key)) for key in head] for record in records])


def recommendation_text(recommended: Sequence[Mapping[str, Any]]) -> str:
    """Return recommended tracks as a table: rank, track, title and artist if known, score."""
    titled = any(row.get("title") for row in recommended)
    head = ["rank", "track", *(["title", "artist"] if titled else []), "score"]
    rows = [
        [rank, row["track"], *([row.get("title") or "", row.get("artist") or ""] if titled else []), row["score"]]
        for rank, row in enumerate(recommended, 1)
    ]
    return table_text(head, rows)


def inspect_text(facts: Mapping[str, Any]) -> str:
    """Return the figures of a store, lengths as their range; simulated data is marked first."""
    lengths = [int(length) for length in facts.get("lengths", {})]
    length_range = {"lengths": f"{min(lengths)} to {max(lengths)}"} if lengths else {}
    return _named(facts) + facts_text({**facts, **length_range})


def evaluation_text(document: Mapping[str, Any]) -> str:
    """Return an evaluation as the headline and one table per protocol; simulated data is marked first."""
    counts = {key: value for key, value in document["counts"].items() if key != "strata"}
    parts = [_named(document) + facts_text(counts)]
    if "next_day" in document:
        return "\n\n".join([*parts, *day_parts(document)])
    leading, shares = headline(by_protocol(document["rows"]).items())
    if shares:
        parts.append(f"{TITLE}\n{table_text(leading, shares)}\n{fill(CAPTION, WIDTH)}")
    groups = {**GROUPS, **SEEN} if counts.get("unseen_share") else GROUPS
    if any("hr@10.replayed" in row for row in document["rows"]):
        groups = {**groups, **REPLAYED}
    head = ["", *(key.upper() for key in EVALUATED), "95 % of HR@10", *groups.values()]
    for protocol in dict.fromkeys(row["protocol"] for row in document["rows"]):
        further = [row for row in document["rows"] if row["protocol"] == protocol]
        rows = [_evaluated(row, groups) for row in further]
        losses = "".join(f"\n{_loss(row)}" for row in further if row.get("beaten_by", {}).get("hr@10"))
        parts.append(f"{protocol}{_among(protocol)}\n{table_text(head, rows, right=range(1, len(head)))}{losses}")
        keys = [key for key in FURTHER if any(key in row for row in further)]
        cells = [[row["name"], *(row.get(key, [None])[0] for key in keys)] for row in further]
        parts.append(table_text(["", *(FURTHER[key] for key in keys)], cells, right=range(1, len(keys) + 1)))
    listening = [[row["name"], *(row[key][0] for key in LISTENING)] for row in document.get("listening", [])]
    if listening:
        parts.append(f"P(listen)\n{table_text(['', *LISTENING.values()], listening, right=range(1, 5))}")
    if predicted := document.get("skip_prediction", []):
        parts.append(_skip_prediction(predicted))
    return "\n\n".join(parts)


def _skip_prediction(predicted: Sequence[Mapping[str, Any]]) -> str:
    """Return the accuracies of "will they skip?" beside the published ones."""
    rows = [[row["name"], row["mean-average-accuracy"][0], row["first-prediction-accuracy"][0]] for row in predicted]
    table = table_text(["", "mean average accuracy", "first prediction"], rows, right=range(1, 3))
    sessions, targets = predicted[0]["sessions"], predicted[0]["targets"]
    title = f"Will they skip? Second halves of {sessions:,} held-out sessions, {targets:,} tracks"
    return f"{title}\n{table}\n{fill(PUBLISHED_NOTE, WIDTH)}"


def _among(protocol: str) -> str:
    return f", among {AMONG[protocol]}" if protocol in FORMS else ""


def _evaluated(row: Mapping[str, Any], groups: Iterable[str]) -> list[Any]:
    _, low, high = row["hr@10"]
    interval = None if low is None else f"{low:.3f} to {high:.3f}"
    return [row["name"], *(row[key][0] for key in EVALUATED), interval, *(row.get(key, [None])[0] for key in groups)]


def _loss(row: Mapping[str, Any]) -> str:
    return f"{row['name']} loses to {', '.join(row['beaten_by']['hr@10'])} in HR@10."


def _named(document: Mapping[str, Any]) -> str:
    simulated = document.get("simulated")
    if not simulated:
        return ""
    world = f", world {simulated['world']}" if isinstance(simulated, Mapping) and "world" in simulated else ""
    return f"Data: simulated{world}. These numbers say nothing about real listeners.\n"


def demo_text(result: Mapping[str, Any]) -> str:
    """Return the demo's result: findings, numbers, next tracks, the path of the page."""
    head, rows = number_rows(result)
    opening, *learnt, budget = summary_lines(result)
    parts = [opening, "\n".join(learnt), table_text(head, rows, right=range(1, len(head)))]
    for title, tracks in recommended_lists(result).items():
        parts.append(f"{title}\n{table_text(['', 'title', 'artist'], tracks[:SHOWN_TRACKS])}")
    listen = f"Listen to these models, and skip: {_here(result['serve'])}"
    return "\n\n".join([*parts, budget, f"The whole report: {result['report']}", listen])


def _here(command: str) -> str:
    """Return a `segue` command as it runs from this shell, where `segue` may not be on the path."""
    ours = Path(sys.argv[0])
    if shutil.which("segue") is not None or ours.name != "segue":
        return command
    return command.replace("segue", os.path.relpath(ours), 1)

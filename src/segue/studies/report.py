"""A study's answer as Markdown and as one HTML file: the same parts in the same order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from segue.reports.headline import CAPTION, TITLE
from segue.reports.html import document, figure, section, simulated_mark, table
from segue.reports.study_figures import differences, hit_rates_by_k, training_curves
from segue.studies import result_tables
from segue.studies.wording import AMONG, CUTOFFS, HIT_RATES, OF_GROUPS, Record, chosen_by, label, validated_among

_SKIP_AWARE: Final = ("hr@10.listened", "hr@10.skipped", "log-rank.listened", "log-rank.skipped", "pair-auc")
PUBLISHED: Final = "The published table"
PUBLISHED_CAPTION: Final = (
    "Seshadri & Knees (2023), Table 1: real sessions of MSSD, sampled; another data set, so its numbers and ours are "
    "not to be compared as if they were one. The last column is about what popularity reaches there."
)
STRATA_CAPTION: Final = (
    "Seed-paired differences of HR@10 by stratum of the target; exploratory, not corrected for number. In parentheses "
    "where the pair does not count among all targets."
)
LISTENING_CAPTION: Final = (
    "How well P(listen) of the held-out track is foretold; the baselines' intervals are over sessions, the arms' over "
    "seeds. Its pair AUC asks for both held-out tracks from before both."
)
REACTION_CAPTION: Final = (
    "All tracks. Feedback utility: HR@10 less HR@10 with the last track's feedback flipped. Responsiveness: share of "
    "the top 20 near the last track if it was listened to, less if it was skipped. Intervals over seeds."
)
STAR: Final = "A star marks an arm of which a training met its epoch cap: not converged, no verdict."
READING: Final = (
    "HR@K: share of sessions whose held-out last track stands among the first K. Intervals of levels are t over seeds "
    "(baselines: bootstrap over sessions). A gain or loss is shown only where both intervals of a seed-paired "
    "difference exclude 0, and counts only where both arms beat {bar} and every training "
    "converged. Holm's correction runs over the family that was fixed beforehand. Sampled ranking can reverse the "
    "order of models: read all tracks first."
)


FIRST_BAR: Final = "popularity and first-order Markov"
BAR: Final = "popularity, Markov and ordered neighbours (tuned on validation)"
"""What arms must beat: in results whose baselines were not tuned, and in those whose were."""


def _reading(result: Record) -> str:
    return READING.format(bar=BAR if result.get("tuning_of_baselines") else FIRST_BAR)


def report_markdown(result: Record) -> str:
    """Return the report as Markdown."""
    world = f"*Simulated* (world {result['simulated'].get('world', '?')}): " if result["simulated"] else ""
    parts = [
        f"# {_plain(result['title'])}",
        world + _plain(_sizes(result)),
        _plain(result["question"]),
        "## The answer",
    ]
    parts += [
        f"- **{each['question']}** {_sentence(each['answer'])} {_plain(each['why'])}" for each in result["verdict"]
    ]
    for title, caption, rows in _tables(result):
        parts += [f"## {title}", caption, _markdown_table(*rows)]
    parts.append("## The answers in numbers")
    for verdict in result["verdict"]:
        if verdict["details"]:
            details = (f"\n- {_plain(detail)}" for detail in verdict["details"])
            parts.append(f"**{verdict['question']}**\n{''.join(details)}")
    parts += ["## How this was made", _reading(result), _made(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def report_html(result: Record) -> str:
    """Return the report as one HTML file, every text escaped."""
    mark = simulated_mark(str(result["simulated"].get("world", "?"))) if result["simulated"] else ""
    answers = "".join(_answer_html(verdict) for verdict in result["verdict"])
    opening = (
        f"<h1>{escape(result['title'])}</h1><p class='soft'>{mark}{escape(_sizes(result))}</p>"
        f"<p>{escape(result['question'])}</p><section class='learnt'><h2>The answer</h2><ul>{answers}</ul></section>"
    )
    sections = [opening, section("Figures", *_figures(result))]
    for title, caption, (head, rows) in _tables(result):
        cells = [[_bold(cell) for cell in row] for row in rows]
        marked = "" if title == PUBLISHED else mark
        sections.append(section(title, table(marked + escape(caption), [escape(name) for name in head], cells)))
    sections.append(
        section("How this was made", f"<p>{escape(_reading(result))}</p><p class='soft'>{escape(_made(result))}</p>")
    )
    return document(result["title"], sections)


def _answer_html(verdict: Record) -> str:
    details = "".join(f"<li>{escape(detail)}</li>" for detail in verdict["details"])
    return (
        f"<li><b>{escape(verdict['question'])}</b> {escape(_sentence(verdict['answer']))} "
        f"<span class='soft'>{escape(verdict['why'])}</span>"
        f"<details><summary>the numbers</summary><ul>{details}</ul></details></li>"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _tables(result: Record) -> list[tuple[str, str, result_tables.Cells]]:
    """Return title, caption and rows of each table, in the order of the report."""
    parts = [(TITLE, f"{CAPTION} {STAR}", result_tables.leading(result))]
    measured = {name: AMONG[name] for name in result_tables.reported(result)}
    if result["study"] == "table1":
        caption = "mean over seeds; in parentheses the relative increase over S-."
        parts += [
            (f"The paper's table, {name}", f"HR@K {among}, {caption} {STAR}", result_tables.paper_form(result, name))
            for name, among in measured.items()
        ]
        parts.append((PUBLISHED, PUBLISHED_CAPTION, result_tables.published()))
    for name, among in measured.items():
        caption = f"Listened and skipped targets {among}; log ranks below 0 = ranked higher than by the other arm."
        parts += [
            (f"Levels, {name}", f"The held-out last track ranked {among}. {STAR}", result_tables.levels(result, name)),
            (
                f"Differences, {name}",
                f"Seed-paired differences {among}.",
                result_tables.contrasts(result, name, (*HIT_RATES, *OF_GROUPS)),
            ),
            (f"What skips change, {name}", caption, result_tables.contrasts(result, name, _SKIP_AWARE)),
        ]
    parts += [
        ("Gains by stratum", STRATA_CAPTION, result_tables.strata(result)),
        ("P(listen)", LISTENING_CAPTION, result_tables.foretold(result)),
        ("Reaction, and what lambda changes", REACTION_CAPTION, result_tables.reaction(result)),
        ("Trainings", _budget(result), result_tables.runs(result)),
    ]
    return [part for part in parts if part[2][1]]


def _budget(result: Record) -> str:
    epochs = result["settings"].get("tuning_epochs")
    capped = f", of at most {epochs} epochs each" if epochs else ""
    budget = f"Every arm that is tuned gets the same budget: as many trainings{capped}."
    lacking = ", ".join(result.get("left_out", {}))
    return f"{budget} Left out, since the store lacks their inputs: {lacking}." if lacking else budget


def _figures(result: Record) -> list[str]:
    word = " Simulated data." if result["simulated"] else ""
    titled = {arm["title"]: arm for arm in result["arms"].values()}
    figures = [figure(hit_rates_by_k(titled, result["baselines"], CUTOFFS), f"HR by K; baselines in grey.{word}")]
    caption = f"Thick: 95 % over sessions; thin: over seeds; green gains, red losses, hollow: does not count.{word}"
    for protocol, among in AMONG.items():
        records = [
            {**record, "label": f"{label(result, record)}, {record['metric'].upper()}"}
            for record in result["contrasts"]
            if record["protocol"] == protocol and record["metric"] in ("hr@1", "hr@10", "hr@20")
        ]
        if records:
            figures.append(figure(differences(records, f"differences {among}"), caption))
    by_pair: dict[str, list[Record]] = {}
    for record in result["strata"]:
        if (record["protocol"], record["metric"]) == ("full", "hr@10") and record["difference"] is not None:
            by_pair.setdefault(label(result, record), []).append({**record, "label": record["stratum"]})
    caption = f"HR@10 {AMONG['full']} by stratum, as above.{word}"
    figures += [figure(differences(records, title), caption) for title, records in by_pair.items()]
    curves = {result["arms"][name]["title"]: curve for name, curve in result["curves"].items()}
    return [
        *figures,
        figure(
            training_curves(curves, chosen_by(result), AMONG[validated_among(result)]),
            f"Validation of each arm's first seed.{word}",
        ),
    ]


def _sizes(result: Record) -> str:
    data = result["data"]
    seeds = result["settings"]["seeds"]
    kind = data["counts"].get("split_kind")
    split = f"; split: {kind}" if kind else ""
    return f"{data['sessions']:,} sessions, {data['tracks']:,} tracks, {data['rows']:,} plays; seeds: {seeds}{split}."


def _made(result: Record) -> str:
    facts = [f"{key} {value}" for key, value in result["environment"].items() if value is not None]
    overrides = [f"{key} = {value}" for key, value in result["settings"].get("overrides", {}).items()]
    return "; ".join([f"segue study --recipe {result['study']}", *overrides, *facts]) + "."


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Return `text` on one line, with nothing that Markdown would read as HTML."""
    return re.sub(r"\s+", " ", text).replace("<", "&lt;")


def _bold(cell: str) -> str:
    """Return a cell as HTML, `**bold**` as such."""
    return re.sub(r"^\*\*(.*)\*\*$", r"<b>\1</b>", escape(cell))

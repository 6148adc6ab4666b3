"""The report as one HTML file: no script, no other host, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from segue.reports.figures import PROTOCOLS, curve_figure, hit_rate_figure
from segue.reports.findings import findings
from segue.reports.headline import CAPTION, TITLE, by_protocol, headline
from segue.reports.html import document, figure, section, simulated_mark, table

Record = Mapping[str, Any]
METRICS: Final = ("hr@1", "hr@10", "hr@20", "ndcg@10", "mrr")
READING: Final = (
    "<p class='soft'>HR@K: share of sessions whose next track is among the first K. Small print: 95 % interval, "
    "bootstrap over sessions. Delta: HR@10 if the next track was listened to, minus HR@10 if it was skipped. Sampled "
    "ranking can reverse the order of models: all tracks come first.</p>"
)
OUTCOMES: Final = {"listened": "HR@10 listened", "skipped": "HR@10 skipped", "delta": "delta"}


def report_html(result: Record) -> str:
    """Return the page of `result` (the record of `segue.verbs.demo`), as UTF-8 text."""
    simulated = "; simulated data" if result["simulated"] else ""
    sections = [
        _opening(result),
        section("The numbers", _headline(result), *(_numbers(result, protocol) for protocol in PROTOCOLS), READING),
        section(
            "Figures", figure(hit_rate_figure(result["rows"]), f"Lines are 95 % intervals over sessions{simulated}.")
        ),
        figure(curve_figure(result["curves"]), "Each epoch of both trainings."),
        section("What comes next", _recommended(result)),
        section("How this was made", _made(result)),
    ]
    return document(result["title"], sections)


def _opening(result: Record) -> str:
    learnt = "".join(f"<li>{escape(sentence)}</li>" for sentence in findings(result))
    about = f"{result['sessions']:,} sessions, {result['tracks_seen']:,} tracks, {result['rows_read']:,} plays"
    return (
        f"<h1>{escape(result['title'])}</h1><p class='soft'>{_mark(result)}{escape(about)}</p>"
        f"<section class='learnt'><h2>What was learnt</h2><ul>{learnt}</ul></section>"
    )


def _mark(result: Record) -> str:
    """Return the word *simulated* for simulated data, else ''."""
    return simulated_mark(str(result["world"])) if result["simulated"] else ""


def _headline(result: Record) -> str:
    head, rows = headline(by_protocol(result["rows"]).items())
    cells = [[escape(cell) for cell in row] for row in rows]
    return f"{table(_mark(result) + f'{TITLE}. {CAPTION}', head, cells)}" if rows else ""


def _numbers(result: Record, protocol: str) -> str:
    rows = [row for row in result["rows"] if row["protocol"] == protocol]
    if not rows:
        return ""
    keys = [key for key in (*METRICS, *OUTCOMES) if any(row.get(key) for row in rows)]
    head = "".join(f"<th class='n'>{escape(OUTCOMES.get(key, key.upper()))}</th>" for key in keys)
    body = "".join(
        f"<tr class='{escape(row['kind'])}'><td>{escape(row['name'])}</td>"
        f"{''.join(_cell(row.get(key)) for key in keys)}</tr>"
        for row in rows
    )
    caption = f"The held-out last track of each session, ranked {PROTOCOLS[protocol]}. {_mark(result)}"
    return f"<div class='wide'><table><caption>{caption}</caption><tr><th></th>{head}</tr>{body}</table></div>"


def _cell(value: Sequence[float | None] | None) -> str:
    if not value or value[0] is None:
        return "<td class='n'>-</td>"
    interval = "" if value[1] is None or value[2] is None else f"<small>{value[1]:.3f} to {value[2]:.3f}</small>"
    return f"<td class='n'>{value[0]:.3f}{interval}</td>"


def _recommended(result: Record) -> str:
    lists = result["recommended"]
    heard = "".join(f"<li>{_track(row, skipped=row['feedback'] == 'skip')}</li>" for row in lists["session"])
    columns = [f"<div><h3>The session</h3><ol>{heard}</ol></div>"]
    for key, title in (("listened", "Next, if the last track was listened to"), ("skipped", "Next, if it was skipped")):
        tracks = "".join(f"<li>{_track(row)}</li>" for row in lists[key])
        columns.append(f"<div><h3>{title}</h3><ol>{tracks}</ol></div>")
    made = "<p class='soft'>Titles and artists are invented.</p>" if result["simulated"] else ""
    return f"<p>{_mark(result)}{escape(lists['model'])}</p><div class='lists'>{''.join(columns)}</div>{made}"


def _track(row: Record, *, skipped: bool = False) -> str:
    title, artist = row.get("title") or row["track"], row.get("artist")
    mark = " <span class='skip'>skipped</span>" if skipped else ""
    return escape(str(title)) + mark + (f"<span class='artist'>{escape(str(artist))}</span>" if artist else "")


def _made(result: Record) -> str:
    commands = escape("\n".join(result["commands"]))
    facts = "".join(
        f"<tr><td>{escape(str(key))}</td><td>{escape(str(value))}</td></tr>" for key, value in result["made"].items()
    )
    return f"<pre>{commands}</pre><p>{escape(result['budget'])}</p><div class='wide'><table>{facts}</table></div>"

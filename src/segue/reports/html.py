"""Parts of a self-contained page: one HTML file, no script, no other host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files


def document(title: str, sections: Iterable[str]) -> str:
    """Return the page as UTF-8 text; `title` is escaped, `sections` are HTML."""
    style = files("segue.reports").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a headed section of HTML `parts`."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def figure(svg: str, caption: str) -> str:
    """Return an SVG element with its caption (escaped)."""
    return f"<figure><div class='wide'>{svg}</div><figcaption>{escape(caption)}</figcaption></figure>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; `caption` and all cells are HTML, the first cell of a row is its name."""
    top = "".join(f"<th{' class=n' if column else ''}>{name}</th>" for column, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{' class=n' if column else ''}>{cell}</td>" for column, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<div class='wide'><table><caption>{caption}</caption><tr>{top}</tr>{body}</table></div>"


def simulated_mark(world: str) -> str:
    """Return the word *simulated* with the world's name, to place beside numbers."""
    return f"<span class='simulated'>simulated</span> (world {escape(world)}) "

"""The page docs/sources.md, made from the sources themselves: `python tools/sources_page.py > docs/sources.md`."""

from __future__ import annotations

from textwrap import wrap

from segue.data.sources import all_sources
from segue.data.sources.source import Source

HEAD = """# Sources of listening logs

`segue prepare auto FILE... STORE` recognises each of these by its columns, and says why.
`segue prepare NAME FILE... STORE` reads the files as one of them. Pass files one by one, a folder, or the archive that
you downloaded. [Your log](logs.md) says how a log becomes a store.

This page is made from the code (`tools/sources_page.py`). `segue sources show NAME` prints the same."""


def card(source: Source) -> str:
    """Return what a source says of itself, as Markdown."""
    lines = [
        f"## {source.title}",
        "",
        f"`segue prepare {source.name}`",
        "",
        f"- **Where from:** {source.where}",
        f"- **Licence:** {source.licence}",
    ]
    if source.refused:
        lines.append(f"- **Not read:** {source.refused}")
    if source.feedback:
        lines.append(f"- **Feedback:** {source.feedback}")
    lines += [f"- {note}" for note in source.notes]
    if source.repeats:
        lines.append("- Exact duplicates are dropped and counted.")
    lines.append(f"- Files: {', '.join(f'`{pattern}`' for pattern in source.files)}")
    wrapped = [wrap(line, 120, subsequent_indent="  ", break_long_words=False) or [""] for line in lines]
    return "\n".join(part for parts in wrapped for part in parts)


def page() -> str:
    """Return the whole page."""
    return "\n\n".join([HEAD, *(card(source) for source in all_sources())]) + "\n"


if __name__ == "__main__":
    print(page(), end="")

"""Deezer's workbook: one listener, the history in the last of its sheets."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

from support.exports.play import Play, seconds

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

_HEADER = ["Song Title", "Artist", "ISRC", "Album Title", "IP Address", "Listening Time", "Platform Name"]
_HEADER += ["Platform Model", "Date"]
_ROWS: list[tuple[str, str, str | None, str, int, str]] = [
    ("Harbour Lights", "The Paper Boats", "XX0000000001", "Low Tide", 190, "2025-01-07 15:18:04"),
    ("Ærø", "Nils Åkesson", "XX0000000002", "Øer", 4, "2025-01-07 15:21:20"),
    ("Salt & Rope", "Vale, Kumo", None, "Salt & Rope", 61, "2025-01-07 15:21:30"),
    ("夜の電車", "Kumo", "XX0000000003", "Kumo", 0, "2025-01-08 07:00:00"),
    ("Harbour Lights", "The Paper Boats", "XX0000000001", "Low Tide", 12, "2025-01-08 07:00:05"),
    ("ærø", "Nils Åkesson", None, "Øer", 30, "2025-01-08 07:01:00"),  # its ISRC stands above
]

PLAYS = [
    Play(None, isrc, title, artist, seconds(at), False, float(listened), None, None)
    for title, artist, isrc, _, listened, at in _ROWS
]
LEFT_OUT: dict[str, int] = {}


def write(folder: Path) -> Path:
    """Write the workbook and return the file."""
    history: list[list[str | int | None]] = [[*_HEADER]]
    for title, artist, isrc, album, listened, at in _ROWS:
        history.append([title, artist, isrc, album, "0.0.0.0", listened, "a player", "a model", at])
    path = folder / "deezer-data_0000000000.xlsx"
    _write_workbook(path, {"01_userInfo": [["Name"], ["Someone"]], "10_listeningHistory": history})
    return path


def _write_workbook(path: Path, sheets: dict[str, list[list[str | int | None]]]) -> None:
    """Write sheets of shared strings and numbers, as spreadsheet programs do."""
    words = list(dict.fromkeys(cell for rows in sheets.values() for row in rows for cell in row if type(cell) is str))
    numbers = range(1, len(sheets) + 1)
    types = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    types += f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    types += f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_TYPE}.sharedStrings+xml"/>'
    links = f'<Relationship Id="rId0" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    listed = ""
    for number, name in zip(numbers, sheets, strict=True):
        types += f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        links += f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        listed += f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
    book = f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    shared = "".join(f"<si><t>{escape(word)}</t></si>" for word in words)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">{types}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{book}</Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{shared}</sst>',
    }
    for number, rows in zip(numbers, sheets.values(), strict=True):
        data = "".join(_row(place, row, words) for place, row in enumerate(rows, start=1))
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_MAIN}"><sheetData>{data}</sheetData></worksheet>'
        )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, _XML + content)


def _row(place: int, cells: list[str | int | None], words: list[str]) -> str:
    spelled = ""
    for letter, cell in zip("ABCDEFGHI", cells, strict=False):
        kind = ' t="s"' if isinstance(cell, str) else ""
        value = words.index(cell) if isinstance(cell, str) else cell
        spelled += f'<c r="{letter}{place}"{kind}>{"" if value is None else f"<v>{value}</v>"}</c>'
    return f'<row r="{place}">{spelled}</row>'

"""Figures that a page states, checked against the results that hold them.

A *statement* is a piece of a page (half a sentence, a row of a table) written with the numbers of a result.json. Where
the page does not have it word for word, the page and the result differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segue.studies.result_file import read_result

HOME = Path(__file__).parent
_NUMBER = re.compile(r"[+-]?(?:\d[\d,]*\.?\d*|\.\d+)")
_NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)
"""Code and addresses state no figures."""
_NAMES = re.compile(
    r"(?:HR|HR_l|HR_s|NDCG)@\d+|S\+ |S- |GRU4Rec|MovieLens 100K|ml-100k|\(\d{4}\)| \d{4}\b(?=[,)])|Table 1"
)
"""Words with digits in them, years, and names of metrics."""
Record = dict[str, Any]


class Study:
    """The result of a study in this folder.

    Args:
        name: folder under `studies`, such as "table1-simulated" or "ablations-simulated/full".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.result = read_result(HOME / name / "result.json")
        records = reversed(self.result["contrasts"])  # of two alike the first counts
        self._contrasts = {(r["arm"], r["less"], r["metric"], r["protocol"]): r for r in records}

    def contrast(self, arm: str, less: str, metric: str, protocol: str = "sampled") -> Record:
        """Return the record of `arm` less `less`; KeyError where it was not asked."""
        return self._contrasts[arm, less, metric, protocol]

    def level(self, arm: str, metric: str, protocol: str = "sampled") -> list[float]:
        """Return [mean, low, high] of an arm or a baseline."""
        if arm in self.result["arms"]:
            level: list[float] = self.result["arms"][arm][protocol][metric]
            return level
        rows = self.result["baselines"]
        return next(row[metric] for row in rows if (row["name"], row["protocol"]) == (arm, protocol))

    def mean(self, arm: str, metric: str, protocol: str = "sampled") -> str:
        """Return the mean of `level` in three decimals."""
        return share(self.level(arm, metric, protocol)[0])


def arm_on_ratings(arm: str) -> Record:
    """Return an arm of `ml-100k`, the study of the paper's letter that was made before `segue study`."""
    document = json.loads((HOME / "ml-100k" / "result.json").read_text(encoding="utf-8"))
    record: Record = document["arms"][arm]
    return record


def share(value: float, places: int = 3) -> str:
    """Return a number below 1 without the zero before its point.

    >>> share(0.8264), share(-0.0042, 4)
    ('.826', '-.0042')
    """
    return f"{value:.{places}f}".replace("0.", ".", 1)


def points(value: float) -> str:
    """Return a difference of shares in points, with its sign.

    >>> points(0.0033), points(-0.0199)
    ('+.33', '-1.99')
    """
    return re.sub(r"(?<![\d])0\.", ".", f"{100 * value:+.2f}")


def span(bounds: Sequence[float]) -> str:
    """Return an interval of differences in points."""
    return f"{points(bounds[0])} to {points(bounds[1])}"


def difference(record: Record) -> str:
    """Return a difference in points with its interval over seeds."""
    return f"{points(record['difference'])} ({span(record['t_interval'])})"


def plain(text: str) -> str:
    """Return text without marks of emphasis, on one line."""
    return " ".join(text.replace("*", "").split())


def lacking(page: Path, statements: Iterable[str]) -> list[str]:
    """Return the statements that the page does not have."""
    text = plain(page.read_text(encoding="utf-8"))
    return [each for each in map(plain, statements) if each not in text]


def unstated(page: Path, statements: Iterable[str], besides: Iterable[str] = ()) -> list[str]:
    """Return the numbers of a page, each with the words around it, that no statement holds.

    `besides`: pieces of the page whose numbers are no result (sizes, numbers of other papers).
    """
    text = plain(_NOT_PROSE.sub(" ` ", page.read_text(encoding="utf-8")))
    pieces = {plain(_NOT_PROSE.sub(" ` ", piece)) for piece in (*statements, *besides)}
    for piece in sorted(pieces, key=len, reverse=True):
        text = text.replace(piece, " ` ")
    text = _NAMES.sub("` ", text)
    return [text[max(number.start() - 60, 0) : number.end() + 20] for number in _NUMBER.finditer(text)]

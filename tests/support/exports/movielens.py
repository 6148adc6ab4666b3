"""MovieLens' ratings in the four forms they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.exports.lines import write_lines
from support.exports.play import Play

_ROWS: Final = [
    ("3", "50", "5", 880_000_000),
    ("3", "007", "1", 880_000_100),
    ("3", "51", "2", 880_000_100),
    ("3", "52", "3", 880_000_200),
    ("14", "50", "4", 890_000_000),
    ("14", "007", "5", 890_000_300),
    ("22", "51", "1", 870_000_000),
]
_STRENGTH: Final = {"1": 3, "2": 2, "3": 1, "4": 0, "5": 0}
PLAYS: Final = [
    Play(user, film, None, None, at, False, None, None, _STRENGTH[stars]) for user, film, stars, at in _ROWS
]
LEFT_OUT: Final[dict[str, int]] = {}
HALF_STARS: Final = {"0.5": 3, "1.0": 3, "1.5": 2, "2.0": 2, "2.5": 1, "3.0": 1, "3.5": 0, "4.5": 0, "5.0": 0, "": None}
HALF_STAR_PLAYS: Final = [
    Play("6", str(film), None, None, 1_500_000_000 + film, False, None, None, told)
    for film, told in enumerate(HALF_STARS.values())
]


def write(folder: Path) -> Path:
    """Write u.data: tabs and no header; return the file."""
    return write_lines(folder / "u.data", ["\t".join(map(str, row)) for row in _ROWS])


def write_dat(folder: Path) -> Path:
    """Write ratings.dat: fields apart by '::' and no header; return the file."""
    return write_lines(folder / "ratings.dat", ["::".join(map(str, row)) for row in _ROWS])


def write_csv(folder: Path) -> Path:
    """Write ratings.csv: a header; return the file."""
    rows = [f"{user},{film},{stars}.0,{at}" for user, film, stars, at in _ROWS]
    return write_lines(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *rows])


def write_half_stars(folder: Path) -> Path:
    """Write ratings.csv with every half star and an empty rating; return the file."""
    rows = [f"6,{film},{stars},{1_500_000_000 + film}" for film, stars in enumerate(HALF_STARS)]
    return write_lines(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *rows])


def write_inter(folder: Path) -> Path:
    """Write RecBole's ml.inter: tabs, and a header with types; return the file."""
    rows = ["\t".join(map(str, row)) for row in _ROWS]
    return write_lines(folder / "ml.inter", ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *rows])


FORMS: Final = {
    "tabs": (write, PLAYS, LEFT_OUT),
    "dat": (write_dat, PLAYS, LEFT_OUT),
    "csv": (write_csv, PLAYS, LEFT_OUT),
    "half-stars": (write_half_stars, HALF_STAR_PLAYS, LEFT_OUT),
    "inter": (write_inter, PLAYS, LEFT_OUT),
}

"""The studies that come with Segue, by name: one TOML file each in this folder.

A file has a title, a question, what is tuned, groups of arms, and pairs of arms or baselines to compare by what they
answer (`about`). A group has a recipe, `tuned_as`, and arms by name with their titles; every other key, of the group
or of an arm, is a dotted key laid over the recipe. In a group with `terms`, an arm stands for one arm per term: the
term ends the names of recipe and arm, and the title.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from segue.config import read_toml
from segue.studies.design import Arm, Compared, Design

TERMS: Final[Mapping[str, str]] = {"s-minus": "S-", "s-plus-session": "S+ session", "s-plus-track": "S+ track"}
"""Ends of recipes' names to ends of titles."""
NAMES: Final = (
    "table1", "ablations", "dose", "cloze-setup", "departures", "architectures", "shared-negatives", "segue",
    "listeners", "real", "table1-tuned",
)  # fmt: skip


def read_design(path: Path) -> Design:
    """Return the study of a TOML file, by the file's name.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    tables = read_toml(path)
    compared = tuple(
        Compared(arm, less, part["about"], part.get("primary", False))
        for part in tables["compared"]
        for arm, less in part["pairs"]
    )
    tuned = {key: tuple(values) for key, values in tables.get("tuned", {}).items()}
    arms = tuple(arm for group in tables["groups"] for arm in _arms(group))
    return Design(path.stem, tables["title"], tables["question"].strip(), arms, compared, tuned)


def _arms(group: Mapping[str, Any]) -> Iterator[Arm]:
    """Yield the arms of a group."""
    recipe, tuned_as = group["recipe"], group.get("tuned_as")
    shared = {key: value for key, value in group.items() if key not in ("recipe", "tuned_as", "terms", "arms")}
    for name, values in group["arms"].items():
        title, changes = values["title"], {**shared, **{key: values[key] for key in values if key != "title"}}
        if "terms" not in group:
            yield Arm(name, title, recipe, changes, tuned_as)
        for term in group.get("terms", ()):
            yield Arm(f"{name}-{term}", f"{title} {TERMS[term]}", f"{recipe}-{term}", changes, tuned_as)


DESIGNS: Final[Mapping[str, Design]] = {name: read_design(Path(__file__).with_name(f"{name}.toml")) for name in NAMES}
"""`--recipe` to the study."""

"""Plays as flat arrays, before they are cut into sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.skips import UNKNOWN_STRENGTH

DEFAULTS: Final[Mapping[str, Any]] = {
    "length_s": np.float64(np.nan),
    "played_s": np.float64(np.nan),
    "share": np.float64(np.nan),
    "stated": np.uint8(UNKNOWN_STRENGTH),
}
"""Values of a column that some files of a log lack."""


@dataclass(frozen=True)
class Plays:
    """Valid plays of a log in the order of its files, [N]; codes count from 0; None = the log has no such column."""

    listener: NDArray[np.int32]
    """Rank of the listener in UTF-8 byte order; 0 in a log without listeners."""
    track: NDArray[np.int32]
    line: NDArray[np.int64]
    session: NDArray[np.int32] | None = None
    """Code of the session that the log states."""
    at: NDArray[np.int64] | None = None
    """Time of the play as the log gives it, microseconds UTC."""
    position: NDArray[np.float64] | None = None
    length_s: NDArray[np.float64] | None = None
    """Of the track."""
    played_s: NDArray[np.float64] | None = None
    share: NDArray[np.float64] | None = None
    """Of the track that was played."""
    stated: NDArray[np.uint8] | None = None
    """Strength that the log states, 255 = none."""
    side: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further columns as `SideBuilder.arrays` returns them."""

    def __len__(self) -> int:
        return len(self.track)

    def take(self, rows: NDArray[np.int64]) -> Plays:
        """Return the plays at `rows`."""
        present = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "side"}
        taken: dict[str, Any] = {name: values[rows] for name, values in present.items() if values is not None}
        return Plays(**taken, side={name: values[rows] for name, values in self.side.items()})


def aligned(blocks: list[dict[str, NDArray[Any]]]) -> dict[str, list[NDArray[Any]]]:
    """Return the arrays of all blocks by name; one that a block lacks is filled with its default, or left out."""
    names = dict.fromkeys(name for block in blocks for name in block)
    whole: dict[str, list[NDArray[Any]]] = {}
    for name in names:
        if name in DEFAULTS:
            whole[name] = [block.get(name, np.full(len(block["track"]), DEFAULTS[name])) for block in blocks]
        elif all(name in block for block in blocks):
            whole[name] = [block[name] for block in blocks]
    return whole

"""Ratings read as feedback: MovieLens-like files of user, item, rating, timestamp.

Rating 1 -> strength 3, 2 -> 2, 3 -> 1, 4 and 5 -> 0. Half ratings count as the next whole one (0.5 -> 1, 3.5 -> 4).
An empty cell is unknown. A rating is observed feedback, so `inferred` is False. Histories are cut by time (20 minutes)
and length (20).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from segue.config import nearest
from segue.errors import InputError
from segue.events.rejects import WRONG_FLAG, Rejects
from segue.events.sources.events import event_table
from segue.events.sources.histories import GAP_MINUTES, MAX_LENGTH
from segue.events.sources.table import ROW, TableColumns
from segue.events.sources.text import Layout, read_blocks, read_layout
from segue.events.table import EventTable

_ROLES: Final = {
    "user": ("user_id", "user", "userid"),
    "item": ("item_id", "item", "itemid", "movie_id", "movieid", "track_id", "track", "song_id"),
    "rating": ("rating", "score", "stars"),
    "timestamp": ("timestamp", "time", "at"),
}
_STRENGTH: Final = np.array([255, 3, 2, 1, 0, 0], np.uint8)
"""Strength by rating 1..5; place 0 is a cell without a rating."""


def read_ratings(
    path: Path, rejects: Rejects, gap_minutes: float = GAP_MINUTES, max_length: int = MAX_LENGTH
) -> EventTable:
    """Return the event table of a ratings file; typed headers (`user_id:token`) are understood.

    Raises:
        InputError: the file cannot be read, or a column is missing.
    """
    layout = read_layout(path, quoted=True)
    roles = _roles(path, layout)
    blocks = list(read_blocks(path, layout, tuple(roles.values()), rejects))
    if not blocks:
        raise InputError(f"{path} holds no rows below its header; name a file with ratings")
    frame = pl.concat([block.frame.with_columns(pl.Series(ROW, block.line)) for block in blocks])
    rating = frame[roles["rating"]].cast(pl.Float64, strict=False)
    value = rating.ceil().fill_null(0).fill_nan(0).to_numpy()
    sound = ((value >= 1) & (value <= 5)) | frame[roles["rating"]].is_null().to_numpy()
    if not sound.all():
        bad = frame.filter(pl.Series(~sound))
        text = bad.drop(ROW).select(pl.concat_str(pl.all().fill_null(""), separator=",")).to_series()
        rejects.add(WRONG_FLAG, path.name, zip(bad[ROW].to_list(), text.to_list(), strict=True))
    strength = pl.Series(roles["rating"], _STRENGTH[value[sound].astype(np.int64)])
    columns = TableColumns(
        user=roles["user"],
        track=roles["item"],
        time=roles["timestamp"],
        strength=roles["rating"],
        gap_minutes=gap_minutes,
        max_length=max_length,
    )
    return event_table(path.name, frame.filter(pl.Series(sound)).with_columns(strength), columns, rejects)


def _roles(path: Path, layout: Layout) -> dict[str, str]:
    plain = {name.partition(":")[0].strip().lower(): name for name in layout.header}
    roles = {}
    for role, usual in _ROLES.items():
        found = next((plain[name] for name in usual if name in plain), None)
        if found is None:
            raise InputError(
                f"{path}, line 1: no {role} column{nearest(usual[0], plain)} (columns: {', '.join(layout.header)})"
            )
        roles[role] = found
    return roles

"""KKBOX' music challenge: recognised and refused, since it has no sequences."""

from __future__ import annotations

from typing import Final

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import by_column_names, by_columns
from segue.data.sources.source import Source

_COLUMNS: Final = ("msno", "song_id", "source_system_tab", "source_screen_name", "source_type")

SOURCE: Final = Source(
    name="kkbox",
    where="Kaggle, kkbox-music-recommendation-challenge: train.csv.",
    licence="Only for the challenge, under Kaggle's competition terms.",
    notes=("One row stands for all that a listener ever did with a song.",),
    files=("train.csv*", "*/train.csv*"),
    recognise=by_columns("KKBOX' music challenge", _COLUMNS),
    mapping=by_column_names(Mapping(track=Column.of("song_id"), listener=Column.of("msno"))),
    feedback="Whether a song was heard again within a month, which says nothing of a skip.",
    refused="KKBOX' tables have no times and no order, so no sequence can be made of them.",
)

"""KKBOX' music challenge: recognised and refused, since it holds no sequences."""

from __future__ import annotations

from typing import Final

from segue.data.mapping import Mapping
from segue.data.sources.fields import column
from segue.data.sources.source import Sample, Source

_COLUMNS: Final = ("msno", "song_id", "source_system_tab", "source_screen_name", "source_type")


def recognise(sample: Sample) -> str | None:
    """Return why a file is a table of KKBOX' challenge, or None."""
    complete = set(_COLUMNS).issubset(sample.columns)
    return f"{len(_COLUMNS)} of {len(_COLUMNS)} columns of KKBOX' music challenge" if complete else None


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return listener and track; a file of this source has no other role."""
    return Mapping(track=column(columns, "song_id"), listener=column(columns, "msno"))


SOURCE: Final = Source(
    name="kkbox",
    title="KKBOX, WSDM 2018 music challenge",
    where="Kaggle, kkbox-music-recommendation-challenge: train.csv.",
    licence="Only for the challenge, under Kaggle's competition terms.",
    notes=("One row stands for all that a listener ever did with a song.",),
    files=("train.csv*", "*/train.csv*"),
    recognise=recognise,
    mapping=mapping,
    feedback="Whether a song was heard again within a month, which says nothing of a skip.",
    refused="KKBOX' tables have no times and no order, so no sequence can be made of them.",
)

"""30Music: sessions of Last.fm in idomaar's form, with the share of each track that was played."""

from __future__ import annotations

from typing import Final

import polars as pl
from polars.exceptions import ComputeError

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_forms
from segue.data.sources.source import Source

_KIND, _SESSION, _STARTED, _PROPERTIES, _RELATIONS = map(str, range(5))
_ENTITY: Final = pl.Struct({"id": pl.String})
_PLAY: Final = pl.Struct({"id": pl.String, "playstart": pl.Float64, "playtime": pl.Float64, "playratio": pl.Float64})
_LINKS: Final = pl.Struct({"subjects": pl.List(_ENTITY), "objects": pl.List(_PLAY)})


def prepare(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row per play; a record is a session with its plays as JSON. Invalid JSON gives one row without a
    track."""
    if not {_SESSION, _STARTED, _PROPERTIES}.issubset(frame.columns):
        return frame
    texts = [name for name in (_PROPERTIES, _RELATIONS) if name in frame.columns]
    text = pl.concat_str(texts, separator=" ", ignore_nulls=True)
    links = _links_in(frame.select(text.str.extract(r"\}\s+(\{.*\})\s*$")).to_series().alias("links"))
    objects = pl.col("links").struct.field("objects")
    sessions = (
        frame.drop(texts)
        .with_columns(links)
        .with_columns(
            pl.col(_SESSION).alias("session_id"),
            pl.col("links").struct.field("subjects").list.get(0, null_on_oob=True).struct.field("id").alias("user_id"),
            objects.alias("play"),
            pl.int_ranges(0, objects.list.len()).alias("position"),
        )
    )
    events = sessions.filter(pl.col("play").list.len().fill_null(1) > 0).explode("play", "position")
    play = pl.col("play").struct
    return events.with_columns(
        play.field("id").alias("track_id"),
        (pl.col(_STARTED).cast(pl.Float64, strict=False) + play.field("playstart").fill_null(0)).alias("timestamp"),
        play.field("playtime"),
        play.field("playratio"),
    ).drop("links", "play")


def _links_in(text: pl.Series) -> pl.Series:
    """Return the links of each session; null if the text is not such JSON."""
    try:
        links = text.str.json_decode(_LINKS)
        if len(links) == len(text):  # one text may have several objects
            return links
    except ComputeError:
        pass
    half = len(text) // 2
    if half == 0:
        return pl.Series(text.name, [None], _LINKS)
    return pl.concat([_links_in(text[:half]), _links_in(text[half:])])


_ROLES: Final = Mapping(
    time=Time(pl.col("timestamp"), "timestamp", unit="s"),
    track=Column.of("track_id"),
    listener=Column.of("user_id"),
    session=Column.of("session_id"),
    position=Column.of("position"),
    played=Amount.of("playtime"),
    share=Column.of("playratio"),
)
"""Over the columns of `prepare`."""
SOURCE: Final = Source(
    name="30music",
    where="Politecnico di Milano, recsys.deib.polimi.it: ThirtyMusic.tar.gz, relations/sessions.idomaar.",
    licence="Research only, under Last.fm's terms.",
    notes=(
        "A record is a session with its listener and its plays; when a play began is counted from the session's begin.",
        "The time played and its share may be missing, and the share may exceed 1.",
        "Titles and artists stand in entities/tracks.idomaar and are not read.",
    ),
    files=("sessions.idomaar*", "*/sessions.idomaar*"),
    recognise=by_forms("records of kind event.session in idomaar's form", (4, 5), {_KIND: r"^event\.session$"}),
    mapping=by_column_names(_ROLES),
    feedback="The time played and its share of the track are stated where they are known.",
    prepare=prepare,
)

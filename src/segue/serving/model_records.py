"""Records of requests in the table rows of a model, and answers of a model, with its looks and map, as records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.exported.folder import ExportFolder
from segue.serving.kept_states import Session
from segue.serving.live_model import Filters, LiveModel, Suggestion
from segue.serving.messages import (
    Explanation,
    ModelSummary,
    NearTrack,
    RecentPlay,
    SuggestedTrack,
    TrackFilters,
    TrackLook,
    TrackMap,
    feedback_code,
    word_of,
)
from segue.serving.session_encoder import known_session
from segue.serving.sessions.store import Logged
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN

_POINTS: Final = 5000
"""Most points of a map."""
_SLEEVE: Final = 12
"""Numbers that a sleeve is drawn from."""
_DIGITS: Final = 4


@dataclass(frozen=True)
class ModelSession:
    """A session as one model reads it."""

    session: Session
    positions: tuple[int, ...]
    """For each track of `session` its index among the events."""
    rows: tuple[int, ...]
    """Table rows of all tracks that the model has, also of those that it never trained."""
    unknown: tuple[str, ...]
    """Tracks that the model does not have."""


def as_read(model: LiveModel, events: Sequence[Logged]) -> ModelSession:
    """Return a session as a model reads it."""
    rows = model.export.vocabulary.rows(event.track for event in events)
    codes = [feedback_code(event.strength) for event in events]
    positions = [i for i, row in enumerate(rows) if row >= NUM_SPECIALS]
    unknown = dict.fromkeys(event.track for event, row in zip(events, rows, strict=True) if row == UNKNOWN)
    return ModelSession(
        known_session(rows, codes, model.is_candidate),
        tuple(positions),
        tuple(rows[i] for i in positions),
        tuple(unknown),
    )


def row_filters(export: ExportFolder, named: TrackFilters, session_rows: Sequence[int]) -> Filters:
    """Return the filters of a request with table rows and codes of artists in place of names."""
    blocked_rows = [] if named.heard else [*session_rows]
    blocked_rows += [row for row in export.vocabulary.rows(named.blocked_tracks) if row != UNKNOWN]
    allowed_rows = None if named.allowed_tracks is None else export.vocabulary.rows(named.allowed_tracks)
    codes: list[int] | None = None
    if named.blocked_artists and export.artist is not None:
        codes = [row - NUM_SPECIALS for row in export.artist.rows(named.blocked_artists) if row != UNKNOWN]
    lists = (blocked_rows or None, allowed_rows, codes)
    blocked, allowed, artists = (None if each is None else np.array(each, np.int32) for each in lists)
    return Filters(blocked, allowed, artists, named.per_artist)


def suggested_tracks(
    export: ExportFolder, suggestions: Sequence[Suggestion], session: tuple[ModelSession, Sequence[Logged]] | None
) -> list[SuggestedTrack]:
    """Return the records of suggestions; with `session` and its events, each with an explanation."""
    tracks = []
    for rank, suggestion in enumerate(suggestions, start=1):
        title, artist = _names(export, suggestion.row)
        tracks.append(
            SuggestedTrack(
                rank=rank,
                track=export.vocabulary.track_id(suggestion.row),
                score=suggestion.score,
                title=title,
                artist=artist,
                why=None if session is None else _explanation(suggestion, *session),
            )
        )
    return tracks


def recent_plays(export: ExportFolder, events: Sequence[Logged]) -> list[RecentPlay]:
    """Return the records of plays."""
    rows = export.vocabulary.rows(event.track for event in events)
    return [
        RecentPlay(event.track, word_of(event.strength), event.at, *_names(export, row))
        for event, row in zip(events, rows, strict=True)
    ]


def _names(export: ExportFolder, row: int) -> tuple[str | None, str | None]:
    """Return title and artist of a table row, None where they are not known."""
    if row < NUM_SPECIALS:
        return None, None
    code = -1 if export.artist_code is None else int(export.artist_code[row])
    title = export.title.text(row - NUM_SPECIALS) or None if export.title is not None else None
    return title, export.artist.text(code) if export.artist is not None and code >= 0 else None


def _explanation(suggestion: Suggestion, read: ModelSession, events: Sequence[Logged]) -> Explanation:
    near = []
    for index, cosine in suggestion.near:
        event = events[read.positions[index]]
        near.append(NearTrack(event.track, word_of(event.strength), cosine))
    assert suggestion.log_next is not None, "set for requests with explain"
    return Explanation(suggestion.log_next, suggestion.log_listen, suggestion.rank_before, suggestion.followed, near)


def model_summary(export: ExportFolder, *, default: bool) -> ModelSummary:
    """Return the record of a model that is served."""
    facts = export.manifest.facts
    return ModelSummary(
        name=export.manifest.name,
        recipe=facts.recipe,
        fingerprint=export.fingerprint,
        tracks=facts.num_tracks,
        candidates=facts.num_candidates,
        reads_feedback=facts.reads_feedback,
        foretells_listening=export.listen_offset is not None,
        simulated=bool(facts.simulated),
        default=default,
    )


def look_of(export: ExportFolder, row: int) -> TrackLook:
    """Return how the track of a table row is drawn."""
    x, y = export.map[row - NUM_SPECIALS].tolist()
    values = np.asarray(export.table[row], np.float64)
    length = float(np.linalg.norm(values))
    sleeve = values / (length if length > 0 else 1.0) @ _directions(len(values))
    return TrackLook(round(x, _DIGITS), round(y, _DIGITS), [round(value, _DIGITS) for value in sleeve.tolist()])


def sampled_map(export: ExportFolder, name: str) -> TrackMap:
    """Return coordinates and plays of at most `_POINTS` candidates, always the same ones of an export."""
    rows = np.sort(np.asarray(export.scan_order)[export.scan_order != 0])
    if len(rows) > _POINTS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _POINTS, replace=False))
    x, y = np.round(export.map[rows - NUM_SPECIALS].astype(np.float64), _DIGITS).T.tolist()
    return TrackMap(name, x, y, export.plays[rows].tolist())


@lru_cache(maxsize=4)
def _directions(width: int) -> NDArray[np.float64]:
    """Return fixed directions in the track space [D, _SLEEVE], scaled so that products with them are about 1."""
    return np.random.default_rng(12).normal(size=(width, _SLEEVE))

"""Records of requests in the table rows of a model, and answers of a model as records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segue.axes import Int
from segue.exported.folder import ExportFolder
from segue.serving.encoding import Session, known_session
from segue.serving.live_model import Filters, LiveModel, Suggestion
from segue.serving.messages import (
    Explanation,
    ModelSummary,
    NearTrack,
    SuggestedTrack,
    TrackFilters,
    feedback_code,
    word_of,
)
from segue.serving.sessions.store import Logged
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN


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
    blocked: Int[np.ndarray, " n"] | None = None
    if blocked_rows:
        blocked = np.array(blocked_rows, np.int32)
    allowed: Int[np.ndarray, " n"] | None = None
    if named.allowed_tracks is not None:
        allowed = np.array(export.vocabulary.rows(named.allowed_tracks), np.int32)
    artists: Int[np.ndarray, " n"] | None = None
    if named.blocked_artists and export.artist is not None:
        codes = [row - NUM_SPECIALS for row in export.artist.rows(named.blocked_artists) if row != UNKNOWN]
        artists = np.array(codes, np.int32)
    return Filters(blocked, allowed, artists, named.per_artist)


def suggested_tracks(
    export: ExportFolder, suggestions: Sequence[Suggestion], session: tuple[ModelSession, Sequence[Logged]] | None
) -> list[SuggestedTrack]:
    """Return the records of suggestions; with `session` and its events, each with an explanation."""
    tracks = []
    for rank, suggestion in enumerate(suggestions, start=1):
        index = suggestion.row - NUM_SPECIALS
        code = -1 if export.artist_code is None else int(export.artist_code[suggestion.row])
        tracks.append(
            SuggestedTrack(
                rank=rank,
                track=export.vocabulary.track_id(suggestion.row),
                score=suggestion.score,
                title=export.title.text(index) or None if export.title is not None else None,
                artist=export.artist.text(code) if export.artist is not None and code >= 0 else None,
                why=None if session is None else _explanation(suggestion, *session),
            )
        )
    return tracks


def _explanation(suggestion: Suggestion, read: ModelSession, events: Sequence[Logged]) -> Explanation:
    near = []
    for one in suggestion.near:
        event = events[read.positions[one.index]]
        near.append(NearTrack(event.track, word_of(event.strength), one.cosine))
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

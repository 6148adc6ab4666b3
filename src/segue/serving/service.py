"""What the service does with a request, whatever carries it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from segue.axes import Int
from segue.errors import SegueError
from segue.exported.folder import ExportFolder
from segue.serving.encoding import Session, known_session
from segue.serving.live_model import Asked, Filters, Suggestion
from segue.serving.looks import look_of, sampled_map
from segue.serving.messages import (
    Event,
    EventCounts,
    Explanation,
    ModelList,
    ModelSummary,
    NearTrack,
    NextAfterEvents,
    NextInSession,
    SessionDetails,
    SessionSummary,
    SimilarTracks,
    SuggestedTrack,
    Suggestions,
    TrackFilters,
    TrackLook,
    TrackMap,
    feedback_code,
    word_of,
)
from segue.serving.models import BusyError, Models, ServedModel
from segue.serving.problems import ProblemError
from segue.serving.sessions import (
    FullStoreError,
    Logged,
    NoSessionError,
    ReadOnlyStoreError,
    SessionFullError,
    Sessions,
    new_session_id,
)
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN

T = TypeVar("T")
SESSION_ID: Final = "[0-9a-f]{32}"
"""The form of a session's id."""
_MANY: Final = 200
"""Names of a filter that are looked up where they stand; a name takes some 5 microseconds."""
_STATUS: Final = {NoSessionError: 404, SessionFullError: 409, FullStoreError: 507, ReadOnlyStoreError: 503}


@dataclass(frozen=True)
class _Heard:
    """A session as one model sees it."""

    session: Session
    places: tuple[int, ...]
    """Which of the events each of its tracks is."""
    rows: tuple[int, ...]
    """Table rows of all known tracks, never trained ones too."""
    unknown: tuple[str, ...]


class Service:
    """Models and sessions together."""

    def __init__(self, models: Models, sessions: Sessions) -> None:
        self.models, self.sessions = models, sessions

    async def create(self, name: str | None, events: Sequence[Event]) -> SessionSummary:
        """Begin a session."""
        if name is not None:
            self._model(name)
        told = logged(events)
        session_id = new_session_id()
        await _kept(self.sessions.create(session_id, name or "", told))
        return SessionSummary(session_id, len(told))

    async def add(self, session_id: str, events: Sequence[Event]) -> EventCounts:
        """Add events to a session."""
        added = await _kept(self.sessions.add(_named(session_id), logged(events)))
        return EventCounts(added.accepted, added.repeated, added.events)

    async def show(self, session_id: str) -> SessionDetails:
        """Return a session."""
        found = await _kept(self.sessions.read(_named(session_id)))
        events = [Event(event.track, heard=word_of(event.strength)) for event in found.events]
        return SessionDetails(session_id, found.model, found.created_at, events)

    async def remove(self, session_id: str) -> None:
        """Forget a session."""
        await _kept(self.sessions.remove(_named(session_id)))

    async def next_in(self, session_id: str, asked: NextInSession) -> Suggestions:
        """Return what next in a session."""
        found = await _kept(self.sessions.read(_named(session_id)))
        return await self._next(asked, asked.model or found.model or None, found.events)

    async def next_after(self, asked: NextAfterEvents) -> Suggestions:
        """Return what next in a session that the request tells whole."""
        return await self._next(asked, asked.model, logged(asked.events))

    async def similar(self, name: str | None, track: str, k: int) -> SimilarTracks:
        """Return tracks near one."""
        model = self._model(name)
        row = model.live.export.vocabulary.row(track)
        if row == UNKNOWN:
            raise ProblemError(404, f"the model {model.live.name} does not know the track {track!r}")
        found = await model.similar(row, k)
        shown = _suggested(model.live.export, found, None)
        for each, one in zip(shown, found, strict=True):
            each.look = self._look(model, one.row, each.track)
        return SimilarTracks(model.live.name, track, shown)

    def map(self, name: str | None) -> TrackMap:
        """Return a sample of the track space."""
        model = self._model(name)
        return sampled_map(model.live.export, model.live.name)

    def summaries(self) -> ModelList:
        """Return all models."""
        shown = []
        for place, model in enumerate(self.models.every):
            facts, export = model.live.export.manifest.facts, model.live.export
            shown.append(
                ModelSummary(
                    name=model.live.name,
                    recipe=facts.recipe,
                    fingerprint=export.fingerprint,
                    tracks=facts.num_tracks,
                    candidates=facts.num_candidates,
                    reads_feedback=facts.reads_feedback,
                    foretells_listening=export.listen_offset is not None,
                    simulated=bool(facts.simulated),
                    default=place == 0,
                )
            )
        return ModelList(shown)

    async def _next(
        self, asked: NextInSession | NextAfterEvents, name: str | None, events: Sequence[Logged]
    ) -> Suggestions:
        model = self._model(name)
        export = model.live.export
        heard = _heard(model, events)
        named = asked.filters
        many = len(named.blocked_tracks) + len(named.blocked_artists) + len(named.allowed_tracks or ())
        if many > _MANY:  # looking up so many names would keep everybody waiting
            filters = await asyncio.to_thread(_filters, model, named, heard.rows)
        else:
            filters = _filters(model, named, heard.rows)
        try:
            answer = await model.next_tracks(Asked(heard.session, asked.k, filters, asked.explain))
        except BusyError as error:
            raise ProblemError(503, "too many requests wait; ask again in a moment", {"retry-after": "1"}) from error
        shown = _suggested(export, answer.suggestions, (heard, events) if asked.explain else None)
        if asked.looks:
            for each, found in zip(shown, answer.suggestions, strict=True):
                each.look = self._look(model, found.row, each.track)
        simulated = bool(export.manifest.facts.simulated)
        return Suggestions(model.live.name, simulated, shown, list(heard.unknown), answer.scored)

    def _look(self, model: ServedModel, row: int, track: str) -> TrackLook:
        """Return how a track is drawn: as the default model sees it, so that it looks the same whoever suggests it."""
        first = self.models.every[0]
        known = row if first is model else first.live.export.vocabulary.row(track)
        return look_of(model.live.export, row) if known == UNKNOWN else look_of(first.live.export, known)

    def _model(self, name: str | None) -> ServedModel:
        model = self.models.named(name)
        if model is None:
            names = ", ".join(each.live.name for each in self.models.every)
            raise ProblemError(404, f"no model is called {name!r}; there are {names}")
        return model


def logged(events: Iterable[Event]) -> list[Logged]:
    """Return events as they are kept."""
    now = time.time()
    found = []
    for place, event in enumerate(events):
        try:
            strength = event.strength_code()
        except ValueError as error:
            raise ProblemError(400, f"events[{place}]: {error}") from error
        found.append(Logged(event.track, strength, now, event.event_id or None))
    return found


def _heard(model: ServedModel, events: Sequence[Logged]) -> _Heard:
    rows = model.live.export.vocabulary.rows(event.track for event in events)
    codes = [feedback_code(event.strength) for event in events]
    known = [place for place, row in enumerate(rows) if row >= NUM_SPECIALS]
    unknown = dict.fromkeys(event.track for event, row in zip(events, rows, strict=True) if row == UNKNOWN)
    return _Heard(
        known_session(rows, codes, model.live.is_candidate),
        tuple(known),
        tuple(rows[place] for place in known),
        tuple(unknown),
    )


def _filters(model: ServedModel, asked: TrackFilters, heard: Sequence[int]) -> Filters:
    export = model.live.export
    refused = [] if asked.heard else [*heard]
    refused += [row for row in export.vocabulary.rows(asked.blocked_tracks) if row != UNKNOWN]
    blocked: Int[np.ndarray, " n"] | None = None
    if refused:
        blocked = np.array(refused, np.int32)
    allowed: Int[np.ndarray, " n"] | None = None
    if asked.allowed_tracks is not None:
        allowed = np.array(export.vocabulary.rows(asked.allowed_tracks), np.int32)
    artists: Int[np.ndarray, " n"] | None = None
    if asked.blocked_artists and export.artist is not None:
        codes = [row - NUM_SPECIALS for row in export.artist.rows(asked.blocked_artists) if row != UNKNOWN]
        artists = np.array(codes, np.int32)
    return Filters(blocked, allowed, artists, asked.per_artist)


def _suggested(
    export: ExportFolder, found: Sequence[Suggestion], explained: tuple[_Heard, Sequence[Logged]] | None
) -> list[SuggestedTrack]:
    shown = []
    for rank, each in enumerate(found, start=1):
        place = each.row - NUM_SPECIALS
        code = -1 if export.artist_code is None else int(export.artist_code[each.row])
        shown.append(
            SuggestedTrack(
                rank=rank,
                track=export.vocabulary.track_id(each.row),
                score=each.score,
                title=export.title.text(place) or None if export.title is not None else None,
                artist=export.artist.text(code) if export.artist is not None and code >= 0 else None,
                why=None if explained is None else _why(each, *explained),
            )
        )
    return shown


def _why(each: Suggestion, heard: _Heard, events: Sequence[Logged]) -> Explanation:
    near = []
    for one in each.near:
        event = events[heard.places[one.place]]
        near.append(NearTrack(event.track, word_of(event.strength), one.cosine))
    assert each.log_next is not None, "asked for with explain"
    return Explanation(each.log_next, each.log_listen, each.rank_before, each.followed, near)


def _named(session_id: str) -> str:
    """Return the id; 404 where it cannot be one, so that no store is asked for a key of another form."""
    if re.fullmatch(SESSION_ID, session_id) is None:
        raise ProblemError(404, "there is no such session: its id is no id; begin a new one")
    return session_id


async def _kept(future: Future[T]) -> T:
    """Return what the store of sessions gives, or the problem that its error is."""
    try:
        return await asyncio.wrap_future(future)
    except SegueError as error:
        raise ProblemError(_STATUS.get(type(error), 503), str(error)) from error

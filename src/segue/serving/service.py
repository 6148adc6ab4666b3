"""What the service does for each request, without HTTP."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from segue.errors import SegueError
from segue.exported.folder import ExportFolder
from segue.serving.asgi import ProblemError
from segue.serving.earlier_plays import EarlierPlays, PlaysRead, earlier_plays, read_plays
from segue.serving.gate import RequestCounts
from segue.serving.live_model import Asked, Suggestion
from segue.serving.messages import (
    Event,
    EventCounts,
    ListenerDetails,
    ListenerId,
    ModelList,
    ModelQuery,
    NewEvents,
    NewSession,
    NextAfterEvents,
    NextInSession,
    SessionDetails,
    SessionSummary,
    SimilarQuery,
    SimilarTracks,
    SuggestedTrack,
    Suggestions,
    TrackMap,
    word_of,
)
from segue.serving.model_records import (
    as_read,
    look_of,
    model_summary,
    recent_plays,
    row_filters,
    sampled_map,
    suggested_tracks,
)
from segue.serving.models import BusyError, Models, ServedModel
from segue.serving.plays_cache import PlaysCache
from segue.serving.sessions.store import (
    FullStoreError,
    LiveSession,
    Logged,
    NoListenerError,
    NoSessionError,
    PastSessions,
    ReadOnlyStoreError,
    SessionFullError,
    Sessions,
    new_session_id,
)
from segue.store.vocabulary import UNKNOWN

T = TypeVar("T")
SESSION_ID: Final = "[0-9a-f]{32}"
"""Pattern of a session's id."""
_MANY: Final = 200
"""Names of filters that are looked up on the event loop; one takes some 5 microseconds, more go to a thread."""
MOST_SHOWN: Final = 1_000
"""Most plays of a listener that are shown."""
_STATUS: Final = {
    NoSessionError: 404,
    NoListenerError: 404,
    SessionFullError: 409,
    FullStoreError: 507,
    ReadOnlyStoreError: 503,
}


class Service:
    """Models and sessions together.

    Each public method answers one route, and its docstring is in the OpenAPI document. What a client must change or
    wait for is a ProblemError.
    """

    def __init__(self, models: Models, sessions: Sessions) -> None:
        self.models, self.sessions, self.counts = models, sessions, RequestCounts()
        self._plays_cache = PlaysCache()

    async def begin_session(self, _: str, sent: NewSession) -> SessionSummary:
        """Begin a session, with the events that it has already, and return its id."""
        model, events, session_id = self._model(sent.model), logged(sent.events), new_session_id()
        await _stored(self.sessions.create(session_id, sent.model or "", events, sent.listener))
        if sent.listener is not None:
            with suppress(ProblemError, BusyError):  # the first ranking tries again, and says what is wrong
                plays = await self._plays(await _stored(self.sessions.read(session_id)), model.live.export)
                if model.live.export.manifest.facts.history:  # what it encodes of them now is kept
                    await model.next_tracks(Asked(as_read(model.live, events).session, 1, plays=plays))
        return SessionSummary(session_id, len(events))

    async def add_events(self, session: str, sent: NewEvents) -> EventCounts:
        """Add events to a session. They are stored when this answers; an event sent again with its id counts once."""
        added = await _stored(self.sessions.add(_checked(session), logged(sent.events)))
        return EventCounts(added.accepted, added.repeated, added.events)

    async def show_session(self, session: str, _: None) -> SessionDetails:
        """Return the events of a session in the order of listening."""
        stored = await _stored(self.sessions.read(_checked(session)))
        events = [Event(event.track, heard=word_of(event.strength)) for event in stored.events]
        return SessionDetails(stored.session_id, stored.model, stored.created_at, events, stored.listener)

    async def forget_session(self, session: str, _: None) -> None:
        """Delete a session and its events."""
        await _stored(self.sessions.remove(_checked(session)))

    async def show_listener(self, listener: str, _: None) -> ListenerDetails:
        """Return the last plays of a listener, with titles and artists of the default model."""
        past = await _stored(self.sessions.past(_checked_listener(listener)))
        if not past:
            raise ProblemError(404, "nothing is stored of such a listener, or no event of their sessions")
        events = [event for events in past for event in events][-MOST_SHOWN:]
        return ListenerDetails(listener, recent_plays(self.models.every[0].live.export, events))

    async def forget_listener(self, listener: str, _: None) -> None:
        """Delete all sessions of a listener with their events, also those that have expired."""
        checked = _checked_listener(listener)
        await _stored(self.sessions.forget(checked))
        self._plays_cache.forget(checked)

    async def next_in_session(self, session: str, sent: NextInSession) -> Suggestions:
        """Rank the next tracks of a session, by its own model or another."""
        stored = await _stored(self.sessions.read(_checked(session)))
        model = self._model(sent.model or stored.model or None)
        return await self._next(sent, model, stored.events, await self._plays(stored, model.live.export))

    async def next_after_events(self, _: str, sent: NextAfterEvents) -> Suggestions:
        """Rank the next tracks after the events of the request, which are not stored."""
        model, events, plays = self._model(sent.model), logged(sent.events), None
        if sent.listener is not None:
            past = await _stored(self.sessions.past(sent.listener))
            minute = int(events[0].at if events else time.time()) // 60
            read = await _plays_read(model.live.export, past)
            plays = earlier_plays(model.live.export, read, minute)
        return await self._next(sent, model, events, plays)

    async def similar_tracks(self, _: str, sent: SimilarQuery) -> SimilarTracks:
        """Rank tracks by the cosine of their rows with the row of one track."""
        model, track = self._model(sent.model), sent.track
        row = model.live.export.vocabulary.row(track)
        if row == UNKNOWN:
            raise ProblemError(404, f"the model {model.live.name} does not know the track {track!r}")
        suggestions = await model.similar(row, sent.k)
        tracks = suggested_tracks(model.live.export, suggestions, None)
        self._add_looks(model.live.export, tracks, suggestions)
        return SimilarTracks(model.live.name, track, tracks)

    async def track_map(self, _: str, sent: ModelQuery) -> TrackMap:
        """Return the coordinates of at most 5,000 tracks, always the same ones."""
        model = self._model(sent.model)
        return sampled_map(model.live.export, model.live.name)

    async def list_models(self, _: str, __: None) -> ModelList:
        """List the models that are served, the default first."""
        exports = [model.live.export for model in self.models.every]
        return ModelList([model_summary(export, default=export is exports[0]) for export in exports])

    async def _plays(self, session: LiveSession, export: ExportFolder) -> EarlierPlays | None:
        """Return what the listener of a session played before it; the first request of a session reads it."""
        if session.listener is None:
            return None
        plays = self._plays_cache.get(session, export)
        if plays is None:
            past = await _stored(self.sessions.past(session.listener, session.began))
            plays = self._plays_cache.put(session, export, await _plays_read(export, past))
        return plays

    async def _next(
        self,
        wanted: NextInSession | NextAfterEvents,
        model: ServedModel,
        events: Sequence[Logged],
        plays: EarlierPlays | None,
    ) -> Suggestions:
        export = model.live.export
        read = as_read(model.live, events)
        named = wanted.filters
        num_names = len(named.blocked_tracks) + len(named.blocked_artists) + len(named.allowed_tracks or ())
        if num_names > _MANY:  # on the event loop, all other requests would wait for so many lookups
            filters = await asyncio.to_thread(row_filters, export, named, read.rows)
        else:
            filters = row_filters(export, named, read.rows)
        try:
            asked = Asked(read.session, wanted.k, filters, wanted.explain, plays, wanted.discovery)
            answer = await model.next_tracks(asked)
        except BusyError as error:
            raise ProblemError(503, "too many requests wait; ask again in a moment", {"retry-after": "1"}) from error
        tracks = suggested_tracks(export, answer.suggestions, (read, events) if wanted.explain else None)
        rows = np.array([suggestion.row for suggestion in answer.suggestions], np.int32)
        for track, was_played in zip(tracks, asked.was_played(rows).tolist(), strict=True):
            track.played = was_played
        if wanted.looks:
            self._add_looks(export, tracks, answer.suggestions)
        simulated = bool(export.manifest.facts.simulated)
        return Suggestions(model.live.name, simulated, tracks, list(read.unknown), answer.scored)

    def _add_looks(
        self, export: ExportFolder, tracks: Sequence[SuggestedTrack], suggestions: Sequence[Suggestion]
    ) -> None:
        """Add how each track is drawn: by the default model if it has the track, so that all models draw it alike."""
        default = self.models.every[0].live.export
        for track, suggestion in zip(tracks, suggestions, strict=True):
            row = suggestion.row if default is export else default.vocabulary.row(track.track)
            track.look = look_of(export, suggestion.row) if row == UNKNOWN else look_of(default, row)

    def _model(self, name: str | UnsetType | None) -> ServedModel:
        model = self.models.named(None if name is UNSET else name)
        if model is None:
            names = ", ".join(each.live.name for each in self.models.every)
            raise ProblemError(404, f"no model is called {name!r}; there are {names}")
        return model


async def _plays_read(export: ExportFolder, past: PastSessions) -> PlaysRead:
    """Return the plays of sessions as a model reads them; many are read beside the event loop."""
    few = sum(map(len, past)) <= _MANY
    return read_plays(export, past) if few else await asyncio.to_thread(read_plays, export, past)


def logged(events: Iterable[Event]) -> list[Logged]:
    """Return events as they are stored, with the time of now where they have none.

    Raises:
        ProblemError: an event states its strength twice or in part.
    """
    now = time.time()
    rows = []
    for i, event in enumerate(events):
        try:
            strength = event.strength_code()
        except ValueError as error:
            raise ProblemError(400, f"events[{i}]: {error}") from error
        at = now if event.at is UNSET else min(event.at, now)
        rows.append(Logged(event.track, strength, at, event.event_id or None))
    return rows


def _checked(session_id: str) -> str:
    """Return the id.

    Raises:
        ProblemError: it does not have the form of an id; the store is not queried.
    """
    if re.fullmatch(SESSION_ID, session_id) is None:
        raise ProblemError(404, "there is no such session: the id is not one of a session; begin a new one")
    return session_id


def _checked_listener(listener: str) -> str:
    """Return the id.

    Raises:
        ProblemError: no listener can have it; the store is not queried.
    """
    try:
        return msgspec.convert(listener.encode().decode(), ListenerId)
    except (msgspec.ValidationError, UnicodeError) as error:
        detail = "there is no such listener: the id is empty, too long, no UTF-8, or has a control character"
        raise ProblemError(404, detail) from error


async def _stored(future: Future[T]) -> T:
    """Return the result of the session store, or raise its error as a problem."""
    try:
        return await asyncio.wrap_future(future)
    except SegueError as error:
        raise ProblemError(_STATUS.get(type(error), 503), str(error)) from error

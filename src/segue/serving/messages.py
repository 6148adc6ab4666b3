"""What goes over the wire: requests and answers of the service, decoded strictly."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from segue.skips import FEEDBACK_UNKNOWN, UNKNOWN_STRENGTH, VERY_BRIEFLY, played_strength

MOST_K: Final = 1000
MOST_TOLD: Final = 1000
"""Events of one request, at most."""
MOST_LISTED: Final = 100_000
"""Tracks or artists of one filter, at most."""

NO_CONTROLS: Final = r"^[^\u0000-\u001f\u007f-\u009f]+$(?!\n)"
"""Pattern of an id: no control characters, so that an id never ends a line of a log. Python's $ alone lets one through.
"""

TrackId = Annotated[
    str,
    Meta(min_length=1, max_length=1024, pattern=NO_CONTROLS, description="A track's id, as it stood in the log."),
]
Strength = Annotated[
    int,
    Meta(ge=0, le=VERY_BRIEFLY, description="0 = heard to its end, 1 = mostly, 2 = skipped, 3 = skipped at once."),
]
Heard = Literal["listened", "mostly", "brief", "skip", "unknown"]
Seconds = Annotated[float, Meta(ge=0, le=1e7)]
Count = Annotated[int, Meta(ge=1, le=MOST_K, description=f"How many tracks, at most {MOST_K}.")]
WORDS: Final[dict[str, int]] = {"listened": 0, "mostly": 1, "brief": 2, "skip": 3, "unknown": UNKNOWN_STRENGTH}


class Event(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """One track as it was heard: `heard`, `strength`, or `played_s` and `duration_s`; none of them = unknown."""

    track: TrackId
    heard: Heard | UnsetType = UNSET
    strength: Strength | UnsetType = UNSET
    played_s: Seconds | UnsetType = UNSET
    duration_s: Seconds | UnsetType = UNSET
    event_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_CONTROLS)] | UnsetType = UNSET
    """The client's own id: an event that is told twice counts once."""

    def told(self) -> int:
        """Return the strength, 0..3 or 255 = unknown.

        Raises:
            ValueError: it says how the track was heard twice over, or half of it.
        """
        ways = [self.heard is not UNSET, self.strength is not UNSET, self.played_s is not UNSET]
        if sum(ways) > 1:
            raise ValueError("an event says how it was heard once: heard, strength, or played_s with duration_s")
        if (self.played_s is UNSET) != (self.duration_s is UNSET):
            raise ValueError("played_s and duration_s go together")
        if self.heard is not UNSET:
            return WORDS[self.heard]
        if self.strength is not UNSET:
            return self.strength
        if self.played_s is not UNSET and self.duration_s is not UNSET:
            return played_strength(self.played_s / self.duration_s) if self.duration_s > 0 else UNKNOWN_STRENGTH
        return UNKNOWN_STRENGTH


class FilterAsked(Struct, forbid_unknown_fields=True, frozen=True):
    """What may be suggested; unknown tracks and artists in lists are passed over."""

    heard: bool = False
    """Whether tracks of this session may be suggested again."""
    blocked_tracks: Annotated[list[TrackId], Meta(max_length=MOST_LISTED)] = []
    blocked_artists: Annotated[list[str], Meta(max_length=MOST_LISTED)] = []
    allowed_tracks: Annotated[list[TrackId], Meta(max_length=MOST_LISTED)] | None = None
    """Nothing but these."""
    per_artist: Annotated[int, Meta(ge=1, le=MOST_K)] | None = None
    """At most so many tracks of one artist."""


class NextAsked(Struct, forbid_unknown_fields=True, frozen=True):
    """What next, in a session that the service knows."""

    k: Count = 10
    model: str | None = None
    """Another model than the session's."""
    explain: bool = False
    looks: bool = False
    """Whether each track comes with its place on the map and what its sleeve is drawn from."""
    filters: FilterAsked = field(default_factory=FilterAsked)


class NextOnce(Struct, forbid_unknown_fields=True, frozen=True):
    """What next, in a session that the request tells whole; nothing is kept."""

    events: Annotated[list[Event], Meta(max_length=MOST_TOLD)] = []
    k: Count = 10
    model: str | None = None
    explain: bool = False
    looks: bool = False
    filters: FilterAsked = field(default_factory=FilterAsked)


class SessionAsked(Struct, forbid_unknown_fields=True, frozen=True):
    """A new session."""

    model: str | None = None
    events: Annotated[list[Event], Meta(max_length=MOST_TOLD)] = []


class EventsTold(Struct, forbid_unknown_fields=True, frozen=True):
    """Events of a session, in the order of listening."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=MOST_TOLD)]


class SessionMade(Struct):
    """A session's id: whoever has it can read and continue the session."""

    session: str
    events: int


class EventsKept(Struct):
    """What became of the events that were told: all of them are on disk now."""

    accepted: int
    repeated: int
    events: int


class SessionShown(Struct):
    """One session."""

    session: str
    model: str
    created_at: float
    events: list[Event]


class NearShown(Struct):
    """A track of the session that a suggestion lies near."""

    track: str
    heard: Heard
    cosine: float


class Why(Struct):
    """What moved a suggestion."""

    log_p: float
    """log of its chance of being next, normalised over `normalised_over` tracks alone."""
    log_listen: float | None
    """log P(listen); null where the model has no head for it."""
    rank_before: int | None
    """Its rank before the session's last track; null where it was not among those looked at."""
    followed: int
    """Times that it followed the session's last track in training."""
    near: list[NearShown]


class Look(Struct):
    """How a track is drawn: by the default model where it knows the track, else by the one that suggests it."""

    x: float
    """Place on the map, -1..1 for most tracks."""
    y: float
    sleeve: list[float]
    """Twelve numbers of its row's direction: similar tracks have similar ones."""


class Suggested(Struct, omit_defaults=True):
    """One suggested track."""

    rank: int
    track: str
    score: float
    title: str | None = None
    artist: str | None = None
    why: Why | None = None
    look: Look | None = None


class Suggestions(Struct):
    """Suggested tracks, best first."""

    model: str
    simulated: bool
    """Whether the model was trained on simulated data."""
    tracks: list[Suggested]
    unknown: list[str]
    """Tracks of the session that the model does not know; they were passed over."""
    normalised_over: int
    """Tracks that log_p is normalised over: those that were scored definitely, not the whole catalogue."""


class SimilarShown(Struct):
    """Tracks near one in the track space."""

    model: str
    track: str
    tracks: list[Suggested]


class MapShown(Struct):
    """The track space in two dimensions: a sample of the candidates, and where the asked tracks are."""

    model: str
    x: list[float]
    y: list[float]
    plays: list[int]
    """Plays of each point's track in training."""


class ModelShown(Struct):
    """One model that is served."""

    name: str
    recipe: str
    fingerprint: str
    tracks: int
    candidates: int
    reads_feedback: bool
    foretells_listening: bool
    simulated: bool
    default: bool


class Models(Struct):
    """All models that are served."""

    models: list[ModelShown]


class Health(Struct):
    """Whether the service runs."""

    status: Literal["ok"]


class Problem(Struct):
    """What is wrong, and how to mend it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    """What is wrong and what to do."""


def word_of(strength: int) -> Heard:
    """Return the word of a strength."""
    words: tuple[Heard, ...] = ("listened", "mostly", "brief", "skip")
    return words[strength] if strength < len(words) else "unknown"


def feedback_code(strength: int) -> int:
    """Return what an encoder reads of a strength: 0..3, 4 = unknown."""
    return FEEDBACK_UNKNOWN if strength == UNKNOWN_STRENGTH else strength

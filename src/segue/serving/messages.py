"""Records of the requests and answers of the service; msgspec decodes them strictly and encodes them.

Their docstrings and limits are also the descriptions and limits of the OpenAPI document.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from segue.skips import FEEDBACK_UNKNOWN, UNKNOWN_STRENGTH, VERY_BRIEFLY, played_strength

MOST_K: Final = 1000
MOST_EVENTS: Final = 1000
"""Most events of one request."""
MOST_LISTED: Final = 100_000
"""Most tracks or artists of one filter."""

NO_CONTROLS: Final = r"^[^\u0000-\u001f\u007f-\u009f]+$(?!\n)"
"""Pattern of an id without control characters, so that no id can end a line of a log.

The last part refuses a final line break, which `$` alone lets through in Python.
"""

TrackId = Annotated[
    str,
    Meta(min_length=1, max_length=1024, pattern=NO_CONTROLS, description="A track's id, as it stood in the log."),
]
ListenerId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern=rf"^(?!\.{{1,2}}$){NO_CONTROLS[1:]}",
        description="A listener's id, any text of yours but . and .., which no URL can end in.",
    ),
]
Strength = Annotated[
    int,
    Meta(ge=0, le=VERY_BRIEFLY, description="0 = heard to its end, 1 = mostly, 2 = skipped, 3 = skipped at once."),
]
Heard = Literal["listened", "mostly", "brief", "skip", "unknown"]
Seconds = Annotated[float, Meta(ge=0, le=1e7)]
At = Annotated[
    float,
    Meta(ge=0, le=1e11, description="When it began to be played, UTC seconds; default: now. Never later than now."),
]
Count = Annotated[int, Meta(ge=1, le=MOST_K, description=f"Number of tracks, at most {MOST_K}.")]
STRENGTHS: Final[dict[Heard, int]] = {"listened": 0, "mostly": 1, "brief": 2, "skip": 3, "unknown": UNKNOWN_STRENGTH}
_WORDS: Final = {strength: word for word, strength in STRENGTHS.items()}


class Event(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """One track of a session, with `heard`, or `strength`, or `played_s` and `duration_s`; with none: unknown."""

    track: TrackId
    heard: Heard | UnsetType = UNSET
    strength: Strength | UnsetType = UNSET
    played_s: Seconds | UnsetType = UNSET
    duration_s: Seconds | UnsetType = UNSET
    event_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_CONTROLS)] | UnsetType = UNSET
    """The client's own id: an event that is sent again with it counts once."""
    at: At | UnsetType = UNSET

    def strength_code(self) -> int:
        """Return the strength, 0..3 or 255 = unknown.

        Raises:
            ValueError: the event states its strength in two ways, or has only one of `played_s` and `duration_s`.
        """
        if sum(value is not UNSET for value in (self.heard, self.strength, self.played_s)) > 1:
            raise ValueError("an event says how it was heard once: heard, strength, or played_s with duration_s")
        if (self.played_s is UNSET) != (self.duration_s is UNSET):
            raise ValueError("played_s and duration_s go together")
        if self.heard is not UNSET:
            return STRENGTHS[self.heard]
        if self.strength is not UNSET:
            return self.strength
        if self.played_s is not UNSET and self.duration_s is not UNSET and self.duration_s > 0:
            return played_strength(self.played_s / self.duration_s)
        return UNKNOWN_STRENGTH


class TrackFilters(Struct, forbid_unknown_fields=True, frozen=True):
    """Which tracks may be suggested; ids and artists that the model does not know have no effect."""

    heard: bool = False
    """Whether tracks of this session may be suggested again."""
    blocked_tracks: Annotated[list[TrackId], Meta(max_length=MOST_LISTED)] = []
    blocked_artists: Annotated[list[str], Meta(max_length=MOST_LISTED)] = []
    allowed_tracks: Annotated[list[TrackId], Meta(max_length=MOST_LISTED)] | None = None
    """The only tracks that may be suggested."""
    per_artist: Annotated[int, Meta(ge=1, le=MOST_K)] | None = None
    """Most tracks of one artist."""


Discovery = Annotated[
    float,
    Meta(
        ge=0,
        le=1,
        description="How adventurous the list is: 0 = tracks that were played before come first, 1 = all others do, "
        "0.5 or null = as the model ranks.",
    ),
]


class NextInSession(Struct, forbid_unknown_fields=True, frozen=True):
    """A request for the next tracks of a stored session."""

    k: Count = 10
    model: str | None = None
    """A model other than the session's."""
    explain: bool = False
    looks: bool = False
    """Whether each track comes with its point on the map and the numbers of its sleeve."""
    filters: TrackFilters = field(default_factory=TrackFilters)
    discovery: Discovery | None = None


class NextAfterEvents(Struct, forbid_unknown_fields=True, frozen=True):
    """A request for the next tracks after these events, which are not stored."""

    events: Annotated[list[Event], Meta(max_length=MOST_EVENTS)] = []
    k: Count = 10
    model: str | None = None
    explain: bool = False
    looks: bool = False
    filters: TrackFilters = field(default_factory=TrackFilters)
    discovery: Discovery | None = None
    listener: ListenerId | None = None
    """Whose stored sessions are read as what was played before; nothing is stored of this request."""


class NewSession(Struct, forbid_unknown_fields=True, frozen=True):
    """A session that begins."""

    model: str | None = None
    events: Annotated[list[Event], Meta(max_length=MOST_EVENTS)] = []
    listener: ListenerId | None = None
    """Whose session it is: its plays are kept beyond the session, and the listener's later sessions read them."""


class NewEvents(Struct, forbid_unknown_fields=True, frozen=True):
    """Events to add to a session, in the order of listening."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=MOST_EVENTS)]


class SimilarQuery(Struct, frozen=True):
    """The query of a request for similar tracks."""

    track: Annotated[str, Meta(min_length=1, max_length=1024, description="A track's id.")]
    k: Count = 10
    model: str | UnsetType = UNSET


class ModelQuery(Struct, frozen=True):
    """The query of a request that may name a model."""

    model: str | UnsetType = UNSET


class SessionSummary(Struct):
    """A session's id, with which anybody can read and continue the session, and its number of events."""

    session: str
    events: int


class EventCounts(Struct):
    """How many of the new events were added or were there already, and how many the session has now."""

    accepted: int
    repeated: int
    events: int


class SessionDetails(Struct):
    """One session with its events."""

    session: str
    model: str
    created_at: float
    events: list[Event]
    listener: str | None = None
    """Whose session it is."""


class RecentPlay(Struct):
    """One play of a listener."""

    track: str
    heard: Heard
    at: float
    """When it was played, or else when the service got it, in UTC seconds."""
    title: str | None
    artist: str | None


class ListenerDetails(Struct):
    """What the sessions of a listener hold, as far as rankings read it."""

    listener: str
    plays: list[RecentPlay]
    """The last 1,000, most recent last."""


class NearTrack(Struct):
    """A track of the session whose row is near to that of a suggestion."""

    track: str
    heard: Heard
    cosine: float


class Explanation(Struct):
    """Why a track is suggested."""

    log_p: float
    """log of the probability of being next, normalised over `normalised_over` tracks only."""
    log_listen: float | None
    """log P(listen); null where the model has no head for it."""
    rank_before: int | None
    """Its rank before the session's last track; null where it was not among the tracks that were scored."""
    followed: int
    """How often it followed the session's last track in training."""
    near: list[NearTrack]


class TrackLook(Struct):
    """How a track is drawn: by the default model if it has the track, else by the model that suggests it."""

    x: float
    """Coordinate on the map, -1..1 for most tracks."""
    y: float
    sleeve: list[float]
    """Twelve numbers that depend on the direction of its row: similar tracks have similar numbers."""


class SuggestedTrack(Struct, omit_defaults=True):
    """One suggested track."""

    rank: int
    track: str
    score: float
    title: str | None = None
    artist: str | None = None
    played: bool = False
    """Whether it was played before: in this session, or by its listener as far as the model reads."""
    why: Explanation | None = None
    look: TrackLook | None = None


class Suggestions(Struct):
    """Suggested tracks, best first."""

    model: str
    simulated: bool
    """Whether the model was trained on simulated data."""
    tracks: list[SuggestedTrack]
    unknown: list[str]
    """Tracks of the session that the model does not know and leaves out."""
    normalised_over: int
    """Number of tracks that log_p is normalised over: those with exact scores, not the whole catalogue."""


class SimilarTracks(Struct):
    """Tracks whose rows have the largest cosine with the row of one track."""

    model: str
    track: str
    tracks: list[SuggestedTrack]


class TrackMap(Struct):
    """The track space in two dimensions: a sample of the candidates."""

    model: str
    x: list[float]
    y: list[float]
    plays: list[int]
    """Plays of each point's track in training."""


class ModelSummary(Struct):
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


class ModelList(Struct):
    """All models that are served, the default first."""

    models: list[ModelSummary]


class Health(Struct):
    """Whether the service runs."""

    status: Literal["ok"]


class Problem(Struct):
    """An error as a problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    """What is wrong and what to do."""


def word_of(strength: int) -> Heard:
    """Return the word of a strength; "unknown" for any other number."""
    return _WORDS.get(strength, "unknown")


def feedback_code(strength: int) -> int:
    """Return the feedback code that an encoder reads for a strength: 0..3, 4 = unknown."""
    return FEEDBACK_UNKNOWN if strength == UNKNOWN_STRENGTH else strength

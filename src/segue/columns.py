"""Every column name of Segue, in one place."""

from __future__ import annotations

from typing import Final

# --- the event table: what every source returns, one row an event -------------------------------------
SESSION: Final = "session"
"""Session id, text as read."""
POSITION: Final = "position"
"""Order within the session; any integers, only their order counts."""
TRACK: Final = "track"
"""Track id, text as read ('007' stays '007')."""
STRENGTH: Final = "strength"
"""Skip strength, uint8: 3 very briefly, 2 briefly, 1 mostly, 0 to its end, 255 unknown."""
AT: Final = "at"
"""Start of the event, UTC seconds, int64."""
USER: Final = "user"
"""Listener id, text; in a store the index of the listener."""
INFERRED: Final = "inferred"
"""True where the strength was inferred (from a played share, a gap) rather than observed."""
TIED: Final = "tied"
"""True where a neighbouring event of the same session has the same time."""
DATE: Final = "date"
"""Day of the session, days since 1970-01-01, int32."""
CONTEXT_TYPE: Final = "context_type"
SHUFFLE: Final = "shuffle"
HOUR: Final = "hour"
SEGUE_LOG: Final = "segue_log"
"""Column of a log that a service has kept: the version of its layout. Its ids stand letter for letter."""
PREMIUM: Final = "premium"

ORACLE_PREFIX: Final = "oracle_"
"""Columns of simulated truth: evaluation may read them, no model ever."""
ORACLE_P_LISTEN: Final = "oracle_p_listen"
"""P(listen) of the row as generated, float32."""
ORACLE_P_LISTEN_COMMON: Final = "oracle_p_listen_common"
"""P(listen) of a held-out row as if played next after the common context (both held-out rows hidden), else NaN."""

# --- the track table ------------------------------------------------------------------------------------
TITLE: Final = "title"
ARTIST: Final = "artist"
ALBUM: Final = "album"
DURATION: Final = "duration"
"""Seconds."""
SIMULATED: Final = "simulated"

# --- the Music Streaming Sessions Dataset, as published ---------------------------------------------------
MSSD_LOG: Final = (
    "session_id",
    "session_position",
    "session_length",
    "track_id_clean",
    "skip_1",
    "skip_2",
    "skip_3",
    "not_skipped",
    "context_switch",
    "no_pause_before_play",
    "short_pause_before_play",
    "long_pause_before_play",
    "hist_user_behavior_n_seekfwd",
    "hist_user_behavior_n_seekback",
    "hist_user_behavior_is_shuffle",
    "hour_of_day",
    "date",
    "premium",
    "context_type",
    "hist_user_behavior_reason_start",
    "hist_user_behavior_reason_end",
)
MSSD_DESCRIPTORS: Final = (
    "acousticness",
    "beat_strength",
    "bounciness",
    "danceability",
    "dyn_range_mean",
    "energy",
    "flatness",
    "instrumentalness",
    "key",
    "liveness",
    "loudness",
    "mechanism",
    "mode",
    "organism",
    "speechiness",
    "tempo",
    "time_signature",
    "valence",
)
MSSD_ACOUSTIC: Final = tuple(f"acoustic_vector_{i}" for i in range(8))
MSSD_FEATURES: Final = (
    "track_id",
    "duration",
    "release_year",
    "us_popularity_estimate",
    *MSSD_DESCRIPTORS,
    *MSSD_ACOUSTIC,
)

"""Every column name of Segue, in one place."""

from __future__ import annotations

from typing import Final

# --- side columns of a store --------------------------------------------------------------------------
AT: Final = "at"
"""Start of the event, UTC seconds, int64."""
USER: Final = "user"
"""Index of the listener, int32."""
INFERRED: Final = "inferred"
"""True if the strength was inferred (from a played share or a gap) and not stated."""
TIED: Final = "tied"
"""True if a neighbouring event of the same session has the same time."""
DATE: Final = "date"
"""Day of the session, days since 1970-01-01, int32."""
CONTEXT_TYPE: Final = "context_type"
SHUFFLE: Final = "shuffle"
HOUR: Final = "hour"
SEGUE_LOG: Final = "segue_log"
"""Column of a log exported from a service: the version of its layout. Its ids are taken literally."""
PREMIUM: Final = "premium"

ORACLE_P_LISTEN: Final = "oracle_p_listen"
"""P(listen) of the row in the simulation, float32. Evaluation may read `oracle_*` columns, models may not."""
ORACLE_P_LISTEN_COMMON: Final = "oracle_p_listen_common"
"""P(listen) of a held-out row directly after the common context (both held-out rows hidden), else NaN."""

SIDE_DTYPES: Final = {
    INFERRED: "bool",
    AT: "int64",
    TIED: "bool",
    CONTEXT_TYPE: "uint8",
    SHUFFLE: "bool",
    HOUR: "uint8",
    PREMIUM: "bool",
    DATE: "int32",
    USER: "int32",
    ORACLE_P_LISTEN: "float32",
    ORACLE_P_LISTEN_COMMON: "float32",
}
"""Dtype of each side column, in the order of a store; columns that the user names (`--side`) come last."""

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

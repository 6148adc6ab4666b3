"""The sources: one file per corpus, registered in `TITLES`. They are imported on use, since Polars loads slowly."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from segue.data.sources.source import Source

TITLES: Final[Mapping[str, str]] = {
    "spotify": "Spotify, extended streaming history",
    "spotify-account": "Spotify, account export",
    "apple-music": "Apple Music, play activity",
    "youtube-music": "YouTube Music, watch history",
    "deezer": "Deezer, listening history",
    "tidal": "Tidal, streaming history",
    "lastfm": "Last.fm, scrobbles",
    "lastfm-1k": "Last.fm-1K, listening histories of 992 users",
    "listenbrainz": "ListenBrainz, listens",
    "maloja": "Maloja, scrobbles of a self-hosted server",
    "rockbox": "Rockbox and other portable players, .scrobbler.log",
    "jellyfin": "Jellyfin, Playback Reporting",
    "navidrome": "Navidrome, scrobbles of a self-hosted server",
    "yambda": "Yambda, plays of Yandex Music",
    "30music": "30Music, sessions of Last.fm",
    "kkbox": "KKBOX, WSDM 2018 music challenge",
    "lfm-2b": "LFM-2b, listening events of Last.fm",
    "piki": "Piki, likes and dislikes",
    "mssd": "Music Streaming Sessions Dataset (Spotify)",
    "movielens": "MovieLens and other ratings of one to five stars",
    "table": "Any table of plays",
}
"""Title by name, in the order in which sources are tried on a file."""
_MODULES: Final = {"30music": "thirty_music"}
"""Modules whose name differs from the source's."""


def source_of(name: str) -> Source:
    """Return the source called `name`, one of TITLES."""
    module = _MODULES.get(name, name.replace("-", "_"))
    source: Source = import_module(f"segue.data.sources.{module}").SOURCE
    return source


def all_sources() -> list[Source]:
    """Return every source, in the order of TITLES."""
    return [source_of(name) for name in TITLES]

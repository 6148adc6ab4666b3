"""The manifest of a store: `manifest.json`, format_version 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from segue.config import build
from segue.errors import FormatError, InputError
from segue.files import plain_name, read_json

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
DTYPES: Final = ("bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "uint64", "float32")
"""Dtypes of side columns (little-endian)."""


@dataclass(frozen=True)
class SideColumn:
    """A column beside tracks and strength: its name, dtype, level, and names of its codes if categorical."""

    name: str
    dtype: str
    level: Literal["event", "session", "track"] = "event"
    categories: tuple[str, ...] = ()
    """Text of code i for a categorical column (uint8 or uint16 codes), else empty."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        plain_name(self.name, "side column")


@dataclass(frozen=True)
class StoreSource:
    """The origin of a store."""

    kind: str
    """Name of the source, or table, ratings or simulation."""
    name: str
    """File or folder name as given (the last part of its path)."""
    simulated: dict[str, Any] = field(default_factory=dict)
    """Empty for real data; else at least simulator version, world and config_hash."""
    report: dict[str, Any] = field(default_factory=dict)
    """Counts of the reading: rows read, rejected by kind, share of tied times, ..."""


@dataclass(frozen=True)
class Shard:
    """One folder of flat arrays."""

    name: str
    num_sessions: int
    num_rows: int

    def __post_init__(self) -> None:
        plain_name(self.name, "shard")


@dataclass(frozen=True)
class Manifest:
    """The whole manifest."""

    num_sessions: int
    num_rows: int
    num_tracks: int
    fingerprint: str
    """BLAKE2b-128 (hex) over the names, dtypes and bytes of the arrays, in order; equal for equal content."""
    source: StoreSource
    side: tuple[SideColumn, ...]
    shards: tuple[Shard, ...]
    track_columns: tuple[str, ...] = ()
    """Columns in `tracks/`: any of title, artist, album, duration, features."""
    feature_names: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON document."""
        return asdict(self)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the store at `folder`.

    Raises:
        FormatError: not a store, damaged, or of another format version.
    """
    document = read_json(folder / MANIFEST)
    if not isinstance(document, dict) or "format_version" not in document:
        raise FormatError(f"{folder / MANIFEST} is not the manifest of a store; name a folder that segue prepare made")
    version = document["format_version"]
    if version != FORMAT_VERSION:
        raise FormatError(
            f"{folder} has store format {version!r}, this Segue reads {FORMAT_VERSION}; "
            "update Segue or prepare the log again"
        )
    return _from_json(document, f"{folder / MANIFEST}")


def _from_json(document: Mapping[str, Any], where: str) -> Manifest:
    values = dict(document)
    try:
        values["source"] = build(StoreSource, values["source"], f"{where}: source")
        values["side"] = tuple(build(SideColumn, part, f"{where}: side") for part in values["side"])
        values["shards"] = tuple(build(Shard, part, f"{where}: shards") for part in values["shards"])
        manifest = Manifest(**{**values, **{k: tuple(values.get(k, ())) for k in ("track_columns", "feature_names")}})
    except (KeyError, TypeError, InputError) as error:
        raise FormatError(f"{where} is damaged ({error}); prepare the store again") from error
    return manifest

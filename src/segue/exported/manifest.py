"""The manifest of an export: `manifest.json`, export_version 5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from segue.config import build
from segue.errors import FormatError, InputError
from segue.files import plain_name, read_json_object

EXPORT_VERSION: Final = 5
MANIFEST: Final = "manifest.json"
KIND: Final = "segue-export"
FOLDERS: Final = ("", "vocabulary", "title", "artist", "copy", "transitions", "repeats", "neighbours", "index")
"""Folders of an export's files; "" = the export's folder."""


@dataclass(frozen=True)
class ModelFacts:
    """ModelFacts about the model that a server needs beside the arrays."""

    recipe: str
    """Name of the recipe."""
    num_tracks: int
    """V."""
    num_candidates: int
    """Tracks with a training row or features, which may always be ranked."""
    width: int
    """D."""
    max_len: int
    """Most recent tracks that the encoder reads."""
    reads_feedback: bool
    temperature: float = 1.0
    """T, the factor of the encoder's score before transitions are mixed in."""
    listen_weight: float = 0.0
    """lambda, the weight of log P(listen) in the ranking."""
    own_listens: float = 0.0
    own_skips: float = 0.0
    """Weights in the logit of P(listen) of how often the listener listened to the track and skipped it before."""
    neighbour_mass: float = 0.0
    """m, the mass of the tracks of the nearest training sessions together; 0 = none are looked for."""
    earlier_plays: int = 0
    """Most plays of a listener's earlier sessions that it reads, the last ones; 0 = none."""
    history: int = 0
    """Most of these plays that the encoder reads, the last ones; 0 = it reads the session alone."""
    best: dict[str, Any] = field(default_factory=dict)
    """Epoch and validation metrics of the weights."""
    data: dict[str, Any] = field(default_factory=dict)
    """The recipe's `[data]`, which determines the held-out sessions of the store."""
    simulated: dict[str, Any] = field(default_factory=dict)
    """Empty for a model of real data; else the description of the simulation."""

    def __post_init__(self) -> None:
        counts = self.num_tracks, self.num_candidates, self.earlier_plays, self.history
        if min(counts) < 0 or min(self.width, self.max_len) < 1:
            raise ValueError("counts must be at least 0, width and max_len at least 1")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError("temperature must be above 0")
        if not (math.isfinite(self.listen_weight) and self.listen_weight >= 0):
            raise ValueError("listen_weight must be at least 0")
        if not (math.isfinite(self.own_listens) and math.isfinite(self.own_skips)):
            raise ValueError("own_listens and own_skips must be finite")
        if not (math.isfinite(self.neighbour_mass) and self.neighbour_mass >= 0):
            raise ValueError("neighbour_mass must be at least 0")


@dataclass(frozen=True)
class FileFacts:
    """One file of an export."""

    bytes: int
    sha256: str
    """Hexadecimal."""

    def __post_init__(self) -> None:
        if self.bytes < 0 or len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError("bytes must be at least 0 and sha256 64 hexadecimal digits")


@dataclass(frozen=True)
class ExportManifest:
    """The whole manifest."""

    name: str
    """Name of the model; its fingerprint distinguishes models of one name."""
    facts: ModelFacts
    files: Mapping[str, FileFacts]
    """By path below the export's folder."""
    made_by: str = ""
    """Version of Segue, and commit if known."""

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON document."""
        return {"kind": KIND, "export_version": EXPORT_VERSION, **asdict(self)}


def read_export_manifest(folder: Path) -> ExportManifest:
    """Return the manifest of the export at `folder`.

    Raises:
        FormatError: not an export, damaged, of another version, or with paths outside its folder.
    """
    where = folder / MANIFEST
    document = read_json_object(where)
    if document.get("kind") != KIND:
        raise FormatError(f"{where} is not the manifest of an export; name a folder that segue export made")
    if document.get("export_version") != EXPORT_VERSION:
        raise FormatError(
            f"{folder} has export version {document.get('export_version')!r}, this Segue reads {EXPORT_VERSION}; "
            "update Segue, or export the run again"
        )
    try:
        files = {
            _checked_name(name, str(where)): build(FileFacts, facts, f"{where}: files: {name}")
            for name, facts in document["files"].items()
        }
        facts = build(ModelFacts, document["facts"], f"{where}: facts")
        name = document["name"]
        if not isinstance(name, str):
            raise InputError("name is not text")
        return ExportManifest(plain_name(name, str(where)), facts, files, str(document.get("made_by", "")))
    except FormatError:
        raise
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise FormatError(f"{where} is damaged ({error}); export the run again") from error


def _checked_name(name: str, where: str) -> str:
    folder, _, file = name.rpartition("/")
    if folder not in FOLDERS:
        raise FormatError(f"{where} names {name!r}, outside the folders of an export; the manifest is not trusted")
    plain_name(file, where)
    return name

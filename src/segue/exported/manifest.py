"""What an export says of itself: `manifest.json`, export_version 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from segue.config import build
from segue.errors import FormatError, InputError
from segue.files import plain_name, read_json_object

EXPORT_VERSION: Final = 2
MANIFEST: Final = "manifest.json"
KIND: Final = "segue-export"
FOLDERS: Final = ("", "vocabulary", "title", "artist", "transitions", "index")
"""Folders that files of an export may stand in; "" = its own."""


@dataclass(frozen=True)
class Facts:
    """What a server must know of the model beside its arrays."""

    recipe: str
    """Name of the recipe."""
    num_tracks: int
    """V."""
    num_candidates: int
    """Tracks that may be ranked."""
    width: int
    """D."""
    max_len: int
    """Most recent tracks that the encoder reads."""
    reads_feedback: bool
    temperature: float = 1.0
    """T, that the encoder's score is multiplied by before transitions are mixed in."""
    listen_weight: float = 0.0
    """lambda, the weight of log P(listen) in the ranking."""
    best: dict[str, Any] = field(default_factory=dict)
    """Epoch and validation metrics of the weights."""
    data: dict[str, Any] = field(default_factory=dict)
    """The recipe's `[data]`: which sessions of its store were held out."""
    simulated: dict[str, Any] = field(default_factory=dict)
    """Empty for a model of real data; else what the log's simulator says of itself."""

    def __post_init__(self) -> None:
        if min(self.num_tracks, self.num_candidates) < 0 or min(self.width, self.max_len) < 1:
            raise ValueError("counts must be at least 0, width and max_len at least 1")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError("temperature must be above 0")
        if not (math.isfinite(self.listen_weight) and self.listen_weight >= 0):
            raise ValueError("listen_weight must be at least 0")


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
    """What the model is called; its fingerprint tells it from another of the same name."""
    facts: Facts
    files: Mapping[str, FileFacts]
    """By name, folders with a slash."""
    made_by: str = ""
    """Version of Segue, and commit where it is known."""

    def to_json(self) -> dict[str, Any]:
        """Return the document as written."""
        return {"kind": KIND, "export_version": EXPORT_VERSION, **asdict(self)}


def read_export_manifest(folder: Path) -> ExportManifest:
    """Return the manifest of the export at `folder`.

    Raises:
        FormatError: no export, damaged, of another version, or one that names paths outside its folder.
    """
    where = folder / MANIFEST
    document = read_json_object(where)
    if document.get("kind") != KIND:
        raise FormatError(f"{where} is no manifest of an export; name a folder that segue export made")
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
        facts = build(Facts, document["facts"], f"{where}: facts")
        name = document["name"]
        if not isinstance(name, str):
            raise InputError("name is no text")
        return ExportManifest(plain_name(name, str(where)), facts, files, str(document.get("made_by", "")))
    except FormatError:
        raise
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise FormatError(f"{where} is damaged ({error}); export the run again") from error


def _checked_name(name: str, where: str) -> str:
    folder, _, file = name.rpartition("/")
    if folder not in FOLDERS:
        raise FormatError(f"{where} names {name!r}, which lies in no folder of an export; the manifest is not trusted")
    plain_name(file, where)
    return name

"""The verb `extend`: tracks that came after training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.errors import InputError
from segue.runs.extending import NewTracks, extend_run, feature_names, serving
from segue.store import Vocabulary


@dataclass(frozen=True)
class Extended:
    """What `extend` did."""

    run: Path
    """The run that was extended."""
    added: int
    """Tracks put in."""
    known: int
    """Tracks of the file that the run ranked or knew before; they stay as they are."""
    without_features: int
    """Tracks left out: the file gives none of their features."""
    tracks: int
    """Tracks that the run knows now."""

    def to_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        return {**vars(self), "run": str(self.run)}


def extend(run: str | Path, tracks: str | Path) -> Extended:
    """Put the tracks of a CSV or Parquet file into a trained run, without training again.

    The run must read features of tracks (`[features]`), and the file give them under the names that the store had; a
    missing value counts as the mean. From then on `recommend` and `load` read and rank the new tracks; `evaluate` goes
    on measuring the run as it was trained. It can be extended again; training again with `overwrite` starts over.

    Raises:
        InputError: the run reads no features, or the file has no id column or none of the features.
        FormatError: no run, or a damaged one.
    """
    from segue.data.track_tables import new_tracks

    names = feature_names(serving(run))
    vocabulary = Vocabulary.read(serving(run) / "vocabulary")
    found = new_tracks(Path(tracks), vocabulary.texts(range(len(vocabulary))), names)
    if found.missing == len(names):
        raise InputError(
            f"{tracks} has none of the features that {run} reads ({', '.join(names[:8])}"
            f"{', ...' if len(names) > 8 else ''}); name a table with these columns"
        )
    if len(found.ids):
        extend_run(run, NewTracks(found.ids, found.features, found.texts))
    return Extended(Path(run), len(found.ids), found.known, found.bare, len(vocabulary) + len(found.ids))

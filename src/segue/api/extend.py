"""The verb `extend`: adds tracks to a trained run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.errors import InputError
from segue.runs.extending import NewTracks, extend_run, feature_names, serving
from segue.store import Vocabulary


@dataclass(frozen=True)
class Extended:
    """Result of `extend`."""

    run: Path
    """The run that was extended."""
    added: int
    """Tracks added."""
    num_old: int
    """Tracks of the file that the run had already; they do not change."""
    without_features: int
    """Tracks left out because the file has none of their features."""
    tracks: int
    """Tracks of the run now."""

    def to_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        return {
            "run": str(self.run),
            "added": self.added,
            "known": self.num_old,
            "without_features": self.without_features,
            "tracks": self.tracks,
        }


def extend(run: str | Path, tracks: str | Path) -> Extended:
    """Add the tracks of a CSV or Parquet file to a trained run, without training again.

    The run must read features of tracks (`[features]`), and the file must have them under the names of the store; a
    missing value counts as the mean. `recommend` and `load` then read and rank the new tracks; `evaluate` still
    measures the run as trained. A run can be extended several times; training with `overwrite` starts over.

    Raises:
        InputError: the run reads no features, or the file has no id column or none of the features.
        FormatError: not a run, or a damaged one.
    """
    from segue.data.track_tables import new_tracks

    names = feature_names(serving(run))
    vocabulary = Vocabulary.read(serving(run) / "vocabulary")
    fresh = new_tracks(Path(tracks), vocabulary.texts(range(len(vocabulary))), names)
    if fresh.num_missing_features == len(names):
        raise InputError(
            f"{tracks} has none of the features that {run} reads ({', '.join(names[:8])}"
            f"{', ...' if len(names) > 8 else ''}); name a table with these columns"
        )
    if len(fresh.ids):
        extend_run(run, NewTracks(fresh.ids, fresh.features, fresh.texts))
    return Extended(
        run=Path(run),
        added=len(fresh.ids),
        num_old=fresh.num_old,
        without_features=fresh.num_without_features,
        tracks=len(vocabulary) + len(fresh.ids),
    )

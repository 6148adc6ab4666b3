"""The verb `extend`: adds tracks to a trained run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segue.errors import InputError
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


@dataclass(frozen=True)
class ExtendOptions:
    """Options of `extend`."""

    tracks: Annotated[str | Path, Parameter(metavar="FILE")]
    """CSV or Parquet with an id column and the run's features, and optionally title and artist."""


def extend(run: str | Path, options: ExtendOptions) -> Extended:
    """Add new tracks to a trained run by their features, without training again.

    The run must have been trained with features of tracks (--set inputs.features=true on a store prepared with
    --tracks), and the file must have them under the names of the store; a missing value counts as the mean.
    `recommend` and `load` then read and rank the new tracks; `evaluate` still measures the run as trained. A run can be
    extended several times; training with `overwrite` starts over.

    Args:
        run: a trained run.

    Raises:
        InputError: the run reads no features, or the file has no id column or none of the features.
        FormatError: not a run, or a damaged one.
    """
    from segue.data.track_tables import new_tracks
    from segue.runs.extending import NewTracks, extend_run, feature_names, serving

    tracks = Path(options.tracks)
    names = feature_names(serving(run))
    vocabulary = Vocabulary.read(serving(run) / "vocabulary")
    fresh = new_tracks(tracks, vocabulary.texts(range(len(vocabulary))), names)
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

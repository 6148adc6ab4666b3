"""Recommends next tracks by a trained run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import skips
from segue.batch import Batch, History
from segue.batches.histories import one_history
from segue.data.cutting import GAP_MINUTES, MAX_LENGTH
from segue.errors import InputError
from segue.model import Encoder
from segue.model.heads import repeats
from segue.ranking import ModelScorer, top_k
from segue.ranking.discovering import discovering_lists
from segue.runs import LoadedRun
from segue.runs.extending import load_serving
from segue.store import NUM_SPECIALS, PAD, UNKNOWN


class Recommender:
    """Recommends next tracks for any session, by a trained run; create it with `segue.load`."""

    def __init__(self, run: LoadedRun) -> None:
        self._run = run
        self._scorer = ModelScorer(run.encoder, run.candidates, run.listen_weight)
        self._candidate = np.zeros(run.encoder.table.num_embeddings, dtype=np.bool_)
        self._candidate[run.candidates] = True

    @property
    def encoder(self) -> Encoder:
        """The trained encoder."""
        return self._run.encoder

    def unknown(self, tracks: Sequence[str]) -> list[str]:
        """Return the tracks that this run does not have; `recommend` ignores them.

        Raises:
            InputError: `tracks` is not a list of texts.
        """
        rows = self._run.vocabulary.rows(_texts(tracks))
        return [track for track, row in zip(tracks, rows, strict=True) if row == UNKNOWN]

    def recommend(
        self,
        tracks: Sequence[str],
        feedback: Sequence[str | int] | NDArray[np.integer[Any]] | None = None,
        k: int = 20,
        *,
        exclude_heard: bool = False,
        earlier: Sequence[tuple[Any, ...]] = (),
        discovery: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return the `k` best next tracks after a session: dicts of track, score, title and artist (None = unknown).

        `feedback`: per track 'listened', 'mostly', 'brief', 'skip', 'unknown', or a strength 0..3 (default: all
        listened; 255 is unknown). A `k` larger than the catalogue gives all tracks. Unknown tracks are ignored;
        `exclude_heard` excludes the session's tracks. `earlier`: track, feedback and perhaps time (UTC seconds) of each
        play of the listener's earlier sessions, most recent last; the session begins at the last of these times. A run
        without `[heads.repeats]` and `data.history` only knows by them what is new. `discovery`: 0 to 1, how
        adventurous the list is: see `segue.discovery`; scores are the model's.

        Raises:
            InputError: `k` below 1, ids that are not text, feedback of another length, another feedback word, or
                a `discovery` that is not 0 to 1.
        """
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise InputError(f"k is {k!r}, expected a whole number, at least 1")
        ids = _texts(tracks)
        codes = _codes([skips.LISTENED] * len(ids) if feedback is None else feedback)
        if len(codes) != len(ids):
            raise InputError(f"{len(ids)} tracks but {len(codes)} of feedback; give one per track")
        known_plays = [(r, c) for r, c in zip(self._run.vocabulary.rows(ids), codes, strict=True) if r != UNKNOWN]
        rows = [row if self._candidate[row] else UNKNOWN for row, _ in known_plays] or [PAD]
        feedback_codes = [code for _, code in known_plays] or [skips.FEEDBACK_HIDDEN]
        if discovery is not None and not (_is_number(discovery) and 0 <= discovery <= 1):
            raise InputError(
                f"discovery is {discovery!r}, expected a number from 0 (what was played) to 1 (what is new)"
            )
        before = self._plays_before(earlier)
        batch = Batch(
            torch.tensor(rows),
            torch.tensor(feedback_codes),
            torch.arange(len(rows)),
            torch.tensor([0, len(rows)]),
            len(rows),
            session_side=self._side(before),
        )
        if before and self._run.encoder.reads_histories:
            batch = replace(batch, history=self._history(batch, before))
        played = np.unique([*rows, *(row for row, _, _ in before)])
        played_candidates = torch.from_numpy(played[self._candidate[played]].astype(np.int64))[None]
        k = min(k, len(self._run.candidates))
        if discovery is None:
            ranking = top_k(self._scorer, batch, k, exclude_heard=exclude_heard)
        else:
            lists = discovering_lists(
                self._scorer, batch, played_candidates, k, [discovery], exclude_heard=exclude_heard
            )
            ranking = lists[0]
        pairs = zip(ranking.tracks[0].tolist(), ranking.scores[0].tolist(), strict=True)
        return [self._entry(row, score) for row, score in pairs if row >= NUM_SPECIALS]

    def _plays_before(self, earlier: object) -> list[tuple[int, int, int]]:
        """Return table row, feedback code and minutes until the session of each earlier play."""
        ids, codes, times = _plays(earlier)
        minutes = [(int(max(times)) // 60) - int(at) // 60 for at in times]
        return [*zip(self._run.vocabulary.rows(ids), codes, minutes, strict=True)]

    def _side(self, before: Sequence[tuple[int, int, int]]) -> dict[str, Tensor]:
        """Return what heads read of earlier plays; empty if the run does not read them."""
        if repeats.NAME not in self._run.recipe.heads or not before:
            return {}
        return {repeats.NAME: torch.tensor([before[-repeats.MOST_PLAYS :]], dtype=torch.int32)}

    def _history(self, batch: Batch, before: Sequence[tuple[int, int, int]]) -> History:
        """Return what the encoder reads of earlier plays, and the session after them."""
        data = self._run.recipe.data
        plays = np.array(before, np.int64)
        rows = np.where(self._candidate[plays[:, 0]], plays[:, 0], UNKNOWN)
        column = session_columns(plays[:, 2]).clip(max=data.max_len - 1)
        return one_history(batch, *(torch.from_numpy(part[-data.history :]) for part in (rows, plays[:, 1], column)))

    def _entry(self, row: int, score: float) -> dict[str, Any]:
        index, run = row - NUM_SPECIALS, self._run
        return {
            "track": run.vocabulary.track_id(row),
            "score": score,
            "title": run.titles.text(index) if run.titles else None,
            "artist": run.artists.text(index) if run.artists else None,
        }


def load(run: str | Path) -> Recommender:
    """Return the recommender of a trained run, including tracks added by `extend`.

    Raises:
        FormatError: not a run, damaged, or without weights. NonFiniteError: NaN or infinite weights.
    """
    return Recommender(load_serving(run))


def _plays(earlier: object) -> tuple[list[str], list[int], list[float]]:
    """Return ids, codes and times of earlier plays; times are 0 where none are given.

    Raises:
        InputError: they are not tuples of a track, its feedback, and perhaps a time.
    """
    ids, codes, times = list[object](), list[object](), list[float]()
    for play in earlier if isinstance(earlier, Iterable) else [earlier]:
        if not isinstance(play, tuple | list) or len(play) not in (2, 3):
            raise InputError(f"earlier play {play!r} is not a pair of track and feedback, such as ('track_3', 'skip')")
        at = play[2] if len(play) == 3 else 0.0
        if not _is_number(at) or not 0 <= at < 1e11:
            raise InputError(f"earlier play {play!r} has no time; give UTC seconds, or leave it out")
        ids.append(play[0])
        codes.append(play[1])
        times.append(float(at))
    return _texts(ids), _codes(codes), times


def session_columns(minutes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many plays of its session come before each play; `minutes`: from each until now.

    They are cut as `segue prepare` cuts by default.
    """
    number = np.arange(len(minutes))
    apart = np.abs(np.diff(minutes, prepend=minutes[:1])) > GAP_MINUTES
    columns: NDArray[np.int64] = (number - np.maximum.accumulate(np.where(apart, number, 0))) % MAX_LENGTH
    return columns


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _texts(tracks: object) -> list[str]:
    """Return ids as a list.

    Raises:
        InputError: `tracks` is not a list of texts.
    """
    if isinstance(tracks, str | bytes) or not isinstance(tracks, Iterable):
        raise InputError(f"{tracks!r} is not a list of track ids; give a list, such as ['track_1']")
    ids = list(tracks)
    for each in ids:
        if not isinstance(each, str):
            raise InputError(f"track id {each!r} is of type {type(each).__name__}; give ids as text, as in the log")
    return ids


def _codes(feedback: object) -> list[int]:
    if isinstance(feedback, str | bytes) or not isinstance(feedback, Iterable):
        raise InputError(f"feedback {feedback!r} is not a list; give one word or strength per track")
    return [_code(word) for word in feedback]


def _code(word: object) -> int:
    if isinstance(word, str) and word in skips.FEEDBACK_WORDS:
        return skips.FEEDBACK_WORDS[word]
    if isinstance(word, int | np.integer) and not isinstance(word, bool):
        if 0 <= word <= skips.VERY_BRIEFLY:
            return int(word)
        if word == skips.UNKNOWN_STRENGTH:
            return skips.FEEDBACK_UNKNOWN
    raise InputError(f"feedback is {word!r}; give {', '.join(skips.FEEDBACK_WORDS)}, or a strength 0..3")

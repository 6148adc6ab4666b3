"""The verb `load`: a run that recommends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from segue.checkpoint import LoadedRun, load_run
from segue.errors import InputError
from segue.events import skips
from segue.ranking.model import ModelScorer
from segue.ranking.top_k import top_k
from segue.session_batch import SessionBatch
from segue.store import NUM_SPECIALS, UNKNOWN

WORDS: Final = {"listened": 0, "mostly": 1, "brief": 2, "skip": 3, "unknown": skips.FEEDBACK_UNKNOWN}
"""Feedback words and their codes."""


class Recommender:
    """Next tracks by a trained run, no store needed."""

    def __init__(self, run: LoadedRun) -> None:
        self._run = run
        self.encoder = run.encoder
        self._scorer = ModelScorer(run.encoder, run.candidates)
        self._known = frozenset(run.candidates.tolist())

    def unknown(self, tracks: Sequence[str]) -> list[str]:
        """Return the track ids that the run does not know; `recommend` passes them over."""
        return [track for track in tracks if self._row(track) == UNKNOWN]

    def recommend(
        self,
        tracks: Sequence[str],
        feedback: Sequence[str | int] | None = None,
        k: int = 20,
        *,
        exclude_heard: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the `k` best next tracks of a session, each with track, title, artist (None if unknown) and score.

        `feedback` holds a word (listened, mostly, brief, skip, unknown) or a strength (0 to 3, 255) for each track;
        None: all listened to their end.

        Raises:
            InputError: feedback of another length or an unknown word, or `k` below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        if feedback is not None and len(feedback) != len(tracks):
            raise InputError(f"{len(feedback)} feedback entries for {len(tracks)} tracks; give one a track")
        codes = [_code(word) for word in feedback] if feedback is not None else [0] * len(tracks)
        pairs = [(row, code) for row, code in zip(map(self._row, tracks), codes, strict=True) if row != UNKNOWN]
        ranking = top_k(self._scorer, _batch(pairs), k, exclude_heard=exclude_heard)
        found = zip(ranking.tracks[0].tolist(), ranking.scores[0].tolist(), strict=True)
        return [self._record(row, score) for row, score in found if row >= NUM_SPECIALS]

    def _row(self, track: str) -> int:
        row = self._run.vocabulary.row(track)
        return row if row in self._known else UNKNOWN

    def _record(self, row: int, score: float) -> dict[str, Any]:
        titles, artists, index = self._run.titles, self._run.artists, row - NUM_SPECIALS
        return {
            "track": self._run.vocabulary.track_id(row),
            "title": titles.text(index) if titles else None,
            "artist": artists.text(index) if artists else None,
            "score": score,
        }


def load(run: str | Path) -> Recommender:
    """Return the run at `run`, ready to recommend.

    Raises:
        FormatError: no run, or a damaged one.
    """
    return Recommender(load_run(run))


def _code(word: str | int) -> int:
    code = WORDS.get(word) if isinstance(word, str) else {255: skips.FEEDBACK_UNKNOWN}.get(word, word)
    if code is None or not 0 <= code <= skips.FEEDBACK_UNKNOWN:
        raise InputError(f"feedback is {word!r}; known: {', '.join(WORDS)}, or a strength 0 to 3 or 255")
    return code


def _batch(pairs: Sequence[tuple[int, int]]) -> SessionBatch:
    """Return a batch of one session; an empty one is a single position of padding."""
    shown = pairs or [(0, skips.FEEDBACK_HIDDEN)]
    tracks = torch.tensor([[row for row, _ in shown]])
    return SessionBatch(tracks, torch.tensor([[code for _, code in shown]]), tracks != 0)

"""One export as a ranking model: encode sessions, scan candidates, score some exactly, filter, explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Bool, Int
from segue.discovery import repeat_shift
from segue.exported.folder import ExportFolder
from segue.serving.earlier_plays import EarlierPlays
from segue.serving.history_encoder import HistoryEncoder
from segue.serving.kept_states import Session
from segue.serving.scoring import After, Scored, Scoring, WithMass
from segue.serving.session_encoder import SessionEncoder
from segue.serving.track_search import CellScan, Scan, Scanned
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN

DEPTH: Final = 192
"""Best tracks of the scan that get exact scores, beside those that heads give mass."""
_DEEPER: Final = 4096
"""Added to the depth for a second scan, where log P(listen) may lift a track that the first one missed."""
_MORE: Final = 1024
"""Added to the depth where artists are blocked, since their number of tracks among the best is unknown."""
_HEAVY: Final = 64
"""Tracks with the most mass that are scored first, beside k."""
_SLACK: Final = 0.5
"""More than the least dot product of the scan, which is approximate, can be too small."""
SMALL: Final = 100_000
"""Most tracks that are scored on the event loop, where other requests wait meanwhile."""
_NEAR: Final = 2
"""Most tracks of the session that an explanation names."""


@dataclass(frozen=True)
class Filters:
    """What may be suggested."""

    blocked: Int[np.ndarray, " b"] | None = None
    """Table rows that may not be suggested."""
    allowed: Int[np.ndarray, " a"] | None = None
    """The only table rows that may be suggested; None = all candidates."""
    artists: Int[np.ndarray, " c"] | None = None
    """Codes of artists whose tracks may not be suggested."""
    per_artist: int | None = None
    """Most tracks of one artist; tracks without an artist are not counted."""


@dataclass(frozen=True)
class Asked:
    """One request for next tracks."""

    session: Session
    k: int
    filters: Filters = field(default_factory=Filters)
    explain: bool = False
    plays: EarlierPlays | None = None
    """What its listener played before; None = nothing is known."""
    discovery: float | None = None
    """How adventurous the list is: see `repeat_shift`."""

    @property
    def played(self) -> Int[np.ndarray, " p"]:
        """Return the table rows of tracks that were played before, in the session or earlier; some twice."""
        session = np.array([row for row in self.session.rows if row >= NUM_SPECIALS], np.int32)
        return session if self.plays is None else np.concatenate([session, self.plays.tracks])

    def was_played(self, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Return which of `rows` were."""
        was = np.isin(rows, self.session.rows)
        if self.plays is not None and len(self.plays.tracks):
            tracks = self.plays.tracks
            was |= tracks[np.searchsorted(tracks, rows).clip(max=len(tracks) - 1)] == rows
        return was


@dataclass(slots=True)
class Suggestion:
    """One suggested track."""

    row: int
    score: float
    log_next: float | None = None
    """log p, normalised over the tracks with exact scores; None unless explained."""
    log_listen: float | None = None
    rank_before: int | None = None
    """Rank from 1 before the last track; None if it was not among the best then, or unless explained."""
    followed: int = 0
    """How often it followed the last track in training; 0 unless explained."""
    near: tuple[tuple[int, float], ...] = ()
    """Nearest tracks of the session: index among its tracks and cosine, nearest first; empty unless explained."""


@dataclass(frozen=True)
class Answer:
    """The answer to one request."""

    suggestions: tuple[Suggestion, ...]
    scored: int = 0
    """Number of tracks with exact scores, which log p is normalised over."""


class LongError(Exception):
    """The request takes too long for the event loop."""


class LiveModel:
    """Next tracks by one export. Not safe for two threads at once."""

    def __init__(self, export: ExportFolder, threads: int = 2, probes: int = 0) -> None:
        """Load the graphs; with `probes` and an export that has cells, search that many cells instead of a scan."""
        self.export = export
        self.name = export.manifest.name
        by_cells = probes > 0 and export.cells is not None
        self.is_light = by_cells or export.manifest.facts.num_candidates <= SMALL
        """Whether most batches are so short that another thread would cost more than it saves."""
        threads = 1 if self.is_light else threads
        self._hurries, self._probes = False, probes if by_cells else 0
        self._scan = CellScan(export, probes, threads) if by_cells else Scan(export, threads)
        self._scoring = Scoring(export)
        reads_histories = export.manifest.facts.history > 0
        self._encoding = HistoryEncoder(export, self.is_candidate) if reads_histories else SessionEncoder(export)
        export.vocabulary.rows([""])  # builds the lookup of ids now, not during the first request
        self._may_be = self.is_candidate.copy()
        """Table rows that the current request may get, bool [V + 3]."""

    @property
    def is_candidate(self) -> NDArray[np.bool_]:
        """Which table rows may be ranked."""
        return self._scoring.is_candidate

    def next_tracks(self, requests: Sequence[Asked]) -> list[Answer]:
        """Return the best next tracks of each request, best first; equal scores by lower row."""
        explained = [one for one in requests if one.explain and one.session.rows]
        before = [one.session.without_last() for one in explained]
        plays = [one.plays for one in (*requests, *explained)]
        afters = self._encoding.after([*(one.session for one in requests), *before], plays)
        states = self._scoring.sharpened(np.stack([after.state for after in afters]))
        scanned = self._scan.around(states, max((_depth(one) for one in requests), default=DEPTH))
        with_mass = self._scoring.with_mass(afters, plays)
        outputs = zip(afters, with_mass, scanned, strict=True)
        answers = [self._best(one, *next(outputs)) for one in requests]
        for one, answer in zip(requests, answers, strict=True):
            if one.explain and one.session.rows:
                earlier = replace(one, session=one.session.without_last(), k=max(4 * one.k, DEPTH), explain=False)
                earlier_rows = [each.row for each in self._best(earlier, *next(outputs)).suggestions]
                rank_of = {row: rank for rank, row in enumerate(earlier_rows, start=1)}
                for each in answer.suggestions:
                    each.rank_before = rank_of.get(each.row)
        return answers

    def next_tracks_at_once(self, requests: Sequence[Asked]) -> list[Answer]:
        """Return the same as `next_tracks`, on the event loop.

        Raises:
            LongError: filters make it score more than SMALL tracks.
        """
        self._hurries = True
        try:
            return self.next_tracks(requests)
        finally:
            self._hurries = False

    def similar(self, row: int, k: int) -> list[Suggestion]:
        """Return the `k` candidates whose rows have the largest cosine with that of `row`, itself left out."""
        table, wanted = self.export.table, self.export.table[row]
        scores = table @ wanted / np.maximum(self._lengths * self._lengths[row], np.float32(1e-20))
        scores[~self._scoring.is_trained] = -np.inf
        scores[row] = -np.inf
        best = _largest(scores, min(k, int((scores > -np.inf).sum())))
        return [Suggestion(one, float(scores[one])) for one in best]

    def _best(self, one: Asked, after: After, with_mass: WithMass, scanned: Scanned) -> Answer:
        blocked = one.filters.blocked
        if blocked is None:
            return self._best_allowed(one, after, with_mass, scanned)
        self._may_be[blocked] = False  # all requests share one array; a copy of the catalogue's size costs more
        try:
            return self._best_allowed(one, after, with_mass, scanned)
        finally:
            self._may_be[blocked] = self.is_candidate[blocked]

    def _best_allowed(self, one: Asked, after: After, with_mass: WithMass, scanned: Scanned) -> Answer:
        candidates = self.export.manifest.facts.num_candidates
        if one.filters.allowed is not None:
            self._may_take(len(one.filters.allowed))
            scored, order = self._ranked(one, after, with_mass, one.filters.allowed)
        else:
            scanned = scanned.best(_depth(one))  # the scan has the largest depth of the batch
            beside = with_mass.rows if one.discovery is None else np.concatenate([with_mass.rows, one.played])
            scored, order = self._ranked_with(one, after, with_mass, scanned, beside)
            if self._may_miss(one, scanned, scored, order):
                (scanned,) = self._scan.around(self._scoring.sharpened(after.state[None]), _depth(one) + _DEEPER)
                scored, order = self._ranked(one, after, with_mass, np.concatenate([scanned.rows, beside]))
            if len(order) < one.k and np.count_nonzero(scanned.rows) < candidates:  # filters removed too many
                self._may_take(candidates)
                every = np.flatnonzero(self.is_candidate).astype(np.int32)
                scored, order = self._ranked(one, after, with_mass, every)
        rows, scores = scored.rows[order].tolist(), scored.score[order].tolist()
        if not one.explain:
            return Answer(tuple(map(Suggestion, rows, scores)), len(scored.rows))
        log_next = (scored.log_next[order] - np.logaddexp.reduce(scored.log_next)).tolist()
        listen = [None] * len(order) if scored.log_listen is None else scored.log_listen[order].tolist()
        times = dict(zip(with_mass.rows.tolist(), with_mass.times.tolist(), strict=True))
        followed, unranked = [times.get(row, 0) for row in rows], [None] * len(rows)
        near = [self._near(one.session, row) for row in rows]
        suggestions = map(Suggestion, rows, scores, log_next, listen, unranked, followed, near)
        return Answer(tuple(suggestions), len(scored.rows))

    def _ranked_with(
        self, one: Asked, after: After, with_mass: WithMass, scanned: Scanned, beside: Int[np.ndarray, " n"]
    ) -> tuple[Scored, list[int]]:
        """Return what `_ranked` returns for tracks of the scan and `beside`.

        A listener played many tracks, and most have little mass. First those with much are scored. A track that is not
        in the scan has at most the least dot product of the scan, so most others can be left out then.
        """
        few = one.k + _HEAVY
        is_whole = one.explain or one.discovery is not None or self._probes or len(scanned.scores) == 0
        if len(beside) <= 2 * few or is_whole:
            return self._ranked(one, after, with_mass, np.concatenate([scanned.rows, beside]))
        heavy = with_mass.alone.copy()
        heavy[np.argpartition(with_mass.mass, len(beside) - few)[len(beside) - few :]] = True
        some = np.concatenate([scanned.rows, beside[heavy]])
        scored, order = self._ranked(one, after, with_mass, some)
        least = scored.score[order[-1]] if len(order) == one.k else -np.inf
        most = np.logaddexp(float(scanned.scores.min()) + _SLACK, with_mass.mass)
        others = beside[~heavy & (most >= least)]
        if len(others) == 0:
            return scored, order
        return self._ranked(one, after, with_mass, np.concatenate([some, others]))

    def _ranked(
        self, one: Asked, after: After, with_mass: WithMass, rows: Int[np.ndarray, " n"]
    ) -> tuple[Scored, list[int]]:
        """Return the scores of those of `rows` that may be suggested, ascending, and the indices of the best k."""
        may, codes = self._may_be[rows], self.export.artist_code
        if one.filters.artists is not None and codes is not None:
            may = may & ~np.isin(codes[rows], one.filters.artists)
        scored = self._scoring.of(after, np.unique(rows[may]), with_mass, one.plays)
        return scored, self._ordered(one, scored)

    def _may_miss(self, one: Asked, scanned: Scanned, scored: Scored, order: Sequence[int]) -> bool:
        """Return whether a track that was not scanned may belong to the best k because it is listened to.

        log P(listen) <= 0, so the score of such a track is at most its dot product, and that is at most the least one
        of those that were scanned. Long lists, of DEPTH tracks or more, are not checked. With `discovery` such a track
        is new, so that its score is not moved.
        """
        if self._scoring.listen_weight == 0.0 or not one.k <= len(order) < DEPTH or len(scanned.scores) == 0:
            return False
        return bool(_moved(one, scored)[order[-1]] < scanned.scores.min())

    def _may_take(self, tracks: int) -> None:
        """Raise LongError if so many tracks would be scored on the event loop."""
        if self._hurries and tracks > SMALL:
            raise LongError

    def _ordered(self, one: Asked, scored: Scored) -> list[int]:
        """Return the indices of the best k in `scored`, whose rows ascend; what has no score is left out."""
        score = np.where(np.isnan(scored.score), -np.inf, _moved(one, scored))
        order = np.argsort(-score, kind="stable")
        order = order[score[order] > -np.inf]
        cap, codes = one.filters.per_artist, self.export.artist_code
        if cap is None or codes is None:
            best: list[int] = order[: one.k].tolist()
            return best
        best = []
        counts: dict[int, int] = {}
        for i, code in zip(order.tolist(), codes[scored.rows[order]].tolist(), strict=True):
            counts[code] = counts.get(code, 0) + 1
            if code < 0 or counts[code] <= cap:
                best.append(i)
            if len(best) == one.k:
                break
        return best

    def _near(self, session: Session, row: int) -> tuple[tuple[int, float], ...]:
        indices = [i for i, session_row in enumerate(session.rows) if session_row not in (UNKNOWN, row)]
        rows = [session.rows[i] for i in indices]
        values, value = self.export.table[rows].astype(np.float64), self.export.table[row].astype(np.float64)
        lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(value)
        cosine = values @ value / np.where(lengths > 0, lengths, 1.0)
        return tuple((indices[best], float(cosine[best])) for best in _largest(cosine, min(_NEAR, len(indices))))

    @cached_property
    def _lengths(self) -> NDArray[np.float32]:
        """Return the length of each row of the table, [V + 3]."""
        lengths: NDArray[np.float32] = np.sqrt(np.vecdot(self.export.table, self.export.table))
        return lengths


def _moved(one: Asked, scored: Scored) -> NDArray[np.floating]:
    """Return the scores with those of tracks that were played before moved as `discovery` says."""
    shift = repeat_shift(one.discovery)
    return scored.score.astype(np.float64) + shift * one.was_played(scored.rows) if shift else scored.score


def _depth(one: Asked) -> int:
    """Return the depth of the scan, so that filters leave at least DEPTH and 2 k tracks, and k that were not heard."""
    filters = one.filters
    refused = 0 if filters.blocked is None else len(filters.blocked)
    if one.discovery is not None and one.discovery > 0.5:  # new tracks come before these
        refused += len(one.played)
    return max(DEPTH, 2 * one.k, one.k + len(one.session.rows)) + refused + (0 if filters.artists is None else _MORE)


def _largest(values: NDArray[np.floating], k: int) -> list[int]:
    """Return the indices of the `k` largest values, largest first, equal ones by index."""
    if k <= 0:
        return []
    least = np.partition(values, len(values) - k)[len(values) - k]
    indices = np.flatnonzero(values >= least)
    return [int(i) for i in indices[np.argsort(-values[indices], kind="stable")][:k]]

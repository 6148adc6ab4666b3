"""One export as a ranking model: encode sessions, scan candidates, score some exactly, filter, explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Bool, Int
from segue.exported.folder import ExportFolder
from segue.serving.cells import CellScan
from segue.serving.encoding import Encoding, Session
from segue.serving.scan import Scan, Scanned
from segue.serving.scoring import After, Followers, Scored, Scoring
from segue.store.vocabulary import UNKNOWN

DEPTH: Final = 192
"""Best tracks of the scan that get exact scores, beside those that followed the last track in training."""
_MORE: Final = 1024
"""Added to the depth where artists are blocked, since their number of tracks among the best is unknown."""
SMALL: Final = 100_000
"""Most tracks that are scored on the event loop, where other requests wait meanwhile."""
_CHUNK: Final = 1 << 14
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


@dataclass(frozen=True)
class Near:
    """A track of the session and its cosine with a suggestion."""

    index: int
    """Index among the session's tracks, from 0."""
    cosine: float


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
    near: tuple[Near, ...] = ()
    """Nearest tracks of the session, nearest first; empty unless explained."""


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
        """Load the graphs; with `probes` and an export that has cells, search so many cells instead of a scan."""
        self.export = export
        self.name = export.manifest.name
        self._encoding = Encoding(export)
        by_cells = probes > 0 and export.cells is not None
        self.is_light = by_cells or export.manifest.facts.num_candidates <= SMALL
        """Whether most batches are so short that another thread would cost more than it saves."""
        threads = 1 if self.is_light else threads
        self._hurries = False
        self._scan = CellScan(export, probes, threads) if by_cells else Scan(export, threads)
        self._scoring = Scoring(export)
        export.vocabulary.rows([""])  # builds the lookup of ids now, not during the first request
        self._may_be = self.is_candidate.copy()
        """Table rows that the current request may get, bool [V + 3]."""

    @property
    def is_candidate(self) -> NDArray[np.bool_]:
        """Which table rows may be ranked."""
        return self._scoring.is_candidate

    def next_tracks(self, requests: Sequence[Asked]) -> list[Answer]:
        """Return the best next tracks of each request, best first; equal scores by lower row."""
        before = [one.session.without_last() for one in requests if one.explain and one.session.rows]
        afters = self._encoding.after([*(one.session for one in requests), *before])
        states = self._scoring.sharpened(np.stack([after.state for after in afters]))
        scanned = self._scan.around(states, max((_depth(one) for one in requests), default=DEPTH))
        earlier = iter(range(len(requests), len(afters)))
        answers = []
        for i, one in enumerate(requests):
            answer = self._best(one, afters[i], scanned[i])
            if one.explain:
                j = next(earlier) if one.session.rows else None
                ranks = {} if j is None else self._ranks_before(one, afters[j], scanned[j])
                answer = self._explained(one, afters[i], ranks, answer)
            answers.append(answer)
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
        table, wanted = self.export.table, np.asarray(self.export.table[row], np.float32)
        size = float(np.linalg.norm(wanted))
        scores = np.full(len(table), -np.inf, np.float32)
        for begin in range(0, len(table), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            scores[part] = table[part] @ wanted / np.maximum(self._lengths[part] * np.float32(size), 1e-20)
        scores[~self.is_candidate] = -np.inf
        scores[row] = -np.inf
        best = _largest(scores, min(k, int((scores > -np.inf).sum())))
        return [Suggestion(int(one), float(scores[one])) for one in best]

    def _best(self, one: Asked, after: After, scanned: Scanned) -> Answer:
        blocked = one.filters.blocked
        if blocked is None:
            return self._best_allowed(one, after, scanned)
        self._may_be[blocked] = False  # all requests share one array; a copy of the catalogue's size costs more
        try:
            return self._best_allowed(one, after, scanned)
        finally:
            self._may_be[blocked] = self.is_candidate[blocked]

    def _best_allowed(self, one: Asked, after: After, scanned: Scanned) -> Answer:
        followers = self._scoring.followers(after)
        rows, everything = self._looked_at(one, scanned, followers)
        scored = self._scoring.of(after, rows, followers)
        order = self._ordered(one, scored)
        if len(order) < one.k and not everything:  # filters removed too many: score all other tracks
            scored = self._scoring_all(after, followers, one.filters)
            order = self._ordered(one, scored)
        rows, scores = scored.rows[order].tolist(), scored.score[order].tolist()
        if not one.explain:
            return Answer(tuple(Suggestion(*each) for each in zip(rows, scores, strict=True)), len(scored.rows))
        log_next = (scored.log_next[order] - _log_sum(scored.log_next)).tolist()
        listen = [None] * len(order) if scored.log_listen is None else scored.log_listen[order].tolist()
        suggestions = tuple(Suggestion(*each) for each in zip(rows, scores, log_next, listen, strict=True))
        return Answer(suggestions, len(scored.rows))

    def _looked_at(self, one: Asked, scanned: Scanned, followers: Followers) -> tuple[Int[np.ndarray, " n"], bool]:
        """Return the rows that get exact scores, ascending, and whether they are all that may be suggested."""
        if one.filters.allowed is not None:
            allowed = one.filters.allowed
            self._may_take(len(allowed))
            return np.unique(allowed[self._may(allowed, one.filters)]), True
        rows = scanned.best(_depth(one)).rows  # the scan has the largest depth of the batch
        everything = np.count_nonzero(rows) >= self.export.manifest.facts.num_candidates
        rows = np.concatenate([rows, followers.rows])
        return np.unique(rows[self._may(rows, one.filters)]), bool(everything)

    def _may(self, rows: Int[np.ndarray, " n"], filters: Filters) -> Bool[np.ndarray, " n"]:
        may: NDArray[np.bool_] = self._may_be[rows]
        codes = self.export.artist_code
        if filters.artists is not None and codes is not None:
            may = may & ~np.isin(codes[rows], filters.artists)
        return may

    def _scoring_all(self, after: After, followers: Followers, filters: Filters) -> Scored:
        self._may_take(self.export.manifest.facts.num_candidates)
        rows = np.flatnonzero(self.is_candidate).astype(np.int32)
        rows = rows[self._may(rows, filters)]
        parts = [
            self._scoring.of(after, rows[begin : begin + _CHUNK], followers)
            for begin in range(0, max(len(rows), 1), _CHUNK)
        ]
        listen = [part.log_listen for part in parts if part.log_listen is not None]
        return Scored(
            rows,
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.log_next for part in parts]),
            np.concatenate(listen) if listen else None,
        )

    def _may_take(self, tracks: int) -> None:
        """Raise LongError for so many tracks on the event loop."""
        if self._hurries and tracks > SMALL:
            raise LongError

    def _ordered(self, one: Asked, scored: Scored) -> list[int]:
        """Return the indices of the best k in `scored`, whose rows ascend."""
        score = np.where(np.isnan(scored.score), -np.inf, scored.score)
        order = np.argsort(-score, kind="stable")
        cap, codes = one.filters.per_artist, self.export.artist_code
        if cap is None or codes is None:
            return [int(i) for i in order[: one.k]]
        best: list[int] = []
        counts: dict[int, int] = {}
        for i, code in zip(order.tolist(), codes[scored.rows[order]].tolist(), strict=True):
            counts[code] = counts.get(code, 0) + 1
            if code < 0 or counts[code] <= cap:
                best.append(i)
            if len(best) == one.k:
                break
        return best

    def _ranks_before(self, one: Asked, after: After, scanned: Scanned) -> dict[int, int]:
        """Return the ranks of table rows before the session's last track."""
        earlier = replace(one, session=one.session.without_last(), k=max(4 * one.k, DEPTH), explain=False)
        answer = self._best(earlier, after, scanned)
        return {each.row: rank for rank, each in enumerate(answer.suggestions, start=1)}

    def _explained(self, one: Asked, after: After, ranks: Mapping[int, int], answer: Answer) -> Answer:
        """Return the answer with explanations, given the ranks before the last track."""
        followers = self._scoring.followers(after)
        times = dict(zip(followers.rows.tolist(), followers.times.tolist(), strict=True))
        explained = []
        for each in answer.suggestions:
            followed, near = int(times.get(each.row, 0)), self._near(one.session, each.row)
            explained.append(replace(each, rank_before=ranks.get(each.row), followed=followed, near=near))
        return replace(answer, suggestions=tuple(explained))

    def _near(self, session: Session, row: int) -> tuple[Near, ...]:
        indices = [i for i, session_row in enumerate(session.rows) if session_row not in (UNKNOWN, row)]
        if not indices:
            return ()
        rows = np.array([session.rows[i] for i in indices])
        values, value = self.export.table[rows].astype(np.float64), self.export.table[row].astype(np.float64)
        lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(value)
        cosine = values @ value / np.where(lengths > 0, lengths, 1.0)
        return tuple(Near(indices[best], float(cosine[best])) for best in _largest(cosine, _NEAR))

    @cached_property
    def _lengths(self) -> NDArray[np.float32]:
        table = self.export.table
        parts = [np.linalg.norm(table[begin : begin + _CHUNK], axis=1) for begin in range(0, len(table), _CHUNK)]
        return np.concatenate(parts).astype(np.float32)


def _depth(one: Asked) -> int:
    """Return the depth of the scan, so that filters leave at least DEPTH and 2 k tracks."""
    filters = one.filters
    refused = 0 if filters.blocked is None else len(filters.blocked)
    return max(DEPTH, 2 * one.k) + refused + (0 if filters.artists is None else _MORE)


def _largest(values: NDArray[np.floating], k: int) -> list[int]:
    """Return the indices of the `k` largest values, largest first, equal ones by index."""
    if k <= 0:
        return []
    k = min(k, len(values))
    least = np.partition(values, len(values) - k)[len(values) - k]
    indices = np.flatnonzero(values >= least)
    return [int(i) for i in indices[np.argsort(-values[indices], kind="stable")][:k]]


def _log_sum(values: NDArray[np.float64]) -> float:
    """Return log of the sum of exp, 0 for no values."""
    if len(values) == 0:
        return 0.0
    most = float(values.max())
    return most + float(np.log(np.exp(values - most).sum()))

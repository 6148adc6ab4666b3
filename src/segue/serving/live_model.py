"""One export, ready to rank: encode, scan, score definitely, filter, explain."""

from __future__ import annotations

from collections.abc import Sequence
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
"""Tracks of the scan that are scored definitely, beside those that followed the last one."""
_MORE: Final = 1024
"""As many more where artists are blocked: how many of their tracks are near is not known."""
SMALL: Final = 100_000
"""Tracks that may be looked at where others wait for their turn."""
_CHUNK: Final = 1 << 14
_NEAR: Final = 2
"""Tracks of the session that an explanation names at most."""


@dataclass(frozen=True)
class Filters:
    """What may be suggested."""

    blocked: Int[np.ndarray, " b"] | None = None
    """Table rows that may not."""
    allowed: Int[np.ndarray, " a"] | None = None
    """The only table rows that may; None = all candidates."""
    artists: Int[np.ndarray, " c"] | None = None
    """Codes of artists whose tracks may not."""
    per_artist: int | None = None
    """At most so many tracks of one artist; those without an artist are not counted."""


@dataclass(frozen=True)
class Asked:
    """One request for next tracks."""

    session: Session
    k: int
    filters: Filters = field(default_factory=Filters)
    explain: bool = False


@dataclass(frozen=True)
class Near:
    """A track of the session that a suggestion is near to, or far from."""

    place: int
    """Of the session's tracks, from 0."""
    cosine: float


@dataclass(slots=True)
class Suggestion:
    """One suggested track."""

    row: int
    score: float
    log_next: float | None = None
    """log p, normalised over the tracks that were scored definitely; explained only."""
    log_listen: float | None = None
    rank_before: int | None = None
    """Place from 1 among the best before the last track, where it stood there; explained only."""
    followed: int = 0
    """Times that it followed the last track in training; explained only."""
    near: tuple[Near, ...] = ()
    """Tracks of the session nearest to it, nearest first; explained only."""


@dataclass(frozen=True)
class Answer:
    """What one request gets."""

    suggestions: tuple[Suggestion, ...]
    scored: int = 0
    """Tracks that were scored definitely: what log p is normalised over."""


class LongError(Exception):
    """Others would wait too long for this."""


class LiveModel:
    """Next tracks from one export. Used from one thread at a time."""

    def __init__(self, export: ExportFolder, threads: int = 2, probes: int = 0) -> None:
        """Make it ready; with `probes`, an index that looks into so many cells, where the export has cells."""
        self.export = export
        self.name = export.manifest.name
        self._encoding = Encoding(export)
        by_cells = probes > 0 and export.cells is not None
        self.is_light = by_cells or export.manifest.facts.num_candidates <= SMALL
        """Whether most batches are too little work for another thread."""
        threads = 1 if self.is_light else threads
        self._hurries = False
        self._scan = CellScan(export, probes, threads) if by_cells else Scan(export, threads)
        self._scoring = Scoring(export)
        export.vocabulary.rows([""])  # what it looks ids up by is made here, not while the first request waits
        self._may_be = self.is_candidate.copy()
        """Table rows that the request at hand may get."""

    @property
    def is_candidate(self) -> NDArray[np.bool_]:
        """Which table rows may be ranked."""
        return self._scoring.is_candidate

    def next_tracks(self, asked: Sequence[Asked]) -> list[Answer]:
        """Return the best next tracks of each request, best first; equal scores by lower row."""
        before = [one.session.without_last() for one in asked if one.explain and one.session.rows]
        afters = self._encoding.after([*(one.session for one in asked), *before])
        states = self._scoring.sharpened(np.stack([after.state for after in afters]))
        scanned = self._scan.around(states, max((_depth(one) for one in asked), default=DEPTH))
        earlier = iter(range(len(asked), len(afters)))
        answers = []
        for place, one in enumerate(asked):
            found = self._best(one, afters[place], scanned[place])
            if one.explain:
                other = next(earlier) if one.session.rows else None
                found = self._explained(one, afters, scanned, (place, other), found)
            answers.append(found)
        return answers

    def next_tracks_at_once(self, asked: Sequence[Asked]) -> list[Answer]:
        """Return the same where that takes not long.

        Raises:
            LongError: filters ask for more than SMALL tracks to be scored.
        """
        self._hurries = True
        try:
            return self.next_tracks(asked)
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
        self._may_be[blocked] = False  # one array for all requests: a new one of the catalogue's size would cost more
        try:
            return self._best_allowed(one, after, scanned)
        finally:
            self._may_be[blocked] = self.is_candidate[blocked]

    def _best_allowed(self, one: Asked, after: After, scanned: Scanned) -> Answer:
        followers = self._scoring.followers(after)
        rows, everything = self._looked_at(one, scanned, followers)
        scored = self._scoring.of(after, rows, followers)
        order = self._ordered(one, scored)
        if len(order) < one.k and not everything:  # filters took too many: look at all that they leave
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
        """Return the rows that are scored definitely, ascending, and whether no other may be suggested."""
        if one.filters.allowed is not None:
            allowed = one.filters.allowed
            self._may_take(len(allowed))
            return np.unique(allowed[self._may(allowed, one.filters)]), True
        rows = scanned.best(_depth(one)).rows  # another request of the batch may have looked deeper
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
        """Refuse to look at so many while others wait."""
        if self._hurries and tracks > SMALL:
            raise LongError

    def _ordered(self, one: Asked, scored: Scored) -> list[int]:
        """Return the places of the best k in `scored`, whose rows ascend."""
        score = np.where(np.isnan(scored.score), -np.inf, scored.score)
        order = np.argsort(-score, kind="stable")
        cap, codes = one.filters.per_artist, self.export.artist_code
        if cap is None or codes is None:
            return [int(place) for place in order[: one.k]]
        kept: list[int] = []
        heard: dict[int, int] = {}
        for place, code in zip(order.tolist(), codes[scored.rows[order]].tolist(), strict=True):
            heard[code] = heard.get(code, 0) + 1
            if code < 0 or heard[code] <= cap:
                kept.append(place)
            if len(kept) == one.k:
                break
        return kept

    def _explained(
        self,
        one: Asked,
        afters: Sequence[After],
        scanned: Sequence[Scanned],
        places: tuple[int, int | None],
        found: Answer,
    ) -> Answer:
        """Return the answer with where its tracks stood before, and what of the session they are near to."""
        now, earlier = places
        ranks: dict[int, int] = {}
        if earlier is not None:
            asked = replace(one, session=one.session.without_last(), k=max(4 * one.k, DEPTH), explain=False)
            old = self._best(asked, afters[earlier], scanned[earlier])
            ranks = {each.row: rank for rank, each in enumerate(old.suggestions, start=1)}
        followers = self._scoring.followers(afters[now])
        times = dict(zip(followers.rows.tolist(), followers.times.tolist(), strict=True))
        return replace(
            found,
            suggestions=tuple(
                replace(
                    each,
                    rank_before=ranks.get(each.row),
                    followed=int(times.get(each.row, 0)),
                    near=self._near(one.session, each.row),
                )
                for each in found.suggestions
            ),
        )

    def _near(self, session: Session, row: int) -> tuple[Near, ...]:
        places = [place for place, heard in enumerate(session.rows) if heard != UNKNOWN and heard != row]
        if not places:
            return ()
        rows = np.array([session.rows[place] for place in places])
        values, own = self.export.table[rows].astype(np.float64), self.export.table[row].astype(np.float64)
        lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(own)
        cosine = values @ own / np.where(lengths > 0, lengths, 1.0)
        return tuple(Near(places[int(best)], float(cosine[best])) for best in _largest(cosine, _NEAR))

    @cached_property
    def _lengths(self) -> NDArray[np.float32]:
        table = self.export.table
        parts = [np.linalg.norm(table[begin : begin + _CHUNK], axis=1) for begin in range(0, len(table), _CHUNK)]
        return np.concatenate(parts).astype(np.float32)


def _depth(one: Asked) -> int:
    """Return how many of the nearest tracks are looked at, so that DEPTH and twice what is asked for may be left."""
    filters = one.filters
    refused = 0 if filters.blocked is None else len(filters.blocked)
    return max(DEPTH, 2 * one.k) + refused + (0 if filters.artists is None else _MORE)


def _largest(values: NDArray[np.floating], k: int) -> list[int]:
    """Return the places of the `k` largest values, largest first, equal ones by place."""
    if k <= 0:
        return []
    k = min(k, len(values))
    least = np.partition(values, len(values) - k)[len(values) - k]
    places = np.flatnonzero(values >= least)
    return [int(place) for place in places[np.argsort(-values[places], kind="stable")][:k]]


def _log_sum(values: NDArray[np.float64]) -> float:
    """Return log of the sum of exp, 0 for no values."""
    if len(values) == 0:
        return 0.0
    most = float(values.max())
    return most + float(np.log(np.exp(values - most).sum()))

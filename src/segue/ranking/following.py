"""Transitions in a ranking: the few tracks that ever followed the last one, and how they move."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.model.heads import TransitionsHead
from segue.ranking.scores import Scores
from segue.ranking.standing import NOTHING, Ranking, Standing, member, ranked


@dataclass(frozen=True)
class Following:
    """Tracks that followed the last one of each of B sessions, by session and then track."""

    who: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]
    mass: Float[Tensor, " n"]
    """h + log p(track | last), float64."""
    num_rows: int
    """R, of the track table."""

    @classmethod
    def of(cls, head: TransitionsHead, state: Float[Tensor, "B D"], last: Int[Tensor, " B"]) -> Following:
        """Return what followed the tracks `last` (0 = no track)."""
        return cls(*head.following(state, last), len(head.followed))

    def among(self, tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the mass of each of `tracks` after its session, -inf where it never followed."""
        if len(self.who) == 0:
            return torch.full(tracks.shape, NOTHING, dtype=torch.float64, device=tracks.device)
        session = torch.arange(len(tracks), device=tracks.device)[:, None]
        key = self.who * self.num_rows + self.rows
        wanted = session * self.num_rows + tracks
        place = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        return self.mass[place].masked_fill(key[place] != wanted, NOTHING)


def mixed_standing(scores: Scores, found: Standing, tracks: Int[Tensor, "B T"], following: Following) -> Standing:
    """Return the standing with transitions, of one whose asked tracks have them and whose rivals do not yet.

    `found` has the k best without transitions. A track only rises by them, so that those who did not follow the last
    track are among the best with transitions only where they were without.
    """
    kept = member(scores.table.candidates, following.rows)
    who, rows, mass = following.who[kept], following.rows[kept], following.mass[kept]
    before, after = scores.at(who, rows, mass)
    above, equal = found.above.clone(), found.equal.clone()
    readable = ~found.scores.isnan()
    for place in range(tracks.shape[1]):
        own = found.scores[who, place]
        rival = (rows != tracks[who, place]) & readable[who, place]
        rises = (~(after <= own)).long() - (~(before <= own)).long()
        meets = (after == own).long() - (before == own).long()
        above[:, place].index_add_(0, who, rises * rival)
        equal[:, place].index_add_(0, who, meets * rival)
    return Standing(found.scores, above, equal, _best(found.best, who, rows, after))


def _best(best: Ranking, who: Tensor, rows: Tensor, scores: Tensor) -> Ranking:
    """Return the best of a ranking and of those who followed, whose scores are theirs."""
    num, k = best.tracks.shape
    if k == 0:
        return best
    session = torch.arange(num, device=who.device)[:, None]
    size = int(max(best.tracks.max(), rows.max() if len(rows) else 0)) + 1
    kept = ~torch.isneginf(best.scores)
    if len(who):
        key, wanted = who * size + rows, session * size + best.tracks
        place = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        kept = kept & (key[place] != wanted)  # theirs are the scores without transitions
    among = scores >= best.scores[who, -1]  # not so where it is NaN
    among &= ~torch.isneginf(scores)
    return ranked(
        torch.cat([session.expand_as(kept)[kept], who[among]]),
        torch.cat([best.tracks[kept], rows[among]]),
        torch.cat([best.scores[kept], scores[among]]),
        num,
        k,
    )

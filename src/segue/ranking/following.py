"""Transitions in a ranking: the successors of the last track in training, and their change of rank."""

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
    """Successors of the last track of each of B sessions, by session and then track."""

    who: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]
    mass: Float[Tensor, " n"]
    """h + log p(track | last), float64."""
    num_rows: int
    """R, of the track table."""

    @classmethod
    def of(cls, head: TransitionsHead, state: Float[Tensor, "B D"], last: Int[Tensor, " B"]) -> Following:
        """Return the successors of the tracks `last` (0 = no track)."""
        return cls(*head.following(state, last), len(head.followed))

    def among(self, tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the mass of each of `tracks` after its session, -inf if it never followed."""
        if len(self.who) == 0:
            return torch.full(tracks.shape, NOTHING, dtype=torch.float64, device=tracks.device)
        session = torch.arange(len(tracks), device=tracks.device)[:, None]
        key = self.who * self.num_rows + self.rows
        wanted = session * self.num_rows + tracks
        index = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        return self.mass[index].masked_fill(key[index] != wanted, NOTHING)


def mixed_standing(scores: Scores, standing: Standing, tracks: Int[Tensor, "B T"], following: Following) -> Standing:
    """Return `standing` with transitions added to the rivals; the scores of `tracks` have them already.

    `standing.best` has the k best without transitions. Transitions only raise scores, so a track without them is among
    the best with transitions only if it was among the best without.
    """
    is_candidate = member(scores.table.candidates, following.rows)
    who, rows, mass = following.who[is_candidate], following.rows[is_candidate], following.mass[is_candidate]
    before, after = scores.at(who, rows, mass)
    above, equal = standing.above.clone(), standing.equal.clone()
    readable = ~standing.scores.isnan()
    for column in range(tracks.shape[1]):
        target_score = standing.scores[who, column]
        rival = (rows != tracks[who, column]) & readable[who, column]
        rises = (~(after <= target_score)).long() - (~(before <= target_score)).long()
        meets = (after == target_score).long() - (before == target_score).long()
        above[:, column].index_add_(0, who, rises * rival)
        equal[:, column].index_add_(0, who, meets * rival)
    return Standing(standing.scores, above, equal, _best(standing.best, who, rows, after))


def _best(best: Ranking, who: Tensor, rows: Tensor, scores: Tensor) -> Ranking:
    """Return the best of a ranking and of the successors `rows`, which replace their entries with `scores`."""
    num, k = best.tracks.shape
    if k == 0:
        return best
    session = torch.arange(num, device=who.device)[:, None]
    size = int(max(best.tracks.max(), rows.max() if len(rows) else 0)) + 1
    unchanged = ~torch.isneginf(best.scores)
    if len(who):
        key, wanted = who * size + rows, session * size + best.tracks
        index = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        unchanged = unchanged & (key[index] != wanted)  # these scores lack transitions
    among = scores >= best.scores[who, -1]  # False for NaN
    among &= ~torch.isneginf(scores)
    return ranked(
        torch.cat([session.expand_as(unchanged)[unchanged], who[among]]),
        torch.cat([best.tracks[unchanged], rows[among]]),
        torch.cat([best.scores[unchanged], scores[among]]),
        num,
        k,
    )

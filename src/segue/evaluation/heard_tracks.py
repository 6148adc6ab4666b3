"""The tracks heard in each context, and the standing of targets when these are no candidates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.axes import Bool, Int
from segue.batch import Batch
from segue.ranking.standing import NOTHING, Ranking, Standing, member


@dataclass(frozen=True)
class HeardTracks:
    """The candidates among the tracks of each context, as far as a model reads, each once."""

    tracks: Int[Tensor, "B L"]
    """Table rows, ascending in each session; repeats and rows that are no candidates are not `present`."""
    scored: Int[Tensor, "B L"]
    """The same, with a candidate in place of each row that is not `present`: a scorer may be asked for all of them."""
    present: Bool[Tensor, "B L"]

    @classmethod
    def of(cls, batch: Batch, candidates: Int[Tensor, " C"]) -> HeardTracks:
        """Return the tracks heard in the contexts `batch` that are among `candidates` (ascending)."""
        tracks = batch.padded.tracks.sort(dim=1).values
        again = torch.zeros_like(tracks, dtype=torch.bool)
        again[:, 1:] = tracks[:, 1:] == tracks[:, :-1]
        if len(candidates) == 0:
            return cls(tracks, tracks, torch.zeros_like(again))
        present = member(candidates, tracks) & ~again
        return cls(tracks, torch.where(present, tracks, candidates[0]), present)

    def holds(self, tracks: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
        """Return which of `tracks` were heard in their session."""
        index = torch.searchsorted(self.tracks, tracks).clamp(max=self.tracks.shape[1] - 1)
        return self.tracks.gather(1, index) == tracks

    def left_out(self, standing: Standing, k: int) -> Standing:
        """Return `standing` with the heard tracks left out of the rivals and of the best.

        `standing` has the scores of `scored`, and the k + L best candidates, of which at most L were heard. The numbers
        of a target that was heard itself have no meaning.
        """
        assert standing.scored is not None, "the scores of the heard tracks are of the same pass"
        heard, target_scores = standing.scored[:, None, :], standing.scores[:, :, None]
        above = (~(heard <= target_scores) & self.present[:, None]).sum(2)  # a NaN on either side counts above
        equal = ((heard == target_scores) & self.present[:, None]).sum(2)
        best = self._without(standing.best, k)
        return Standing(standing.scores, standing.above - above, standing.equal - equal, best)

    def _without(self, best: Ranking, k: int) -> Ranking:
        """Return the `k` best tracks that were not heard, in the same order."""
        heard = self.holds(best.tracks)
        order = heard.long().sort(dim=1, stable=True).indices[:, :k]
        scores = best.scores.masked_fill(heard, NOTHING).gather(1, order)
        return Ranking(best.tracks.gather(1, order).masked_fill(torch.isneginf(scores), 0), scores)

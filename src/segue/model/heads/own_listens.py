"""What each listener did with a track before: how often they listened to it and skipped it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from segue import skips
from segue.axes import Float, Int
from segue.batch import Batch
from segue.model.heads.repeat_kinds import Heard
from segue.store import NUM_SPECIALS


@dataclass(frozen=True)
class OwnListens:
    """Values of the tracks that were played before, each once, by session and then track; 0 of all other tracks."""

    who: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]
    values: Float[Tensor, "n ..."]
    num_rows: int
    """R, more than any of `rows`."""

    @cached_property
    def _key(self) -> Int[Tensor, " n"]:
        return self.who * self.num_rows + self.rows

    def at(self, who: Int[Tensor, "*shape"], rows: Int[Tensor, "*shape"]) -> Tensor:
        """Return the values of tracks `rows` in sessions `who`, one after another in the last dimension if many."""
        wanted = who * self.num_rows + rows
        if len(self.rows) == 0:
            return self.values.new_zeros(*wanted.shape, *self.values.shape[1:])
        index = torch.searchsorted(self._key, wanted.contiguous()).clamp(max=len(self.rows) - 1)
        missing = self._key[index] != wanted
        return self.values[index].masked_fill(missing.view(*missing.shape, *[1] * (self.values.dim() - 1)), 0.0)


def own_listens(batch: Batch, past: Int[Tensor, "B H three"] | None, num_rows: int, skip_at_least: int) -> OwnListens:
    """Return log(1 + listens) and log(1 + skips) of each track before the end of each session, float32 [n, 2].

    `past`: what `PastPlays` gives, None = nothing. Plays of unknown feedback do not count.
    """
    heard = Heard.of(batch, past)
    listened = skips.listened(heard.feedback, skip_at_least)
    judged = (listened | skips.skipped(heard.feedback, skip_at_least)) & (heard.tracks >= NUM_SPECIALS)
    who, column = torch.nonzero(judged, as_tuple=True)
    key, index = torch.unique(who * num_rows + heard.tracks[who, column].long(), return_inverse=True)
    times = torch.zeros(len(key), 2, device=key.device)
    times.index_put_((index, (~listened[who, column]).long()), times.new_ones(()), accumulate=True)
    return OwnListens(key // num_rows, key % num_rows, times.log1p(), num_rows)

"""What the listener played before, mixed into the next-track softmax: music is repeated over days and years.

The last plays of the listener and then those of the session are one sequence. Each play j of it adds mass to its track:

    mass of t = sum over kinds k and plays j of t of  m_k(j) exp(g_k + w_k(j)),
    w_k(j) = age[plays since j] + time[minutes since j] + heard[feedback of j],
    g_k = a_k . state + b_k log(1 + number of plays that count for k) + c_k.

m_k(j) says whether, or how much, play j counts:

- own: 1 for each play before the session (those of the session are copied: see `copying`);
- near: near[d] for each play of the last track that is d plays before j (after it, if d < 0);
- order 2, order 3: 1 if the 2 (or 3) plays before j are the last tracks of the session;
- around: how many of the ten plays before j, of j, and of the ten after it are of tracks of the session, times `again`
  if j itself is one of these; of plays before the session alone.

Everything but the counts is learnt. Plays of the session have one w of their own in place of age and time, and count as
near for d <= 1 alone, since later ones are still to come. Nothing has to be left out in training, because only earlier
plays count. Without a listener, the plays of the session remain.

Sources: base-level activation (Anderson & Schooler 1991) as PISA uses it for tracks (Tran et al. 2024), and the repeat
mode of RepeatNet (Ren et al. 2019). There one gate divides a probability; here masses are unnormalised, as in
`transitions`, ages are learnt, and what followed is looked up as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue import columns, skips
from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.batches.listener_past import PastPlays
from segue.batches.split import Split
from segue.config import Config, Finite
from segue.model.heads.head import Added, Head, Predicted
from segue.model.heads.repeat_kinds import (
    AROUND,
    DISTANCES,
    KINDS,
    ORDERS,
    Heard,
    kinds_of,
    sums_of_cells,
    sums_of_matches,
)
from segue.model.small_table import small_table_rows
from segue.objectives import Mixture
from segue.store import NUM_SPECIALS, Store

NAME: Final = "repeats"
NOTHING: Final = -1e30
"""Log of no mass: finite, so that its gradient is 0 and no NaN."""
TINY: Final = 1e-30
MOST_PLAYS: Final = 1_000
"""Most plays before a session that are read, the last ones."""
AGE_BOUNDS: Final = tuple(math.ceil(2 ** (code / 2)) for code in range(1, 20))
"""Bounds of the codes of plays since."""
TIME_BOUNDS: Final = tuple(2**code for code in range(23))
"""Bounds of the codes of minutes since."""
SPEED: Final = 10.0
"""Parameters are stored divided by this: a step moves them by at most the learning rate, and some have far to go."""
DECAY: Final = 0.5
"""At the beginning, a play n plays ago weighs n^-DECAY (Anderson & Schooler 1991)."""


@dataclass(frozen=True)
class RepeatsConfig(Config):
    """A mixture with what the listener played before the session."""


@dataclass(frozen=True)
class RepeatsWeights(Config):
    """The weight of earlier plays in a ranking, which validation targets choose."""

    offset: Finite = 0.0
    """Added to every gate."""


class RepeatsHead(Head):
    """Weights of earlier plays, and gates of their kinds; see the module."""

    config_type = RepeatsConfig
    weights_type = RepeatsWeights

    def __init__(self, config: RepeatsConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self.gate = nn.Linear(width, KINDS, bias=False)
        self.level = nn.Parameter(torch.zeros(KINDS))
        self.reliability = nn.Parameter(torch.zeros(KINDS))
        self.age = nn.Parameter(torch.zeros(len(AGE_BOUNDS) + 1, 2))
        self.time = nn.Parameter(torch.zeros(len(TIME_BOUNDS) + 1, 2))
        self.heard = nn.Parameter(torch.zeros(skips.NUM_FEEDBACK, 2))
        self.now = nn.Parameter(torch.zeros(1))
        self.near = nn.Parameter(torch.zeros(len(DISTANCES)))
        self.again = nn.Parameter(torch.zeros(1))

    @classmethod
    def load(cls, config: RepeatsConfig, store: Store, split: Split, device: torch.device | str) -> PastPlays | None:
        """Return the plays before each session; None for a store without listeners."""
        return PastPlays(store, split, MOST_PLAYS, device) if store.side_column(columns.USER) is not None else None

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin where own and near plays weigh about as much as all tracks, whose scores are near 0."""
        for parameter in self.parameters():
            parameter.zero_()
        level = math.log(max(num_tracks, 1))
        self.level.fill_(level / SPEED)
        self.level[0] = (level - math.log(2 * math.sqrt(MOST_PLAYS))) / SPEED
        self.level[-1] = (level - math.log(MOST_PLAYS)) / SPEED
        self.age.copy_(-DECAY * math.log(2) / 2 / SPEED * torch.arange(len(self.age))[:, None].expand(-1, 2))
        self.near.copy_(torch.tensor([0.0 if distance == 1 else -3.0 for distance in DISTANCES]) / SPEED)
        self.again.fill_(-3.0 / SPEED)

    def gate_logits(self, states: Float[Tensor, "*B D"], times: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """Return g of each kind. `times`: how many plays count for it."""
        logits: Tensor = self.gate(states) + self.reliability * torch.log1p(times) + SPEED * self.level
        return logits

    def mixture(self, predicted: Predicted) -> Mixture | None:
        """Return gate and log share of training targets."""
        batch = predicted.batch
        heard, target = Heard.of(batch, batch.session_side.get(NAME)), predicted.target[batch.cells[0]]
        sums = sums_of_matches if target.device.type == "cpu" else sums_of_cells
        with torch.autocast(target.device.type, enabled=False):
            of_kinds = (SPEED * self.near).exp(), (SPEED * self.again).exp()
            by_kind = sums(heard, target, self.weights(heard), *of_kinds)
            times, whole, of_it = (part.flatten(0, 1)[batch.slot] for part in by_kind)
            gates = self.gate_logits(predicted.states, times)
        real = (predicted.target > 0)[:, None] & (whole > 0)
        log_whole = torch.log(whole.clamp(min=TINY))
        gates = torch.where(real, gates + log_whole, NOTHING)
        log_shares = torch.where(real & (of_it > 0), torch.log(of_it.clamp(min=TINY)) - log_whole, NOTHING)
        return reduce(Mixture.beside, (Mixture(gates[:, kind], log_shares[:, kind]) for kind in range(KINDS)))

    @torch.no_grad()
    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added | None:
        """Return the mass of every play of each kind; a track may occur many times."""
        heard, last = Heard.of(batch, batch.session_side.get(NAME)), (batch.lengths - 1).clamp(min=0).long()
        same = heard.same()
        column = torch.arange(same.shape[1], device=same.device)
        met = (same & (column <= last[:, None])[:, :, None]).any(1, keepdim=True) & heard.before
        of_kinds = (SPEED * self.near).exp(), (SPEED * self.again).exp()
        kinds = kinds_of(heard, [_row(same, last - rows) for rows in range(ORDERS)], met, *of_kinds)
        gates = self.gate_logits(states.float(), torch.cat([times for times, _ in kinds], 1).float()).double()
        log_weights, parts = self.log_weights(heard).double(), []
        for kind, (_, counts) in enumerate(kinds):
            counted = counts[:, 0] * (heard.tracks >= NUM_SPECIALS)
            session, play = torch.nonzero(counted, as_tuple=True)
            log_mass = torch.log(counted[session, play].double()) + log_weights[session, play, min(kind, 1)]
            log_mass += gates[session, kind] + self.ranking_weights.offset
            parts.append((session, heard.tracks[session, play].long(), log_mass))
        session, rows, log_mass = (torch.cat(part) for part in zip(*parts, strict=True))
        return Added(session, rows, log_mass)

    @torch.no_grad()
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what a service computes `added` from, by the names of an export: see `segue.exported.folder`."""
        level = SPEED * self.level + self.ranking_weights.offset
        values = {name: SPEED * getattr(self, name) for name in ("age", "time", "heard", "now", "near", "again")}
        values["gate"] = torch.cat([self.gate.weight, self.reliability[:, None], level[:, None]], 1)
        numbers = {"ages": AGE_BOUNDS, "minutes": TIME_BOUNDS, "distances": DISTANCES, "around": (AROUND,)}
        arrays: dict[str, NDArray[np.generic]] = {name: value.numpy() for name, value in values.items()}
        return arrays | {name: np.array(value, np.int64) for name, value in numbers.items()}

    def weights(self, heard: Heard) -> Float[Tensor, "B C two"]:
        """Return exp(w) of each play, 0 where no track is known."""
        return self.log_weights(heard).exp() * (heard.tracks >= NUM_SPECIALS)[:, :, None]

    def log_weights(self, heard: Heard) -> Float[Tensor, "B C two"]:
        """Return w of each play: of own plays, and of all other kinds."""
        num, device = heard.minutes.shape[1], heard.minutes.device
        ago = torch.arange(num, 0, -1, device=device)
        age, time = (
            torch.bucketize(value, torch.tensor(bounds, device=device), right=True)
            for value, bounds in ((ago, AGE_BOUNDS), (heard.minutes.contiguous(), TIME_BOUNDS))
        )
        since = small_table_rows(self.age, age) + small_table_rows(self.time, time)
        now = self.now.expand(*heard.session.shape, 2)
        return SPEED * (torch.cat([since, now], 1) + small_table_rows(self.heard, heard.feedback))


def _row(values: Bool[Tensor, "B L C"], at: Int[Tensor, " B"]) -> Bool[Tensor, "B one C"]:
    """Return row `at` of each session, False where it is negative."""
    index = at.clamp(min=0)[:, None, None].expand(-1, 1, values.shape[2])
    return values.gather(1, index) & (at >= 0)[:, None, None]

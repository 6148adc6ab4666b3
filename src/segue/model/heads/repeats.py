"""What the listener played before, mixed into the next-track softmax: music is repeated over days and years.

Each of the last plays j before the session adds to the mass of its track. How much says a learnt weight of how many
plays and how long ago it was and how it was heard, and more where the tracks before it were the last ones now:

    mass of t = sum over plays j of t of  exp(g_0 + u_j) + sum over k = 1..3 with a match of exp(g_k + v_j),
    u_j, v_j = age[plays since j] + time[minutes since j] + heard[feedback of j],  two of each,
    g_k = w_k . state + a_k log(1 + number of matches) + b_k.

Play j matches for k if the k plays before it, in its own session, are the last k tracks of the session to be ranked.
Plays of that session match, too (with v = now + heard), but have no u: see `copying`.
Nothing has to be left out in training, since only earlier plays count. Where no listener is known, what remains are the
matches of the session.

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
from segue.batches.listener_past import ORDERS, Past, PastPlays
from segue.batches.split import Split
from segue.config import Config, Finite
from segue.model.heads.head import Added, Head, Predicted
from segue.model.small_table import small_table_rows
from segue.objectives import Mixture
from segue.store import NUM_SPECIALS, PAD, Store

NAME: Final = "repeats"
NOTHING: Final = -1e30
"""Log of no mass: finite, so that its gradient is 0 and no NaN."""
MOST_PLAYS: Final = 1_000
"""Most plays before a session that are read, the last ones."""
AGES: Final = 20
"""Codes of how many plays ago: bounds are powers of the root of 2."""
TIMES: Final = 24
"""Codes of how many minutes ago: bounds are powers of 2."""
SPEED: Final = 10.0
"""Parameters are stored divided by this: they move by a rate a step, and some have far to go."""
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
    """Weights of earlier plays, and gates of their matches; see the module."""

    config_type = RepeatsConfig
    weights_type = RepeatsWeights

    def __init__(self, config: RepeatsConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self.gate = nn.Linear(width, ORDERS + 1, bias=False)
        self.level = nn.Parameter(torch.zeros(ORDERS + 1))
        self.reliability = nn.Parameter(torch.zeros(ORDERS + 1))
        self.age = nn.Parameter(torch.zeros(AGES, 2))
        self.time = nn.Parameter(torch.zeros(TIMES, 2))
        self.heard = nn.Parameter(torch.zeros(skips.NUM_FEEDBACK, 2))
        self.now = nn.Parameter(torch.zeros(1))

    @classmethod
    def load(cls, config: RepeatsConfig, store: Store, split: Split, device: torch.device | str) -> PastPlays | None:
        """Return the plays before each session; None for a store without listeners."""
        return PastPlays(store, split, MOST_PLAYS, device) if store.side_column(columns.USER) is not None else None

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin where each kind weighs about as much as all tracks, whose scores are near 0."""
        self.gate.weight.zero_()
        self.level.fill_(math.log(max(num_tracks, 1)) / SPEED)
        self.level[0] -= math.log(2 * math.sqrt(MOST_PLAYS)) / SPEED
        self.age.copy_(-DECAY * math.log(2) / 2 / SPEED * torch.arange(AGES)[:, None].expand(-1, 2))
        for parameter in (self.reliability, self.time, self.heard, self.now):
            parameter.zero_()

    def gate_logits(self, states: Float[Tensor, "*B D"], times: Float[Tensor, "*B O"]) -> Float[Tensor, "*B O"]:
        """Return g of all plays, then of each order. `times`: number of plays; of matches."""
        logits: Tensor = self.gate(states) + self.reliability * torch.log1p(times) + SPEED * self.level
        return logits

    def mixture(self, predicted: Predicted) -> Mixture | None:
        """Return gate and log share of training targets."""
        batch = predicted.batch
        past, source = past_of(batch), batch.cells[0]
        target, tracks = predicted.target[source], batch.padded.tracks
        with torch.autocast(tracks.device.type, enabled=False):
            weights = self._weights(past).exp() * (past.tracks != PAD)[:, :, None]
            in_session = self._session_weights(batch).exp()
            same, same_now = past.tracks[:, None, :] == target[:, :, None], tracks[:, None, :] == target[:, :, None]
            nothing = torch.zeros_like(target, dtype=torch.float32)
            parts = [(nothing + weights[:, None, :, 0].sum(2), _sums(same, weights[:, :, 0]), nothing + _number(past))]
            for match, match_now in zip(past_matches(past, tracks), session_matches(tracks), strict=True):
                whole = _sums(match, weights[:, :, 1]) + _sums(match_now, in_session)
                of_it = _sums(match & same, weights[:, :, 1]) + _sums(match_now & same_now, in_session)
                parts.append((whole, of_it, (match.sum(2) + match_now.sum(2)).float()))
            by_position = [torch.stack(part, 2).flatten(0, 1)[batch.slot] for part in zip(*parts, strict=True)]
            total, of_target, number = by_position
            gates = self.gate_logits(predicted.states, number)
        real = (predicted.target > 0)[:, None] & (number > 0)
        log_total = torch.log(total.clamp(min=1e-30))
        gates = torch.where(real, gates + log_total, NOTHING)
        log_shares = torch.where(real & (of_target > 0), torch.log(of_target.clamp(min=1e-30)) - log_total, NOTHING)
        return reduce(Mixture.beside, (Mixture(gates[:, part], log_shares[:, part]) for part in range(ORDERS + 1)))

    @torch.no_grad()
    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added | None:
        """Return the mass of every play, and of what followed the last tracks; a track may occur many times."""
        past, tracks = past_of(batch), batch.padded.tracks
        last = (batch.lengths - 1).clamp(min=0).long()
        matches = list(zip(past_matches(past, tracks, last), session_matches(tracks, last), strict=True))
        times = torch.cat([_number(past), *(one.sum(2) + now.sum(2) for one, now in matches)], 1).float()
        gates = self.gate_logits(states.float(), times).double() + self.ranking_weights.offset
        weights, in_session = self._weights(past).double(), self._session_weights(batch).double()
        session, play = torch.nonzero(past.tracks != PAD, as_tuple=True)
        parts = [(session, past.tracks[session, play], gates[session, 0] + weights[session, play, 0])]
        for order, (match, match_now) in enumerate(matches, 1):
            session, play = torch.nonzero(match[:, 0], as_tuple=True)
            parts.append((session, past.tracks[session, play], gates[session, order] + weights[session, play, 1]))
            session, play = torch.nonzero(match_now[:, 0], as_tuple=True)
            parts.append((session, tracks[session, play], gates[session, order] + in_session[session, play]))
        session, rows, log_mass = (torch.cat(part) for part in zip(*parts, strict=True))
        return Added(session, rows.long(), log_mass)

    @torch.no_grad()
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what a service computes `added` from, by the names of an export: see `segue.exported.folder`."""
        level = SPEED * self.level + self.ranking_weights.offset
        gate = torch.cat([self.gate.weight, self.reliability[:, None], level[:, None]], 1)
        learnt = {name: SPEED * getattr(self, name) for name in ("age", "time", "heard", "now")}
        bounds = {"ages": age_bounds().long(), "minutes": minute_bounds().long()}
        return {name: value.detach().numpy() for name, value in ({"gate": gate} | learnt | bounds).items()}

    def _weights(self, past: Past) -> Float[Tensor, "B H two"]:
        """Return u and v of each play."""
        device, num = past.tracks.device, past.tracks.shape[1]
        ages, bounds = age_bounds().to(device), minute_bounds().to(device)
        age = torch.bucketize(torch.arange(num, 0, -1, device=device), ages, right=True)
        minutes = torch.bucketize(past.minutes.contiguous(), bounds, right=True)
        learnt = small_table_rows(self.age, age) + small_table_rows(self.time, minutes)
        return SPEED * (learnt + small_table_rows(self.heard, past.feedback))

    def _session_weights(self, batch: Batch) -> Float[Tensor, "B L"]:
        """Return v of the plays of the session."""
        return SPEED * (self.now + small_table_rows(self.heard[:, 1:], batch.padded.feedback)[..., 0])


def age_bounds() -> Int[Tensor, " A"]:
    """Return the least number of plays of each code of age but the first."""
    return torch.tensor([math.ceil(2 ** (code / 2)) for code in range(1, AGES)])


def minute_bounds() -> Int[Tensor, " T"]:
    """Return the least number of minutes of each code of time but the first, int32."""
    return 2 ** torch.arange(TIMES - 1, dtype=torch.int32)


def _sums(chosen: Bool[Tensor, "B Q H"], weights: Float[Tensor, "B H"]) -> Float[Tensor, "B Q"]:
    """Return the sum of the chosen weights."""
    return (chosen.float() @ weights[:, :, None])[:, :, 0]


def _number(past: Past) -> Int[Tensor, "B one"]:
    """Return the number of plays."""
    return (past.tracks != PAD).sum(1, keepdim=True)


def past_of(batch: Batch) -> Past:
    """Return the plays before the sessions of `batch`, none where it does not say."""
    values = batch.session_side.get(NAME)
    if values is None:
        values = batch.offsets.new_zeros(batch.num_sessions, 0, 4)
    return Past(values[:, :, 0], values[:, :, 1], values[:, :, 2], values[:, :, 3])


def past_matches(
    past: Past, tracks: Int[Tensor, "B L"], at: Int[Tensor, " B"] | None = None
) -> list[Bool[Tensor, "B Q H"]]:
    """Return which plays follow the last 1, 2, ... tracks up to each position, or (Q = 1) up to position `at`."""
    match, matches = torch.ones((), dtype=torch.bool, device=tracks.device), []
    for order in range(1, ORDERS + 1):
        before = torch.where(past.nth >= order, _moved(past.tracks, order), -1)
        match = match & (before[:, None, :] == _up_to(tracks, order, at)[:, :, None])
        matches.append(match)
    return matches


def session_matches(tracks: Int[Tensor, "B L"], at: Int[Tensor, " B"] | None = None) -> list[Bool[Tensor, "B Q L"]]:
    """Return the same of the plays of the session up to each position, or (Q = 1) up to position `at`."""
    column = torch.arange(tracks.shape[1], device=tracks.device)
    now = column[:, None] if at is None else at[:, None, None]
    match, matches = (column <= now), []
    for order in range(1, ORDERS + 1):
        before = torch.where(column >= order, _moved(tracks, order), -1)
        match = match & (before[:, None, :] == _up_to(tracks, order, at)[:, :, None])
        matches.append(match)
    return matches


def _up_to(tracks: Int[Tensor, "B L"], order: int, at: Int[Tensor, " B"] | None) -> Int[Tensor, "B Q"]:
    """Return the track `order` - 1 before each position (or position `at`), -2 where that is none."""
    moved = _moved(tracks, order - 1)
    moved = torch.where(moved >= NUM_SPECIALS, moved, -2)
    return moved if at is None else moved.gather(1, at[:, None])


def _moved(values: Tensor, places: int) -> Tensor:
    """Return what stands `places` before each cell, 0 before the first."""
    if places == 0:
        return values
    kept = values[:, : max(values.shape[1] - places, 0)]
    return torch.nn.functional.pad(kept, (min(places, values.shape[1]), 0))

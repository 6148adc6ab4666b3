"""What followed sequences of tracks, by loops over sessions, and what a head holds of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from segue.batches.counts import ORDERS, Contexts
from segue.model.heads import MixtureWeights, TransitionsHead

Followed = Mapping[tuple[int, ...], Mapping[int, int]]
"""Sequence of rows, in listening order, to the rows that followed it and how often."""


def counted_sequences(sessions: Sequence[Sequence[int]], order: int) -> dict[tuple[int, ...], dict[int, int]]:
    """Return what followed each sequence of `order` rows."""
    result: dict[tuple[int, ...], dict[int, int]] = {}
    for rows in sessions:
        for end in range(order, len(rows)):
            after = result.setdefault(tuple(rows[end - order : end]), {})
            after[rows[end]] = after.get(rows[end], 0) + 1
    return result


def contexts_of(sessions: Sequence[Sequence[int]], rows: int) -> tuple[Contexts, ...]:
    """Return the contexts of orders 2 and more."""
    numbers = {(row,): row for row in range(rows)}
    result = []
    for order in range(2, ORDERS + 1):
        followed = counted_sequences(sessions, order)
        keys = {numbers[sequence[1:]] * rows + sequence[0]: sequence for sequence in followed}
        numbers = {keys[key]: place for place, key in enumerate(sorted(keys))}
        times = {number * rows + row: n for s, number in numbers.items() for row, n in followed[s].items()}
        totals = [sum(followed[keys[key]].values()) for key in sorted(keys)]
        result.append(
            Contexts(
                torch.tensor(sorted(keys), dtype=torch.int64),
                torch.tensor(totals, dtype=torch.int32),
                torch.tensor(sorted(times), dtype=torch.int64),
                torch.tensor([times[pair] for pair in sorted(times)], dtype=torch.int32),
            )
        )
    return tuple(result)


def sequences_in(head: TransitionsHead) -> list[Followed]:
    """Return what a head holds, order by order."""
    rows = len(head.followed)
    names = {row: (row,) for row in range(rows)}
    result: list[Followed] = []
    for order in range(1, head.orders + 1):
        pairs, times, _ = head.counts(order)
        if order > 1:
            names = {n: (key % rows, *names[key // rows]) for n, key in enumerate(head.keys(order).tolist())}
        followed: dict[tuple[int, ...], dict[int, int]] = {}
        for pair, n in zip(pairs.tolist(), times.tolist(), strict=True):
            followed.setdefault(names[pair // rows], {})[pair % rows] = n
        result.append(followed)
    return result


def mass_after(
    head: TransitionsHead, state: Tensor, heard: Sequence[int], weights: MixtureWeights | None = None
) -> dict[int, float]:
    """Return the mass that a head adds to each row after the session `heard`, with the weights of a ranking."""
    offset, slope = (0.0, 0.0) if weights is None else (weights.offset, weights.slope)
    result: dict[int, float] = {}
    for order, followed in enumerate(sequences_in(head), 1):
        after = followed.get(tuple(heard[-order:]), {}) if len(heard) >= order else {}
        n = sum(after.values())
        gate = (
            head.gate.weight[order - 1] @ state
            + head.gate.bias[order - 1]
            + head.reliability[order - 1] * math.log1p(n)
        )
        mass = math.exp(float(gate.detach()) + offset + slope * math.log1p(n))
        for row, times in after.items():
            result[row] = result.get(row, 0.0) + mass * times / n
    return result

"""Candidates of the sampled protocol equal a plain loop over big integers."""

from __future__ import annotations

import numpy as np
import torch

from segue.evaluation.candidates import candidate_draws, candidate_draws_torch, sampled_candidates

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
KEYS = np.array([0, 1, 2**63 + 5, 2**64 - 1, 0x123456789ABCDEF], np.uint64)


def naive_splitmix(x: int) -> int:
    z = (x + GAMMA) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def naive(key: int, excluded: set[int], candidates: list[int], seed: int, num: int) -> list[int]:
    eligible = [row for row in candidates if row not in excluded]
    if len(eligible) <= num:
        return eligible
    state, taken, j = naive_splitmix(key ^ naive_splitmix(seed)), [], 0
    while len(taken) < num:
        row = candidates[((naive_splitmix((state + j * GAMMA) & MASK) >> 32) * len(candidates)) >> 32]
        if row not in excluded and row not in taken:
            taken.append(row)
        j += 1
    return taken


def test_draws_are_equal_in_numpy_and_torch() -> None:
    expected = candidate_draws(KEYS, 7, 500, 3_700_000)
    found = candidate_draws_torch(torch.from_numpy(KEYS.view(np.int64)), 7, 500, 3_700_000)
    assert np.array_equal(expected, found.numpy())


def test_candidates_equal_the_loop_with_collisions_and_few_eligible() -> None:
    candidates = list(range(3, 40, 2))  # 19 rows
    excluded = np.array([[3, 3, 5, 0], [4, 6, 8, 10], [7, 9, 11, 13], [39, 0, 0, 0], [37, 39, 4, 0]])
    for num in (5, 14, 15, 16, 17, 18, 30):
        rows, valid = sampled_candidates(
            torch.from_numpy(KEYS.view(np.int64)), torch.from_numpy(excluded), torch.tensor(candidates), seed=0, num=num
        )
        for i, key in enumerate(KEYS.tolist()):
            assert rows[i][valid[i]].tolist() == naive(key, set(excluded[i].tolist()), candidates, 0, num)


def test_a_session_keeps_its_candidates_in_any_batch() -> None:
    keys, candidates = torch.from_numpy(KEYS.view(np.int64)), torch.arange(3, 503)
    excluded = torch.tensor([[5, 6]]).repeat(5, 1)
    whole, _ = sampled_candidates(keys, excluded, candidates, seed=0, num=50)
    alone, _ = sampled_candidates(keys[3:4], excluded[:1], candidates, seed=0, num=50)
    assert torch.equal(whole[3:4], alone)

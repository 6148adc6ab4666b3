"""Ranks and lists found block by block equal a plain loop over definite scores, ties and broken numbers included."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import sparse

from segue.ranking import candidate_table
from segue.ranking.block_standing import stand
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.dots import all_dots, dots
from segue.ranking.scores import Scores
from segue.ranking.shared_order import SharedOrder
from support.dense_scores import dense_standing

B, D, R = 6, 24, 2309
"""Sessions, width, table rows: 19 chunks, the last of them not full."""


@pytest.fixture(autouse=True, params=[2**20, B * 512, 1], ids=["one-block", "five-blocks", "chunks"])
def _cells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_table, "CPU_CELLS", request.param)


def scores_of(weight: torch.Tensor, state: torch.Tensor) -> np.ndarray:
    """Return float32 of each dot product summed in float64, a session at a time."""
    wide, states = weight.double().numpy(), state.double().numpy()
    with np.errstate(all="ignore"):
        return np.stack([(wide * one).sum(1) for one in states]).astype(np.float32)


def naive(weight, state, candidates, tracks, k):
    """Return above, equal [B][T], and the k best (row, score) of each session."""
    every, rows = scores_of(weight, state), candidates.tolist()
    above, equal, best = [], [], []
    for scores, asked in zip(every, tracks.tolist(), strict=True):
        rivals = [[float(scores[row]) for row in rows if row != track] for track in asked]
        own = [float(scores[track]) for track in asked]
        above.append([sum(not s <= mine for s in others) for others, mine in zip(rivals, own, strict=True)])
        equal.append([sum(s == mine for s in others) for others, mine in zip(rivals, own, strict=True)])
        real = [row for row in rows if not math.isnan(scores[row])]
        best.append([(row, float(scores[row])) for row in sorted(real, key=lambda row: (-scores[row], row))[:k]])
    return above, equal, best


def check(weight, state, candidates, tracks, k=5):
    found = stand(Scores(CandidateTable(weight, candidates), state), tracks, k)
    above, equal, best = naive(weight, state, candidates, tracks, k)
    assert found.above.tolist() == above
    assert found.equal.tolist() == equal
    assert found.best.tracks.shape == (len(state), k)
    for rows, scores, wanted in zip(found.best.tracks.tolist(), found.best.scores.tolist(), best, strict=True):
        assert [pair for pair in zip(rows, scores, strict=True) if pair[0]] == wanted
        assert all(score == -math.inf for score in scores[len(wanted) :])
    return found


def drawn(seed: int = 0, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(R, D, generator=generator) * scale, torch.randn(B, D, generator=generator)


def asked(candidates: torch.Tensor, num: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return candidates[torch.randint(len(candidates), (B, num), generator=generator)]


EVERY = torch.arange(3, R)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e12])
def test_several_targets_a_session_at_any_scale(scale: float) -> None:
    weight, state = drawn(scale=scale)
    check(weight, state, EVERY, asked(EVERY, 3))


def test_equal_rows_tie_wherever_they_stand() -> None:
    weight, state = drawn(1)
    weight = weight[torch.randint(0, 60, (R,), generator=torch.Generator().manual_seed(1))]  # each some 38 times
    found = check(weight, state, EVERY, asked(EVERY))
    assert (found.equal > 9).all()


def test_a_constant_table_ranks_every_target_in_the_middle_and_lists_the_lowest_rows() -> None:
    weight, state = drawn(2)
    found = check(weight[:1].expand(R, D).contiguous(), state, EVERY, asked(EVERY))
    assert (found.above == 0).all()
    assert (found.equal == len(EVERY) - 1).all()
    assert found.best.tracks[0].tolist() == list(range(3, 8))


def test_scores_that_differ_in_their_last_bits_are_ranked_by_the_definite_score() -> None:
    weight, state = drawn(3)
    noise = 1 + 2.0**-23 * torch.randint(-2, 3, (R, D), generator=torch.Generator().manual_seed(3))
    found = check(weight[5:6] * noise, state, EVERY, asked(EVERY))  # all within the error of a float32 product
    assert (found.above > 0).any()
    assert (found.equal > 0).any()


def test_rows_between_candidates_are_neither_counted_nor_listed() -> None:
    weight, state = drawn(4)
    candidates = torch.arange(3, R)[torch.rand(R - 3, generator=torch.Generator().manual_seed(4)) < 0.3]
    refused = torch.from_numpy(np.setdiff1d(np.arange(R), candidates.numpy()))
    weight[refused] *= 100
    check(weight, state, candidates, asked(candidates))
    check(weight, state, candidates, asked(refused))  # a target that is no candidate has one rival more
    check(weight, state, candidates[:0].new_tensor([7]), torch.full((B, 1), 7))


def test_a_target_without_a_number_ranks_behind_all_and_a_rival_without_one_above() -> None:
    weight, state = drawn(5)
    weight[[10, 400, 900]], weight[500], weight[501, 0] = math.nan, math.inf, -math.inf
    state[1] = math.nan
    tracks = torch.tensor([[10, 11]] * B)
    found = check(weight, state, EVERY, tracks)
    assert found.above[0, 0] == len(EVERY) - 1
    assert found.above[1].tolist() == [len(EVERY) - 1] * 2
    assert found.best.tracks[1].sum() == 0


def test_no_target_and_no_list_may_be_asked_for() -> None:
    weight, state = drawn(6)
    check(weight, state, EVERY, asked(EVERY)[:, :0])
    check(weight, state, EVERY, asked(EVERY), k=0)
    check(weight, state, EVERY[:9], asked(EVERY), k=20)  # fewer candidates than places
    check(weight, state[:1], EVERY, asked(EVERY)[:1], k=300)


def test_a_list_is_ordered_by_definite_scores_however_close_they_are() -> None:
    weight, state = drawn(12)
    noise = 1 + 2.0**-23 * torch.randint(-2, 3, (R, D), generator=torch.Generator().manual_seed(12))
    near = torch.rand(R, generator=torch.Generator().manual_seed(13)) < 0.1
    weight = torch.where(near[:, None], 3 * state[:1] * noise, weight)  # the best of session 0
    check(weight, state, EVERY, asked(EVERY), k=7)


def test_the_best_are_found_where_scores_rise_with_the_rows() -> None:
    weight, state = drawn(7)
    weight = torch.linspace(-1, 1, R)[:, None] * weight[:1]
    weight[R - 30 :] = weight[R - 30]  # more equal ones than the list holds, all at the end
    check(weight, state, EVERY, asked(EVERY))


def test_a_block_of_scores_stays_small() -> None:
    weight, state = drawn(8)
    cells = max(candidate_table.CPU_CELLS, B * candidate_table.CHUNK)
    assert all(chunks.numel() <= cells for _, chunks in Scores(CandidateTable(weight, EVERY), state).blocks())


@pytest.fixture(params=["highest", "high", "medium"])
def _precision(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_precision")
def test_ranks_hang_on_no_matmul_precision() -> None:
    weight, state = drawn(9)
    check(weight, state, EVERY, asked(EVERY))


@pytest.mark.usefixtures("_precision")
def test_fast_scores_lie_within_the_slack_of_definite_ones() -> None:
    generator = torch.Generator().manual_seed(0)  # as large as a product must be to be rounded on a CPU
    weight, state = torch.randn(4096, 128, generator=generator), torch.randn(64, 128, generator=generator)
    table = CandidateTable(weight, torch.arange(4096))
    definite, slack = all_dots(weight, state), table.slack(state)
    for begin, chunks in Scores(table, state).blocks():
        fast = chunks.flatten(1)[:, : 4096 - begin]
        assert ((fast - definite[:, begin : begin + fast.shape[1]]).abs() <= slack).all()


def test_a_score_hangs_on_no_shape_and_equals_the_loop() -> None:
    weight, state = drawn(10)
    every = torch.arange(R).expand(B, R)
    found = dots(weight, state, every)
    assert np.array_equal(found.numpy(), scores_of(weight, state))
    assert torch.equal(found, all_dots(weight, state))
    for row in (0, 7, R - 1):
        assert torch.equal(dots(weight, state[2:3], torch.tensor([[row]])), found[2:3, row : row + 1])


def test_a_shared_order_with_departures_equals_the_dense_form() -> None:
    generator = np.random.default_rng(0)
    shared = generator.integers(0, 30, R) / 40  # many ties
    candidates = np.flatnonzero(generator.random(R) < 0.6)[3:].astype(np.int32)
    known = sparse.csr_matrix(np.where(generator.random((B, R)) < 0.1, generator.integers(0, 3, (B, R)), 0) * 1.0)
    many = np.zeros((B, R))
    many[0, candidates] = 1.0  # a session that departs everywhere
    tracks = torch.from_numpy(generator.integers(0, R, (B, 3)))
    order = SharedOrder(shared, candidates)
    for added in (known, sparse.csr_matrix(many), None):
        dense = torch.from_numpy(shared + (np.zeros((B, R)) if added is None else added.toarray()))
        wanted = dense_standing(dense, torch.from_numpy(candidates.astype(np.int64)), tracks, 20)
        found = order.stand(added, tracks.numpy(), 20)
        for name in ("scores", "above", "equal"):
            assert torch.equal(getattr(found, name), getattr(wanted, name)), name
        assert torch.equal(found.best.tracks, wanted.best.tracks)
        assert torch.equal(found.best.scores, wanted.best.scores)


def test_the_dense_form_equals_the_loop() -> None:
    weight, state = drawn(11)
    weight[::3] = weight[::3].round()
    weight[100] = math.nan
    tracks = asked(EVERY)
    tracks[0, 0] = 100
    found = dense_standing(all_dots(weight, state), EVERY, tracks, 20)
    above, equal, best = naive(weight, state, EVERY, tracks, 20)
    assert (found.above.tolist(), found.equal.tolist()) == (above, equal)
    assert found.best.tracks.tolist() == [[row for row, _ in one] for one in best]

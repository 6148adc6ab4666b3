"""The kernels of ranking equal the plain functions: scores, counts, and the standing made of both.

They run on a CUDA device, or anywhere with TRITON_INTERPRET=1 (test_kernels_interpreted.py); without triton they are
skipped, saying so.
"""

from __future__ import annotations

import os

import pytest
import torch

from support.dense_scores import dense_standing

pytest.importorskip("triton", reason="triton is not installed: the GPU kernels were not tested here")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("no CUDA device: test_kernels_interpreted.py runs these tests", allow_module_level=True)

from segue.kernels import ranking
from segue.ranking import block_standing
from segue.ranking.block_standing import plain_count, stand
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.dots import all_dots, plain_dots
from segue.ranking.scores import Scores

DEVICE = "cpu" if INTERPRETED else "cuda"
NAN, INF = float("nan"), float("inf")


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


@pytest.mark.parametrize(("width", "each"), [(24, 1), (128, 70), (3, 32)])
def test_dots(width: int, each: int) -> None:
    weight, state = _normal(50, width) * 1e3, _normal(5, width, seed=1)
    tracks = torch.randint(50, (5, each), generator=torch.Generator().manual_seed(2)).to(DEVICE)
    assert torch.equal(ranking.dots(weight, state, tracks), plain_dots(weight, state, tracks))


def test_dots_of_broken_rows_and_of_nothing() -> None:
    weight, state = _normal(4, 24), _normal(3, 24, seed=1)
    weight[1], weight[2, 3] = NAN, INF
    tracks = torch.tensor([[0, 1], [1, 2], [3, 2]], device=DEVICE)
    found, plain = ranking.dots(weight, state, tracks), plain_dots(weight, state, tracks)
    assert torch.equal(found.isnan(), plain.isnan())
    assert torch.equal(found.nan_to_num(), plain.nan_to_num())
    assert ranking.dots(weight, state, tracks[:, :0]).shape == (3, 0)
    assert ranking.dots(weight, state[:0], tracks[:0]).shape == (0, 2)


@pytest.mark.parametrize("asked", [0, 1, 3])
@pytest.mark.parametrize("num_chunks", [1, 16, 21])
def test_count(asked: int, num_chunks: int) -> None:
    chunks = _normal(4, num_chunks, 8).round(decimals=1)
    chunks[0, 0, 3], chunks[1, num_chunks - 1, 0], chunks[2, 0, :] = NAN, INF, -INF
    low = _normal(4, asked, seed=1)
    high = low + torch.tensor([0.0, 0.1, 0.5, NAN], device=DEVICE)[:, None]
    above = torch.full((4, asked), 5, device=DEVICE)
    plainly = above.clone()
    found = ranking.count(chunks, low, high, above)
    plain = plain_count(chunks, low, high, plainly, torch.empty_like(chunks))
    assert above.tolist() == plainly.tolist()
    assert torch.equal(found[0], plain[0])
    assert torch.equal(found[1].isnan(), plain[1].isnan())
    assert torch.equal(found[1].nan_to_num(), plain[1].nan_to_num())


@pytest.mark.parametrize("broken", [False, True])
def test_standing(monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    weight, state = _normal(700, 24).round(decimals=1), _normal(5, 24, seed=1).round(decimals=1)
    if broken:
        weight[9], state[2] = NAN, INF
    candidates = torch.arange(3, 700, device=DEVICE)
    candidates = candidates[candidates % 5 > 0]
    tracks = candidates[torch.randint(len(candidates), (5, 2), generator=torch.Generator().manual_seed(3)).to(DEVICE)]
    monkeypatch.setattr(block_standing, "kernels", lambda device: ranking)
    found = stand(Scores(CandidateTable(weight, candidates), state), tracks, 7)
    wanted = dense_standing(all_dots(weight, state), candidates, tracks, 7)
    assert found.above.tolist() == wanted.above.tolist()
    assert found.equal.tolist() == wanted.equal.tolist()
    assert found.best.tracks.tolist() == wanted.best.tracks.tolist()

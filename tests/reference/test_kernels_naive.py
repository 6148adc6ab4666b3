"""The Triton kernels equal the plain functions, forward and backward.

They run on a CUDA device, or anywhere with TRITON_INTERPRET=1 (test_kernels_interpreted.py); without triton they are
skipped, saying so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed: the GPU kernels were not tested here")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("no CUDA device: test_kernels_interpreted.py runs these tests", allow_module_level=True)


from segue.batches.split import split_store
from segue.kernels import packed_attention, rows
from segue.model.encoders import attention as forms
from segue.model.encoders.attention import AttentionConfig, KernelAttention, PaddedAttention, visibility
from segue.objectives import log_sum, triton_log_sum, triton_skip_contrastive
from segue.objectives.roles import Heard, roles
from segue.objectives.skip_contrastive import contrastive_loss
from segue.training import step as step_module
from segue.training.graph_step import KernelRows
from segue.training.row_adam import RowAdam
from segue.training.step import TrainingStep
from segue.training.table_rows import WholeTable
from segue.training.trainer import Trainer
from support.plain_step import PlainStep
from support.small_recipes import small_recipe
from support.stores import tiny_store

DEVICE = "cpu" if INTERPRETED else "cuda"
DTYPE = torch.float32 if INTERPRETED else torch.bfloat16  # the interpreter cannot multiply bf16

NUM_POSITIONS = 128 if INTERPRETED else 512
"""Places of a batch of eight sessions; the interpreter takes time for each of them."""

WIDTH, HEADS = 32, 2
LENGTHS = torch.tensor([3, 1, 0, 7, 2])
"""Inputs of five sessions: unequal, one empty."""


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def _start() -> Tensor:
    return torch.nn.functional.pad(LENGTHS.cumsum(0), (1, 0)).int().to(DEVICE)


def _valid() -> Tensor:
    return (torch.arange(int(LENGTHS.max())) < LENGTHS[:, None]).to(DEVICE)


def _close(one: Tensor, other: Tensor, tolerance: float) -> None:
    one, other = one.detach(), other.detach()
    assert torch.isfinite(one).all()
    assert float((one - other).norm()) <= tolerance * float(other.norm()) + 1e-7


@pytest.mark.parametrize("causal", [True, False])
def test_packed_attention_is_padded_attention(causal: bool) -> None:
    valid, seeds = _valid(), torch.zeros(2, dtype=torch.int64, device=DEVICE)
    qkv = _normal(int(LENGTHS.sum()) + 4, 3 * WIDTH).requires_grad_()  # four rows past the last session
    packed = packed_attention.packed_attention(qkv, _start(), seeds, 1, HEADS, 7, 0.0, causal)
    grad = _normal(*packed.shape, seed=1)
    (mine,) = torch.autograd.grad(packed, qkv, grad)
    padded = torch.zeros(*valid.shape, 3 * WIDTH, device=DEVICE)
    padded = padded.masked_scatter(valid[:, :, None], qkv[: int(LENGTHS.sum())])
    whole = PaddedAttention(visibility(valid, causal=causal), AttentionConfig(HEADS, causal, 0.0))(padded, 0)
    (naive,) = torch.autograd.grad(whole[valid], qkv, grad[: int(LENGTHS.sum())])
    _close(packed[: int(LENGTHS.sum())], whole[valid], 1e-5)
    assert (packed[int(LENGTHS.sum()) :] == 0).all()
    _close(mine, naive, 1e-5)


def test_attention_drops_the_share_and_the_same_in_both_directions() -> None:
    seeds = torch.tensor([3, 5], device=DEVICE)
    qkv = _normal(int(LENGTHS.sum()), 3 * WIDTH).requires_grad_()
    value = qkv.detach()[:, 2 * WIDTH :]

    def mixed(of: Tensor, block: int = 1) -> Tensor:
        return packed_attention.packed_attention(of, _start(), seeds, block, HEADS, 7, 0.5, False)

    assert torch.equal(mixed(qkv), mixed(qkv))
    assert not torch.equal(mixed(qkv), mixed(qkv, 0))
    # the output is linear in the values: its derivative along them is the output itself, drops included
    grad = _normal(int(LENGTHS.sum()), WIDTH, seed=1)
    (of_qkv,) = torch.autograd.grad(mixed(qkv), qkv, grad)
    _close((of_qkv[:, 2 * WIDTH :] * value).sum(), (mixed(qkv.detach()) * grad).sum(), 1e-4)


def _rounded(x: Tensor) -> Tensor:
    """Return what bf16 can hold, so that products of it are exact in float32."""
    return x.bfloat16().float()


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = triton_log_sum.Tiles(tokens=16, negatives=16, warps=1, stages=1, programs=6)
    monkeypatch.setattr(triton_log_sum, "TILES", tiles)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("corrected", [False, True])
def test_the_kernel_sums_as_the_plain_function_does(corrected: bool) -> None:
    """Forward, and backward with weights of either sign, some of them 0."""
    tokens, num = 37, 50
    target = (torch.arange(tokens) % 7).int().to(DEVICE)  # 0: no target
    tracks = (torch.arange(num) % 11 + 3).int().to(DEVICE)  # copies of targets 3..6 among them, repeated
    correction = _normal(num, seed=3) if corrected else None
    leaves = [_rounded(_normal(tokens, WIDTH)).requires_grad_(), _rounded(_normal(num, WIDTH, seed=2)).requires_grad_()]
    weight = _normal(tokens, seed=4) * (target > 0)
    scores = leaves[0].double() @ leaves[1].double().T + (0.0 if correction is None else correction)
    naive = scores.masked_fill(tracks == target[:, None], -1e30).logsumexp(1)
    expected = torch.autograd.grad((naive * weight).sum(), leaves)
    _, mine = triton_log_sum.KernelLogSum.apply(*leaves, target, (tracks, correction), DTYPE)
    _close(mine, naive.float(), 1e-5)
    for gradient, other in zip(torch.autograd.grad((mine * weight).sum(), leaves), expected, strict=True):
        _close(gradient, other, 4e-3)


@pytest.mark.usefixtures("small_tiles")
def test_the_kernel_sums_over_all_tracks_but_the_target() -> None:
    tokens, num = 37, 50
    target = (torch.arange(tokens) % 9 + 3).int().to(DEVICE)
    target[5] = 0
    leaves = [_rounded(_normal(tokens, WIDTH)).requires_grad_(), _rounded(_normal(num + 3, WIDTH, seed=2))]
    leaves[1].requires_grad_()
    real = (target > 0).float()
    weights = [_normal(tokens, seed=seed) * real for seed in (4, 5)]
    scores = leaves[0].double() @ leaves[1].double().T
    own = scores.gather(1, target.long()[:, None])[:, 0]
    others = scores.scatter(1, target.long()[:, None], -1e30)[:, 3:].logsumexp(1)
    expected = torch.autograd.grad((own * weights[0] + others * weights[1]).sum(), leaves)
    mine = triton_log_sum.KernelLogSum.apply(*leaves, target, (3, None), DTYPE)
    for result, other in zip(mine, (own, others), strict=True):
        _close(result * real, (other * real).float(), 1e-5)
    gradients = torch.autograd.grad(sum((part * w).sum() for part, w in zip(mine, weights, strict=True)), leaves)
    for gradient, other in zip(gradients, expected, strict=True):
        _close(gradient, other, 4e-3)
    assert not gradients[1][:3].any()


@pytest.mark.usefixtures("small_tiles")
def test_the_kernel_scores_the_targets_too() -> None:
    tokens, num = 37, 50
    target = (torch.arange(tokens) % 7).int().to(DEVICE)
    tracks = (torch.arange(num) % 11 + 3).int().to(DEVICE)
    leaves = [_rounded(_normal(n, WIDTH, seed=seed)).requires_grad_() for seed, n in enumerate((tokens, num, tokens))]
    states, negatives, target_rows = leaves
    weights = [_normal(tokens, seed=seed) * (target > 0) for seed in (4, 5)]
    own = (states * target_rows).sum(1)
    others = (states @ negatives.T).masked_fill(tracks == target[:, None], -1e30).logsumexp(1)
    expected = torch.autograd.grad((own * weights[0] + others * weights[1]).sum(), leaves)
    mine = triton_log_sum.KernelLogSum.apply(states, negatives, target, (tracks, None), DTYPE, target_rows)
    for result, other in zip(mine, (own, others), strict=True):
        _close(result, other, 1e-5)
    gradients = torch.autograd.grad(sum((part * w).sum() for part, w in zip(mine, weights, strict=True)), leaves)
    for gradient, other in zip(gradients, expected, strict=True):
        _close(gradient, other, 4e-3)


@pytest.mark.usefixtures("small_tiles")
def test_no_target_has_no_gradient() -> None:
    nothing = torch.zeros(5, dtype=torch.int32, device=DEVICE)
    tracks = torch.arange(3, 9, dtype=torch.int32, device=DEVICE)
    leaves = [_normal(5, WIDTH).requires_grad_(), _normal(6, WIDTH).requires_grad_()]
    _, others = triton_log_sum.KernelLogSum.apply(*leaves, nothing, (tracks, None), DTYPE)
    for gradient in torch.autograd.grad((others * 0.0).sum(), leaves):
        assert (gradient == 0).all()


@pytest.mark.parametrize("context", ["track", "session"])
def test_the_kernel_of_the_term_is_the_plain_one(context: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if INTERPRETED:
        monkeypatch.setattr(triton_skip_contrastive, "PRECISION", "ieee")
    tracks = torch.tensor(
        [[3, 4, 5, 4, 6, 0], [3, 3, 7, 0, 0, 0], [9, 8, 7, 6, 5, 4], [3, 4, 0, 0, 0, 0]], device=DEVICE
    )
    code = torch.tensor([[0, 3, 1, 2, 0, 5], [0, 3, 1, 5, 5, 5], [0, 0, 4, 3, 2, 1], [1, 0, 5, 5, 5, 5]], device=DEVICE)
    skipped, listened = (code >= 2) & (code <= 3), code < 2
    embeddings = _normal(10, WIDTH)[tracks].requires_grad_()
    states = embeddings if context == "track" else _normal(4, 6, WIDTH, seed=1).requires_grad_()
    naive = contrastive_loss(states, embeddings, roles(Heard(tracks, skipped, listened)), 0.2)
    leaves = [embeddings] if context == "track" else [embeddings, states]
    expected = torch.autograd.grad(3.0 * naive, leaves)
    loss = triton_skip_contrastive.KernelSkipContrastive.apply(states, embeddings, tracks, skipped, listened, 0.2)
    _close(loss, naive, 1e-5)
    for gradient, other in zip(torch.autograd.grad(3.0 * loss, leaves), expected, strict=True):
        _close(gradient, other, 1e-4)


def test_rows_follow_the_adam_of_touched_rows() -> None:
    table = _normal(30, WIDTH)
    naive = RowAdam(table.clone(), 0.01)
    state = rows.RowState(
        table, torch.zeros_like(table), torch.zeros_like(table), torch.zeros(30, dtype=torch.int32, device=DEVICE),
        torch.zeros(400, device=DEVICE), torch.zeros(1, dtype=torch.int32, device=DEVICE), 0.01,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(5)
    num_steps = 20 if INTERPRETED else 300
    for step in range(num_steps):
        ids = torch.randint(0, 6 if step % 3 else 30, (25,), generator=generator).to(DEVICE)
        grads = _normal(25, WIDTH, seed=step) * (ids > 0)[:, None]
        _close(rows.look_up(state, ids.int()), naive.look_up(ids), 1e-5)
        summed = rows.sum_grads(ids.int(), grads)
        _close(summed.square, naive.take(ids, grads), 1e-5)
        naive.update(torch.tensor(0.5, device=DEVICE))
        rows.update(state, summed, torch.tensor(0.5, device=DEVICE))
    assert int(state.step) == num_steps
    naive.flush()
    follower = RowAdam(table, 0.01)
    follower.load(
        {
            "exp_avg": state.exp_avg,
            "exp_avg_sq": state.exp_avg_sq,
            "at": state.at,
            "momentum": state.momentum[: num_steps + 1],
        }
    )
    follower.flush()
    _close(follower.state()["exp_avg_sq"], naive.state()["exp_avg_sq"], 1e-4)
    _close(follower._table, naive._table, 1e-4)


def test_reads_add_up_where_one_row_of_each_index_is_not_zero() -> None:
    out, added = _normal(9, WIDTH), _normal(6, WIDTH, seed=1)
    index = torch.tensor([4, 0, 8, 0, 2, 0], device=DEVICE)
    added[1], added[5] = 0.0, 0.0
    expected = out.index_add(0, index, added)
    rows.add_at(out, index, added)
    assert torch.equal(out, expected)


SEGUE: dict[str, Any] = {
    "encoder__block_type": "pre_norm",
    "inputs__feedback": True,
    "heads__transitions": True,
    "heads__listen": True,
}
COPIES = SEGUE | {"heads__copy": True, "heads__transitions": {"own_weight": 1.0}}
HISTORIES = COPIES | {"data__history": 12, "next_track__temperature": 0.1}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("paper-causal-s-minus", "mixed", SEGUE),
    (
        "paper-causal-s-minus",
        "mixed",
        SEGUE | {"inputs__context": {"columns": ["hour", "shuffle"]}, "encoder__unknown_share": 0.1},
    ),
    ("paper-causal-s-minus", "mixed", COPIES),
    ("paper-causal-s-minus", "full", COPIES | {"next_track__temperature": 0.1}),
    ("paper-causal-s-minus", "full", SEGUE | {"encoder__block_type": "gated"}),
    ("paper-causal-s-plus-track", "mixed", SEGUE | {"inputs__features": True, "heads__listen": {"gradient": "flow"}}),
    ("paper-causal-s-plus-track", "shared", {}),
    ("paper-cloze-s-plus-session", "shared", {}),
    ("paper-causal-s-plus-track", "mixed", {}),
    ("paper-cloze-s-plus-session", "mixed", {}),
    ("paper-causal-s-plus-session", "full", {}),
    ("paper-cloze-s-minus", "full", {}),
    ("paper-causal-s-plus-session", "shared", {"terms__0__variant": "random_negatives"}),
    ("paper-causal-s-plus-track", "shared", {"terms__0__variant": "cross_session"}),
    ("paper-cloze-s-plus-session", "full", {"terms__0__variant": "cross_session"}),
]
CASES += [
    ("paper-causal-s-minus", "per_session", {"next_track__own_skips": True}),
    ("paper-causal-s-minus", "mixed", {"next_track__targets": "avoid_skipped", "next_track__skipped_weight": 0.5}),
    ("paper-causal-s-minus", "full", {"next_track__targets": "next_listened"}),
    ("paper-causal-s-minus", "gbce", {"encoder__position": "padded"}),
    ("nextitnet-s-plus-track", "shared", {}),
    ("caser-s-minus", "mixed", {"next_track__targets": "next_listened"}),
    ("gru4rec-s-minus", "full", {}),
    ("paper-causal-s-minus", "mixed", COPIES | {"heads__repeats": True}),
    ("paper-causal-s-plus-track", "mixed", HISTORIES),
    ("paper-causal-s-minus", "full", HISTORIES | {"encoder__unknown_share": 0.2, "heads__repeats": True}),
]


@pytest.fixture(autouse=True)
def clipping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients as small as those of these models are clipped, too."""
    monkeypatch.setattr(step_module, "CLIP", 0.5)


def _recipe(name: str, kind: str, changes: dict[str, Any]) -> Any:
    settings = {"encoder__width": 32, "encoder__dropout": 0.0, "next_track__kind": kind}
    if name.startswith("paper"):
        settings["encoder__ffn_width"] = 32
    return small_recipe(name, **settings, **changes, training__learning_rate=1e-3)


class _Padded(PlainStep):
    """The naive step on the batches of a graph: as many sessions each time, some of which are not there."""

    def step(self, index: Tensor) -> None:
        size = self.training.recipe.training.batch_size
        padded = torch.nn.functional.pad(index.to(self.training.candidates.device), (0, size - len(index)), value=-1)
        self.train(padded, self.num_positions)

    num_positions = NUM_POSITIONS

    def num_places(self, index: Tensor) -> int:
        return NUM_POSITIONS if self.training.data.histories is not None else 0


class _Kernels(TrainingStep):
    """The kernels of a graph step, one after another and in float32: what is left of it without a CUDA device."""

    num_positions = NUM_POSITIONS

    def step(self, index: Tensor) -> None:
        _Padded.step(self, index)  # type: ignore[arg-type]


def _trained(
    path: Path, case: tuple[str, str, dict[str, Any]], form: str, *, bf16: bool = True, steps: int = 11
) -> Trainer:
    recipe, store = _recipe(*case), tiny_store(path, tracks=200, rich=True)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device(DEVICE), bf16)
        training = trainer._step.training
        if form == "naive":
            trainer._step = _Padded(trainer._step)
        elif form == "kernels":
            weight = trainer.encoder.table.weight
            full = recipe.next_track.reads_table
            table = WholeTable(trainer.encoder) if full else KernelRows(weight, training.optimisers.table_rows)
            trainer._step = _Kernels(training, table)
            trainer._step.add_at = rows.add_at
        chosen = torch.arange(19) if trainer.data.histories is None else trainer.order(0)[:19]
        order = trainer.begin(chosen.repeat(5), steps)[: 8 * steps - 1]  # the last batch is short
        for step in range(steps):
            if step == 2 and form == "kernels":  # nothing was brought up: the steps made before still count
                order = trainer.begin(chosen.repeat(5), steps - 2)[: 8 * steps - 1]
            trainer.step(order[step * 8 : (step + 1) * 8])
        if form != "naive":
            trainer.bring_up()
    return trainer


@pytest.mark.parametrize("case", [CASES[i] for i in (1, 2, 3, 5, 7, 12, 17, 19, 22)], ids=str)
def test_a_step_of_the_kernels_trains_as_the_naive_one(
    tmp_path: Path, case: tuple[str, str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the cases: the interpreter takes seconds for each. A GPU runs them all, below."""
    if not INTERPRETED:
        pytest.skip("the graph step is compared below")
    monkeypatch.setattr(triton_skip_contrastive, "PRECISION", "ieee")
    monkeypatch.setattr(log_sum, "in_tiles", lambda states: True)
    naive = _trained(tmp_path / "naive", case, "naive", bf16=False, steps=4)

    def kernel_attention(batch: Any, config: AttentionConfig, width: int, blocks: int) -> KernelAttention:
        seeds = torch.zeros(blocks, dtype=torch.int64)
        return KernelAttention(batch.offsets.int(), seeds, batch.longest, config)

    monkeypatch.setattr(forms, "attention_of", kernel_attention)
    kernels = _trained(tmp_path / "kernels", case, "kernels", bf16=False, steps=4)
    torch.testing.assert_close(kernels.sums, naive.sums, rtol=1e-4, atol=1e-5)
    for key, value in naive.weights().items():
        if value.is_floating_point():
            difference = (kernels.weights()[key] - value).abs()
            assert (difference > 1e-4 + 1e-3 * value.abs()).float().mean() < 2e-3, key


@pytest.mark.skipif(INTERPRETED, reason="a CUDA graph needs a CUDA device")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_graph_step_trains_as_the_naive_one(tmp_path: Path, case: tuple[str, str, dict[str, Any]]) -> None:
    """Its losses are those of float32 but for the rounding of bf16, and so is the way that the weights take."""
    naive = _trained(tmp_path / "naive", case, "naive", bf16=False)
    graph = _trained(tmp_path / "graph", case, "graph")
    assert type(graph._step).__name__ == "GraphStep"
    assert torch.equal(graph.generator.get_state(), naive.generator.get_state())
    torch.testing.assert_close(graph.sums, naive.sums, rtol=5e-3, atol=2e-3)
    begun = _trained(tmp_path / "begun", case, "graph", steps=0).weights()
    for key, value in naive.weights().items():
        if value.is_floating_point():
            way = float((begun[key].float() - value.float()).norm())
            apart = float((graph.weights()[key].float() - value.float()).norm())
            assert apart <= 0.4 * way + 1e-2, (key, apart, way)
    if case[1] != "full":
        assert graph.optimisers.table_rows.num_steps == 11


@pytest.mark.skipif(INTERPRETED, reason="a CUDA graph needs a CUDA device")
@pytest.mark.parametrize("case", [CASES[1], *CASES[2:5], *CASES[9:11], CASES[17], *CASES[22:]], ids=str)
def test_the_graph_step_gives_the_same_bytes_twice(tmp_path: Path, case: tuple[str, str, dict[str, Any]]) -> None:
    one, other = (_trained(tmp_path / str(turn), case, "graph").weights() for turn in range(2))
    for key, value in one.items():
        assert torch.equal(other[key], value), key

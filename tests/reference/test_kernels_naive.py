"""The Triton kernels equal the plain functions, forward and backward.

They run on a CUDA device, or anywhere with TRITON_INTERPRET=1; without triton they are skipped, saying so.
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
    pytest.skip("no CUDA device and no TRITON_INTERPRET=1: the GPU kernels were not tested", allow_module_level=True)

from mixtures import WEIGHTS, Masses, Weights, masses, mixed_losses
from segue.batches.next_track import Full
from segue.batches.packed import Packing, window_lengths
from segue.batches.split import split_store
from segue.encoders.attention import PaddedAttention, visibility
from segue.kernels import attention, rows, skip_contrastive, softmax
from segue.objectives import skip_contrastive_loss
from segue.objectives.next_track import compared, compared_with_all, mean_over
from segue.objectives.packed import Gradients, Known, Negatives, Sessions, Targets
from segue.training.graph_rows import TouchedRows, add_to
from segue.training.packed_step import PackedStep, Parts, Training
from segue.training.row_adam import RowAdam
from segue.training.trainer import Trainer
from segue.training.whole_table import WholeTable
from small_recipes import small_recipe
from stores import tiny_store

DEVICE = "cpu" if INTERPRETED else "cuda"
DTYPE = torch.float32 if INTERPRETED else torch.bfloat16  # the interpreter cannot multiply bf16

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
    packed = attention.packed_attention(qkv, _start(), seeds, 1, HEADS, 7, 0.0, causal)
    grad = _normal(*packed.shape, seed=1)
    (mine,) = torch.autograd.grad(packed, qkv, grad)
    padded = torch.zeros(*valid.shape, 3 * WIDTH, device=DEVICE)
    padded = padded.masked_scatter(valid[:, :, None], qkv[: int(LENGTHS.sum())])
    whole = PaddedAttention(visibility(valid, causal=causal), HEADS, 0.0)(padded, 0)
    (naive,) = torch.autograd.grad(whole[valid], qkv, grad[: int(LENGTHS.sum())])
    _close(packed[: int(LENGTHS.sum())], whole[valid], 1e-5)
    assert (packed[int(LENGTHS.sum()) :] == 0).all()
    _close(mine, naive, 1e-5)


def test_attention_drops_the_share_and_the_same_in_both_directions() -> None:
    seeds = torch.tensor([3, 5], device=DEVICE)
    qkv = _normal(int(LENGTHS.sum()), 3 * WIDTH).requires_grad_()
    value = qkv.detach()[:, 2 * WIDTH :]

    def mixed(of: Tensor, block: int = 1) -> Tensor:
        return attention.packed_attention(of, _start(), seeds, block, HEADS, 7, 0.5, False)

    assert torch.equal(mixed(qkv), mixed(qkv))
    assert not torch.equal(mixed(qkv), mixed(qkv, 0))
    # the output is linear in the values: its derivative along them is the output itself, drops included
    grad = _normal(int(LENGTHS.sum()), WIDTH, seed=1)
    (of_qkv,) = torch.autograd.grad(mixed(qkv), qkv, grad)
    _close((of_qkv[:, 2 * WIDTH :] * value).sum(), (mixed(qkv.detach()) * grad).sum(), 1e-4)


def _sampled(
    leaves: list[Tensor], target: Tensor, ids: Tensor, correction: Tensor, known: Masses, weights: Weights
) -> Tensor:
    collisions = (ids == target[:, None])[None]
    own, scores = compared(leaves[0][None], leaves[1][None], leaves[2], collisions, correction)
    losses = mixed_losses(own[0], torch.logsumexp(scores[0], 1), known, weights)
    return mean_over(losses, (target > 0).float())


def _full(leaves: list[Tensor], target: Tensor, known: Masses, weights: Weights) -> Tensor:
    real = target > 0
    own, others = compared_with_all(leaves[0][real], leaves[1], target[real].long())
    chosen = None if known is None else (known[0][real], known[1][real])
    return mixed_losses(own, torch.logsumexp(others, 1), chosen, weights).mean()


TILES = softmax.Tiles(tokens=16, negatives=16, warps=1, stages=1, programs=6)


def _rounded(x: Tensor) -> Tensor:
    """Return what bf16 can hold, so that products of it are exact in float32."""
    return x.bfloat16().float()


@pytest.mark.parametrize("weights", WEIGHTS)
def test_packed_softmax_is_the_sampled_softmax(weights: Weights) -> None:
    tokens, num = 37, 50
    states, own, negatives = (
        _rounded(_normal(tokens, WIDTH)),
        _normal(tokens, WIDTH, seed=1),
        _normal(num, WIDTH, seed=2),
    )
    negatives = _rounded(negatives)
    target = (torch.arange(tokens) % 7).int().to(DEVICE)  # 0: no target
    ids = (torch.arange(num) % 11 + 3).int().to(DEVICE)  # copies of targets 3..6 among them, repeated
    correction = _normal(num, seed=3)
    gate, of_target, of_all = (part.to(DEVICE) for part in masses(tokens))
    leaves = [part.clone().requires_grad_() for part in (states, own, negatives, *([gate] if weights else []))]
    known = (leaves[3] + of_target, leaves[3] + of_all) if weights else None
    naive = _sampled(leaves, target, ids, correction, known, weights)
    grads = torch.autograd.grad(3 * naive, leaves)
    into, place = torch.ones(tokens + 3, WIDTH, device=DEVICE), torch.randperm(tokens + 3)[:tokens].to(DEVICE)
    lying = torch.zeros_like(into).index_copy(0, place, own)
    targets = Targets(target, lying, place)
    told = Known(gate + of_target, gate + of_all, torch.full_like(gate, 7.0), *weights) if weights else None
    loss, of_states, of_rows = softmax.PackedSoftmax(TILES, dtype=DTYPE)(
        states, targets, Negatives(negatives, ids, correction), into, 3.0, told
    )
    _close(loss, naive.detach(), 1e-5)
    of_gate = [] if told is None else [told.gradient]
    for mine, other in zip((of_states, into[place] - 1, of_rows, *of_gate), grads, strict=True):
        _close(mine, other, 4e-3)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("least", [0.0, 1e-9])
def test_packed_softmax_over_all_tracks_is_the_full_softmax(least: float, weights: Weights) -> None:
    tokens, num = 37, 50
    states, table = _rounded(_normal(tokens, WIDTH)), _rounded(_normal(num + 3, WIDTH, seed=2))
    target = (torch.arange(tokens) % 9 + 3).int().to(DEVICE)
    target[5] = 0
    gate, of_target, of_all = (part.to(DEVICE) for part in masses(tokens))
    leaves = [part.clone().requires_grad_() for part in (states, table, *([gate] if weights else []))]
    known = (leaves[2] + of_target, leaves[2] + of_all) if weights else None
    naive = _full(leaves, target, known, weights)
    grads = torch.autograd.grad(naive, leaves)
    targets = Targets(target, table, target.long())
    told = Known(gate + of_target, gate + of_all, torch.full_like(gate, 7.0), *weights) if weights else None
    loss, of_states, of_rows = softmax.PackedSoftmax(TILES, least, DTYPE)(
        states, targets, Negatives(table[3:], 3), table, 1.0, told
    )
    if told is not None:
        _close(told.gradient, grads[2], 4e-3)
    _close(loss, naive.detach(), 1e-5)
    _close(of_states, grads[0], 4e-3)
    _close(of_rows, grads[1][3:], 4e-3)


def test_no_target_costs_nothing() -> None:
    nothing = torch.zeros(5, dtype=torch.int32, device=DEVICE)
    ids = torch.arange(3, 9, dtype=torch.int32, device=DEVICE)
    into = torch.zeros(5, WIDTH, device=DEVICE)
    targets = Targets(nothing, _normal(5, WIDTH), nothing.long())
    loss, of_states, of_rows = softmax.PackedSoftmax(TILES, dtype=DTYPE)(
        _normal(5, WIDTH), targets, Negatives(_normal(6, WIDTH), ids), into
    )
    for part in (loss, of_states, of_rows, into):
        assert (part == 0).all()


@pytest.mark.parametrize("context", ["track", "session"])
def test_packed_skip_contrastive_is_the_term(context: str) -> None:
    tracks = torch.tensor(
        [[3, 4, 5, 4, 6, 0], [3, 3, 7, 0, 0, 0], [9, 8, 7, 6, 5, 4], [3, 4, 0, 0, 0, 0]], device=DEVICE
    )
    code = torch.tensor([[0, 3, 1, 2, 0, 5], [0, 3, 1, 5, 5, 5], [0, 0, 4, 3, 2, 1], [1, 0, 5, 5, 5, 5]], device=DEVICE)
    valid = tracks > 0
    spots = (
        torch.randperm(40, generator=torch.Generator().manual_seed(4))[: tracks.numel()].view(tracks.shape).to(DEVICE)
    )
    place = spots.masked_fill(~valid, -1).int()
    table, states = _normal(10, WIDTH), _normal(40, WIDTH, seed=1)
    values = torch.zeros(40, WIDTH, device=DEVICE)
    values[place[valid].long()] = table[tracks[valid]]
    leaves = [values.clone().requires_grad_(), states.clone().requires_grad_()]
    padded = [leaf[place.clamp(min=0).long()] for leaf in leaves]
    naive = skip_contrastive_loss(
        padded[0] if context == "track" else padded[1], padded[0], tracks, (code >= 2) & (code <= 3), code < 2, 0.2
    )
    grads = torch.autograd.grad(naive, leaves, allow_unused=True)
    sessions = Sessions(place, tracks.int(), code.int(), 2)
    into = Gradients(torch.ones_like(values), torch.ones_like(states))
    loss = skip_contrastive.packed_skip_contrastive(
        values, None if context == "track" else states, sessions, 0.2, into, 2.0
    )
    _close(loss, naive.detach(), 1e-5)
    _close(into.rows - 1, 2 * grads[0], 1e-4)
    _close(into.states - 1, torch.zeros_like(states) if context == "track" else 2 * grads[1], 1e-4)


def test_rows_follow_the_adam_of_touched_rows() -> None:
    table = _normal(30, WIDTH)
    naive = RowAdam(table.clone(), 0.01)
    state = rows.RowState(
        table, torch.zeros_like(table), torch.zeros_like(table), torch.zeros(30, dtype=torch.int32, device=DEVICE),
        torch.zeros(400, device=DEVICE), torch.zeros(1, dtype=torch.int32, device=DEVICE), 0.01,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(5)
    for step in range(300):
        ids = torch.randint(0, 6 if step % 3 else 30, (25,), generator=generator).to(DEVICE)
        grads = _normal(25, WIDTH, seed=step) * (ids > 0)[:, None]
        unique, back = torch.unique(ids, return_inverse=True)
        looked = naive.look_up(unique)
        total = torch.zeros_like(looked.values).index_add_(0, back, grads)
        _close(rows.look_up(state, ids.int()), looked.values[back], 1e-5)
        summed = rows.sum_grads(ids.int(), grads)
        _close(summed.square, total.square().sum(), 1e-5)
        naive.step(looked, total * 0.5)
        rows.update(state, summed, torch.tensor(0.5, device=DEVICE))
    assert int(state.step) == 300
    naive.flush()
    follower = RowAdam(table, 0.01)
    follower.load(
        {"exp_avg": state.exp_avg, "exp_avg_sq": state.exp_avg_sq, "at": state.at, "momentum": state.momentum[:301]}
    )
    follower.flush()
    _close(follower.state()["exp_avg_sq"], naive.state()["exp_avg_sq"], 1e-4)
    _close(follower._table, naive._table, 1e-4)


SEGUE: dict[str, Any] = {
    "encoder__norm": "pre",
    "encoder__activation": "gelu",
    "encoder__feedback": True,
    "heads__transitions": True,
    "heads__listen": {"hidden": 8},
}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("paper-causal-s-minus", "mixed", SEGUE),
    ("paper-causal-s-minus", "mixed", SEGUE | {"data__context": ["hour", "shuffle"], "encoder__unknown_share": 0.1}),
    ("paper-causal-s-minus", "mixed", SEGUE | {"heads__transitions": {"gradient": "stop", "own": 1.0}}),
    ("paper-causal-s-minus", "full", SEGUE | {"encoder__gated": True, "encoder__activation": "swiglu"}),
    ("paper-causal-s-plus-track", "mixed", SEGUE | {"features": True, "heads__listen": {"gradient": "flow"}}),
    ("paper-causal-s-plus-track", "shared", {}),
    ("paper-cloze-s-plus-session", "shared", {}),
    ("paper-causal-s-plus-track", "mixed", {}),
    ("paper-cloze-s-plus-session", "mixed", {}),
    ("paper-causal-s-plus-session", "full", {}),
    ("paper-cloze-s-minus", "full", {}),
    ("paper-causal-s-plus-session", "shared", {"terms__0__ablation": "random_negatives"}),
    ("paper-causal-s-plus-track", "shared", {"terms__0__ablation": "cross_session"}),
    ("paper-cloze-s-plus-session", "full", {"terms__0__ablation": "cross_session"}),
]
WHOLE_BATCHES = [
    case for case in CASES if not {"terms__0__ablation", "data__context"} & set(case[2]) or "cloze" in case[0]
]
"""Numbers are drawn for each session of a batch, there or not: the causal kernel step has sessions that are not."""


def _trained(
    path: Path, name: str, kind: str, term: dict[str, Any], *, plain: bool, bf16: bool = True, steps: int = 11
) -> Trainer:
    changes = {"encoder__width": 32, "encoder__ffn_width": 32, "encoder__dropout": 0.0, "next_track__kind": kind}
    recipe = small_recipe(name, **changes, **term, training__clip=0.5, training__learning_rate=1e-3)
    store = tiny_store(path, tracks=200, rich=True)
    split, device = split_store(store, recipe.data), torch.device("cuda", 0)
    trainer = Trainer(store, split, recipe, device, bf16=bf16, plain=plain)
    order = trainer.begin(torch.arange(19).repeat(5), steps)[: 8 * steps - 1]  # the last batch is short
    for step in range(steps):
        trainer.step(order[step * 8 : (step + 1) * 8])
    trainer.settle()
    return trainer


class _KernelStep(PackedStep):
    """The graph step's kernels, step by step and in float32: what is left of it where there is no CUDA device."""

    def __init__(self, training: Training) -> None:
        full = isinstance(training.recipe.next_track, Full)
        self.rows = WholeTable(training.encoder, add_to) if full else TouchedRows(training.encoder, training.optimisers)
        softmax_ = softmax.PackedSoftmax(TILES, dtype=torch.float32)
        super().__init__(training, Parts(self.rows, softmax_, skip_contrastive.packed_skip_contrastive))

    def prepare(self, order: Tensor, num_steps: int) -> Tensor:
        self.rows.prepare(num_steps)
        return order

    def step(self, index: Tensor) -> None:
        none = 0 if self.encoder.masked else 2  # masks are drawn for each session of a batch, there or not
        padded = torch.nn.functional.pad(index.to(DEVICE), (0, none), value=-1)
        lengths = window_lengths(self.training.data, padded, self.width)
        self.train(padded, int((lengths if self.encoder.masked else (lengths - 1).clamp(min=0)).sum()) + 3)

    def encode(self, rows: Tensor, mask: Tensor, packing: Packing) -> Tensor:
        def attend(qkv: Tensor, block: int) -> Tensor:
            seeds = torch.zeros(len(self.encoder.blocks), dtype=torch.int64, device=qkv.device)
            heads, causal = self.encoder.config.heads, self.encoder.causal
            mixed: Tensor = attention.packed_attention(
                qkv, packing.start, seeds, block, heads, self.longest, 0.0, causal
            )
            return mixed

        return self.encoder.states(self.inputs(rows, mask, packing), packing.position, attend)


@pytest.mark.parametrize(("name", "kind", "term"), WHOLE_BATCHES)
def test_a_step_of_the_kernels_trains_as_the_plain_one(
    tmp_path: Path, name: str, kind: str, term: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skip_contrastive, "PRECISION", "ieee")
    changes = {"encoder__width": 32, "encoder__ffn_width": 32, "encoder__dropout": 0.0, "next_track__kind": kind}
    changes |= {"encoder__position": "literal"}  # a session more in the batch would draw another offset
    recipe = small_recipe(name, **changes, **term, training__clip=0.5, training__learning_rate=1e-3)
    store = tiny_store(tmp_path / "store", tracks=200, rich=True)
    found = []
    for plain in (True, False):
        split, device = split_store(store, recipe.data), torch.device(DEVICE)
        trainer = Trainer(store, split, recipe, device, bf16=False, plain=True)
        if not plain:
            trainer._fast = _KernelStep(
                Training(trainer.encoder, recipe, trainer.data, trainer.candidates, trainer.optimisers,
                         trainer.generator, trainer.sums, trainer.log_q)
            )  # fmt: skip
        order = trainer.begin(torch.arange(19).repeat(2), 4)
        for step in range(4):
            if step == 2:  # nothing was settled: the steps made before still count
                order = trainer.begin(torch.arange(19).repeat(2), 2)
            trainer.step(order[step * 8 : (step + 1) * 8])
        trainer.settle()
        found.append(trainer)
    torch.testing.assert_close(found[1].sums, found[0].sums, rtol=1e-4, atol=1e-5)
    for key, value in found[0].weights().items():
        torch.testing.assert_close(
            found[1].weights()[key], value, rtol=1e-3, atol=5e-5, msg=lambda text, key=key: f"{key}: {text}"
        )


ONE_STEP = 2e-3
"""From one step of Adam in one number to the opposite one."""


@pytest.mark.skipif(INTERPRETED, reason="a CUDA graph needs a CUDA device")
@pytest.mark.parametrize(("name", "kind", "term"), CASES)
def test_the_graph_step_trains_as_the_plain_one(tmp_path: Path, name: str, kind: str, term: dict[str, Any]) -> None:
    """It is no further from float32 than twice what the plain path is in bf16, and a fiftieth of the way made.

    (Adam makes a whole step of a gradient that is nothing but rounding: one number may be that far off.)
    """
    exact = _trained(tmp_path / "exact", name, kind, term, plain=True, bf16=False)
    plain = _trained(tmp_path / "plain", name, kind, term, plain=True)
    graph = _trained(tmp_path / "graph", name, kind, term, plain=False)
    assert plain._fast is None
    assert graph._fast is not None
    assert torch.equal(graph.generator.get_state(), plain.generator.get_state())
    torch.testing.assert_close(graph.sums, exact.sums, rtol=5e-3, atol=2e-3)
    begun = _trained(tmp_path / "begun", name, kind, term, plain=True, steps=0).weights()
    for key, value in exact.weights().items():
        rounding, way = (float((other[key].float() - value.float()).norm()) for other in (plain.weights(), begun))
        apart = float((graph.weights()[key].float() - value.float()).norm())
        assert apart <= 2 * rounding + 0.02 * way + ONE_STEP, key
    if kind != "full":
        assert graph.optimisers.table_rows.num_steps == 11


@pytest.mark.skipif(INTERPRETED, reason="a CUDA graph needs a CUDA device")
@pytest.mark.parametrize("case", [CASES[1], CASES[3], *CASES[8:10]], ids=str)
def test_the_graph_step_gives_the_same_bytes_twice(tmp_path: Path, case: tuple[str, str, dict[str, Any]]) -> None:
    one, other = (_trained(tmp_path / str(turn), *case, plain=False).weights() for turn in range(2))
    for key, value in one.items():
        assert torch.equal(other[key], value), key

"""Histories equal loops over the plays of each listener: in training, in ranking, and through the encoder."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segue import columns, skips
from segue.batch import Batch
from segue.batches import histories
from segue.batches.data import SessionData
from segue.batches.example import Example, ExampleConfig, draw_example, make_example
from segue.batches.histories import load_histories, one_history
from segue.batches.split import DataConfig, Split, split_store
from segue.model import Encoder, Facts, ModelConfig, build_model
from segue.model.encoders.causal import CausalConfig
from segue.model.encoders.transformer import TransformerEncoder
from segue.model.inputs.feedback_codes import FeedbackConfig
from segue.recipes import load_recipe
from segue.store import UNKNOWN, Store
from segue.store.manifest import SideColumn
from segue.verbs.recommender import session_columns
from support.stores import SIDE, rewritten, tiny_store, values_of

MAX_LEN, PLAYS, LISTENERS = 6, 11, 3
SPLITS = ["leave-last-two-out", "chronological", "temporal"]
CONFIG = ExampleConfig(masked=False, max_len=MAX_LEN, width=MAX_LEN + 1, replaced_share=0.0, shifted=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Sixty sessions of three listeners over 30 tracks, some longer than MAX_LEN; two at a time begin together."""
    tiny = tiny_store(tmp_path / "tiny", sessions=60, tracks=30)
    values = values_of(tiny)
    values[columns.USER] = (np.arange(60) % LISTENERS).astype(np.int32)
    values[columns.DATE] = (17_800 + np.arange(60)[::-1] // 2).astype(np.int32)
    offsets = np.asarray(tiny.offsets)
    within = np.arange(tiny.num_rows) - np.repeat(offsets[:-1], np.diff(offsets))
    values[columns.AT] = np.repeat(values[columns.DATE], np.diff(offsets)).astype(np.int64) * 86_400 + 200 * within
    return rewritten(tmp_path / "store", tiny, values, (*SIDE, SideColumn(columns.AT, "int64")))


def split_of(store: Store, kind: str) -> Split:
    return split_store(store, DataConfig(split=kind, vocabulary="training"))  # type: ignore[arg-type]


def data_of(store: Store, split: Split, plays: int = PLAYS) -> SessionData:
    return replace(SessionData.load(store, split, "cpu"), histories=load_histories(store, split, plays, "cpu"))


def encoder_of(store: Store) -> Encoder:
    config = CausalConfig(width=16, blocks=2, heads=2, dropout=0.0, block_type="pre_norm", prediction_layer=False)
    model = ModelConfig(config, MAX_LEN, {"feedback": FeedbackConfig()}, temperature=0.2, reads_histories=True)
    encoder = build_model(model, Facts.of_weights(store.num_tracks, {}), torch.Generator().manual_seed(3))
    with torch.no_grad():  # drawn so small that everything is nearly the mean of what it reads
        for block in (each for each in encoder.modules() if isinstance(each, nn.Linear)):
            block.weight *= 20
    return encoder.eval()


def session_of(store: Store, row: int) -> int:
    return int(np.searchsorted(store.offsets, row, "right")) - 1


def heard(store: Store, split: Split, listener: int) -> list[int]:
    """Return the rows of a listener that may be read, in the order of listening."""
    bounds = {session_of(store, int(begin)): (int(begin), int(end)) for begin, end in zip(*split.readable, strict=True)}
    begins = np.asarray(store.side(columns.AT))[np.asarray(store.offsets)[:-1]].tolist()
    mine = [session for session in bounds if int(store.side(columns.USER)[session]) == listener]
    return [row for s in sorted(mine, key=lambda each: (begins[each], each)) for row in range(*bounds[s])]


def column_of(store: Store, row: int, max_len: int = MAX_LEN) -> int:
    return min(row - int(store.offsets[session_of(store, row)]), max_len - 1)


def state_after(encoder: Encoder, store: Store, split: Split, rows: list[int]) -> Tensor:
    """Return the state after the last of `rows`, the plays of one listener: queries read keys one by one."""
    assert isinstance(encoder, TransformerEncoder)
    tracks = torch.tensor([int(split.input_row[store.tracks[row]]) for row in rows])
    feedback = torch.tensor([min(int(store.strength[row]), skips.FEEDBACK_UNKNOWN) for row in rows])
    x = encoder.rows(tracks) + encoder.inputs["feedback"].weight[feedback]
    x = x + encoder.positions.weight[[column_of(store, row) for row in rows]]
    heads, half = encoder.config.heads, encoder.width // encoder.config.heads // 2

    def turned(vector: Tensor, place: int) -> Tensor:
        parts = []
        for head in vector.view(heads, 2, half):
            angle = torch.tensor([place * 10_000 ** (-pair / half) for pair in range(half)])
            parts += [head[0] * angle.cos() - head[1] * angle.sin(), head[0] * angle.sin() + head[1] * angle.cos()]
        return torch.cat(parts)

    for block in encoder.blocks:
        query, key, value = block.project_in(block.attention_norm(x)).chunk(3, dim=1)
        query, key = ([turned(one, place) for place, one in enumerate(part)] for part in (query, key))
        seen = []
        for i in range(len(rows)):
            read = []
            for head in range(heads):
                part = slice(head * 2 * half, (head + 1) * 2 * half)
                scores = [query[i][part] @ key[j][part] for j in range(i + 1)]
                weights = (torch.stack(scores) / math.sqrt(2 * half)).softmax(0)
                read.append(sum(weight * value[j][part] for j, weight in enumerate(weights)))
            seen.append(torch.cat(read))
        x = x + block.project_out(torch.stack(seen))
        x = x + block.narrow(nn.functional.gelu(block.widen(block.feed_norm(x))))
    state = encoder.final_norm(x[-1])
    return state / state.norm() / encoder.temperature


def example_of(data: SessionData, index: Tensor, share: float = 0.0, more: int = 5) -> Example:
    assert data.histories is not None
    config = replace(CONFIG, replaced_share=share)
    length = (data.train_end - data.train_begin)[index.clamp(min=0)].clamp(max=config.width) * (index >= 0)
    positions = int((length - 1).clamp(min=0).sum()) + more
    size = len(index), positions
    generator = torch.Generator().manual_seed(1)
    draws = draw_example(config, data, size, generator, int(data.histories.num_places(index)) + 2 * more)
    return make_example(config, data, index, positions, draws)


@pytest.fixture(params=[64, 4])
def stretch_rows(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    monkeypatch.setattr(histories, "STRETCH", request.param)
    return min(int(request.param), PLAYS)


@pytest.mark.parametrize("kind", SPLITS)
def test_training_reads_what_the_listener_played_before(store: Store, kind: str, stretch_rows: int) -> None:
    split, seen = split_of(store, kind), 0
    data, encoder = data_of(store, split), encoder_of(store)
    assert data.histories is not None
    order = torch.from_numpy(data.histories.order(1, 0))
    stretch = data.histories.stretch.tolist()
    users = [int(store.side(columns.USER)[session]) for session in data.train_session.tolist()]
    index = torch.cat([order[:9], torch.tensor([-1, -1])])
    example = example_of(data, index)
    states, positions = encoder(example.batch), iter(range(len(example.batch.tracks)))
    for part in order[:9].tolist():
        begin, end = int(data.train_begin[part]), int(data.train_end[part])
        rows = heard(store, split, users[part])
        mates = [each for each in order[:9].tolist() if stretch[each] == stretch[part]]
        first = max(min(rows.index(int(data.train_begin[each])) for each in mates) - (PLAYS - stretch_rows), 0)
        for row in range(max(begin, end - MAX_LEN - 1), end - 1):
            position = next(positions)
            expected = state_after(encoder, store, split, rows[first : rows.index(row) + 1])
            torch.testing.assert_close(states[position], expected, rtol=1e-4, atol=1e-4)
            assert int(example.target[position]) == int(store.tracks[row + 1])
            seen += rows.index(row) > first
    assert seen > 20


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("which", ["validation", "test"])
def test_ranking_reads_the_last_plays_and_the_session(store: Store, kind: str, which: str) -> None:
    split = split_of(store, kind)
    data, encoder, cases = data_of(store, split), encoder_of(store), split.cases[which]  # type: ignore[index]
    index = np.arange(len(cases))[:12]
    batch = data.context_batch(cases, index, MAX_LEN)
    states = encoder.next_state(batch)
    for case in index.tolist():
        listener = int(store.side(columns.USER)[cases.session[case]])
        begin = np.asarray(store.side(columns.AT))[np.asarray(store.offsets)[:-1]].tolist()
        session = int(cases.session[case])
        before = [
            row
            for row in heard(store, split, listener)
            if (begin[session_of(store, row)], session_of(store, row)) < (begin[session], session)
        ]
        rows = before[-PLAYS:] + list(range(int(cases.begin[case]), int(cases.target[case])))
        torch.testing.assert_close(states[case], state_after(encoder, store, split, rows), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encoder(batch)[batch.last], states)


def test_an_epoch_visits_each_session_once_and_each_stretch_in_order(store: Store, stretch_rows: int) -> None:
    split = split_of(store, "chronological")
    data = data_of(store, split)
    assert data.histories is not None
    orders = []
    for epoch in (0, 1, 0):
        orders.append(data.histories.order(5, epoch))
        assert sorted(orders[-1].tolist()) == list(range(len(data.train_session)))
        stretch = data.histories.stretch[torch.from_numpy(orders[-1])]
        assert len(torch.unique_consecutive(stretch)) == len(stretch.unique()) > LISTENERS
        first = data.histories.train_first[torch.from_numpy(orders[-1])]
        assert bool(((first.diff() > 0) | (stretch.diff() != 0)).all())
        whole = torch.from_numpy(orders[-1])
        spans = [
            int(data.histories.train_end[whole][stretch == one].max() - first[stretch == one].min())
            for one in stretch.unique()
        ]
        assert max(spans) < stretch_rows + np.diff(np.asarray(store.offsets)).max()
    assert np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[1])


def test_places_of_replaced_tracks_are_those_of_positions(store: Store) -> None:
    data = data_of(store, split_of(store, "chronological"))
    assert data.histories is not None
    order = torch.from_numpy(data.histories.order(1, 0))
    example = example_of(data, order[:8], share=0.4)
    history, real = example.batch.history, example.target > 0
    assert history is not None
    assert example.replaced is not None
    read = history.sequences.tracks[history.place]
    assert torch.equal(read[real], example.batch.tracks[real].long())
    assert torch.equal(read[real] == UNKNOWN, example.replaced[real])
    assert 0.2 < float(example.replaced[real].float().mean()) < 0.6
    end = int(history.sequences.offsets[-1])
    assert bool((history.sequences.tracks[:end] == UNKNOWN).any())
    assert not bool(history.sequences.tracks[end:].any())


def test_gradients_are_those_of_the_loops(store: Store) -> None:
    split = split_of(store, "chronological")
    data, encoder = data_of(store, split), encoder_of(store)
    assert data.histories is not None
    order = torch.from_numpy(data.histories.order(1, 0))
    example = example_of(data, order[:6])
    toward = torch.randn(len(example.batch.tracks), 16, generator=torch.Generator().manual_seed(0))
    parameters = [*encoder.parameters()]
    real = (example.target > 0)[:, None]
    fast = torch.autograd.grad((encoder(example.batch) * toward * real).sum(), parameters)
    history = example.batch.history
    assert history is not None
    one_by_one = torch.zeros(())
    for position in real[:, 0].nonzero()[:, 0].tolist():
        place = int(history.place[position])
        sequence = int(torch.searchsorted(history.sequences.offsets, place, right=True)) - 1
        first, read = int(history.sequences.offsets[sequence]), history.sequences
        alone = Batch(
            read.tracks[first : place + 1], read.feedback[first : place + 1], read.position[first : place + 1],
            torch.tensor([0, place + 1 - first]), place + 1 - first,
        )  # fmt: skip
        one_by_one = one_by_one + (encoder(alone)[-1] * toward[position]).sum()
    for got, expected in zip(fast, torch.autograd.grad(one_by_one, parameters), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_plays_without_a_store_are_cut_into_sessions(store: Store) -> None:
    split, longest = split_of(store, "chronological"), int(np.diff(np.asarray(store.offsets)).max())
    data, cases = data_of(store, split, 40), split.cases["test"]
    for case in range(len(cases)):
        batch = data.context_batch(cases, np.array([case]), longest)
        assert batch.history is not None
        read = batch.history.sequences
        num = int(read.offsets[-1]) - int(cases.target[case] - cases.begin[case])
        rows = heard(store, split, int(store.side(columns.USER)[cases.session[case]]))
        rows = rows[rows.index(int(cases.begin[case])) - num :][:num] if num else []
        at = torch.from_numpy(np.asarray(store.side(columns.AT))[rows])
        until = int(store.side(columns.AT)[cases.begin[case]]) // 60 - at // 60
        column = torch.from_numpy(session_columns(until.numpy()))
        made = one_history(batch, read.tracks[:num], read.feedback[:num], column)
        first = column_of(store, rows[0], longest) if rows else 0
        until_border = next((i for i in range(num) if i and column_of(store, rows[i], longest) == 0), num)
        expected = read.position.clone()
        expected[:until_border] -= first  # where the first session began is not known
        for name in ("tracks", "feedback", "offsets"):
            assert torch.equal(getattr(made.sequences, name), getattr(read, name)), name
        assert torch.equal(made.sequences.position, expected)
        assert torch.equal(made.place, batch.history.place)


def test_a_store_without_listeners_has_no_histories(store: Store, tmp_path: Path) -> None:
    values = {name: value for name, value in values_of(store).items() if name != columns.USER}
    side = [part for part in (*SIDE, SideColumn(columns.AT, "int64")) if part.name != columns.USER]
    unknown = rewritten(tmp_path / "unknown", store, values, tuple(side))
    split = split_of(unknown, "leave-last-two-out")
    assert load_histories(unknown, split, 5, "cpu") is None
    recipe = load_recipe("segue", {"data.history": 5})
    assert recipe.resolved(split, "cpu").data.history == 0
    assert recipe.resolved(split_of(store, "chronological"), "cpu").data.history == 5

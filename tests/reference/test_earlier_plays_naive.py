"""What each play comes after equals loops over the plays of each listener, and says nothing of later ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns
from segue.batches.data import SessionData
from segue.batches.earlier_plays import seconds_since_play, times_played
from segue.batches.example import ExampleConfig, draw_example, make_example
from segue.batches.histories import load_histories
from segue.batches.split import DataConfig, Split, split_store
from segue.errors import InputError
from segue.model.inputs import load_side
from segue.model.inputs.context import SIZES, ContextConfig, context_codes
from segue.store import Store
from support.listeners import listeners_store
from support.stores import rewritten, values_of

BOTH = ("listener_gap", "times_played")
READS = {"context": ContextConfig(BOTH)}
SPLITS = ["leave-last-two-out", "chronological", "temporal", "sessions"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Sixty sessions of four listeners over 30 tracks; some begin together, some before the last one ended."""
    like, draw = listeners_store(tmp_path, sessions=60, tracks=30), np.random.default_rng(1)
    values, lengths = values_of(like), np.diff(np.asarray(like.offsets))
    begins = 1_540_000_000 + 500 * draw.integers(0, 1000, 60) // draw.choice([1, 50], 60)
    within = np.arange(like.num_rows) - np.repeat(like.offsets[:-1], lengths)
    values[columns.AT] = np.repeat(begins, lengths) + draw.integers(1, 300, like.num_rows) * within
    values[columns.USER] = draw.permutation(np.arange(60) % 4).astype(np.int32)
    return rewritten(tmp_path / "mixed", like, values)


@pytest.fixture(params=SPLITS)
def split(store: Store, request: pytest.FixtureRequest) -> Split:
    return split_store(store, DataConfig(split=request.param, sample_sessions=50))


def sessions_in_order(store: Store, listener: int) -> list[range]:
    """Return the rows of each session of a listener in the order of listening."""
    offsets = np.asarray(store.offsets).tolist()
    mine = [number for number in range(store.num_sessions) if int(store.side(columns.USER)[number]) == listener]
    mine.sort(key=lambda number: (int(store.side(columns.AT)[offsets[number]]), number))
    return [range(offsets[number], offsets[number + 1]) for number in mine]


def plays_before(store: Store, split: Split) -> Iterator[tuple[int, list[int]]]:
    """Yield each row with the rows of its listener that may be read before it, in the order of listening."""
    readable = {row for b, e in zip(*split.readable, strict=True) for row in range(int(b), int(e))}
    for listener in np.unique(store.side(columns.USER)).tolist():
        earlier: list[int] = []
        for rows in sessions_in_order(store, listener):
            for row in rows:
                yield row, [*earlier, *range(rows.start, row)]
            earlier += [row for row in rows if row in readable]


def test_both_are_those_of_loops_over_the_plays_before(store: Store, split: Split) -> None:
    since, times = seconds_since_play(store, split), times_played(store, split)
    codes = context_codes(store, split, ContextConfig(BOTH))
    at, tracks, seen = np.asarray(store.side(columns.AT)).tolist(), store.tracks.tolist(), 0
    for row, before in plays_before(store, split):
        count = sum(tracks[earlier] == tracks[row] for earlier in before)
        gap = max(at[row] - at[before[-1]], 0) if before else -1
        assert (since[row], times[row]) == (gap, count)
        gap_code = SIZES["listener_gap"] if gap < 0 else min(gap.bit_length(), SIZES["listener_gap"] - 1)
        assert codes[row].tolist() == [gap_code, min(count.bit_length(), SIZES["times_played"] - 1)]
        seen += 1
    assert seen == store.num_rows
    assert times.max() > 4
    assert len(np.unique(codes[:, 0])) > 5
    assert (since == 0).any()


def test_of_later_plays_and_of_held_out_ones_no_code_of_an_earlier_play_says_anything(
    tmp_path: Path, store: Store, split: Split
) -> None:
    config, draw = READS["context"], np.random.default_rng(0)
    codes = context_codes(store, split, config)
    for number, (first, more) in enumerate([(4, 0), (7, 2), (11, 1)]):
        later = np.zeros(store.num_rows, np.bool_)
        for listener in range(4):
            sessions = sessions_in_order(store, listener)
            later[sessions[first].start + more : sessions[first].stop] = True
            later[[row for rows in sessions[first + 1 :] for row in rows]] = True
        other = _altered(store, tmp_path / f"later-{number}", later, draw)
        changed = context_codes(other, split, config)
        assert np.array_equal(changed[~later], codes[~later])
        assert all((changed[later] != codes[later]).any(0)), "later codes do change"
    held_out = np.ones(store.num_rows, np.bool_)
    for begin, end in zip(*split.readable, strict=True):
        held_out[begin:end] = False
    other = _altered(store, tmp_path / "held-out", held_out, draw)
    assert np.array_equal(context_codes(other, split, config)[~held_out], codes[~held_out])


def _altered(store: Store, path: Path, rows: np.ndarray, draw: np.random.Generator) -> Store:
    """Return the store with other tracks, heard later, at `rows`; listeners keep the order of their sessions."""
    values = values_of(store)
    values["tracks"][rows] = draw.integers(3, store.num_tracks + 3, rows.sum())
    values[columns.AT][rows] += 3_000_000 + draw.integers(0, 100, rows.sum())
    return rewritten(path, store, values)


def test_without_times_sessions_count_in_the_order_of_the_store_and_without_listeners_none_does(
    tmp_path: Path, store: Store
) -> None:
    def without(*names: str) -> Store:
        kept = tuple(part for part in store.manifest.side if part.name not in names)
        return rewritten(tmp_path / "-".join(names), store, values_of(store), kept)

    timeless = without(columns.AT, columns.DATE)
    split = split_store(timeless, DataConfig(split="leave-last-two-out"))
    times, readable = times_played(timeless, split), set(split.training_rows.tolist())
    tracks, user = store.tracks.tolist(), np.repeat(store.side(columns.USER), np.diff(store.offsets)).tolist()
    begins = np.repeat(store.offsets[:-1], np.diff(store.offsets)).tolist()
    for row in range(store.num_rows):
        before = [x for x in range(row) if user[x] == user[row] and (x in readable or x >= begins[row])]
        assert times[row] == sum(tracks[x] == tracks[row] for x in before)
    unnamed = without(columns.USER)
    for other, name, lacking in (
        (timeless, "listener_gap", "no times, which the column 'listener_gap' needs"),
        (unnamed, "listener_gap", "no listeners"),
        (unnamed, "times_played", "no listeners, which the column 'times_played' needs"),
    ):
        with pytest.raises(InputError, match=lacking):
            context_codes(other, split, ContextConfig((name,)))


def test_training_forgets_some_inputs_of_some_histories_as_a_whole(tmp_path: Path) -> None:
    """A service knows none of them, so that an encoder must have been trained without."""
    store = listeners_store(tmp_path, sessions=400)
    split = split_store(store, DataConfig(split="chronological"))
    data = SessionData.load(store, split, "cpu", load_side(READS, store, split, "cpu"))
    object.__setattr__(data, "histories", load_histories(store, split, 8, "cpu"))
    assert data.histories is not None
    config = ExampleConfig(masked=False, max_len=8, width=9, replaced_share=0.0, shifted=False)
    index = torch.from_numpy(data.histories.order(0, 0))
    places = int(data.histories.num_places(index)) + 3
    draws = draw_example(config, data, (len(index), store.num_rows), torch.Generator().manual_seed(0), places)
    example = make_example(config, data, index, store.num_rows, draws)
    assert example.batch.history is not None
    sequences, unknown = example.batch.history.sequences, torch.tensor([SIZES[name] for name in BOTH])
    filled = sequences.offsets[: int((sequences.lengths > 0).sum()) + 1]  # the last sequences are empty
    begin, end = filled[:-1].tolist(), filled[1:].tolist()
    hidden = [(sequences.side["context"][b:e] == unknown).all(0).tolist() for b, e in zip(begin, end, strict=True)]
    share = torch.tensor(hidden).float().mean(0)
    assert len(hidden) > 100
    assert bool((share > 0.04).all() and (share < 0.2).all())
    assert [True, False] in hidden, "each column by itself"
    shown = torch.tensor(hidden)[sequences.session.clamp(max=len(hidden) - 1)].logical_not()
    codes = sequences.side["context"]
    assert not (codes[:, 1] == unknown[1])[shown[:, 1]].any(), "a sequence as a whole"

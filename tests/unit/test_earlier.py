"""Earlier sessions of a listener: what is read of them, by whom, and that nothing held out is among it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue import api, columns
from segue.batches.data import SessionData
from segue.batches.earlier import Earlier
from segue.batches.split import DataConfig, split_store
from segue.encoders import build_encoder
from segue.encoders.causal import CausalConfig
from segue.encoders.earlier import EarlierInputs
from segue.errors import InputError
from segue.recipes import load_recipe
from segue.session_batch import SessionBatch
from segue.store import Store
from segue.training import fit
from small_recipes import small_recipe
from stores import tiny_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return tiny_store(tmp_path / "store", sessions=60, rich=True)


def _naive(store: Store, config: DataConfig, session: int, width: int) -> list[int]:
    """Return the last `width` training rows that the session's listener heard in sessions before it."""
    split, user = split_store(store, config), np.asarray(store.side(columns.USER))
    parts = dict(zip(split.train_begin.tolist(), split.train_end.tolist(), strict=True))
    began = np.asarray(store.side(columns.AT))[np.asarray(store.offsets)[:-1]]
    before = [
        other
        for other in range(store.num_sessions)
        if user[other] == user[session] and (began[other], other) < (began[session], session)
    ]
    rows: list[int] = []
    for other in sorted(before, key=lambda other: (began[other], other)):
        begin = int(store.offsets[other])
        rows += range(begin, parts.get(begin, begin))
    return rows[-width:]


@pytest.mark.parametrize("split", ["leave-last-two-out", "temporal"])
@pytest.mark.parametrize("width", [3, 50])
def test_it_is_what_the_listener_heard_before(store: Store, split: Any, width: int) -> None:
    config = DataConfig(split=split)
    found = Earlier.find(store, split_store(store, config), "cpu")
    rows, real = found.gather(torch.arange(store.num_sessions), width)
    wanted = [_naive(store, config, session, width) for session in range(store.num_sessions)]
    assert [row[here].tolist() for row, here in zip(rows, real, strict=True)] == wanted
    assert any(wanted)
    assert not all(wanted)
    assert (real.int().diff(dim=1) >= 0).all(), "the most recent stands last"


def test_held_out_rows_are_not_among_it(store: Store) -> None:
    config = DataConfig(earlier=50)
    split = split_store(store, config)
    held = set(range(store.num_rows)) - set(split.training_rows.tolist())
    rows, real = Earlier.find(store, split, "cpu").gather(torch.arange(store.num_sessions), 50)
    assert held.isdisjoint(rows[real].tolist())
    data = SessionData.load(store, split, "cpu", earlier=50)
    batch = data.context_batch(split.cases["test"], np.arange(len(split.cases["test"])), 8)
    changed = data.tracks.clone()
    changed[sorted(held)] = 7
    other = SessionData(**{**vars(data), "tracks": changed})
    again = other.context_batch(split.cases["test"], np.arange(len(split.cases["test"])), 8)
    assert torch.equal(batch.side[columns.EARLIER_TRACKS], again.side[columns.EARLIER_TRACKS])


def _encoder(earlier: bool) -> Any:
    generator = torch.Generator().manual_seed(0)
    encoder: Any = build_encoder(CausalConfig(width=16, heads=2), 20, 8, sparse=False, generator=generator)
    if earlier:
        made = EarlierInputs(16, 6)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, 0.0, 1.0, generator=generator)
        encoder.remember(made)
    return encoder.eval()


def test_without_earlier_sessions_nothing_is_added() -> None:
    tracks = torch.tensor([[3, 4, 5, 0], [6, 7, 0, 0]])
    batch = SessionBatch(tracks, torch.zeros_like(tracks), tracks > 0)
    nothing = {columns.EARLIER_TRACKS: torch.zeros(2, 4, dtype=torch.int64)}
    nothing[columns.EARLIER_FEEDBACK] = torch.full((2, 4), 5)
    plain, reading = _encoder(False), _encoder(True)
    empty = SessionBatch(batch.tracks, batch.feedback, batch.valid, nothing)
    assert torch.equal(reading(empty), plain(batch))
    assert torch.equal(reading(batch), plain(batch))


def test_every_position_learns_of_earlier_sessions_and_padding_of_them_counts_for_nothing() -> None:
    tracks = torch.tensor([[3, 4, 5, 0], [0, 6, 7, 8]])  # padding on either side
    earlier, heard = torch.tensor([[0, 9, 10], [11, 12, 13]]), torch.tensor([[5, 0, 3], [3, 3, 0]])
    side = {columns.EARLIER_TRACKS: earlier, columns.EARLIER_FEEDBACK: heard}
    encoder = _encoder(True)
    found = encoder(SessionBatch(tracks, torch.zeros_like(tracks), tracks > 0, side))
    without = encoder(SessionBatch(tracks, torch.zeros_like(tracks), tracks > 0))
    assert ((found - without).abs().amax(2) > 0)[tracks > 0].all()
    short = {name: values[:1, 1:] for name, values in side.items()}
    again = encoder(SessionBatch(tracks[:1], torch.zeros_like(tracks[:1]), tracks[:1] > 0, short))
    torch.testing.assert_close(found[0, :3], again[0, :3])
    order = {name: values.flip(1) for name, values in side.items()}
    turned = encoder(SessionBatch(tracks, torch.zeros_like(tracks), tracks > 0, order))
    assert not torch.allclose(found[1, 1:], turned[1, 1:]), "how long ago counts"


def test_a_run_that_reads_earlier_sessions_trains_and_serves(tmp_path: Path, store: Store) -> None:
    fit(store, tmp_path / "run", small_recipe("segue", data__earlier=6, training__epochs=2))
    assert len(api.evaluate(tmp_path / "run", store, baselines=False).rows) > 0
    recommender = api.load(tmp_path / "run")
    ids = store.vocabulary.texts(range(10))
    lists = [
        [entry["score"] for entry in recommender.recommend(ids[:2], k=3, earlier=earlier)]
        for earlier in ([], [(ids[5], "listened")], [(ids[5], "skip")], [("never heard of", "skip")])
    ]
    assert lists[0] == lists[3]
    assert lists[1] != lists[0]
    assert lists[2] != lists[1]
    with pytest.raises(InputError, match="feedback"):
        recommender.recommend(ids[:2], earlier=[(ids[5], "loved")])


def test_what_cannot_read_earlier_sessions_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="looks back"):
        load_recipe("paper-cloze-s-minus", {"data.earlier": 5})
    api.simulate(tmp_path / "s", sessions=60, tracks=300, store=True)
    with pytest.raises(InputError, match="who listened"):
        fit(Store(tmp_path / "s"), tmp_path / "run", small_recipe("segue", data__earlier=5, training__epochs=1))


def test_simulated_listeners_return_with_their_tastes(tmp_path: Path) -> None:
    facts = api.simulate(tmp_path / "s", sessions=3000, tracks=400, listeners=40, store=True)
    assert facts["simulated"]["listeners"] == 40
    store = Store(tmp_path / "s")
    user = np.asarray(store.side(columns.USER))
    assert len(np.unique(user)) == 40
    p_listen = np.asarray(store.side(columns.ORACLE_P_LISTEN))
    of_session = np.array([p_listen[a:b].mean() for a, b in zip(store.offsets[:-1], store.offsets[1:], strict=True)])
    of_user = np.array([of_session[user == listener].mean() for listener in range(40)])
    assert of_user.std() > 2.5 * of_session.std() / np.sqrt(3000 / 40), "listeners differ more than chance"
    with pytest.raises(InputError, match="--store"):
        api.simulate(tmp_path / "log", sessions=30, tracks=300, listeners=5)
    with pytest.raises(InputError, match="listeners"):
        api.simulate(tmp_path / "log", sessions=30, tracks=300, listeners=-1, store=True)

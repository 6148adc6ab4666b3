"""Earlier sessions of a listener: what is read of them, by whom, and that nothing held out is among it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue import columns, skips
from segue.batch import Batch
from segue.batches.listener_past import listener_ranges
from segue.batches.split import DataConfig, Split, split_store
from segue.errors import InputError
from segue.model import Encoder
from segue.model.encoders.causal import CausalConfig
from segue.model.inputs.earlier import EarlierConfig, EarlierData, EarlierInput
from segue.recipes import load_recipe
from segue.store import Store
from segue.training import fit
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.recommender import load
from segue.verbs.simulate import SimulateOptions, simulate
from support.small_models import encoder_of, padded_batch
from support.small_recipes import small_recipe
from support.stores import rewritten, tiny_store, values_of

WITHIN = "leave-last-two-out"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return tiny_store(tmp_path / "store", sessions=60, rich=True)


def _naive(store: Store, config: DataConfig, session: int, width: int) -> list[int]:
    """Return the last `width` rows that the session's listener heard in sessions before it: of training parts, or
    all of them where later sessions are held out."""
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
        rows += range(begin, parts.get(begin, begin) if config.split == WITHIN else int(store.offsets[other + 1]))
    return rows[-width:]


def _data(store: Store, split: Split, width: int) -> EarlierData:
    return EarlierInput.load(EarlierConfig(width), store, split, "cpu")


@pytest.mark.parametrize("kind", [WITHIN, "temporal", "chronological"])
@pytest.mark.parametrize("width", [3, 50])
def test_it_is_what_the_listener_heard_before(store: Store, kind: Any, width: int) -> None:
    config = DataConfig(split=kind, vocabulary="training")
    split = split_store(store, config)
    ranges = listener_ranges(store, split)
    expected = [_naive(store, config, session, width) for session in range(store.num_sessions)]
    before = [ranges.rows[b:e][-width:].tolist() for b, e in zip(ranges.begin, ranges.end, strict=True)]
    assert before == expected
    assert any(expected)
    assert not all(expected)
    values = _data(store, split, width).gather(torch.arange(store.num_sessions))
    assert values.shape == (store.num_sessions, width, 2)
    for session, rows in enumerate(expected):
        room = width - len(rows)
        strength = np.asarray(store.strength)[rows]
        heard = np.where(strength > 3, skips.FEEDBACK_UNKNOWN, strength).tolist()
        tracks = split.input_row[np.asarray(store.tracks)[rows]].tolist()
        assert values[session, :, 0].tolist() == [0] * room + tracks, "the most recent stands last"
        assert values[session, :, 1].tolist() == [skips.FEEDBACK_HIDDEN] * room + heard


def test_held_out_rows_are_not_among_it(tmp_path: Path, store: Store) -> None:
    split = split_store(store, DataConfig())
    held_out = np.setdiff1d(np.arange(store.num_rows), split.training_rows)
    assert np.isin(listener_ranges(store, split).rows, held_out).sum() == 0
    changed = values_of(store)
    changed["tracks"][held_out], changed["strength"][held_out] = 7, 3 - changed["strength"][held_out] % 4
    other = rewritten(tmp_path / "changed", store, changed)
    session = torch.arange(store.num_sessions)
    before, after = (_data(each, split, 50).gather(session) for each in (store, other))
    assert torch.equal(before, after)


def _encoder(earlier: bool) -> Encoder:
    generator = torch.Generator().manual_seed(0)
    inputs = {"earlier": EarlierConfig(6)} if earlier else {}
    encoder = encoder_of(CausalConfig(width=16, heads=2), 20, 8, generator, inputs)
    for parameter in encoder.inputs.parameters():
        torch.nn.init.normal_(parameter, 0.0, 1.0, generator=generator)
    return encoder.eval()


def _batch(tracks: torch.Tensor, earlier: torch.Tensor | None = None, heard: torch.Tensor | None = None) -> Batch:
    side = {} if earlier is None or heard is None else {"earlier": torch.stack([earlier, heard], dim=2)}
    return padded_batch(tracks, torch.zeros_like(tracks), tracks > 0, session_side=side)


def test_without_earlier_sessions_nothing_is_added() -> None:
    tracks = torch.tensor([[3, 4, 5, 0], [6, 7, 0, 0]])
    bare, reading = _encoder(False), _encoder(True)
    empty = _batch(tracks, torch.zeros(2, 4, dtype=torch.int64), torch.full((2, 4), 5))
    assert torch.equal(reading(empty), bare(_batch(tracks)))
    assert torch.equal(reading(_batch(tracks)), bare(_batch(tracks)))


def test_every_position_learns_of_earlier_sessions_and_padding_of_them_counts_for_nothing() -> None:
    tracks = torch.tensor([[3, 4, 5, 0], [0, 6, 7, 8]])  # padding on either side
    earlier, heard = torch.tensor([[0, 9, 10], [11, 12, 13]]), torch.tensor([[5, 0, 3], [3, 3, 0]])
    encoder = _encoder(True)
    states, without = encoder(_batch(tracks, earlier, heard)), encoder(_batch(tracks))
    assert ((states - without).abs().amax(1) > 0).all()
    again = encoder(_batch(tracks[:1], earlier[:1, 1:], heard[:1, 1:]))
    torch.testing.assert_close(states[:3], again)
    turned = encoder(_batch(tracks, earlier.flip(1), heard.flip(1)))
    assert not torch.allclose(states[3:], turned[3:]), "how long ago counts"


def test_a_run_that_reads_earlier_sessions_trains_and_serves(tmp_path: Path, store: Store) -> None:
    fit(store, tmp_path / "run", small_recipe("segue", inputs__earlier={"tracks": 6}, training__epochs=2))
    assert len(evaluate(tmp_path / "run", store, EvaluateOptions(model_only=True)).rows) > 0
    recommender = load(tmp_path / "run")
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
        load_recipe("paper-cloze-s-minus", {"inputs.earlier.tracks": 5})
    simulate(tmp_path / "s", SimulateOptions(sessions=60, tracks=300, store=True))
    with pytest.raises(InputError, match="who listened"):
        fit(
            Store(tmp_path / "s"),
            tmp_path / "run",
            small_recipe("segue", inputs__earlier={"tracks": 5}, training__epochs=1),
        )


def test_simulated_listeners_return_with_their_tastes(tmp_path: Path) -> None:
    facts = simulate(tmp_path / "s", SimulateOptions(sessions=3000, tracks=400, listeners=40, store=True))
    assert facts["simulated"]["listeners"] == 40
    store = Store(tmp_path / "s")
    user = np.asarray(store.side(columns.USER))
    assert len(np.unique(user)) == 40
    p_listen = np.asarray(store.side(columns.ORACLE_P_LISTEN))
    of_session = np.array([p_listen[a:b].mean() for a, b in zip(store.offsets[:-1], store.offsets[1:], strict=True)])
    of_user = np.array([of_session[user == listener].mean() for listener in range(40)])
    assert of_user.std() > 2.5 * of_session.std() / np.sqrt(3000 / 40), "listeners differ more than chance"
    with pytest.raises(InputError, match="--store"):
        simulate(tmp_path / "log", SimulateOptions(sessions=30, tracks=300, listeners=5))
    with pytest.raises(InputError, match="listeners"):
        simulate(tmp_path / "log", SimulateOptions(sessions=30, tracks=300, listeners=-1, store=True))

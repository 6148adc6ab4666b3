"""An export of histories ranks as its run does, and what it keeps of a session changes no rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from segue import columns
from segue.batches.data import SessionData
from segue.batches.histories import load_histories
from segue.batches.split import Split, split_store
from segue.export import write_export
from segue.exported import ExportFolder, open_export
from segue.model.heads import ListenHead, ListenWeights, load_heads
from segue.ranking import ModelScorer, top_k
from segue.runs import LoadedRun, load_run
from segue.serving import history_encoder
from segue.serving.earlier_plays import EarlierPlays, earlier_plays, read_plays
from segue.serving.history_encoder import HistoryEncoder
from segue.serving.kept_states import Session
from segue.serving.live_model import Answer, Asked, LiveModel
from segue.serving.plays_cache import PlaysCache
from segue.serving.session_encoder import known_session
from segue.serving.sessions.store import LiveSession, Logged
from segue.store import NUM_SPECIALS, Store
from segue.verbs.recommender import Recommender
from support.listeners import listeners_run, past_sessions

HISTORY = 30
Scene = tuple[LoadedRun, ExportFolder, Store, Split]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("histories")
    write_export(deep(load_run(listeners_run(made, **{"data.history": HISTORY}))), made / "export")
    return made


def deep(run: LoadedRun) -> LoadedRun:
    """Return the run with matrices so large that what was played long ago counts, in P(listen) too."""
    with torch.no_grad():
        for module in run.encoder.modules():
            if isinstance(module, nn.Linear):
                module.weight *= 3
    listen = dict(run.encoder.heads.items())["listen"]
    assert isinstance(listen, ListenHead)
    listen.ranking_weights = ListenWeights(own_listens=0.5, own_skips=-0.75)
    return replace(run, listen_weight=0.5)


@pytest.fixture
def scene(folder: Path) -> Scene:
    run, store = deep(load_run(folder / "run")), Store(folder / "store")
    assert run.encoder.reads_histories
    return run, open_export(folder / "export"), store, split_store(store, run.recipe.data)


def plays_of(export: ExportFolder, store: Store, split: Split, session: int) -> EarlierPlays:
    began = int(store.side(columns.AT)[store.offsets[session]])
    return earlier_plays(export, read_plays(export, past_sessions(store, split, session)), began // 60)


def session_of(store: Store, live: LiveModel, begin: int, length: int) -> Session:
    rows = slice(begin, begin + length)
    codes = [min(int(strength), 4) for strength in store.strength[rows]]
    return known_session([int(track) for track in store.tracks[rows]], codes, live.is_candidate)


def encoder_of(live: LiveModel) -> HistoryEncoder:
    assert isinstance(live._encoding, HistoryEncoder)
    return live._encoding


def tracks_of(answer: Answer) -> list[int]:
    return [each.row for each in answer.suggestions]


def test_a_session_gets_the_ranking_of_the_run_play_by_play(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    run, export, store, split = scene
    live, cases = LiveModel(export, threads=1), split.cases["test"]
    encoder, every, places, differs = encoder_of(live), len(run.candidates), list[int](), 0
    encode = encoder._encoded

    def counted(readings: Sequence[Any]) -> Any:
        places.extend(reading.num_new for reading in readings)
        return encode(readings)

    monkeypatch.setattr(encoder, "_encoded", counted)
    side = load_heads(run.recipe.heads, store, split, "cpu")
    histories = load_histories(store, split, HISTORY, "cpu")
    data = replace(SessionData.load(store, split, "cpu", side), histories=histories)
    scorer = ModelScorer(run.encoder, run.candidates, run.listen_weight)
    for case in range(8):
        session, begin = int(cases.session[case]), int(cases.begin[case])
        plays, total = plays_of(export, store, split, session), int(cases.target[case]) - begin
        asked = []
        for length in range(1, total + 1):
            grown = type(cases)(cases.session[[case]], cases.begin[[case]], cases.begin[[case]] + length)
            expected = top_k(scorer, data.context_batch(grown, np.array([0]), run.encoder.max_len), every)
            heard = session_of(store, live, begin, length)
            (answer,) = live.next_tracks([Asked(heard, every, plays=plays)])
            asked.append(places.pop())
            real = expected.tracks[0] >= NUM_SPECIALS
            assert tracks_of(answer) == expected.tracks[0][real].tolist()
            scores = [each.score for each in answer.suggestions]
            assert scores == pytest.approx(expected.scores[0][real].tolist(), abs=1e-4)
            (without,) = live.next_tracks([Asked(heard, every, plays=replace(plays, history=None))])
            differs += tracks_of(without) != tracks_of(answer)
        assert asked == [HISTORY + 1] + [1] * (total - 1), "one more play costs one place"
    assert differs > 20


def test_what_is_kept_changes_nothing(scene: Scene) -> None:
    """Sessions that go on, sessions that are asked for again, shorter or otherwise, alone or explained in a batch."""
    _, export, store, split = scene
    live, fresh = LiveModel(export, threads=1), LiveModel(export, threads=1)
    cases, draw = split.cases["test"], np.random.default_rng(0)
    kept = {case: plays_of(export, store, split, int(cases.session[case])) for case in range(5)}
    for _ in range(40):
        asked, alone = [], []
        for case in draw.integers(0, 5, draw.integers(1, 4)).tolist():
            begin = int(cases.begin[case])
            heard = session_of(store, live, begin, int(draw.integers(0, cases.target[case] - begin + 1)))
            if draw.random() < 0.3 and heard.rows:
                heard = Session((*heard.rows[:-1], 7), heard.feedback)
            one = Asked(heard, 30, explain=bool(draw.random() < 0.5), plays=kept[case])
            asked.append(one)
            alone.append(replace(one, plays=plays_of(export, store, split, int(cases.session[case]))))
        for got, one in zip(live.next_tracks(asked), alone, strict=True):
            (expected,) = fresh.next_tracks([one])
            assert tracks_of(got) == tracks_of(expected)
            assert [each.rank_before for each in got.suggestions] == [e.rank_before for e in expected.suggestions]
            scores = [[each.score for each in answer.suggestions] for answer in (got, expected)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_requests_of_one_batch_do_not_mix_what_they_keep(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sessions after the same plays part ways, and what a third one needs is forgotten meanwhile."""
    _, export, store, split = scene
    live, fresh, cases = LiveModel(export, threads=1), LiveModel(export, threads=1), split.cases["test"]
    session, other = (int(each) for each in cases.session[:2])
    plays = plays_of(export, store, split, session)
    known = Session((5, 6, 7, 8), (0, 0, 0, 0))
    parts = [Session((5, 9), (0, 0)), Session((5, 6, 7, 8, 10), (0, 0, 0, 0, 0))]
    for most in (history_encoder.MOST_BYTES, 1):
        live.next_tracks([Asked(known, 30, plays=plays)])
        others = [Asked(known, 30, plays=plays_of(export, store, split, other)) for _ in range(2)]
        live.next_tracks(others)
        monkeypatch.setattr(history_encoder, "MOST_BYTES", most)
        live.next_tracks([*others, *(Asked(each, 30, plays=plays) for each in parts)])
        longer = [Session((*each.rows, 11), (*each.feedback, 0)) for each in parts]
        for each in [*reversed(longer), known]:
            (got,) = live.next_tracks([Asked(each, 30, plays=plays)])
            (expected,) = fresh.next_tracks([Asked(each, 30, plays=plays_of(export, store, split, session))])
            assert tracks_of(got) == tracks_of(expected)
            scores = [[one.score for one in answer.suggestions] for answer in (got, expected)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_no_more_is_kept_than_may_be(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    _, export, store, split = scene
    live, cases = LiveModel(export, threads=1), split.cases["test"]
    plays = [plays_of(export, store, split, int(cases.session[case])) for case in range(6)]
    heard = session_of(store, live, int(cases.begin[0]), 2)
    live.next_tracks([Asked(heard, 5, plays=plays[0])])
    first = plays[0].kept.keys_values
    assert first is not None
    monkeypatch.setattr(history_encoder, "MOST_BYTES", 3 * first.nbytes)
    for each in plays:
        live.next_tracks([Asked(heard, 5, plays=each)])
    assert [each.kept.keys_values is not None for each in plays] == [False] * 3 + [True] * 3
    del plays, each
    other = plays_of(export, store, split, int(cases.session[0]))
    live.next_tracks([Asked(heard, 5, plays=other)])
    assert len(encoder_of(live)._kept) == 1, "what nobody holds is forgotten"


def test_what_is_kept_stays_when_the_first_event_comes(scene: Scene) -> None:
    """A session that waits for its first event begins when that comes; keys and values stay as they are."""
    _, export, store, split = scene
    past, cache = past_sessions(store, split, int(split.cases["test"].session[0])), PlaysCache()
    waiting = LiveSession("s", "", past[-1][-1].at + 60, (), "ann")
    plays, live = cache.put(waiting, export, read_plays(export, past)), LiveModel(export, threads=1)
    live.next_tracks([Asked(Session((), ()), 1, plays=plays)])
    begun = replace(waiting, events=(Logged("t0001", 0, waiting.created_at + 3600),))
    later = cache.get(begun, export)
    assert later is not None
    assert later.kept is plays.kept
    assert later.kept.keys_values is not None
    assert later is not plays, "weights depend on when the session began"


@pytest.mark.parametrize("length", [0, 3])
def test_the_command_line_reads_the_same_history(scene: Scene, length: int) -> None:
    run, export, store, split = scene
    live, cases, recommender = LiveModel(export, threads=1), split.cases["test"], Recommender(run)
    for case in range(4):
        begin, past = int(cases.begin[case]), past_sessions(store, split, int(cases.session[case]))
        events = [event for events in past for event in events]
        ids = store.vocabulary.texts(np.asarray(store.tracks[begin : begin + length]).astype(int) - NUM_SPECIALS)
        strengths = [int(strength) for strength in store.strength[begin : begin + length]]
        earlier = [(event.track, event.strength, event.at) for event in events]
        got = recommender.recommend(ids, strengths, k=20, earlier=earlier, exclude_heard=False)
        plays = earlier_plays(export, read_plays(export, past), int(events[-1].at) // 60)
        (answer,) = live.next_tracks([Asked(session_of(store, live, begin, length), 20, plays=plays)])
        assert run.vocabulary.rows([each["track"] for each in got]) == tracks_of(answer)

"""A listener gets from an export what the run gives offline with the same history: torch against NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns, skips
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.split import split_store
from segue.export import write_export
from segue.exported import ExportFolder, open_export
from segue.model.heads import ListenHead, ListenWeights, RepeatsHead, RepeatsWeights, load_heads
from segue.ranking import ModelScorer, top_k
from segue.runs import LoadedRun, load_run
from segue.serving.earlier_plays import EarlierPlays, earlier_plays, read_plays
from segue.serving.live_model import Asked, LiveModel
from segue.serving.session_encoder import known_session
from segue.serving.sessions.store import Logged, PastSessions
from segue.store import NUM_SPECIALS, Store
from support.listeners import listeners_run, past_sessions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("listeners")
    run = load_run(listeners_run(made))
    write_export(loud(run), made / "export")
    return made


def loud(run: LoadedRun) -> LoadedRun:
    """Return the run with weights of earlier plays that are all different and decide a ranking, P(listen) too."""
    head = dict(run.encoder.heads.items())["repeats"]
    assert isinstance(head, RepeatsHead)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in head.named_parameters():
        if name != "level":
            torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    head.ranking_weights = RepeatsWeights(offset=0.25)
    listen = dict(run.encoder.heads.items())["listen"]
    assert isinstance(listen, ListenHead)
    listen.ranking_weights = ListenWeights(own_listens=0.5, own_skips=-0.75)
    return replace(run, listen_weight=1.5)


def plays_of(export: ExportFolder, past: PastSessions, began_at: int) -> EarlierPlays:
    """Return the plays before a session that began at a time, UTC seconds."""
    return earlier_plays(export, read_plays(export, past), began_at // 60)


@pytest.mark.parametrize("length", [0, 1, 2, 5, 8])
def test_each_listener_gets_the_tracks_and_scores_of_the_run(folder: Path, length: int) -> None:
    run, export, store = loud(load_run(folder / "run")), open_export(folder / "export"), Store(folder / "store")
    split, live = split_store(store, run.recipe.data), LiveModel(export, threads=1)
    assert export.untrained is not None
    assert len(export.untrained) >= 5
    cases = split.cases["test"]
    end = np.minimum(cases.begin + length, cases.target)
    cases = type(cases)(cases.session, cases.begin, end)
    side = load_heads(run.recipe.heads, store, split, "cpu")
    data = SessionData.load(store, split, "cpu", side)
    if length:
        batch = data.context_batch(cases, np.arange(len(cases)), run.encoder.max_len)
    else:
        nothing, offsets = torch.zeros(len(cases), dtype=torch.int64), torch.arange(len(cases) + 1)
        sides = {name: each.gather(torch.from_numpy(cases.session)) for name, each in side.items()}
        batch = Batch(nothing, nothing + skips.FEEDBACK_HIDDEN, nothing, offsets, 1, session_side=sides)
    expected = top_k(ModelScorer(run.encoder, run.candidates, run.listen_weight), batch, len(run.candidates))
    at, ranked_alone, differs = np.asarray(store.side(columns.AT)), 0, 0
    for index, session in enumerate(cases.session.tolist()):
        rows = range(int(cases.begin[index]), int(end[index]))
        plays = plays_of(export, past_sessions(store, split, session), int(at[cases.begin[index]]))
        codes = [min(int(store.strength[row]), 4) for row in rows]
        heard = known_session([int(store.tracks[row]) for row in rows], codes, live.is_candidate)
        (answer,) = live.next_tracks([Asked(heard, len(run.candidates), plays=plays)])
        real = expected.tracks[index] >= NUM_SPECIALS
        wanted = expected.tracks[index][real].tolist()
        assert [each.row for each in answer.suggestions] == wanted
        scores = [each.score for each in answer.suggestions]
        assert scores == pytest.approx(expected.scores[index][real].tolist(), abs=1e-5)
        ranked_alone += len(set(wanted) & set(export.untrained.tolist()))
        (without,) = live.next_tracks([Asked(heard, len(run.candidates))])
        differs += [each.row for each in without.suggestions] != wanted
    assert ranked_alone > 5, "tracks that nobody played in training are ranked because this listener played them"
    assert differs == len(cases)


def test_a_batch_mixes_listeners_and_explained_requests(folder: Path) -> None:
    export, store = open_export(folder / "export"), Store(folder / "store")
    split, live = split_store(store, load_run(folder / "run").recipe.data), LiveModel(export, threads=1)
    heard = known_session([5, 9, 4], [0, 3, 4], live.is_candidate)
    pasts: list[PastSessions] = [past_sessions(store, split, session) for session in (239, 238, 237, 45)]
    plays = [None, *(plays_of(export, past, 1_600_000_000) for past in pasts)]
    asked = [Asked(heard, 20, explain=number % 2 == 0, plays=each) for number, each in enumerate(plays)]
    together = live.next_tracks(asked)
    assert together == [live.next_tracks([one])[0] for one in asked]
    assert len({tuple(each.row for each in answer.suggestions) for answer in together}) == len(asked)


def test_plays_of_tracks_that_the_model_lacks_keep_their_places(folder: Path) -> None:
    """They are plays like others, but no track follows them and they get no mass."""
    export = open_export(folder / "export")
    ids = export.vocabulary.texts(range(4))
    past = (tuple(Logged(track, 0, 1e9) for track in (ids[0], "nobody", ids[1], ids[2])),)
    plays = plays_of(export, past, 1_000_000_060)
    assert plays.rows.tolist() == [3, 1, 4, 5]
    assert plays.own.rows.tolist() == [3, 4, 5]
    assert export.repeats is not None
    w = export.repeats.age[:, 0] + export.repeats.time[1, 0] + export.repeats.heard[0, 0]
    ages = np.searchsorted(export.repeats.ages, [4, 2, 1], "right")
    assert plays.own.log_mass == pytest.approx(w[ages], rel=1e-6)


def test_more_plays_than_the_model_reads_are_cut(folder: Path) -> None:
    export = open_export(folder / "export")
    ids = export.vocabulary.texts(range(30))
    events = tuple(Logged(ids[i % 30], i % 5, 1e9 + 60.0 * i) for i in range(1207))
    long = plays_of(export, (events[:500], events[500:]), 1_100_000_000)
    short = plays_of(export, (events[207:500], events[500:]), 1_100_000_000)
    assert len(long.rows) == 1000 == export.manifest.facts.earlier_plays
    assert long.own.log_mass == pytest.approx(short.own.log_mass)
    assert long.rows.tolist() == short.rows.tolist()

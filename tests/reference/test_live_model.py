"""Filters, explanations and similar tracks against loops over the whole catalogue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segue.exported import ExportFolder, open_export
from segue.serving import live_model
from segue.serving.earlier_plays import EarlierPlays, PlaysRead, earlier_plays
from segue.serving.kept_states import Session
from segue.serving.live_model import Asked, Filters, LiveModel
from support.served import small_export

SESSIONS = (Session((), ()), Session((5,), (3,)), Session((5, 9, 9, 30), (0, 3, 4, 1)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LiveModel:
    """A model whose scores by next tracks lie far enough apart for the scan, and which ranks by them alone."""
    changes = {"training__epochs": 8, "training__learning_rate": 0.02, "next_track__temperature": 0.0}
    changes |= {"encoder__prediction_layer": True, "training__average": 0.0}
    live = LiveModel(open_export(small_export(tmp_path_factory.mktemp("served"), tracks=300, **changes)), threads=1)
    live._scoring.listen_weight = 0.0
    return live


@pytest.fixture(scope="module")
def close(tmp_path_factory: pytest.TempPathFactory) -> ExportFolder:
    """An export of a model that was hardly trained: its scores by next tracks are close."""
    return open_export(small_export(tmp_path_factory.mktemp("close"), tracks=300))


def _everything(model: LiveModel, session: Session, plays: EarlierPlays | None = None) -> list[tuple[int, float]]:
    """Return all candidates with their scores, best first, one by one."""
    (after,) = model._encoding.after([session])
    (with_mass,) = model._scoring.with_mass([after], [plays])
    rows = [int(row) for row in np.flatnonzero(model.is_candidate)]
    scores = [float(model._scoring.of(after, np.array([row], np.int32), with_mass, plays).score[0]) for row in rows]
    return sorted(zip(rows, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))


def _rows(model: LiveModel, session: Session, k: int, filters: Filters) -> list[int]:
    (answer,) = model.next_tracks([Asked(session, k, filters)])
    return [each.row for each in answer.suggestions]


@pytest.fixture(params=["shallow", "deep"])
def depth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at less than everything first, so that filters leave too few and the whole is looked at."""
    if request.param == "shallow":
        monkeypatch.setattr(live_model, "DEPTH", 3)


@pytest.mark.usefixtures("depth")
@pytest.mark.parametrize("session", SESSIONS)
def test_what_is_blocked_or_not_allowed_is_never_suggested(model: LiveModel, session: Session) -> None:
    every = [row for row, _ in _everything(model, session)]
    assert _rows(model, session, len(every), Filters()) == every
    blocked = np.array(every[:7], np.int32)
    assert _rows(model, session, 4, Filters(blocked=blocked)) == every[7:11]
    allowed = np.array([*every[3:20:4], *every[3:5], 1, 0], np.int32)  # twice one, and no track
    wanted = [row for row in every if row in {*every[3:20:4], *every[3:5]}]
    assert _rows(model, session, 50, Filters(allowed=allowed)) == wanted
    assert _rows(model, session, 50, Filters(blocked, np.array(every[5:9], np.int32))) == every[7:9]
    assert _rows(model, session, 5, Filters(allowed=np.zeros(0, np.int32))) == []


@pytest.mark.parametrize("weight", [0.0, 1.0, 8.0])
def test_the_weight_of_log_listen_hides_no_better_track(
    close: ExportFolder, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where scores by next tracks are close, so that what is listened to stands far down the scan."""
    monkeypatch.setattr(live_model, "DEPTH", 24)
    facts = replace(close.manifest.facts, listen_weight=weight)
    model = LiveModel(replace(close, manifest=replace(close.manifest, facts=facts)), threads=1)
    for session in SESSIONS:
        every = [row for row, _ in _everything(model, session)]
        assert _rows(model, session, 5, Filters()) == every[:5]


@pytest.mark.usefixtures("depth")
@pytest.mark.parametrize("session", SESSIONS)
def test_artists_are_blocked_and_capped(model: LiveModel, session: Session) -> None:
    codes = model.export.artist_code
    assert codes is not None
    every = [row for row, _ in _everything(model, session)]
    first = int(codes[every[0]])
    blocked = _rows(model, session, 12, Filters(artists=np.array([first], np.int32)))
    assert blocked == [row for row in every if codes[row] != first][:12]
    for cap in (1, 2):
        wanted, heard = [], dict[int, int]()
        for row in every:
            code = int(codes[row])
            heard[code] = heard.get(code, 0) + 1
            if code < 0 or heard[code] <= cap:
                wanted.append(row)
        assert _rows(model, session, 9, Filters(per_artist=cap)) == wanted[:9]
        assert _rows(model, session, len(every), Filters(per_artist=cap)) == wanted


def test_one_artist_who_has_the_best_of_all_is_capped_too(model: LiveModel) -> None:
    """So many of its tracks are near that what is looked at first holds nobody else's."""
    session = SESSIONS[2]
    every = [row for row, _ in _everything(model, session)]
    codes = np.full(len(model.export.table), -1, np.int32)
    codes[every[:200]] = 0
    one = LiveModel(replace(model.export, artist_code=codes), threads=1)
    one._scoring.listen_weight = 0.0
    assert _rows(one, session, 20, Filters(per_artist=1)) == [every[0], *every[200:219]]
    assert _rows(one, session, 20, Filters(artists=np.array([0], np.int32))) == every[200:220]


def test_what_moved_is_what_it_says(model: LiveModel) -> None:
    session = SESSIONS[2]
    (answer,) = model.next_tracks([Asked(session, 10, explain=True)])
    before = [row for row, _ in _everything(model, session.without_last())]
    (after,) = model._encoding.after([session])
    table = model.export.table.astype(np.float64)
    transitions = model.export.transitions
    assert transitions is not None
    first = transitions.orders[0]
    mass = 0.0
    for each in answer.suggestions:
        rank = before.index(each.row) + 1
        if rank <= live_model.DEPTH // 2:  # further down, what the scan left out may stand before it
            assert each.rank_before == rank
        cosines = {
            place: table[row] @ table[each.row] / np.linalg.norm(table[row]) / np.linalg.norm(table[each.row])
            for place, row in enumerate(session.rows)
            if row not in (1, each.row)
        }
        best = sorted(cosines, key=lambda place: -cosines[place])[:2]
        assert [cosine for _, cosine in each.near] == pytest.approx([cosines[place] for place in best])
        part = slice(*first.begin[after.rows[-1] : after.rows[-1] + 2].tolist())
        times = dict(zip(first.tracks[part].tolist(), first.times[part].tolist(), strict=True))
        assert each.followed == times.get(each.row, 0)
        assert each.log_next is not None
        assert each.log_listen is not None
        assert each.log_next < 0 > each.log_listen
        mass += np.exp(each.log_next)
    assert mass <= 1.0
    (first,) = model.next_tracks([Asked(SESSIONS[0], 3, explain=True)])
    assert {each.rank_before for each in first.suggestions} == {None}, "before an empty session there is none"
    assert {each.near for each in first.suggestions} == {()}


def test_similar_tracks_are_those_of_the_largest_cosine(model: LiveModel) -> None:
    table = model.export.table.astype(np.float64)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-20)
    for row in (3, 20):
        cosine = np.where(model.is_candidate, unit @ unit[row], -np.inf)
        cosine[row] = -np.inf
        found = model.similar(row, 6)
        assert [each.row for each in found] == np.argsort(-cosine, kind="stable")[:6].tolist()
        assert [each.score for each in found] == pytest.approx(np.sort(cosine)[::-1][:6].tolist(), abs=1e-5)
    assert len(model.similar(3, 10_000)) == int(model.is_candidate.sum()) - int(model.is_candidate[3])


DISCOVERIES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)


@pytest.mark.usefixtures("depth")
@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("discovery", DISCOVERIES)
def test_discovery_moves_what_was_played_by_its_odds(model: LiveModel, session: Session, discovery: float) -> None:
    plays = _plays(model, list(range(40, 220, 3)))
    every = _everything(model, session, plays)
    played = {*range(40, 220, 3), *session.rows}
    with np.errstate(divide="ignore"):
        shift = float(np.log1p(-discovery) - np.log(discovery))
    moved = sorted(every, key=lambda pair: (-pair[1] - shift * (pair[0] in played), pair[0]))
    if abs(shift) == np.inf:
        first = [(row, score) for row, score in every if (row in played) == (discovery == 0.0)]
        moved = first + [pair for pair in every if pair not in first]
    for k in (5, 30, len(every)):
        (answer,) = model.next_tracks([Asked(session, k, plays=plays, discovery=discovery)])
        assert [each.row for each in answer.suggestions] == [row for row, _ in moved[:k]]
        assert [each.score for each in answer.suggestions] == pytest.approx([score for _, score in moved[:k]])


@pytest.mark.parametrize("heavy", [0, 5, 64])
@pytest.mark.parametrize("offset", [-6.0, 0.0, 6.0])
def test_no_track_that_was_played_is_missed(
    close: ExportFolder, heavy: int, offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much mass earlier plays get: those with little are scored only where they may be among the best."""
    monkeypatch.setattr(live_model, "_HEAVY", heavy)
    monkeypatch.setattr(live_model, "DEPTH", 96)
    assert close.repeats is not None
    gate = close.repeats.gate.copy()
    gate[:, -1] += offset
    for weight in (0.0, 2.0):
        facts = replace(close.manifest.facts, listen_weight=weight)
        export = replace(
            close, manifest=replace(close.manifest, facts=facts), repeats=replace(close.repeats, gate=gate)
        )
        model = LiveModel(export, threads=1)
        plays = _plays(model, [*range(40, 280), *range(100, 150)])
        for session in SESSIONS:
            every = [row for row, _ in _everything(model, session, plays)]
            for k in (1, 5, 20, 100):
                (answer,) = model.next_tracks([Asked(session, k, plays=plays)])
                assert [each.row for each in answer.suggestions] == every[:k]
            cap = Filters(np.array(every[:9], np.int32))
            (answer,) = model.next_tracks([Asked(session, 10, cap, plays=plays)])
            assert [each.row for each in answer.suggestions] == every[9:19]


@pytest.mark.parametrize("weight", [0.0, 8.0])
def test_the_larger_discovery_is_the_more_tracks_are_new(
    close: ExportFolder, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_model, "DEPTH", 24)
    facts = replace(close.manifest.facts, listen_weight=weight)
    model = LiveModel(replace(close, manifest=replace(close.manifest, facts=facts)), threads=1)
    plays, played = _plays(model, list(range(3, 203, 2))), {*range(3, 203, 2)}
    for session in SESSIONS:
        shares = []
        for discovery in (*DISCOVERIES[:4], None, *DISCOVERIES[4:]):
            (answer,) = model.next_tracks([Asked(session, 20, plays=plays, discovery=discovery)])
            shares.append(sum(each.row not in played | {*session.rows} for each in answer.suggestions))
        assert shares == sorted(shares)
        assert shares[3] == shares[4], "a half is as the model ranks"
        assert (shares[0], shares[-1]) == (0, 20)


def _plays(model: LiveModel, rows: list[int]) -> EarlierPlays:
    minute = np.full(len(rows), 27_000_000)
    read = PlaysRead(np.array(rows, np.int32), np.arange(len(rows)) % 5, minute, np.arange(len(rows)))
    return earlier_plays(model.export, read, 27_000_100)

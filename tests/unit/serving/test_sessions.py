"""Live sessions survive what may happen to them, wherever they are kept: the laws of every store."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fakeredis
import pytest

from segue.errors import SegueError
from segue.serving.sessions import store
from segue.serving.sessions.redis import RedisSessions, sessions_in_redis
from segue.serving.sessions.sqlite import SqliteSessions, stored_sessions
from segue.serving.sessions.store import LiveSession, Logged, NoSessionError, SessionFullError, Sessions, new_session_id


@dataclass(frozen=True)
class Place:
    """A place for sessions, opened as often as a test wants."""

    opened: Callable[[float], Sessions]
    stored: Callable[[], list[LiveSession]]

    def open(self, expires_s: float = 24 * 3600.0) -> Sessions:
        return self.opened(expires_s)


def _in_sqlite(folder: Path) -> Place:
    path = folder / "s.sqlite"
    return Place(lambda expires_s: SqliteSessions(path, expires_s=expires_s), lambda: [*stored_sessions(path)])


def _in_redis(folder: Path) -> Place:
    server = fakeredis.FakeServer()

    def stored() -> list[LiveSession]:
        with fakeredis.FakeRedis(server=server) as client:
            return [*sessions_in_redis(client)]

    return Place(
        lambda expires_s: RedisSessions(fakeredis.FakeRedis(server=server), expires_s=expires_s),
        stored,
    )


@pytest.fixture(params=[_in_sqlite, _in_redis], ids=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made: Place = request.param(tmp_path)
    return made


def _event(track: str, event_id: str | None = None, strength: int = 0) -> Logged:
    return Logged(track, strength, 1.5, event_id)


def _refused(futures: list[Future[object]]) -> None:
    for future in futures:
        with pytest.raises(NoSessionError, match="begin a new one"):
            future.result()


def test_a_session_is_what_was_told_in_that_order(place: Place) -> None:
    sessions = place.open()
    mine, other = new_session_id(), new_session_id()
    assert len({mine, other}) == 2
    sessions.create(mine, "segue", [_event("a")]).result()
    sessions.create(other, "", []).result()
    told = [_event("b", "1", 3), _event("a"), _event("'; DROP TABLE event; --", "2", 255)]
    added = sessions.add(mine, told).result()
    assert (added.accepted, added.repeated, added.events) == (3, 0, 4)
    again = sessions.add(mine, [_event("b", "1", 3), _event("c", "3"), _event("c", "3")]).result()
    assert (again.accepted, again.repeated, again.events) == (1, 2, 5)
    assert sessions.add(other, [_event("b", "1")]).result().accepted == 1, "ids are each session's own"
    found = sessions.read(mine).result()
    assert found.events == (_event("a"), *told, _event("c", "3"))
    assert found.model == "segue"
    assert abs(found.created_at - time.time()) < 60.0
    sessions.close()
    reopened = place.open()
    assert reopened.read(mine).result() == found
    stored = place.stored()
    assert [each.session_id for each in stored] == [mine, other], "by when they began"
    assert stored[0] == found
    reopened.remove(mine).result()
    _refused([reopened.read(mine), reopened.remove(mine), reopened.add(mine, told), reopened.read("nobody")])
    assert [each.session_id for each in place.stored()] == [other]
    assert reopened.read(other).result().events == (_event("b", "1"),)
    reopened.close()


def test_hostile_text_is_kept_as_it_was_told(place: Place) -> None:
    sessions, mine = place.open(), new_session_id()
    texts = ["", "\x00", "a\nb\r\n$3", '{"x": [1', "ü\u202e\U0001f3b5", "e:0", "events", "x" * 3000, "*3\r\n$3\r\nSET"]
    told = [_event(text, text or None, 2) for text in texts]
    sessions.create(mine, texts[4], told[:2]).result()
    sessions.add(mine, told).result()
    found = sessions.read(mine).result()
    assert found.events == (told[0], told[1], told[0], *told[2:]), "what has no id counts each time"
    assert found.model == texts[4]
    assert sessions.add(mine, told[1:]).result().repeated == len(told) - 1
    sessions.close()


@pytest.mark.parametrize(
    "hostile", ["", "nobody", "*", "../../x", "a b", "a\n", "\u0661\u0662", "\uff41", "' OR 1=1 --", "a\r\nDEL b"]
)
def test_an_id_that_the_service_never_gave_names_no_session(place: Place, hostile: str) -> None:
    sessions, mine = place.open(), new_session_id()
    sessions.create(mine, "", [_event("a")]).result()
    tries: list[Future[object]] = []
    for name in (hostile, mine + hostile if hostile else "0", f"segue:1:{mine}"):
        tries += [sessions.read(name), sessions.add(name, [_event("b")]), sessions.remove(name)]
    _refused(tries)
    assert sessions.read(mine).result().events == (_event("a"),)
    sessions.close()


def test_a_session_that_nobody_touched_is_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, session = place.open(60.0), new_session_id()
    sessions.create(session, "", [_event("a", "1")]).result()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 50.0)
    sessions.add(session, [_event("b", "2")]).result()
    monkeypatch.setattr(time, "time", lambda: now + 100.0)
    assert len(sessions.read(session).result().events) == 2, "told 50 s ago"
    assert sessions.add(session, [_event("b", "2")]).result().repeated == 1
    monkeypatch.setattr(time, "time", lambda: now + 155.0)
    assert len(sessions.read(session).result().events) == 2, "what was told again touches, too"
    monkeypatch.setattr(time, "time", lambda: now + 161.0)
    _refused([sessions.read(session), sessions.add(session, []), sessions.remove(session)])
    sessions.close()


def test_one_bad_job_of_many_leaves_the_others(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_EVENTS", 3)
    sessions = place.open()
    names = [new_session_id() for _ in range(4)]
    made = [sessions.create(name, "", [_event("a")]) for name in names]
    jobs = [sessions.add(name, [_event(str(i)) for i in range(1 + place)]) for place, name in enumerate(names)]
    twice = sessions.create(names[0], "", [])
    for future in made:
        future.result()
    assert [job.result().events for job in jobs[:2]] == [2, 3]
    for job in jobs[2:]:
        with pytest.raises(SessionFullError, match="3 events at most"):
            job.result()
    with pytest.raises(SegueError):
        twice.result()
    assert [len(sessions.read(name).result().events) for name in names] == [2, 3, 1, 1]
    sessions.close()


def test_what_does_not_fit_whole_is_not_written_at_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_EVENTS", 3)
    sessions, mine, other = place.open(), new_session_id(), new_session_id()
    sessions.create(mine, "", [_event("a", "1")]).result()
    for _ in range(2):
        with pytest.raises(SessionFullError):
            sessions.add(mine, [_event(name, name) for name in "bcd"]).result()
    assert sessions.read(mine).result().events == (_event("a", "1"),)
    told = [_event("a", "1"), _event("b", "b"), _event("c", "c")]
    added = sessions.add(mine, told).result()
    assert (added.accepted, added.repeated, added.events) == (2, 1, 3), "no id of what was refused is remembered"
    assert sessions.add(mine, told).result().repeated == 3, "what it has it may be told again, full or not"
    with pytest.raises(SessionFullError):
        sessions.create(other, "", [_event(str(i)) for i in range(4)]).result()
    _refused([sessions.read(other)])
    assert [each.session_id for each in place.stored()] == [mine]
    sessions.close()


def test_jobs_that_nobody_waits_for_are_done_in_their_order(place: Place) -> None:
    sessions = place.open()
    for _ in range(20):
        name = new_session_id()
        begun, *added = (
            sessions.create(name, "", [_event("a", "1")]),
            sessions.add(name, [_event("b", "2")]),
            sessions.add(name, [_event("a", "1"), _event("c", "3")]),
        )
        found = sessions.read(name)
        assert [(each.result().accepted, each.result().repeated) for each in added] == [(1, 0), (1, 1)]
        assert [event.track for event in found.result().events] == ["a", "b", "c"]
        assert begun.result() is None
        gone, afresh = sessions.remove(name), sessions.create(name, "m", [_event("a", "1")])
        assert gone.result() is None
        assert afresh.result() is None
        assert sessions.read(name).result().events == (_event("a", "1"),), "nothing of the one before"
    sessions.close()


def test_an_event_that_two_tell_at_once_counts_once(place: Place) -> None:
    both, name, events = [place.open(), place.open()], new_session_id(), 120
    both[0].create(name, "", []).result()

    def tell(who: int) -> int:
        accepted = 0
        for number in range(events):
            told = [_event(f"t{number}", str(number)), _event(f"by{who}-{number}")]
            accepted += both[who % 2].add(name, told).result().accepted
        return accepted

    with ThreadPoolExecutor(4) as threads:
        accepted = sum(threads.map(tell, range(4)))
    found = both[1].read(name).result().events
    assert accepted == len(found) == events + 4 * events
    ids = [event.event_id for event in found if event.event_id is not None]
    assert sorted(ids) == sorted(map(str, range(events)))
    for who in range(4):
        mine = [event.track for event in found if event.track.startswith(f"by{who}-")]
        assert mine == [f"by{who}-{number}" for number in range(events)], "in the order in which they were told"
    for sessions in both:
        sessions.close()


def test_what_was_told_before_it_is_closed_is_written(place: Place) -> None:
    sessions, name = place.open(), new_session_id()
    told = [sessions.create(name, "", []), *(sessions.add(name, [_event(str(i))]) for i in range(300))]
    sessions.close()
    assert all(future.done() and future.exception() is None for future in told)
    assert [event.track for event in place.stored()[0].events] == [str(i) for i in range(300)]

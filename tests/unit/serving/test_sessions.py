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
from segue.serving.sessions.store import (
    LiveSession,
    Logged,
    NoListenerError,
    NoSessionError,
    SessionFullError,
    Sessions,
    new_session_id,
)


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


def _tracks(sessions: Sessions, listener: str, before: tuple[float, str] = store.LATEST) -> list[list[str]]:
    return [[event.track for event in events] for events in sessions.past(listener, before).result()]


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


def test_the_plays_of_a_listener_are_kept_across_sessions_in_their_order(place: Place) -> None:
    sessions, names = place.open(), [new_session_id() for _ in range(5)]
    for number, (name, listener) in enumerate(zip(names, ["ann", "bob", "ann", None, "ann"], strict=True)):
        sessions.create(name, "", [_event(f"{number}a", None, 3)], listener).result()
    sessions.add(names[0], [_event("0b", "1", 2)]).result()
    sessions.add(names[2], [_event("2b"), _event("2c", None, 255)]).result()
    own = sessions.read(names[2]).result()
    assert own.listener == "ann"
    assert sessions.read(names[3]).result().listener is None
    assert _tracks(sessions, "ann", own.began) == [["0a", "0b"]], "what began before, not itself or what began later"
    assert sessions.past("ann", own.began).result() == ((_event("0a", None, 3), _event("0b", "1", 2)),)
    assert _tracks(sessions, "ann") == [["0a", "0b"], ["2a", "2b", "2c"], ["4a"]]
    assert _tracks(sessions, "bob") == [["1a"]]
    assert _tracks(sessions, "nobody") == _tracks(sessions, "an") == []
    sessions.close()
    assert [each.listener for each in place.stored()] == ["ann", "bob", "ann", None, "ann"]
    reopened = place.open()
    assert _tracks(reopened, "ann") == [["0a", "0b"], ["2a", "2b", "2c"], ["4a"]]
    reopened.remove(names[2]).result()
    assert _tracks(reopened, "ann") == [["0a", "0b"], ["4a"]], "what is deleted is no past"
    reopened.close()


def test_the_last_plays_are_read_and_all_are_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_PLAYS", 5)
    sessions = place.open()
    for number, length in enumerate([3, 4, 0, 2]):
        sessions.create(new_session_id(), "", [_event(f"{number}{i}") for i in range(length)], "ann").result()
    assert _tracks(sessions, "ann") == [["10", "11", "12", "13"], ["30", "31"]], "sessions are read whole"
    assert sum(len(each.events) for each in place.stored()) == 9
    monkeypatch.setattr(store, "MOST_PLAYS", 2)
    assert _tracks(sessions, "ann") == [["30", "31"]]
    sessions.close()


def test_a_session_that_is_over_stays_in_the_past_of_its_listener(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions, name = place.open(60.0), new_session_id()
    sessions.create(name, "", [_event("a", "1")], "ann").result()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 50.0)
    sessions.add(name, [_event("b")]).result()
    monkeypatch.setattr(time, "time", lambda: now + 105.0)
    assert len(sessions.read(name).result().events) == 2
    monkeypatch.setattr(time, "time", lambda: now + 111.0)
    _refused([sessions.read(name), sessions.add(name, []), sessions.remove(name)])
    assert _tracks(sessions, "ann") == [["a", "b"]]
    assert [len(each.events) for each in place.stored()] == [2], "it is exported, too"
    sessions.forget("ann").result()
    assert place.stored() == []
    sessions.close()


def test_what_is_deleted_of_a_listener_is_gone_everywhere(place: Place) -> None:
    both = [place.open(), place.open()]
    names, other = [new_session_id() for _ in range(3)], new_session_id()
    for name in names:
        both[0].create(name, "", [_event("mine", "1")], "ann").result()
    both[0].create(other, "", [_event("theirs")], "bob").result()
    both[1].forget("ann").result()
    for sessions in both:
        _refused([sessions.read(names[0]), sessions.add(names[1], [_event("x")]), sessions.remove(names[2])])
        assert _tracks(sessions, "ann") == []
        assert _tracks(sessions, "bob") == [["theirs"]]
        with pytest.raises(NoListenerError, match="nothing to delete"):
            sessions.forget("ann").result()
        sessions.close()
    assert [each.session_id for each in place.stored()] == [other]
    reopened = place.open()
    assert _tracks(reopened, "ann") == []
    reopened.create(new_session_id(), "", [_event("new")], "ann").result()
    assert _tracks(reopened, "ann") == [["new"]], "who comes back begins anew"
    reopened.close()


HOSTILE_IDS = [
    "*",
    "%",
    "_",
    "a' OR 1=1 --",
    "segue:1:x",
    "\x00",
    "a\r\nDEL b",
    "../x",
    "ü\u202e\U0001f3b5",
    "x" * 5000,
]


def test_a_listener_may_have_any_id(place: Place) -> None:
    sessions = place.open()
    for name in HOSTILE_IDS:
        sessions.create(new_session_id(), "", [_event(name)], name).result()
    for name in HOSTILE_IDS:
        assert _tracks(sessions, name) == [[name]]
    assert [each.listener for each in place.stored()] == HOSTILE_IDS
    for left, name in enumerate(HOSTILE_IDS, 1):
        sessions.forget(name).result()
        assert len(place.stored()) == len(HOSTILE_IDS) - left, "of nobody else"
    sessions.close()


def test_jobs_on_a_listener_are_done_in_their_order_with_the_others(place: Place) -> None:
    sessions = place.open()
    for _ in range(20):
        name = new_session_id()
        begun, added = sessions.create(name, "", [_event("a")], "ann"), sessions.add(name, [_event("b")])
        before, gone, after = sessions.past("ann"), sessions.forget("ann"), sessions.past("ann")
        late = sessions.add(name, [_event("c")])
        assert (begun.result(), added.result().events, gone.result()) == (None, 2, None)
        assert [len(events) for events in before.result()] == [2]
        assert after.result() == ()
        _refused([late])
    sessions.close()


def test_a_listener_who_is_deleted_while_sessions_begin_keeps_none_from_before(place: Place) -> None:
    both = [place.open(), place.open()]

    def begin(number: int) -> None:
        for each in range(40):
            both[number % 2].create(new_session_id(), "", [_event(f"{number}-{each}")], "ann").result()

    with ThreadPoolExecutor(3) as threads:
        beginning = [threads.submit(begin, number) for number in range(2)]
        while not all(each.done() for each in beginning):
            before = {each.session_id for each in place.stored()}
            try:
                both[0].forget("ann").result()
            except NoListenerError:
                continue
            assert not before & {each.session_id for each in place.stored()}
    for each in beginning:
        each.result()
    kept = [each.events[0].track for each in place.stored()]
    assert [track for events in _tracks(both[1], "ann") for track in events] == kept, "index and sessions agree"
    for sessions in both:
        sessions.close()

"""Live sessions in a real Redis: refusals, its end and its coming back, passwords; skipped where there is none."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from segue.errors import SegueError
from segue.serving.options import ServeOptions
from segue.serving.sessions import store
from segue.serving.sessions.places import kept_sessions, open_sessions
from segue.serving.sessions.redis import RedisSessions
from segue.serving.sessions.redis_address import PASSWORD_VARIABLE
from segue.serving.sessions.store import FullStoreError, Logged, ReadOnlyStoreError, SessionFullError, new_session_id
from support.redis_servers import RedisServer, redis_server

SECRET = "hunter2-battery"


def _event(track: str, event_id: str | None = None) -> Logged:
    return Logged(track, 0, 1.5, event_id)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as made:
        yield made


def _opened(server: RedisServer) -> RedisSessions:
    made = open_sessions(server.url, expires_s=3600.0, durable=False)
    assert isinstance(made, RedisSessions)
    return made


def test_a_redis_that_ends_and_starts_again_loses_nothing_that_was_acknowledged(server: RedisServer) -> None:
    sessions, name = _opened(server), new_session_id()
    sessions.create(name, "", []).result()
    for place in range(50):
        sessions.add(name, [_event(str(place), str(place))]).result()
    server.kill()
    for future in (sessions.add(name, [_event("x")]), sessions.read(name)):
        with pytest.raises(SegueError, match="start it, then send it again"):
            future.result()
    server.start()
    assert sessions.add(name, [_event("50", "50")]).result().events == 51
    assert [event.track for event in sessions.read(name).result().events] == [str(place) for place in range(51)]
    sessions.close()


def test_what_redis_refuses_is_told_and_reads_go_on(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, name = _opened(server), new_session_id()
    sessions.create(name, "", [_event("a")]).result()
    with redis.Redis(port=server.port) as client:
        client.config_set("maxmemory", 1)
        refused = [sessions.add(name, [_event("b")]), sessions.create(new_session_id(), "", [])]
        for future in refused:
            with pytest.raises(FullStoreError, match="nothing was written"):
                future.result()
        assert len(sessions.read(name).result().events) == 1
        client.config_set("maxmemory", 0)
        assert sessions.add(name, [_event("c")]).result().events == 2, "as soon as there is room again"
        client.config_set("min-replicas-to-write", 1)
        with pytest.raises(ReadOnlyStoreError, match="can be read"):
            sessions.add(name, [_event("b")]).result()
        client.config_set("min-replicas-to-write", 0)
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(ReadOnlyStoreError, match="can be read"):
            sessions.add(name, [_event("b")]).result()
        assert len(sessions.read(name).result().events) == 2
        client.execute_command("REPLICAOF", "NO", "ONE")
        assert sessions.add(name, [_event("d")]).result().events == 3
        monkeypatch.setattr(store, "MOST_EVENTS", 4)
        with pytest.raises(SessionFullError):
            sessions.add(name, [_event("e"), _event("f")]).result()
        assert [event.track for event in sessions.read(name).result().events] == ["a", "c", "d"]
    sessions.close()


def test_a_disk_that_redis_cannot_save_to_is_told(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--appendonly", "no", "--save", "3600 1") as server:
        sessions, name = _opened(server), new_session_id()
        sessions.create(name, "", [_event("a")]).result()
        with redis.Redis(port=server.port) as client:
            shutil.rmtree(server.folder)
            client.bgsave()
            for _ in range(200):
                if client.info("persistence")["rdb_last_bgsave_status"] == "err":
                    break
                time.sleep(0.02)
        with pytest.raises(ReadOnlyStoreError, match="MISCONF"):
            sessions.add(name, [_event("b")]).result()
        assert len(sessions.read(name).result().events) == 1
        sessions.close()


def test_a_connection_that_breaks_before_the_answer_is_told_as_that_and_nothing_is_sent_twice(
    server: RedisServer,
) -> None:
    sessions, name = _opened(server), new_session_id()
    sessions.create(name, "", [_event("a")]).result()
    with redis.Redis(port=server.port) as client:
        client.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
        future = sessions.add(name, [_event("b")])
        time.sleep(0.5)  # its EXEC waits now
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(SegueError, match="perhaps it was written, perhaps not"):
            future.result(20)
        client.execute_command("CLIENT", "UNPAUSE")
    assert len(sessions.read(name).result().events) <= 2
    assert sessions.add(name, [_event("c")]).result().accepted == 1, "connected anew"
    sessions.close()


def test_the_password_comes_of_the_environment_and_stands_in_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path / "redis", "--requirepass", SECRET) as server:
        for given in (None, f"not-{SECRET}"):
            monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
            if given is not None:
                monkeypatch.setenv(PASSWORD_VARIABLE, given)
            with pytest.raises(SegueError, match=PASSWORD_VARIABLE) as raised:
                _opened(server)
            assert SECRET not in repr(raised.value)
        monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
        for url in (server.url, f"unix://{server.socket}?db=3", server.url.replace("//", "//default@")):
            sessions, name = open_sessions(url, expires_s=60.0, durable=False), new_session_id()
            sessions.create(name, "", [_event(url)]).result()
            assert [each.events[0].track for each in kept_sessions(url)][-1] == url
            sessions.close()
        assert SECRET not in repr(dataclasses.asdict(ServeOptions(sessions=server.url)))


def test_two_services_that_write_one_session_at_once_lose_and_double_nothing(server: RedisServer) -> None:
    both, name = [_opened(server), _opened(server)], new_session_id()
    both[0].create(name, "", []).result()
    begin, accepted = threading.Barrier(2), [0, 0]

    def tell(who: int) -> None:
        begin.wait()
        futures = [both[who].add(name, [_event(f"{who}-{n}"), _event("both", f"id-{n}")]) for n in range(500)]
        accepted[who] = sum(future.result().accepted for future in futures)

    threads = [threading.Thread(target=tell, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = both[0].read(name).result().events
    assert both[1].read(name).result().events == events
    assert sum(accepted) == len(events) == 1500
    for who in range(2):
        assert [e.track for e in events if e.track.startswith(f"{who}-")] == [f"{who}-{n}" for n in range(500)]
        both[who].close()

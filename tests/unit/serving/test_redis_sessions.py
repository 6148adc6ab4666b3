"""What is Redis's own of live sessions: addresses and passwords, its refusals, its coming back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fakeredis
import pytest
import redis

from segue.errors import InputError, SegueError
from segue.serving.options import ServeOptions
from segue.serving.sessions.places import kept_sessions, open_sessions
from segue.serving.sessions.redis import PREFIX, RedisSessions, sessions_in_redis
from segue.serving.sessions.redis_address import PASSWORD_VARIABLE, redis_address
from segue.serving.sessions.redis_client import segue_error
from segue.serving.sessions.store import FullStoreError, Logged, NoSessionError, ReadOnlyStoreError, new_session_id
from segue.verbs.served_log import export_log

SECRET = "hunter2-battery"


def _event(track: str, event_id: str | None = None) -> Logged:
    return Logged(track, 0, 1.5, event_id)


def test_an_address_is_read_and_shown() -> None:
    for text, shown in {
        "redis://localhost": "redis://localhost:6379/0",
        "rediss://r.example:7000/3": "rediss://r.example:7000/3",
        "redis://me@[::1]:1/2": "redis://[::1]:1/2",
        "unix:///run/redis.sock": "unix:///run/redis.sock?db=0",
        "unix://me@/run/a%20b?db=4": "unix:///run/a b?db=4",
    }.items():
        assert str(redis_address(text)) == shown
    found = redis_address("redis://me@h:1/2")
    assert found is not None
    assert found.user == "me"
    for file in ("segue-sessions.sqlite", "/tmp/a:b", "redis:x", Path("redis.sqlite"), "C:/x"):
        assert redis_address(file) is None
    for text in (
        "http://h/0",
        "reds://h",
        "redis://",
        "redis://h:port",
        "redis://h:99999",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/\u0661",
        "redis://h?ssl_cert_reqs=none",
        "unix://h/run/s",
        "unix://",
        "unix:///s?db=1&path=/x",
        "redis://[h",
        "redis://h/0#x",
    ):
        with pytest.raises(InputError, match="redis://HOST:PORT/DB"):
            redis_address(text)


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{SECRET}@h:1/0",
        f"redis://me:{SECRET}@h",
        f"REDIS://me:{SECRET}@h",
        f"rediss://me:a/{SECRET}@h/0",
        f"redis://me:a#{SECRET}@h/0",
        f"redis://me:1?{SECRET}@h/0",
        f"redis://h/0?password={SECRET}",
        f"unix://me:{SECRET}@/run/s",
        f"unix:///run/s?db=0&password={SECRET}",
        "redis://me:@h",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    for tried in (
        lambda: ServeOptions(sessions=text),
        lambda: export_log(text, tmp_path / "out.csv"),
        lambda: open_sessions(text, expires_s=1.0, durable=False),
    ):
        with pytest.raises(InputError) as raised:
            tried()
        assert PASSWORD_VARIABLE in str(raised.value)
        assert SECRET not in repr(raised.value)


def test_other_kinds_of_url_are_refused_without_a_word_of_them() -> None:
    with pytest.raises(InputError) as raised:
        ServeOptions(sessions=f"reds://:{SECRET}@h")
    assert SECRET not in str(raised.value)


def test_durable_is_for_a_file() -> None:
    with pytest.raises(InputError, match="appendonly"):
        ServeOptions(sessions="redis://h", durable=True)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    for tried in (lambda: ServeOptions(sessions="redis://h"), lambda: export_log("redis://h", tmp_path / "o.csv")):
        with pytest.raises(InputError, match=r"pip install 'segue\[redis\]'"):
            tried()
    assert ServeOptions(sessions="file.sqlite").sessions == "file.sqlite"


def test_nobody_there_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
    for place in ("redis://127.0.0.1:1/0", f"unix://{tmp_path}/none"):
        for tried in (
            lambda p=place: open_sessions(p, expires_s=1.0, durable=False),
            lambda p=place: [*kept_sessions(p)],
        ):
            with pytest.raises(SegueError, match=r"cannot be reached \(.+\); start it") as raised:
                tried()
            assert place.split("?")[0] in str(raised.value)
            assert SECRET not in repr(raised.value)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), FullStoreError, "memory"),
        (redis.exceptions.ExecAbortError("Transaction discarded because of: OOM command"), FullStoreError, "memory"),
        (redis.ReadOnlyError("You can't write against a read only replica."), ReadOnlyStoreError, "READONLY"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB"), ReadOnlyStoreError, "MISCONF"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas"), ReadOnlyStoreError, "NOREPLICAS"),
        (
            redis.ResponseError("Command # 1 (HSET k OOM SECRET) of pipeline caused error: MISCONF x"),
            ReadOnlyStoreError,
            "MISCONF",
        ),
        (redis.AuthenticationError("invalid username-password pair SECRET"), SegueError, PASSWORD_VARIABLE),
        (redis.BusyLoadingError("Redis is loading"), SegueError, "loads"),
        (redis.TimeoutError("SECRET"), SegueError, "did not answer"),
        (redis.ConnectionError("SECRET"), SegueError, "start it"),
        (redis.ResponseError("WRONGTYPE SECRET"), SegueError, "ResponseError"),
    ],
)
def test_an_error_of_redis_is_one_of_ours_and_repeats_nothing(
    error: redis.RedisError, kind: type[SegueError], says: str
) -> None:
    found = segue_error(error)
    assert type(found) is kind
    assert says in str(found)
    assert "SECRET" not in str(found)


def test_a_session_is_gone_from_redis_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    client = fakeredis.FakeRedis()
    sessions, name = RedisSessions(client, expires_s=60.0), new_session_id()
    sessions.create(name, "", [_event("a")]).result()
    assert [bytes(key).decode() for key in client.scan_iter()] == [PREFIX + name], (
        "one key each: it goes whole or not at all"
    )
    assert 0 < client.pttl(PREFIX + name) <= 60_000
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61.0)
    assert [*sessions_in_redis(client)] == []
    assert client.keys() == []
    sessions.close()


@pytest.mark.parametrize("expires_s", [0.0, 1e-9, 1e30, float("inf")])
def test_every_life_is_one_that_redis_takes(expires_s: float) -> None:
    client = fakeredis.FakeRedis()
    sessions, name = RedisSessions(client, expires_s=expires_s), new_session_id()
    assert sessions.create(name, "", [_event("a")]).result() is None
    assert client.pttl(PREFIX + name) <= 1000 * 100 * 366 * 24 * 3600
    sessions.close()


def test_no_key_is_made_of_an_id_that_is_not_hexadecimal() -> None:
    client = fakeredis.FakeRedis()
    sessions = RedisSessions(client)
    for name in ("", "x", "a\n", "A" * 32, "a b", "*", "a" * 129):
        with pytest.raises(NoSessionError):
            sessions.create(name, "", [_event("a")]).result()
    assert client.keys() == []
    sessions.close()


def test_what_others_keep_there_stays_and_is_no_session() -> None:
    client = fakeredis.FakeRedis()
    name, list_name, other = new_session_id(), new_session_id(), new_session_id()
    others = {"cats": b"7", f"{PREFIX}cats": b"8", name: b"9"}
    for key, value in others.items():
        client.set(key, value)
    client.rpush(PREFIX + list_name, "x")
    sessions = RedisSessions(client)
    sessions.create(name, "", [_event("a")]).result()
    good = sessions.create(other, "", [])
    bad = [sessions.add(list_name, [_event("b")]), sessions.read(list_name), sessions.remove(list_name)]
    assert good.result() is None
    for future in bad:
        with pytest.raises(SegueError, match="Redis failed"):
            future.result()
    client.hset(PREFIX + other, "events", "5")
    with pytest.raises(SegueError, match="damaged"):
        sessions.read(other).result()
    sessions.remove(other).result()
    client.delete(PREFIX + list_name)
    assert [each.session_id for each in sessions_in_redis(client)] == [name]
    assert {key: client.get(key) for key in others} == others
    sessions.close()


def test_many_sessions_are_exported_by_when_they_began() -> None:
    client = fakeredis.FakeRedis()
    sessions = RedisSessions(client)
    names = [new_session_id() for _ in range(1203)]
    for future in [sessions.create(name, "", [_event(name)]) for name in names]:
        future.result()
    for place, name in enumerate(names):
        client.hset(PREFIX + name, "created_at", repr(float(place // 2)))
    before = {key: client.hgetall(key) for key in client.scan_iter()}
    found = [*sessions_in_redis(client)]
    assert [(each.created_at, each.session_id) for each in found] == sorted(
        (float(place // 2), name) for place, name in enumerate(names)
    )
    assert all(each.events[0].track == each.session_id for each in found)
    assert {key: client.hgetall(key) for key in client.scan_iter()} == before, "read only"
    sessions.close()


class _Meanwhile(list[Logged]):
    """Events; when they are looked at for the second time, within the transaction, another service tells its own."""

    looks = 0

    def __init__(self, events: list[Logged], other: Callable[[], object]) -> None:
        super().__init__(events)
        self.other = other

    def __iter__(self) -> Iterator[Logged]:
        self.looks += 1
        if self.looks == 2:
            self.other()
        return super().__iter__()


def test_what_another_service_writes_amid_a_transaction_is_seen() -> None:
    server = fakeredis.FakeServer()
    one, other = (RedisSessions(fakeredis.FakeRedis(server=server)) for _ in range(2))
    name, bystander = new_session_id(), new_session_id()
    one.create(name, "", []).result()
    one.create(bystander, "", []).result()
    amid = _Meanwhile([_event("a", "1"), _event("b", "2")], lambda: other.add(name, [_event("a", "1")]).result())
    told_it = [one.add(bystander, [_event("x")]), one.add(name, amid), one.add(bystander, [_event("y")])]
    added = told_it[1].result()
    assert (added.accepted, added.repeated, added.events) == (1, 1, 2)
    assert [future.result().accepted for future in told_it] == [1, 1, 1]
    assert other.read(name).result().events == (_event("a", "1"), _event("b", "2"))
    assert other.read(bystander).result().events == (_event("x"), _event("y")), "once each, in their order"
    amid = _Meanwhile([_event("c")], lambda: other.remove(name).result())
    with pytest.raises(NoSessionError):
        one.add(name, amid).result()
    assert [each.session_id for each in sessions_in_redis(one._client)] == [bystander], "nothing is brought back"
    one.close()
    other.close()


def test_it_comes_back_by_itself() -> None:
    server = fakeredis.FakeServer()
    sessions, name = RedisSessions(fakeredis.FakeRedis(server=server)), new_session_id()
    sessions.create(name, "", [_event("a")]).result()
    server.connected = False
    for future in (sessions.add(name, [_event("b")]), sessions.read(name), sessions.create(new_session_id(), "", [])):
        with pytest.raises(SegueError, match="cannot be reached"):
            future.result()
    server.connected = True
    assert sessions.add(name, [_event("b")]).result().events == 2, "nothing of what was refused was written"
    sessions.close()

"""Requests that nobody means well with, and the status that each must get; drawn from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

MOST_BYTES: Final = 4 << 20
MARKUP: Final = "<script>alert(1)</script><img src=x onerror=alert(1)>"
ODD_IDS: Final = (
    MARKUP,
    "'; DROP TABLE session; --",
    "\u202egnp.exe",
    "\ufeff\u200b",
    "ﷺ" * 300,
    "👩‍👩‍👧‍👦" * 100,
    "e\u0301" * 500,
    "x" * 1024,
    "../../../etc/passwd",
    "%00%2e%2e",
    "{{7*7}}${7*7}",
    "=cmd|' /C calc'!A0",
    "\U0010ffff\ufffd\ufffe",
    "__proto__",
)
"""Ids that are allowed: text like any other."""
CONTROL_IDS: Final = ("a\x00b", "\x00", "\r\nset-cookie: a=b", "a\nb", "\x85")
"""Ids with control characters, which are refused."""


@dataclass(frozen=True)
class Hostile:
    """One request."""

    status: int
    """What it must get."""
    body: bytes = b"{}"
    path: str = "/v1/next"
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    """Those that differ; "" = not sent."""
    pieces: bool = False
    """Whether the body comes in chunks, its length untold."""
    held_back: bool = False
    """Whether the body is told of and never sent."""
    echo: tuple[str, ...] = ()
    """Unknown ids that must come back as they were sent."""


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _events(*events: Any) -> bytes:
    return _json({"events": list(events)})


def _no_json(draw: random.Random) -> Hostile:
    whole = _events({"track": "a", "heard": "skip"}).decode()
    texts = [
        "",
        "{",
        "nonsense",
        "{'k': 1}",
        '{"k": 1,}',
        '{"k": 1} {}',
        "{k: 1}",
        '{"k": 1 /* one */}',
        '"{}',
        "\ufeff{}",
    ]
    texts += [
        "<xml/>",
        "k=1&events=",
        '{"k": 01}',
        '{"k": +1}',
        '{"k": .5}',
        '{"k": 0x10}',
        '{"k": "\t"}',
        '{"k": "\\x"}',
        "\x00",
    ]
    texts.append(whole[: draw.randrange(1, len(whole))])
    return Hostile(400, draw.choice(texts).encode())


def _no_utf8(draw: random.Random) -> Hostile:
    odd = draw.choice(
        [
            b"\xff",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xe2\x82",
            b"\x80",
            draw.randbytes(40) + b"\xff",
        ]
    )
    inside = b'{"events": [{"track": "' + odd.replace(b'"', b"").replace(b"\\", b"") + b'"}]}'
    return Hostile(400, draw.choice([odd, inside, '{"k": 3}'.encode("utf-16"), '{"k": 3}'.encode("utf-32")]))


def _deep(draw: random.Random) -> Hostile:
    depth = draw.choice([1_000, 10_000, 200_000])
    begin = draw.choice(
        [b"", b'{"events": ', b'{"filters": ', b'{"model": ', b'{"unheard": ', b'{"events": [{"track": ']
    )
    one, end = draw.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"events":', b"}]"), (b'{"filters":', b"}")])
    closed = b"1" + end * depth if draw.random() < 0.5 else b""
    return Hostile(400, begin + one * depth + closed)


def _wrong_type(draw: random.Random) -> Hostile:
    wrong: list[Any] = [[], "[]", 7, True, 1.5, [1], [[]], ["a"], {"track": "a"}]
    bodies: list[Any] = [wrong[0], "{}", 7, True, None, [{"events": []}]]
    bodies += [{"events": value} for value in (*wrong[1:], None)]
    bodies += [{"k": value} for value in ("1", 1.5, None, True, [], {})]
    bodies += [{"filters": value} for value in ([], "x", 1, None, {"per_artist": "2"}, {"blocked_tracks": "a"})]
    bodies += [{"filters": {"allowed_tracks": [value]}} for value in (1, None, [], {}, True)]
    bodies += [{"model": 7}, {"model": []}, {"explain": 1}, {"explain": "yes"}, {"looks": None}]
    bodies += [{"events": [{"track": value}]} for value in (7, None, [], {}, True)]
    bodies += [{"events": [{"track": "a", "strength": value}]} for value in ("1", 1.5, None, [], True)]
    bodies += [{"events": [], "listener": value} for value in (7, True, [], {}, ["a"], 1.5)]
    return Hostile(400, _json(draw.choice(bodies)), draw.choice(["/v1/next", "/v1/sessions"]))


def _no_number(draw: random.Random) -> Hostile:
    number = draw.choice(["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "nan", "1e", "1e999999999"])
    form = draw.choice(
        [
            '{"k": %s}',
            '{"events": [{"track": "a", "played_s": %s, "duration_s": 9}]}',
            '{"filters": {"per_artist": %s}}',
        ]
    )
    return Hostile(400, (form % number).encode())


def _out_of_range(draw: random.Random) -> Hostile:
    number = draw.choice(
        [-1, -draw.randrange(1, 10**6), 2**31, 2**63, 2**64, 2**70, -(2**70), 10 ** draw.randrange(9, 4000)]
    )
    seconds = {"track": "a", "played_s": number, "duration_s": 10}
    bodies = [{"k": number}, {"filters": {"per_artist": number}}, {"events": [{"track": "a", "strength": number}]}]
    return Hostile(400, _json(draw.choice([*bodies, {"events": [seconds]}, {"k": 0}, {"k": 1001}])))


def _surrogate(draw: random.Random) -> Hostile:
    lone = draw.choice(["\\ud800", "\\udfff", "\\udc00\\ud800", "\\ud83d", "a\\udbffb"])
    return Hostile(400, f'{{"events": [{{"track": "{lone}"}}]}}'.encode())


def _unknown_field(draw: random.Random) -> Hostile:
    name = draw.choice(
        ["", "K", "track", "__proto__", "constructor", "session", MARKUP, "x" * draw.randrange(1, 5000), "k\x00"]
    )
    bodies = [{name: 1}, {"events": [{"track": "a", f"{name}?": 1}]}, {"filters": {name: []}}]
    return Hostile(400, _json(draw.choice(bodies)))


def _too_much(draw: random.Random) -> Hostile:
    long = "x" * draw.randrange(1025, 100_000)
    bodies: list[dict[str, Any]] = [{"events": [{"track": "a"}] * draw.randrange(1001, 3000)}]
    bodies += [{"events": [{"track": long}]}, {"events": [{"track": "a", "event_id": "y" * draw.randrange(65, 999)}]}]
    bodies += [
        {"filters": {"blocked_tracks": [long]}},
        {"events": [{"track": ""}]},
        {"events": [{"track": "a", "event_id": ""}]},
    ]
    return Hostile(400, _json(draw.choice(bodies)))


def _bad_listener(draw: random.Random) -> Hostile:
    """A listener that may not be named, where one begins a session or is deleted."""
    escaped = "".join(f"%{byte:02x}" for byte in draw.choice([each for each in ODD_IDS if len(each) < 400]).encode())
    paths = [escaped, "%ff", "%ed%a0%80", "%00", "%2e%2e", "a%0ab", "x" * draw.randrange(257, 9999), "", "a/b"]
    names = ["", ".", "..", "x" * draw.randrange(257, 99_999), *CONTROL_IDS]
    return draw.choice(
        [
            Hostile(400, _json({"listener": draw.choice(names), "events": []}), "/v1/sessions"),
            Hostile(404, b"", f"/v1/listeners/{draw.choice(paths)}", "DELETE"),
        ]
    )


def _heard_twice(draw: random.Random) -> Hostile:
    more = [{"heard": "skip", "strength": 3}, {"played_s": 1}, {"duration_s": 1}, {"heard": "loved"}, {"heard": MARKUP}]
    more += [{"strength": 0, "played_s": 1, "duration_s": 2}, {"heard": ""}]
    return Hostile(400, _events({"track": "a"}, {"track": "b", **draw.choice(more)}))


def _named_twice(draw: random.Random) -> Hostile:
    """A name that stands twice is no error of JSON: the last counts."""
    return draw.choice(
        [
            Hostile(200, b'{"k": 3, "k": 2}'),
            Hostile(400, b'{"k": 3, "k": -2}'),
            Hostile(200, b'{"events": [{"track": "a", "track": "b"}]}', echo=("b",)),
        ]
    )


def _odd_ids(draw: random.Random) -> Hostile:
    ids = tuple(dict.fromkeys(draw.choice(ODD_IDS + CONTROL_IDS) for _ in range(draw.randrange(1, 6))))
    body = {
        "events": [{"track": each, "event_id": each[:64]} for each in ids],
        "filters": {"blocked_artists": [MARKUP]},
    }
    refused = any(each in CONTROL_IDS for each in ids)
    return Hostile(400, _json(body)) if refused else Hostile(200, _json(body), echo=ids)


def _unknown_names(draw: random.Random) -> Hostile:
    name = draw.choice([each for each in ODD_IDS if len(each) < 400])
    escaped = "".join(f"%{byte:02x}" for byte in name.encode())
    session = "".join(draw.choice("0123456789abcdef") for _ in range(32))
    paths = [
        f"/v1/sessions/{each}"
        for each in (session, session[:31], session.upper() + "A", session + "0", escaped, "0" * 9999)
    ]
    asked = [Hostile(404, b"", path, method) for path in paths for method in ("GET", "DELETE")]
    asked += [Hostile(404, b"{}", f"{path}/next") for path in paths]
    asked += [Hostile(404, _events({"track": name}), f"{path}/events") for path in paths]
    asked += [Hostile(404, _json({"model": name})), Hostile(404, _json({"model": name}), "/v1/sessions")]
    asked += [
        Hostile(404, b"", f"/v1/similar?track={escaped}", "GET"),
        Hostile(404, b"", f"/v1/map?model={escaped}", "GET"),
    ]
    asked += [Hostile(404, b"", path, "GET") for path in (f"/{escaped}", "/v1/", "/schema/x", "/.git/config")]
    asked += [Hostile(404, b"", f"/page/{name}", "GET") for name in ("..%2fapp.py", "room.js%00", "%00", "x" * 5000)]
    return draw.choice(asked)


def _bad_query(draw: random.Random) -> Hostile:
    value = draw.choice(
        ["-1", "0", "1001", "x", "1e400", "NaN", "%00", "", "9" * 3000, "%ff", MARKUP.replace(" ", "%20"), "1;2"]
    )
    return Hostile(
        400, b"", draw.choice([f"/v1/similar?track=a&k={value}", f"/v1/similar?k={value}", "/v1/similar?track="]), "GET"
    )


def _undeclared(draw: random.Random) -> Hostile:
    kinds = [
        "",
        "text/plain",
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "json",
    ]
    return Hostile(415, b'{"k": 3}', headers={"content-type": draw.choice(kinds)}, pieces=draw.random() < 0.3)


def _too_long(draw: random.Random) -> Hostile:
    if draw.random() < 0.7:
        told = draw.choice([MOST_BYTES + 1, 2**31, 2**63, 10**19])
        return Hostile(413, headers={"content-length": str(told)}, held_back=True)
    return Hostile(413, b'{"model": "' + b"x" * (MOST_BYTES + draw.randrange(100_000)), pieces=True)


def _other_host(draw: random.Random) -> Hostile:
    names = [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "localhost@evil.example",
        MARKUP,
        "[::2]",
    ]
    return Hostile(421, headers={"host": draw.choice(names)})


def _other_origin(draw: random.Random) -> Hostile:
    origins = [
        "https://evil.example",
        "null",
        "http://localhost:1",
        "file://",
        "http://127.0.0.1.evil.example",
        MARKUP,
        "http://[",
    ]
    return Hostile(403, headers={"origin": draw.choice(origins)})


def _other_method(draw: random.Random) -> Hostile:
    method = draw.choice(["GET", "DELETE", "PUT", "PATCH", "TRACE", "PROPFIND"])
    return Hostile(405, b"", draw.choice(["/v1/next", "/v1/sessions"]), method)


KINDS: Final[dict[str, tuple[int, Callable[[random.Random], Hostile]]]] = {
    "no JSON": (10, _no_json),
    "no UTF-8": (8, _no_utf8),
    "deep": (6, _deep),
    "wrong type": (14, _wrong_type),
    "no number": (6, _no_number),
    "out of range": (8, _out_of_range),
    "lone surrogate": (3, _surrogate),
    "unknown field": (6, _unknown_field),
    "too much": (6, _too_much),
    "bad listener": (6, _bad_listener),
    "heard twice or half": (4, _heard_twice),
    "named twice": (2, _named_twice),
    "odd ids": (8, _odd_ids),
    "unknown names": (10, _unknown_names),
    "bad query": (5, _bad_query),
    "not declared as JSON": (3, _undeclared),
    "too long": (1, _too_long),
    "other host": (2, _other_host),
    "other origin": (2, _other_origin),
    "other method": (2, _other_method),
}
"""How many of about a hundred requests are of a kind, and how one is drawn."""


def hostile(num: int, seed: int = 0) -> Iterator[tuple[str, Hostile]]:
    """Yield `num` requests with their kinds; every kind comes early."""
    draw = random.Random(seed)
    names = [*KINDS]
    weights = [weight for weight, _ in KINDS.values()]
    for place in range(num):
        kind = names[place] if place < len(names) else draw.choices(names, weights)[0]
        yield kind, KINDS[kind][1](draw)

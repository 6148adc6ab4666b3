"""Small logs for the tests of preparing: MSSD rows, files, and what a store holds as plain Python."""

from __future__ import annotations

import random
from pathlib import Path

from segue import columns
from segue.store import Store

FLAGS = {3: "111", 2: "011", 1: "001", 0: "000", 255: "000"}


def mssd_row(session: str, position: int, track: str, strength: int = 0, **changes: str) -> dict[str, str]:
    """Return one row of an MSSD log as text fields."""
    names = ("skip_1", "skip_2", "skip_3")
    flags = {n: str(bool(int(bit))).lower() for n, bit in zip(names, FLAGS[strength], strict=True)}
    row = dict.fromkeys(columns.MSSD_LOG, "0")
    row |= {"session_id": session, "session_position": str(position), "track_id_clean": track, **flags}
    row |= {"not_skipped": "true" if strength == 0 else "false", "hist_user_behavior_is_shuffle": "false"}
    row |= {"hour_of_day": "13", "date": "2018-07-15", "premium": "true", "context_type": "radio"}
    row |= {"hist_user_behavior_reason_start": "fwdbtn", "hist_user_behavior_reason_end": "trackdone"}
    return row | changes


def random_rows(seed: int, sessions: int = 6) -> list[dict[str, str]]:
    """Return the rows of a few sessions of unequal length; one without skips, one all skips."""
    draw = random.Random(seed)
    rows = []
    for number in range(sessions):
        choice = {0: [0], 1: [3, 2]}.get(number, [0, 1, 2, 3, 255])
        context = draw.choice(["radio", "catalog", "editorial_playlist"])
        for position in range(1, draw.randint(1, 7) + 1):
            track = draw.choice(["007", "7", "t_é", "t_z", "T"])
            rows.append(mssd_row(f"s{seed}-{number}", position, track, draw.choice(choice), context_type=context))
    return rows


def csv_text(rows: list[dict[str, str]]) -> str:
    """Return an MSSD log as text."""
    lines = [",".join(columns.MSSD_LOG), *(",".join(row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def write_log(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write an MSSD log; return its path."""
    path.write_text(csv_text(rows), encoding="utf-8")
    return path


def plain(store_path: Path) -> dict[int, list[tuple[str, int]]]:
    """Return {session key: [(track id, strength), ...]} of a store."""
    store = Store(store_path)
    store.verify()
    ids = [store.vocabulary.track_id(int(row)) for row in store.tracks]
    events = list(zip(ids, store.strength.tolist(), strict=True))
    offsets = store.offsets.tolist()
    keys = store.session_key.tolist()
    return {key: events[a:b] for key, a, b in zip(keys, offsets[:-1], offsets[1:], strict=True)}

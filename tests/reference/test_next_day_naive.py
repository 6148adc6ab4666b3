"""The split by days equals loops over sessions, rows and days; nothing of a day or its gap trains or is read."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns
from segue.batches.data import SessionData
from segue.batches.held_out import Cases, SplitName
from segue.batches.listener_past import PastPlays, listener_ranges
from segue.batches.listening_order import SECONDS_OF_A_DAY
from segue.batches.next_day import NextDay
from segue.batches.split import DataConfig, Split, split_store
from segue.errors import InputError
from segue.ranking.baselines import TrainingRows
from segue.store import Store
from segue.store.manifest import SideColumn
from support.stores import SIDE, rewritten, tiny_store, values_of

HOUR = 3600
AT = SideColumn(columns.AT, "int64")
SETTINGS = (
    NextDay(train_days=0),
    NextDay(train_days=3, gap_minutes=90),
    NextDay(train_days=4, days=2, clock="listener"),
    NextDay(train_days=0, days=3, gap_minutes=600),
    NextDay(train_days=5, gap_minutes=40, until=1_500_000_000 + 190 * HOUR),
    NextDay(train_days=4, gap_minutes=80, days=2, until=1_500_000_000 + 200 * HOUR),
)


def config(settings: NextDay) -> DataConfig:
    return DataConfig(split="next-day", next_day=settings, max_len=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Ninety sessions of ten listeners within nine days; many cross a border, overlap, or run backwards."""
    folder = tmp_path_factory.mktemp("days")
    tiny = tiny_store(folder / "tiny", sessions=90, tracks=30)
    generator = np.random.default_rng(3)
    begins = 1_500_000_000 + np.sort(generator.integers(0, 200, 90)) * HOUR
    length = np.diff(tiny.offsets)
    within = np.arange(tiny.num_rows) - np.repeat(tiny.offsets[:-1], length)
    at = np.repeat(begins, length) + within * 40 * 60 - generator.choice([0, 1500], tiny.num_rows, p=[0.9, 0.1])
    user = generator.permutation(np.append(np.arange(88) % 9, [9, 9]))  # the last listener has two sessions
    values = values_of(tiny) | {columns.USER: user.astype(np.int32), columns.AT: at.astype(np.int64)}
    return rewritten(folder / "store", tiny, values, (*SIDE, AT))


@dataclass(frozen=True)
class Naive:
    """What loops find."""

    train: list[int]
    cases: dict[SplitName, dict[tuple[int, int], tuple[list[int], dict[int, bool]]]]
    """By day and listener: input rows, and whether each target was played before."""
    cold: dict[SplitName, int]
    borders: dict[int, int]
    """When the gap before validation begins, by listener."""


def naive(store: Store, settings: NextDay) -> Naive:
    at, user, strength = store.side(columns.AT), store.side(columns.USER), np.asarray(store.strength)
    sessions = [list(range(store.offsets[s], store.offsets[s + 1])) for s in range(store.num_sessions)]
    gap = settings.gap_minutes * 60
    train: list[int] = []
    cases: dict[SplitName, dict[tuple[int, int], tuple[list[int], dict[int, bool]]]] = {"validation": {}, "test": {}}
    cold: dict[SplitName, int] = {"validation": 0, "test": 0}
    borders = {}
    for listener in range(int(user.max()) + 1):
        own = [s for s in range(store.num_sessions) if user[s] == listener]
        last = max(int(at[row]) for s in (own if settings.clock == "listener" else range(store.num_sessions))
                   for row in sessions[s]) + 1  # fmt: skip
        last = settings.until or last
        test = last - settings.days * SECONDS_OF_A_DAY
        validation = test - gap - settings.days * SECONDS_OF_A_DAY
        oldest = test - gap - settings.train_days * SECONDS_OF_A_DAY if settings.train_days else -(10**12)
        borders[listener] = validation - gap
        borders_of = [
            first + day * SECONDS_OF_A_DAY - gap for first in (validation, test) for day in range(settings.days)
        ]
        cuts = {s: min([b for b in borders_of if at[sessions[s][0]] < b], default=-(10**12)) for s in own}
        for s in own:
            train += part(sessions[s], at, oldest, min(validation - gap, cuts[s]))
        starts: dict[SplitName, int] = {"validation": validation, "test": test}
        for which, first in starts.items():
            for day in range(settings.days):
                start = first + day * SECONDS_OF_A_DAY
                heard = {s: part(sessions[s], at, oldest, min(start - gap, cuts[s])) for s in own}
                before = [s for s in own if heard[s]]
                before.sort(key=lambda s: (int(at[sessions[s][0]]), s))
                tracks = {int(store.tracks[row]) for s in before for row in heard[s]}
                targets = {
                    int(store.tracks[row]): int(store.tracks[row]) in tracks
                    for s in own for row in sessions[s]
                    if start <= at[row] < start + SECONDS_OF_A_DAY and strength[row] < 2
                }  # fmt: skip
                if targets and before:
                    cases[which][day, listener] = heard[before[-1]], targets
                cold[which] += bool(targets) and not before
    return Naive(sorted(train), cases, cold, borders)


def day_plays(store: Store, settings: NextDay, which: SplitName, day: int, who: int) -> int:
    """Return how many plays a listener listened to on a day."""
    start = naive(store, settings).borders[who] + settings.gap_minutes * 60 + day * SECONDS_OF_A_DAY
    start += (settings.gap_minutes * 60 + settings.days * SECONDS_OF_A_DAY) * (which == "test")
    user = np.repeat(store.side(columns.USER), np.diff(store.offsets))
    age = np.asarray(store.side(columns.AT)) - start
    listened = (user == who) & (age >= 0) & (age < SECONDS_OF_A_DAY) & (np.asarray(store.strength) < 2)
    return int(listened.sum())


def part(rows: list[int], at: np.ndarray, oldest: int, border: int) -> list[int]:
    """Return the rows up to the first that is not before the border, from the one after the last that is too old."""
    found: list[int] = []
    for row in rows:
        if at[row] >= border:
            break
        found.append(row)
    old = [row for row in rows if at[row] < oldest]
    return [row for row in found if not old or row > old[-1]]


def listed(store: Store, cases: Cases, days: int) -> list[tuple[int, list[int], dict[int, bool]]]:
    """Return listener, input rows and targets of each case."""
    assert cases.positives is not None
    bounds = cases.positives.offsets
    user = store.side(columns.USER)
    return [
        (
            int(user[cases.session[i]]),
            list(range(cases.begin[i], cases.target[i])),
            dict(
                zip(cases.positives.tracks[low:high].tolist(), cases.positives.repeated[low:high].tolist(), strict=True)
            ),
        )
        for i, (low, high) in enumerate(itertools.pairwise(bounds))
    ]


@pytest.mark.parametrize("settings", SETTINGS)
def test_parts_and_targets_are_those_of_loops(store: Store, settings: NextDay) -> None:
    split, expected = split_store(store, config(settings)), naive(store, settings)
    alone = {row for row in expected.train if row - 1 not in expected.train and row + 1 not in expected.train}
    assert set(expected.train) - alone <= set(split.training_rows.tolist()) <= set(expected.train)
    for which, cases in split.cases.items():
        wanted = [(who, rows, targets) for (_, who), (rows, targets) in sorted(expected.cases[which].items())]
        assert len(wanted) >= 3
        assert listed(store, cases, settings.days) == wanted
        assert cases.num_cold == expected.cold[which]
        assert cases.positives is not None
        assert (cases.positives.plays >= 1).all()
        assert cases.positives.play_counts.tolist() == [
            day_plays(store, settings, which, *key) for key in sorted(expected.cases[which])
        ]
    counts = np.bincount(store.tracks[expected.train], minlength=len(split.training_counts))
    np.testing.assert_array_equal(split.training_counts, counts)


def test_a_chosen_part_of_the_cases_keeps_their_targets(store: Store) -> None:
    cases = split_store(store, config(SETTINGS[2])).cases["test"]
    index = np.array([3, 0, 2])
    assert listed(store, cases.of(index), 2) == [listed(store, cases, 2)[i] for i in index]


def altered(store: Store, path: Path, rows: np.ndarray) -> Store:
    """Return the store with other tracks and strengths at `rows`."""
    values = values_of(store)
    values["tracks"][rows] = (values["tracks"][rows] + 5) % store.num_tracks + 3
    values["strength"][rows] = 3 - values["strength"][rows] % 4
    return rewritten(path, store, values)


def training_bytes(store: Store, split: Split) -> list[bytes]:
    """Return all that training reads."""
    data = SessionData.load(store, split, "cpu")
    rows = torch.from_numpy(split.training_rows)
    baselines = TrainingRows.of(store, split)
    earlier = PastPlays(store, split, 1000, "cpu").gather(data.train_session).numpy()
    arrays = [split.train_begin, split.train_end, split.training_counts, split.candidates, split.input_row, earlier]
    arrays += [data.tracks[rows].numpy(), data.feedback[rows].numpy(), baselines.tracks, baselines.strength]
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("settings", SETTINGS)
def test_altered_days_and_gaps_leave_the_bytes_of_training(store: Store, tmp_path: Path, settings: NextDay) -> None:
    """All from the gap of the first validation day on, the end of every session that crosses its border included."""
    borders = naive(store, settings).borders
    at, user = np.asarray(store.side(columns.AT)), np.repeat(store.side(columns.USER), np.diff(store.offsets))
    late = np.flatnonzero(at >= np.vectorize(borders.get)(user))
    assert len(late) > 20
    changed = altered(store, tmp_path / "changed", late)
    before, after = (split_store(each, config(settings)) for each in (store, changed))
    assert training_bytes(store, before) == training_bytes(changed, after)


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_is_read_before_a_case_is_older_than_its_gap(store: Store, settings: NextDay) -> None:
    """The input and all earlier plays, whether sessions of a listener overlap or not."""
    user, length = np.asarray(store.side(columns.USER)), np.diff(store.offsets)
    split, expected, at = split_store(store, config(settings)), naive(store, settings), store.side(columns.AT)
    past, days = listener_ranges(store, split), settings.days * SECONDS_OF_A_DAY
    later: dict[SplitName, int] = {"validation": 0, "test": days + settings.gap_minutes * 60}
    num_read = 0
    for which, cases in split.cases.items():
        for i, (day, who) in enumerate(sorted(expected.cases[which])):
            border = expected.borders[who] + later[which] + day * SECONDS_OF_A_DAY
            rows = past.rows[past.begin[cases.session[i]] : past.end[cases.session[i]]]
            num_read += len(rows)
            for each in (rows, np.arange(cases.begin[i], cases.target[i])):
                assert (at[each] < border).all()
                assert (np.repeat(user, length)[each] == who).all()
    assert num_read > 100


def test_what_it_needs_is_said(store: Store, tmp_path: Path) -> None:
    bare = rewritten(tmp_path / "bare", store, values_of(store), SIDE)
    with pytest.raises(InputError, match="does not say who listened when, to the second"):
        split_store(bare, config(NextDay()))
    with pytest.raises(InputError, match=r"too short .* lower data\.next_day\.days"):
        split_store(store, config(NextDay(days=5)))
    with pytest.raises(InputError, match=r"nobody with earlier plays .*data\.next_day\.until"):
        split_store(store, config(NextDay(train_days=0, until=1_600_000_000)))

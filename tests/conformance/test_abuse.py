"""Every source, abused: a file that is empty, cut, damaged or another's gives its true plays or says what is wrong."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from segue.data.sources import TITLES
from segue.errors import InputError
from segue.store import Store
from support.exports.every import Original, every_original, smallest
from support.lawful import prepared
from support.mutated import flipped
from support.read_records import read_bytes, read_file
from support.reshaped import num_records, with_records

READ = [name for name in TITLES if name != "kkbox"]
FILES = [original for original in every_original() if not original.name.endswith(".zip")]
LABELS = [f"{original.source}-{original.name}" for original in FILES]
SMALLEST = {name: smallest(name) for name in TITLES}
BINARY = (b"PK", b"PAR1", b"SQLite")


ALIKE: dict[str, set[str]] = {"table": {"piki.csv", "log_mini.csv", "listening_events.tsv"}}
"""Files of others that a source reads as well, since they have its columns."""


def tracks(original: Original, folder: Path, verb: str = "named", *, max_rejected: float = 1.0) -> Counter[str] | None:
    """Return how often each track was heard as the store has it; None where the file is refused in words."""
    folder.mkdir()
    outcome = prepared(original, verb, folder, max_rejected=max_rejected)
    assert outcome.fault == "", outcome.fault
    if outcome.message:
        return None
    store = Store(folder / "store")
    return Counter(store.vocabulary.track_id(int(row)) for row in store.tracks)


def refusal(original: Original, folder: Path, verb: str = "named") -> str:
    """Return the message by which a file is refused, '' where it is not."""
    folder.mkdir()
    outcome = prepared(original, verb, folder, max_rejected=0.0)
    assert outcome.fault == "", outcome.fault
    return outcome.message


def packed(original: Original, how: str) -> bytes:
    """Return the file as an archive, or compressed."""
    if how == "gz":
        return gzip.compress(original.data)
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"listens/{original.name}", original.data)  # the folder by which ListenBrainz is known
    return kept.getvalue()


@pytest.mark.parametrize("verb", ["auto", "named", "table", "ratings", "mssd"])
@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\r\n", b"[]", b"{}", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_holds_nothing_is_refused_by_name(verb: str, data: bytes, tmp_path: Path) -> None:
    for name in READ if verb == "named" else ["table"]:
        assert refusal(replace(SMALLEST[name], data=data), tmp_path / name, verb)


@pytest.mark.parametrize("original", FILES, ids=LABELS)
def test_a_file_of_a_header_alone_is_refused_by_name(original: Original, tmp_path: Path) -> None:
    assert refusal(with_records(original, []), tmp_path / "log")


@pytest.mark.parametrize("name", TITLES)
def test_a_file_of_one_record_gives_its_play_or_says_why_not(name: str, tmp_path: Path) -> None:
    num = num_records(SMALLEST[name])
    places = range(0, num, 1 + num // 4)
    singles = [tracks(with_records(SMALLEST[name], [place]), tmp_path / str(place)) for place in places]
    assert any(singles) is (name != "kkbox")
    if name not in ("30music", "yambda"):  # whose records may hold several plays
        assert all(sum(single.values()) == 1 for single in singles if single)


@pytest.mark.parametrize("name", READ)
def test_the_file_of_another_source_is_refused_by_name(name: str, tmp_path: Path) -> None:
    others = [replace(other, source=name) for source, other in SMALLEST.items() if source != name]
    read = {other.name for other in others if not refusal(other, tmp_path / other.name)}
    assert read == ALIKE.get(name, set())


@pytest.mark.parametrize("how", ["zip", "gz"])
@pytest.mark.parametrize("name", READ)
def test_a_damaged_archive_is_refused_or_gives_all_of_its_plays(name: str, how: str, tmp_path: Path) -> None:
    original = SMALLEST[name]
    data, random = packed(original, how), Random(name + how)
    packed_name = f"{original.name}.{how}" if how == "zip" else original.name  # a name by which it is recognised
    whole = tracks(replace(original, data=data, name=packed_name), tmp_path / "whole")
    assert whole
    for part in (0.1, 0.5, 0.9):
        cut = replace(original, data=data[: int(len(data) * part)], name=packed_name)
        assert tracks(cut, tmp_path / str(part)) is None
    for number in range(3):
        given = replace(original, data=flipped(data, random), name=packed_name)
        assert tracks(given, tmp_path / str(number)) in (None, whole)


def _small(name: str) -> Original:
    middle = num_records(SMALLEST[name]) // 2  # those around are no plays in some
    return with_records(SMALLEST[name], (middle, middle + 1))


def _rows(path: Path, num_columns: int) -> list[tuple[object, ...]] | None:
    """Return the records of a file, [] where it has other columns, None where it is refused by name."""
    try:
        read = read_file(path)
    except InputError as error:
        return None if path.name in str(error) else pytest.fail(f"no file is named: {error}")
    return read.rows if read.frame.width == num_columns else []


TEXTS = [name for name in READ if not SMALLEST[name].data.startswith(BINARY)]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_cut_at_any_byte_keeps_the_records_above_the_cut(name: str, tmp_path: Path) -> None:
    original = _small(name)
    path, whole = tmp_path / original.name, read_bytes(tmp_path, original.data, original.name).rows
    above = original.data.rfind(b"\n", 0, len(original.data) - 1) + 1  # the last record begins here
    step = 1 + (len(original.data) - above) // 100  # of long records not every byte: test_truncated cuts at each
    for size in (*range(0, above, 1 + above // 20), *range(above, len(original.data), step)):
        path.write_bytes(original.data[:size])
        rows = _rows(path, len(whole[0]))
        if rows is not None:
            assert rows[:-1] == whole[: max(0, len(rows) - 1)], size
            assert size < above or len(rows) >= len(whole) - 1, size


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_cut_anywhere_gives_a_whole_store_of_what_stands_above_or_none(name: str, tmp_path: Path) -> None:
    original, random = _small(name), Random(name)
    data, whole = original.data, tracks(original, tmp_path / "whole")
    assert whole
    for size in sorted(random.sample(range(len(data)), 4)):
        read = tracks(replace(original, data=data[:size]), tmp_path / str(size))
        above = data.rfind(b"\n", 0, size) + 1
        before = tracks(replace(original, data=data[:above]), tmp_path / f"above {size}") or Counter()
        assert read is None or (before <= read and read.total() <= max(before.total() + 1, whole.total())), size


@pytest.mark.parametrize("name", [name for name in READ if SMALLEST[name].data.startswith(BINARY)])
def test_a_binary_file_cut_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    data = SMALLEST[name].data
    for size in {*range(0, len(data), max(1, len(data) // 100)), *range(len(data) - 12, len(data))}:
        assert tracks(replace(SMALLEST[name], data=data[:size]), tmp_path / str(size)) is None

"""Every source, abused: a file that is empty, cut, damaged or another's gives its true plays or says what is wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from exports.every import Original, every_original, originals
from lawful import prepared
from mutated import flipped
from reshaped import num_records, with_records
from segue.data.sources import TITLES
from segue.store import Store

READ = [name for name in TITLES if name != "kkbox"]
FILES = [original for original in every_original() if not original.name.endswith(".zip")]
LABELS = [f"{original.source}-{original.name}" for original in FILES]
SMALLEST = {name: next(one for one in originals(name) if not one.name.endswith(".zip")) for name in TITLES}
BINARY = (b"PK", b"PAR1", b"SQLite")


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
    if how != "zip":
        return {"gz": gzip.compress, "bz2": bz2.compress}[how](original.data)
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(original.name, original.data)
    return kept.getvalue()


@pytest.mark.parametrize("verb", ["auto", "named", "table", "ratings", "mssd"])
@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\r\n", b"[]", b"{}", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_holds_nothing_is_refused_by_name(verb: str, data: bytes, tmp_path: Path) -> None:
    for name in READ if verb == "named" else ["table"]:
        assert refusal(replace(SMALLEST[name], data=data), tmp_path / name, verb)


@pytest.mark.parametrize("original", FILES, ids=LABELS)
def test_a_file_of_a_header_alone_is_refused_by_name(original: Original, tmp_path: Path) -> None:
    for verb in ("auto", "named"):
        assert refusal(with_records(original, []), tmp_path / verb, verb)


@pytest.mark.parametrize("original", FILES, ids=LABELS)
def test_a_file_of_one_record_gives_its_play_or_says_why_not(original: Original, tmp_path: Path) -> None:
    singles = [
        tracks(with_records(original, [place]), tmp_path / str(place)) for place in range(num_records(original))
    ]
    assert any(singles) is (original.source != "kkbox")
    if original.source not in ("kkbox", "30music", "yambda"):  # whose records may hold several plays
        assert all(sum(single.values()) == 1 for single in singles if single)


ALIKE = {
    "table": {"piki", "mssd", "lfm-2b", "yambda", "movielens", "kkbox", "30music", "table"},
}
"""By source: others whose files it reads as well, since they have its columns."""


@pytest.mark.parametrize("name", READ)
def test_the_file_of_another_source_is_refused_by_name(name: str, tmp_path: Path) -> None:
    read = {
        original.source
        for number, original in enumerate(FILES)
        if not refusal(replace(original, source=name), tmp_path / str(number))
    }
    assert read - {name} <= ALIKE.get(name, set())


@pytest.mark.parametrize("how", ["zip", "gz", "bz2"])
@pytest.mark.parametrize("name", READ)
def test_a_damaged_archive_is_refused_or_gives_all_of_its_plays(name: str, how: str, tmp_path: Path) -> None:
    original = SMALLEST[name]
    whole, data = tracks(original, tmp_path / "whole"), packed(original, how)
    random = Random(name + how)
    cuts = [data[: len(data) * part // 6] for part in range(1, 6)] + [data[:-1]]
    for number, damaged in enumerate([*cuts, *(flipped(data, random) for _ in range(6))]):
        given = replace(original, data=damaged, name=f"{original.name}.{how}" if how == "zip" else original.name)
        read = tracks(given, tmp_path / str(number))
        assert read is None or read == whole
        assert number >= len(cuts) or read is None, "what is cut is not whole"


def _small(original: Original) -> Original:
    places = range(num_records(original))
    return with_records(original, places if len(original.data) < 300 else places[:2])


@pytest.mark.parametrize("name", [name for name in READ if not SMALLEST[name].data.startswith(BINARY)])
def test_a_text_cut_at_any_byte_costs_at_most_the_record_that_is_cut(name: str, tmp_path: Path) -> None:
    original = _small(SMALLEST[name])
    data, seen = original.data, dict[int, Counter[str]]()

    def before(size: int) -> Counter[str]:
        if size not in seen:
            seen[size] = tracks(replace(original, data=data[:size]), tmp_path / f"to {size}") or Counter()
        return seen[size]

    for size in range(len(data)):
        read = tracks(replace(original, data=data[:size]), tmp_path / str(size))
        if read is None:
            continue
        above, below = data.rfind(b"\n", 0, size) + 1, data.find(b"\n", size) + 1 or len(data)
        assert before(above) <= read, f"a record above byte {size} is lost"
        assert read.total() <= before(below).total(), f"byte {size} makes plays"


@pytest.mark.parametrize("name", [name for name in READ if SMALLEST[name].data.startswith(BINARY)])
def test_a_binary_file_cut_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    data = SMALLEST[name].data
    for size in {*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 12, len(data))}:
        assert tracks(replace(SMALLEST[name], data=data[:size]), tmp_path / str(size)) is None

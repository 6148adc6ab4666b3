"""The files of a log: what a path names, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from pathlib import Path

import pytest
import zstandard

from segue.data.records import member as members
from segue.data.records.member import Member, find_members
from segue.data.records.opened import opened
from segue.errors import InputError
from support.read_records import read_bytes, read_member

DATA = b"user,track\nu1,t1\n"


def _zip(path: Path, names: list[str], data: bytes = DATA) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return path


def test_a_path_is_literal(tmp_path: Path) -> None:
    path = tmp_path / "plays [2024]*?.csv"
    path.write_bytes(DATA)
    assert find_members([path, str(path)]) == [Member(path.name, path)] * 2
    with pytest.raises(InputError, match="does not exist"):
        find_members([tmp_path / "plays*"])


def test_a_folder_gives_the_files_below_it_in_name_order(tmp_path: Path) -> None:
    for name in (
        "b/2.csv",
        "b/1.csv",
        "a.csv",
        ".hidden",
        ".git/x.csv",
        "__MACOSX/a.csv",
        "b/._1.csv",
        ".scrobbler.log",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(DATA)
    _zip(tmp_path / "c.dat", ["MyData/endsong_0.json"])
    names = [found.name for found in find_members([tmp_path])]
    assert names == [".scrobbler.log", "a.csv", "b/1.csv", "b/2.csv", "c.dat/MyData/endsong_0.json"]


def test_an_archive_gives_its_files_whatever_it_is_called(tmp_path: Path) -> None:
    names = ["MyData/b.json", "MyData/a.json", "../up.csv", "__MACOSX/a.json", "MyData/.DS_Store", "empty/"]
    found = find_members([_zip(tmp_path / "log.csv", names)])
    assert [one.name for one in found] == ["../up.csv", "MyData/a.json", "MyData/b.json"]
    for one in found:
        with opened(one) as handle:
            assert handle.read() == DATA
    assert list(tmp_path.iterdir()) == [tmp_path / "log.csv"]


def test_what_holds_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, message in ((tmp_path / "folder", "has no files"), (_zip(tmp_path / "e.zip", []), "without files")):
        with pytest.raises(InputError, match=message):
            find_members([path])
    with pytest.raises(InputError, match="does not exist"):
        find_members([tmp_path / "nothing"])


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", ["a.csv"])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged or cut short"):
        find_members([path])


def test_an_encrypted_file_of_an_archive_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", ["a.csv"])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="encrypted"):
        find_members([path])


@pytest.mark.parametrize("size", [(64 << 30) + 1, (1 << 30) + 1])
def test_an_archive_that_unpacks_to_what_no_log_is_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = _zip(tmp_path / "x.zip", ["a.csv"])
    monkeypatch.setattr(members, "SMALL_BYTES", 1)
    monkeypatch.setattr(members, "MAX_BYTES", 1 << 30)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, min(size, (1 << 32) - 2))
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="would unpack"):
        find_members([path])


PACKERS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("name", PACKERS)
def test_compressed_streams_are_undone_one_after_the_other_and_inside_one_another(tmp_path: Path, name: str) -> None:
    pack = PACKERS[name]
    path = tmp_path / "log"
    for data in (pack(DATA), pack(DATA[:5]) + pack(b"") + pack(DATA[5:]), gzip.compress(pack(DATA))):
        path.write_bytes(data)
        with opened(Member("log", path)) as handle:
            assert handle.read() == DATA


@pytest.mark.parametrize("name", PACKERS)
def test_a_compressed_file_that_is_cut_or_damaged_is_refused(tmp_path: Path, name: str) -> None:
    data = PACKERS[name](DATA * 50)
    path = tmp_path / "log"
    for size in range(len(data) // 2, len(data)):
        path.write_bytes(data[:size])
        with (
            pytest.raises(InputError, match=r"log: the \w+ file (ends early|is damaged)"),
            opened(Member("log", path)) as h,
        ):
            h.read()
    path.write_bytes(data + b"junk")
    with pytest.raises(InputError, match="damaged"), opened(Member("log", path)) as handle:
        handle.read()


def test_a_damaged_file_of_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", DATA)
    path.write_bytes(path.read_bytes().replace(b"u1,t1", b"u1,t2", 1))
    (found,) = find_members([path])
    with pytest.raises(InputError, match=r"a\.csv: the archive is damaged"):
        read_member(found)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "old Excel workbook"),
        (b"7z\xbc\xaf\x27\x1c" + b"\0" * 600, "7-Zip"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar archive"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_bytes(tmp_path, data)


def _packed(*files: tuple[str, bytes]) -> bytes:
    """Return a zip archive of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def _nested(depth: int) -> bytes:
    """Return an archive with a log, inside as many others."""
    data = _packed(("a.csv", DATA))
    for level in range(depth):
        data = _packed((f"{level}.ZIP", data))
    return data


@pytest.mark.parametrize("depth", range(members.MAX_DEPTH + 1))
def test_archives_inside_an_archive_give_their_files(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "download.zip"
    path.write_bytes(_packed(("b.csv", DATA), ("my data/inner.zip", _nested(depth - 1)) if depth else ("c.csv", DATA)))
    first, second = find_members([path])
    assert first.name == "b.csv"
    assert second.name == ("c.csv" if depth == 0 else f"my data/inner.zip/{_way(depth - 1)}a.csv")
    for one in (first, second):
        with opened(one) as handle:
            assert handle.read() == DATA
    assert list(tmp_path.iterdir()) == [path]


def _way(depth: int) -> str:
    return "".join(f"{level}.ZIP/" for level in reversed(range(depth)))


def test_archives_inside_one_another_too_deep_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(_nested(members.MAX_DEPTH + 1))
    with pytest.raises(InputError, match=f"more than {members.MAX_DEPTH} deep"):
        find_members([tmp_path / "x.zip"])


def test_too_many_archives_inside_an_archive_are_refused(tmp_path: Path) -> None:
    inner = _packed(*((f"{place}.zip", _packed(("a.csv", DATA))) for place in range(60)))
    (tmp_path / "x.zip").write_bytes(_packed(("1.zip", inner), ("2.zip", inner)))
    with pytest.raises(InputError, match=f"more than {members.MAX_ARCHIVES} archives"):
        find_members([tmp_path / "x.zip"])


def test_an_archive_that_swells_inside_an_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SMALL_ARCHIVE", 1 << 10)
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("a.csv", bytes(1 << 20))
    (tmp_path / "x.zip").write_bytes(_packed(("inner.zip", buffer.getvalue())))
    with pytest.raises(InputError, match=r"an archive that would unpack from [\d,]+ to 1,048,.* bytes"):
        find_members([tmp_path / "x.zip"])


def test_a_damaged_archive_inside_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(_packed(("inner.zip", _packed(("a.csv", DATA))[:-10])))
    with pytest.raises(InputError, match="damaged or cut short"):
        find_members([tmp_path / "x.zip"])


def test_an_encrypted_file_inside_two_archives_is_refused(tmp_path: Path) -> None:
    inner = bytearray(_packed(("a.csv", DATA)))
    inner[inner.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(_packed(("inner.zip", bytes(inner))))
    with pytest.raises(InputError, match="encrypted"):
        find_members([tmp_path / "x.zip"])


def test_a_workbook_or_a_text_called_zip_inside_an_archive_is_one_file(tmp_path: Path) -> None:
    book = _packed(("xl/workbook.xml", b"<workbook/>"), ("[Content_Types].xml", b""))
    (tmp_path / "x.zip").write_bytes(_packed(("book.zip", book), ("text.zip", DATA), ("book.xlsx", book)))
    assert [(one.name, one.within) for one in find_members([tmp_path / "x.zip"])] == [
        ("book.xlsx", ()),
        ("book.zip", ()),
        ("text.zip", ()),
    ]


def test_an_archive_inside_an_archive_by_another_name_is_refused(tmp_path: Path) -> None:
    (found,) = find_members([_zip(tmp_path / "x.zip", ["inner.dat"], _packed(("a.csv", DATA)))])
    with pytest.raises(InputError, match="archive inside an archive"):
        read_member(found)

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

from read_records import read_bytes, read_member
from segue.data.records import member as members
from segue.data.records.member import Member, find_members
from segue.data.records.opened import opened
from segue.errors import InputError

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
    for name in ("b/2.csv", "b/1.csv", "a.csv", ".hidden", ".git/x.csv", "__MACOSX/a.csv", "b/._1.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(DATA)
    _zip(tmp_path / "c.dat", ["MyData/endsong_0.json"])
    names = [found.name for found in find_members([tmp_path])]
    assert names == ["a.csv", "b/1.csv", "b/2.csv", "c.dat/MyData/endsong_0.json"]


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
    for path, message in ((tmp_path / "folder", "holds no file"), (_zip(tmp_path / "e.zip", []), "holds no file")):
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


def test_an_archive_inside_an_archive_is_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.csv", DATA)
    (found,) = find_members([_zip(tmp_path / "x.zip", ["inner.zip"], inner.getvalue())])
    with pytest.raises(InputError, match="archive inside an archive"):
        read_member(found)

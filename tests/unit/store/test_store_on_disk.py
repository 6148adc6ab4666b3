"""A store is whole or absent, keeps what was put in, refuses what was damaged; keys have golden values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segue.errors import FormatError, InputError
from segue.hashing import fnv1a64, pack_text, session_keys, splitmix64
from segue.store import UNKNOWN, Store, StoreWriter, Vocabulary
from segue.store.manifest import SideColumn, StoreSource
from segue.store.writer import SessionColumns, ShardPieces

SOURCE = StoreSource("table", "test")
SIDE = (SideColumn("tempo", "float32"), SideColumn("date", "int32", "session"))


def shard(seed: int) -> SessionColumns:
    offsets = np.array([0, 2, 3, 6], np.int64)
    tracks = np.array([3, 5, 4, 5, 5, 3], np.int32)
    side = {"tempo": np.arange(6, dtype=np.float32), "date": np.arange(3, dtype=np.int32)}
    return SessionColumns(
        tracks, np.array([0, 3, 255, 1, 2, 0], np.uint8), offsets, np.arange(3).astype("u8") + seed, side
    )


def write(path: Path, *, overwrite: bool = False) -> Store:
    with StoreWriter(path, SOURCE, SIDE, overwrite=overwrite) as writer:
        writer.add_shard(shard(0))
        writer.add_shard(shard(9))
        writer.finish(Vocabulary(*pack_text(["007", "7", "é"])))
    return Store(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = write(tmp_path / "s")
    store.verify()
    assert (store.num_sessions, store.num_rows, store.num_tracks) == (6, 12, 3)
    assert store.offsets.tolist() == [0, 2, 3, 6, 8, 9, 12]
    assert store.tracks.tolist() == [3, 5, 4, 5, 5, 3] * 2
    assert store.side("date").tolist() == [0, 1, 2] * 2
    assert store.vocabulary.rows(["007", "7", "é", "07"]) == [3, 4, 5, UNKNOWN]
    assert [store.vocabulary.track_id(row) for row in (3, 4, 5)] == ["007", "7", "é"]


def test_a_shard_in_pieces_has_the_bytes_of_the_whole(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    with StoreWriter(tmp_path / "pieces", SOURCE, SIDE) as writer:
        for seed in (0, 9):
            whole = shard(seed)
            arrays = {**vars(whole), **whole.side}
            pieces = {name: np.array_split(arrays[name], (0, 2)) for name in arrays if name != "side"}
            writer.add_pieces(ShardPieces(3, 6, pieces.__getitem__))
        writer.finish(Vocabulary(*pack_text(["007", "7", "é"])))
    for file in (tmp_path / "whole").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "pieces" / file.relative_to(tmp_path / "whole")).read_bytes(), file


@pytest.mark.parametrize("name", ["shard-00000/tracks.npy", "shard-00001/strength.npy", "vocabulary/bytes.npy"])
def test_a_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    write(tmp_path / "s")
    data = bytearray((tmp_path / "s" / name).read_bytes())
    data[-1] ^= 1
    (tmp_path / "s" / name).write_bytes(data)
    with pytest.raises(FormatError):
        Store(tmp_path / "s").verify()


@pytest.mark.parametrize("name", ["shard-00000/tracks.npy", "manifest.json", "vocabulary/offsets.npy"])
def test_a_cut_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "s")
    file = tmp_path / "s" / name
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(FormatError):
        Store(tmp_path / "s").verify()
    file.unlink()
    with pytest.raises(FormatError):
        Store(tmp_path / "s").verify()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s")
    manifest = tmp_path / "s" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": 2}))
    with pytest.raises(FormatError, match="update Segue"):
        Store(tmp_path / "s")


def test_a_broken_off_writing_leaves_nothing(tmp_path: Path) -> None:
    def broken_off() -> None:
        with StoreWriter(tmp_path / "s", SOURCE, SIDE) as writer:
            writer.add_shard(shard(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert list(tmp_path.iterdir()) == []


def test_only_a_store_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "s")
    with pytest.raises(InputError, match="--overwrite"):
        write(tmp_path / "s")
    assert write(tmp_path / "s", overwrite=True).num_rows == 12
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("x")
    with pytest.raises(InputError, match="not ours"):
        write(tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "precious.txt").read_text() == "x"


def test_hashes_have_their_published_values() -> None:
    hashes = fnv1a64(*pack_text(["", "a", "foobar"]))
    assert [hex(h) for h in hashes] == ["0xcbf29ce484222325", "0xaf63dc4c8601ec8c", "0x85944171f73967e8"]
    assert hex(splitmix64(np.zeros(1, np.uint64))[0]) == "0xe220a8397b1dcdaf"
    assert session_keys(*pack_text(["a"]))[0] == splitmix64(hashes[1:2])[0]

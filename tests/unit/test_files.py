"""Folders that killed processes leave are removed, those of living ones and of others are not."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from segue.files import replaced_folder


def left_behind(folder: Path, name: str, age_s: float = 3600.0) -> Path:
    """Return a temporary folder as a killed process leaves it."""
    path = folder / name
    path.mkdir()
    (path / "tracks.npy").write_bytes(b"half")
    old = path.stat().st_mtime - age_s
    os.utime(path, (old, old))
    return path


def test_only_what_a_dead_process_left_for_this_folder_is_removed(tmp_path: Path) -> None:
    dead = left_behind(tmp_path, ".sto[r]e.abc.part")
    others = [left_behind(tmp_path, name) for name in (".store.abc.part", ".sto[r]e.abc.old", "sto[r]e.abc.part")]
    young = left_behind(tmp_path, ".sto[r]e.new.part", 5.0)
    living = left_behind(tmp_path, ".sto[r]e.def.part")
    (tmp_path / ".sto[r]e.link.part").symlink_to(others[0])
    descriptor = os.open(living, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with replaced_folder(tmp_path / "sto[r]e", overwrite=False, marker="marker") as folder:
            (folder / "marker").write_text("")
    finally:
        os.close(descriptor)
    assert not dead.exists()
    assert all((path / "tracks.npy").exists() for path in (*others, young, living))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.endswith("part")) == [
        ".sto[r]e.def.part",
        ".sto[r]e.link.part",
        ".sto[r]e.new.part",
        ".store.abc.part",
        "sto[r]e.abc.part",
    ]


def test_a_folder_at_work_is_locked_and_goes_with_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with replaced_folder(tmp_path / "store", overwrite=False, marker="marker") as folder:
            descriptor = os.open(folder, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(descriptor)
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert list(tmp_path.iterdir()) == []

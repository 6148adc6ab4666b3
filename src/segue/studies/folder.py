"""A study on disk, study_version 1.

study.json              the marker: study, store, seeds, overrides
cells/NAME/cell.json    what a finished cell gave; written last
cells/NAME/...          a reported cell's evaluation of the test targets
runs/NAME/              the run of an unfinished cell (kept afterwards only where asked)
baselines/              the baselines' evaluation
result.json report.md report.html
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from segue.errors import FormatError, InputError
from segue.evaluation import Evaluation, load_evaluation, save_evaluation
from segue.files import read_json_object, replaced_folder, write_json
from segue.studies.design import Cell

STUDY_VERSION: Final = 1
MARKER: Final = "study.json"
BASELINES: Final = "baselines"
_CELL: Final = "cell.json"
_EVALUATION: Final = "evaluation"
_LOCK: Final = "lock"
_PATIENCE_S: Final = 20.0
"""What orphaned workers are given to end."""


class StudyFolder:
    """The folder of one study."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def begin(cls, path: str | Path, document: Mapping[str, Any], *, overwrite: bool) -> StudyFolder:
        """Return the study's folder, new or to go on with.

        Raises:
            InputError: the folder holds something else, or the study of other settings (and `overwrite` is not set).
        """
        folder, wanted = cls(path), {"study_version": STUDY_VERSION, **document}
        if overwrite or not (folder.path / MARKER).is_file():
            with replaced_folder(folder.path, overwrite=overwrite, marker=MARKER) as fresh:
                write_json(fresh / MARKER, wanted)
            return folder
        found = read_json_object(folder.path / MARKER, "study_version")
        if found["study_version"] != STUDY_VERSION:
            raise FormatError(
                f"{path} has study_version {found['study_version']!r}, this Segue reads {STUDY_VERSION}; "
                "name another folder"
            )
        changed = [key for key in wanted if found.get(key) != wanted[key]]
        if changed:
            told = "; ".join(f"{key}: {found.get(key)} there, {wanted[key]} asked for" for key in changed)
            raise InputError(f"{path} holds another study ({told}); name another folder, or add --overwrite")
        return folder

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the study for one process at a time; yields the descriptor, which workers keep open while they live.

        So what a killed study left running must end before the next one begins (it does when it looks up).

        Raises:
            InputError: another process works on it.
        """
        with (self.path / _LOCK).open("w") as handle:
            deadline = time.monotonic() + _PATIENCE_S
            while not _lock(handle.fileno()):
                if time.monotonic() > deadline:
                    raise InputError(f"another process works on {self.path}; wait for it, or name another folder")
                time.sleep(0.1)
            yield handle.fileno()

    def run(self, cell: Cell) -> Path:
        """Return the run folder of a cell."""
        return self.path / "runs" / cell.name

    def finished(self, cell: Cell) -> bool:
        """Return whether the cell need not be run again."""
        return (self._cell(cell) / _CELL).is_file()

    def finish(self, cell: Cell, record: Mapping[str, Any], found: Evaluation | None) -> None:
        """Keep what a cell gave, whole or not at all."""
        home = self._cell(cell)
        shutil.rmtree(home, ignore_errors=True)
        with replaced_folder(home, overwrite=False, marker=_CELL) as fresh:
            if found is not None:
                save_evaluation(fresh / _EVALUATION, found)
            write_json(fresh / _CELL, dict(record))

    def record(self, cell: Cell) -> dict[str, Any]:
        """Return what `finish` was told of the cell."""
        return read_json_object(self._cell(cell) / _CELL)

    def evaluation(self, cell: Cell) -> Evaluation:
        """Return the evaluation of a finished, reported cell."""
        return load_evaluation(self._cell(cell) / _EVALUATION)

    def drop_run(self, cell: Cell) -> None:
        """Remove the run of a cell, weights and all."""
        shutil.rmtree(self.run(cell), ignore_errors=True)

    def has_baselines(self) -> bool:
        """Return whether the baselines were measured."""
        return (self.path / BASELINES).is_dir()

    def save_baselines(self, found: Evaluation) -> None:
        """Keep the baselines' evaluation, whole or not at all."""
        with replaced_folder(self.path / BASELINES, overwrite=False, marker=BASELINES) as fresh:
            save_evaluation(fresh / _EVALUATION, found)

    def baselines(self) -> Evaluation:
        """Return the baselines' evaluation."""
        return load_evaluation(self.path / BASELINES / _EVALUATION)

    def _cell(self, cell: Cell) -> Path:
        return self.path / "cells" / cell.name


def _lock(descriptor: int) -> bool:
    """Return whether the lock was free; it is held then."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

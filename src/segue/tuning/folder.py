"""A search on disk, tune_version 1: what was asked for, one file a trial that has ended, the run folders at work.

tune.json              the marker: what is searched, on which store, how many trials
trials/00007.json      one trial that has ended
optuna.jsonl           Optuna's journal (a search with Optuna)
runs/00007/            the run of a trial: while it trains, and for good where its weights are kept
result.json best.toml history.png ...    written at the end
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from segue.errors import FormatError, InputError
from segue.files import read_json_object, replaced_folder, write_json
from segue.tuning.trial import Trial, best_of, trial_from_json

TUNE_VERSION: Final = 1
MARKER: Final = "tune.json"
JOURNAL: Final = "optuna.jsonl"
_KEYS: Final = ("tune_version", "recipe", "grid", "trials", "fixed", "command", "store")


class TuneFolder:
    """The folder of one search; `create` makes it, `open` finds it."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, dict(manifest)

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any], *, overwrite: bool) -> TuneFolder:
        """Return a new folder without trials.

        Raises:
            InputError: `path` exists (and `overwrite` is not set, or it is no search).
        """
        versioned = {"tune_version": TUNE_VERSION, **manifest}
        with replaced_folder(path, overwrite=overwrite, marker=MARKER) as folder:
            write_json(folder / MARKER, versioned)
            (folder / "trials").mkdir()
            (folder / "runs").mkdir()
        return cls(path, versioned)

    @classmethod
    def open(cls, path: Path) -> TuneFolder:
        """Return the search at `path`.

        Raises:
            FormatError: no search, a damaged one, or one of another version.
        """
        if not (path / MARKER).is_file():
            raise FormatError(f"{path} is no search (it has no {MARKER}); name a folder that segue tune made")
        manifest = read_json_object(path / MARKER, "tune_version")
        if manifest["tune_version"] != TUNE_VERSION:
            raise FormatError(
                f"{path} has tune_version {manifest['tune_version']!r}, this Segue reads {TUNE_VERSION}; update Segue"
            )
        return cls(path, read_json_object(path / MARKER, *_KEYS))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone.

        Raises:
            InputError: another process holds it.
        """
        with (self.path / ".lock").open("w") as file:  # the lock goes with the process, however it ends
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"another segue tune is at work in {self.path}; let it end, or stop it") from None
            yield

    def ask_for(self, trials: int) -> None:
        """Change the number of trials."""
        self.manifest["trials"] = trials
        write_json(self.path / MARKER, self.manifest)

    def run(self, number: int) -> Path:
        """Return the run folder of a trial."""
        return self.path / "runs" / f"{number:05d}"

    def trials(self) -> dict[int, Trial]:
        """Return the trials that have ended, by number, in order."""
        found = {}
        for path in sorted((self.path / "trials").glob("*.json")):
            try:
                trial = trial_from_json(read_json_object(path), str(path))
            except InputError as error:
                raise FormatError(f"{path} is damaged ({error}); remove it, and its trial is trained again") from error
            found[trial.number] = trial
        return dict(sorted(found.items()))

    def keep(self, trial: Trial) -> None:
        """Write a trial that has ended; from here on it is never trained again."""
        write_json(self.path / "trials" / f"{trial.number:05d}.json", trial.to_json())

    def sweep(self) -> None:
        """Remove the half-made folders that a kill leaves behind; only while no trial trains."""
        for path in (self.path / "runs").iterdir():
            if not path.name.isdigit():
                shutil.rmtree(path, ignore_errors=True)

    def drop_runs(self) -> None:
        """Remove the runs of the trials that have ended, but the best one's."""
        ended = self.trials()
        best = best_of(ended.values())
        for number in ended:
            if best is None or number != best.number:
                shutil.rmtree(self.run(number), ignore_errors=True)

"""A folder of trials on disk.

study.json or tune.json      the marker: settings of the study or search
trials/NAME/trial.json       a trial that has ended, and how; written last
trials/NAME/evaluation/      its evaluation on the test targets, if they were measured
runs/NAME/                   the run of a trial while it trains, and afterwards if its weights are kept
lock
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from segue.config import build
from segue.errors import FormatError, InputError
from segue.evaluation import Evaluation, load_evaluation, save_evaluation
from segue.files import read_json_object, replaced_folder, write_json
from segue.studies.trials.trial import Outcome, Trial

VERSION: Final = 2
_ENDED: Final = "trial.json"
_EVALUATION: Final = "evaluation"
_PATIENCE_S: Final = 20.0
"""How long the workers of a killed command may take to end."""


class TrialFolder:
    """The folder of one study or search."""

    def __init__(self, path: str | Path, document: Mapping[str, Any] | None = None, verb: str = "study") -> None:
        """`document`: the marker's content; `verb`: the command that makes such folders, study or tune."""
        self.path, self.document, self._verb = Path(path), dict(document or {}), verb

    @classmethod
    def create(cls, path: str | Path, document: Mapping[str, Any], verb: str, *, overwrite: bool) -> TrialFolder:
        """Return a new folder without trials.

        Raises:
            InputError: `path` exists, and `overwrite` is not set or it is not a folder of this verb.
        """
        folder = cls(path, document, verb)
        with replaced_folder(folder.path, overwrite=overwrite, marker=marker_of(verb)) as fresh:
            write_json(fresh / marker_of(verb), {f"{verb}_version": VERSION, **document})
        return folder

    @classmethod
    def open(cls, path: str | Path, verb: str, keys: Collection[str] = ()) -> TrialFolder:
        """Return the folder at `path`, whose marker has at least `keys`.

        Raises:
            FormatError: it is not a folder of this verb, is damaged, or has another version.
        """
        marker, key = Path(path) / marker_of(verb), f"{verb}_version"
        if not marker.is_file():
            raise FormatError(f"{path} has no {marker.name}; name a folder that segue {verb} made")
        version = read_json_object(marker, key)[key]
        if version != VERSION:
            raise FormatError(f"{path} has {key} {version!r}, this Segue reads {VERSION}; name another folder")
        document = read_json_object(marker, *keys)
        return cls(path, {name: value for name, value in document.items() if name != key}, verb)

    def change(self, **values: Any) -> None:
        """Write other values of the marker."""
        self.document |= values
        write_json(self.path / marker_of(self._verb), {f"{self._verb}_version": VERSION, **self.document})

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Lock the folder for one command; yields the descriptor, which workers keep open while they live.

        The workers of a command that was killed end before the next command begins.

        Raises:
            InputError: another process works in it.
        """
        with (self.path / "lock").open("w") as handle:  # the lock ends with the processes, however they end
            deadline = time.monotonic() + _PATIENCE_S
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise InputError(
                            f"another process is at work in {self.path}; wait for it, or name another folder"
                        ) from None
                    time.sleep(0.1)
            yield handle.fileno()

    def run(self, name: str) -> Path:
        """Return the run folder of a trial."""
        return self.path / "runs" / name

    def ended(self, name: str) -> bool:
        """Return whether a trial has ended: it is never made again."""
        return (self._trial(name) / _ENDED).is_file()

    def finish(self, trial: Trial, outcome: Outcome, evaluation: Evaluation | None = None) -> None:
        """Write how a trial ended, whole or not at all."""
        shutil.rmtree(self._trial(trial.name), ignore_errors=True)
        with replaced_folder(self._trial(trial.name), overwrite=False, marker=_ENDED) as fresh:
            if evaluation is not None:
                save_evaluation(fresh / _EVALUATION, evaluation)
            write_json(fresh / _ENDED, {"trial": asdict(trial), "outcome": asdict(outcome)})

    def trial(self, name: str) -> tuple[Trial, Outcome]:
        """Return a trial that has ended, and how.

        Raises:
            FormatError: its file is damaged.
        """
        path = self._trial(name) / _ENDED
        document = read_json_object(path, "trial", "outcome")
        try:
            return build(Trial, document["trial"], str(path)), build(Outcome, document["outcome"], str(path))
        except InputError as error:
            raise FormatError(f"{path} is damaged ({error}); remove it, and its trial is trained again") from error

    def evaluation(self, name: str) -> Evaluation:
        """Return a trial's evaluation on the test targets."""
        return load_evaluation(self._trial(name) / _EVALUATION)

    def drop_run(self, name: str) -> None:
        """Remove the run of a trial, weights and all."""
        shutil.rmtree(self.run(name), ignore_errors=True)

    def sweep(self) -> None:
        """Remove the half-made folders that a kill leaves behind; only while no trial is made."""
        for path in (*self.path.glob("runs/.*.part"), *self.path.glob("trials/.*.part")):
            shutil.rmtree(path, ignore_errors=True)

    def _trial(self, name: str) -> Path:
        return self.path / "trials" / name


def marker_of(verb: str) -> str:
    """Return the name of the file by which a folder of `verb` is known."""
    return f"{verb}.json"

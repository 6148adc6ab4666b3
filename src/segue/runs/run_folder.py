"""A run on disk, run_version 1.

run.json               the marker: run_version, and a hash of config.toml
config.toml            the resolved recipe
environment.json       versions, commit, device, threads, seed, store fingerprint, simulated
state.json             where the run stands
metrics.jsonl          one line an epoch, the same bytes for the same run
timings.jsonl          one line an epoch, wall times
vocabulary/ tracks/    copies of the store's, so that a run recommends without its store
training_counts.npy    int64 [V + 3], plays of each table row in training
candidates.npy         int32 [C], table rows that may be ranked
ranking.json           how heads weigh in the ranking, where validation chose it
features.json          names of the features that the encoder reads, and what each is standardised by
extended/              the same run with tracks that came after training (see `segue.runs.extending`)
best/weights.safetensors
last/checkpoint.safetensors    weights, optimiser, generators; a finished run has last/weights.safetensors only
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from segue.batches.split import Split
from segue.batches.track_features import feature_facts
from segue.config import dump_toml, read_toml
from segue.errors import FormatError, InputError
from segue.files import (
    check_replaceable,
    read_json,
    read_json_object,
    replaced_file,
    replaced_folder,
    write_json,
)
from segue.recipes import Recipe, recipe_from_tables
from segue.store import Store
from segue.store.writer import TEXT_COLUMNS

T = TypeVar("T")
_Lines = Literal["metrics", "timings"]
_Weights = Literal["best", "last"]
RUN_VERSION: Final = 1
MARKER: Final = "run.json"
CONFIG: Final = "config.toml"
WEIGHTS: Final = "weights.safetensors"
CHECKPOINT: Final = "checkpoint.safetensors"
RANKING: Final = "ranking.json"
FEATURES: Final = "features.json"
_DOCUMENT: Final = "segue"
"""Key of the JSON document in the header of a safetensors file, which maps text to text."""


class RunFolder:
    """The folder of one run, from `create` or `open`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(
        cls,
        path: str | Path,
        recipe: Recipe,
        split: Split,
        store: Store,
        *,
        environment: Mapping[str, Any],
        overwrite: bool = False,
    ) -> RunFolder:
        """Return a new run folder that holds all but weights and metrics.

        Raises:
            InputError: `path` exists (and `overwrite` is not set, or it is not a run).
        """
        with replaced_folder(Path(path), overwrite=overwrite, marker=MARKER) as folder:
            (folder / CONFIG).write_text(dump_toml(recipe.to_tables()), encoding="utf-8")
            write_json(folder / MARKER, {"run_version": RUN_VERSION, "config": _hash(folder / CONFIG)})
            write_json(folder / "environment.json", dict(environment))
            store.vocabulary.write(folder / "vocabulary")
            for name in TEXT_COLUMNS:
                column = store.track_text(name)
                if column is not None:
                    column.write(folder / "tracks" / name)
            np.save(folder / "training_counts.npy", split.training_counts.astype("<i8"), allow_pickle=False)
            np.save(folder / "candidates.npy", split.candidates.astype("<i4"), allow_pickle=False)
            raw = store.track_array("features")
            if "features" in recipe.inputs and raw is not None:
                write_json(folder / FEATURES, feature_facts(store.manifest.feature_names, raw))
            (folder / "metrics.jsonl").touch()
            (folder / "timings.jsonl").touch()
            write_json(folder / "state.json", {"status": "started", "epoch": 0})
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Return the run at `path`.

        Raises:
            FormatError: not a run, or one of another run_version.
        """
        folder = Path(path)
        if not (folder / MARKER).is_file():
            raise FormatError(f"{folder} is not a run (it has no {MARKER}); name a folder that segue train made")
        document = read_json(folder / MARKER)
        version = document.get("run_version") if isinstance(document, dict) else None
        if version != RUN_VERSION:
            raise FormatError(
                f"{folder} has run_version {version!r}, this Segue reads {RUN_VERSION}; update Segue or train again"
            )
        return cls(folder)

    @staticmethod
    def check_free(path: str | Path, *, overwrite: bool) -> None:
        """Refuse early what `create` would refuse (see there)."""
        check_replaceable(Path(path), overwrite=overwrite, marker=MARKER)

    def recipe(self) -> Recipe:
        """Return the resolved recipe of `config.toml`.

        Raises:
            FormatError: the file is not the one that was written: what a cut one lacks would be read as defaults.
            InputError: it holds no recipe.
        """
        path = self.path / CONFIG
        recipe, written = recipe_from_tables(read_toml(path), str(path)), read_json_object(self.path / MARKER)
        if written.get("config", _hash(path)) != _hash(path):  # runs of older versions have none
            raise FormatError(f"{path} has changed since the run was made; restore it, or train again")
        return recipe

    def environment(self) -> dict[str, Any]:
        """Return `environment.json`; `store` (name, fingerprint, counts) is an object where it stands."""
        document = read_json_object(self.path / "environment.json", "store")
        if not isinstance(document["store"], dict) or "fingerprint" not in document["store"]:
            raise FormatError(f"{self.path / 'environment.json'}: store names no fingerprint; the folder is damaged")
        return document

    def state(self) -> dict[str, Any]:
        """Return `state.json`: at least status (started, running, interrupted, failed, finished) and epoch."""
        return read_json_object(self.path / "state.json", "status", "epoch")

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace `state.json`."""
        write_json(self.path / "state.json", dict(state))

    def ranking(self) -> dict[str, Any] | None:
        """Return `ranking.json`, at least listen_weight; None where nothing was chosen."""
        if not (self.path / RANKING).is_file():
            return None
        return read_json_object(self.path / RANKING, "listen_weight")

    def save_ranking(self, document: Mapping[str, Any]) -> None:
        """Replace `ranking.json`."""
        write_json(self.path / RANKING, dict(document))

    def ranking_weights(self, head: str, kind: type[T]) -> T:
        """Return the weights of a head in the ranking that validation chose; the defaults of `kind` where none were.

        Raises:
            FormatError: they are not weights that validation could choose.
        """
        saved, names = (self.ranking() or {}).get(head, {}), [field.name for field in fields(kind)]  # type: ignore[arg-type]
        try:
            return kind(**{name: float(saved[name]) for name in names if name in saved})
        except (TypeError, ValueError) as error:
            raise FormatError(f"{self.path / RANKING}: {head}: {error}; train the run again") from error

    def listen_weight(self) -> float:
        """Return lambda, the weight of log P(listen) in the ranking; 0 where none was chosen.

        Raises:
            FormatError: it is not a number of 0 or more.
        """
        weight = (self.ranking() or {"listen_weight": 0.0})["listen_weight"]
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise FormatError(f"{self.path / RANKING}: listen_weight is {weight!r}; train the run again")
        return float(weight)

    def save_weights(self, name: _Weights, weights: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
        """Replace the weights of `best/` or `last/`; `document` (epoch, metrics) goes into the file's header."""
        write_tensors(self.path / name / WEIGHTS, weights, document)

    def weights(self, name: _Weights = "best") -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the weights of `best/` or `last/` on the CPU and their document."""
        return read_tensors(self.path / name / WEIGHTS)

    def save_checkpoint(self, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
        """Replace `last/checkpoint.safetensors`: one file, so that no kill leaves half a checkpoint."""
        write_tensors(self.path / "last" / CHECKPOINT, tensors, document)

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what `save_checkpoint` wrote last, or None before the first."""
        path = self.path / "last" / CHECKPOINT
        return read_tensors(path) if path.is_file() else None

    def drop_checkpoint(self) -> None:
        """Remove the optimiser state of a finished run."""
        (self.path / "last" / CHECKPOINT).unlink(missing_ok=True)

    def append(self, name: _Lines, line: Mapping[str, Any]) -> None:
        """Append one JSON line to `metrics.jsonl` or `timings.jsonl`."""
        with (self.path / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(_json_line(line))

    def lines(self, name: _Lines = "metrics") -> list[dict[str, Any]]:
        """Return the complete lines of `metrics.jsonl` or `timings.jsonl`, without a last line that was cut off."""
        path = self.path / f"{name}.jsonl"
        try:
            whole = [line for line in path.read_text(encoding="utf-8").split("\n")[:-1] if line]
            return [json.loads(line) for line in whole]
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{path} cannot be read as lines of JSON ({error}); the folder is damaged") from error

    def keep_epochs(self, epochs: int) -> None:
        """Cut `metrics.jsonl` and `timings.jsonl` to the first `epochs` epochs (before a resume)."""
        for name in get_args(_Lines):
            first = [line for line in self.lines(name) if line["epoch"] <= epochs]
            with replaced_file(self.path / f"{name}.jsonl") as temporary:
                temporary.write_text("".join(map(_json_line, first)), encoding="utf-8")

    def check_disk(self, weight_bytes: int) -> None:
        """Refuse to begin a run that cannot be saved.

        Adam holds two numbers a parameter, so a checkpoint is 3 times the weights; while one replaces another both
        stand on disk, beside best/ and its own replacement: 8 times the weights.

        Raises:
            InputError: less is free than that.
        """
        needed = 8 * weight_bytes
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise InputError(
                f"{self.path}: checkpoints need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
                "free some disk or name another folder"
            )


def write_tensors(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write `tensors` and the JSON `document` to `path` in one renamed file.

    Equal input gives equal bytes: the document's keys are sorted, tensors are laid out by safetensors.
    """
    header = {_DOCUMENT: json.dumps(document, sort_keys=True, allow_nan=False)}
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replaced_file(path) as temporary:
        save_file(saved, temporary, metadata=header)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the document of a file that `write_tensors` wrote.

    Raises:
        FormatError: missing, damaged, or not written by Segue.
    """
    if not path.is_file():
        raise FormatError(f"{path} is missing; the run has not come so far, or is damaged")
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {})[_DOCUMENT])
            return {name: file.get_tensor(name) for name in file.keys()}, document  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise FormatError(f"{path} is damaged ({error}); train again") from error


def _json_line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, allow_nan=False) + "\n"


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()

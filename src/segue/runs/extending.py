"""A run with tracks that came after training: the encoder reads and ranks them by their features.

The result is `RUN/extended`, a second run beside the trained one, which does not change and can still be evaluated.
Table rows follow the byte order of the ids. So the rows behind a new track move, and all arrays by row with them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.batches.track_features import standardised
from segue.errors import FormatError, InputError, NonFiniteError
from segue.files import read_json_object, replaced_folder, write_json
from segue.runs.loaded_run import LoadedRun, load_run, renamed
from segue.runs.run_folder import FEATURES, MARKER, RANKING, WEIGHTS, RunFolder, write_tensors
from segue.store import NUM_SPECIALS, Vocabulary
from segue.store.vocabulary import TextColumn, read_array
from segue.store.writer import TEXT_COLUMNS

EXTENDED: Final = "extended"
_KEYS: Final = re.compile(r"heads\.transitions\.(pairs|pairs_\d+|keys_\d+)")
"""Buffers of keys number * rows + row. The number is a row in `pairs` and `keys_2`, else that of a sequence."""
_OF_ROWS: Final = "heads.neighbours.tracks"
"""Weights whose values are table rows."""
_BY_ROW: Final = (
    "table.weight",
    "untrained",
    "inputs.features.values",
    "inputs.features.trained",
    "heads.transitions.followed",
    "heads.listen.plays",
    "heads.listen.listens",
)
"""Weights with an entry a table row."""


@dataclass(frozen=True)
class NewTracks:
    """Tracks that a run does not know yet, N of them, ids ascending in UTF-8 byte order."""

    ids: Sequence[str]
    features: NDArray[np.float32]
    """[N, F], the features that the run reads, in their order; NaN where unknown."""
    texts: Mapping[str, Sequence[str]]
    """Titles and artists by column, [N] each, where known."""


def serving(path: str | Path) -> Path:
    """Return the folder to rank by for the run at `path`: its `extended` folder if it has one, else itself."""
    extended = Path(path) / EXTENDED
    return extended if (extended / MARKER).is_file() else Path(path)


def load_serving(path: str | Path) -> LoadedRun:
    """Return the run of the folder `serving(path)`, ready to rank.

    Raises:
        FormatError: not a run, damaged, or without weights. NonFiniteError: weights that are not finite.
    """
    run = load_run(serving(path))
    for name, weights in run.encoder.named_parameters():
        if not torch.isfinite(weights).all():
            raise NonFiniteError(f"{path}: {name} holds values that are not finite; train again")
    return run


def feature_names(path: str | Path) -> list[str]:
    """Return the features that the run at `path` reads.

    Raises:
        InputError: it reads none.
    """
    return [str(name) for name in _feature_facts(Path(path))["names"]]


def extend_run(path: str | Path, new: NewTracks) -> Path:
    """Write `path/extended`, the run of `serving(path)` with `new` tracks, and return that folder.

    Raises:
        InputError: the run reads no features.
        FormatError: it is not a run, is damaged, or has no weights.
    """
    before = serving(path)
    run, facts = RunFolder.open(before), _feature_facts(before)
    vocabulary = Vocabulary.read(before / "vocabulary")
    assert isinstance(vocabulary, Vocabulary), "it reads its own kind"
    weights, best = run.weights("best")
    mean, spread = (np.array(facts[name], np.float64) for name in ("mean", "spread"))
    rows = _RowMoves(vocabulary.places(new.ids), len(vocabulary))
    weights = {name: rows.moved(name, value) for name, value in renamed(weights).items()}
    if weights["inputs.features.values"].shape[1] != new.features.shape[1]:
        raise FormatError(f"{before / FEATURES} does not fit the weights; train the run again")
    weights["inputs.features.values"][rows.new] = torch.from_numpy(standardised(new.features, mean, spread))
    environment = run.environment()
    environment["extended"] = {"tracks": len(new.ids) + environment.get("extended", {"tracks": 0})["tracks"]}
    with replaced_folder(Path(path) / EXTENDED, overwrite=True, marker=MARKER) as folder:
        for name in (MARKER, "config.toml", "state.json", "metrics.jsonl", "timings.jsonl", FEATURES, RANKING):
            if (before / name).is_file():
                shutil.copyfile(before / name, folder / name)
        write_json(folder / "environment.json", environment)
        vocabulary.with_inserted(rows.before, new.ids).write(folder / "vocabulary")
        for name in TEXT_COLUMNS:
            if (before / "tracks" / name).is_dir():
                texts = new.texts.get(name, [""] * len(new.ids))
                column = TextColumn.read(before / "tracks" / name).with_inserted(rows.before, texts)
                column.write(folder / "tracks" / name)
        counts = torch.from_numpy(np.array(read_array(before / "training_counts.npy")))
        np.save(folder / "training_counts.npy", rows.by_row(counts).numpy().astype("<i8"), allow_pickle=False)
        old = np.array(read_array(before / "candidates.npy"))
        candidates = np.union1d(rows.old[old], rows.new)
        np.save(folder / "candidates.npy", candidates.astype("<i4"), allow_pickle=False)
        (folder / "best").mkdir()
        write_tensors(folder / "best" / WEIGHTS, weights, best)
    return Path(path) / EXTENDED


class _RowMoves:
    """The new table rows after tracks are inserted."""

    def __init__(self, before: NDArray[np.int64], num_tracks: int) -> None:
        """`before`: how many of the `num_tracks` come before each new one, ascending."""
        self.before = before
        index = np.arange(num_tracks)
        shift = np.concatenate((np.zeros(NUM_SPECIALS, np.int64), np.searchsorted(before, index, side="right")))
        self.old = np.arange(num_tracks + NUM_SPECIALS) + shift
        """New row of each old one."""
        self.new = before + np.arange(len(before)) + NUM_SPECIALS
        """Rows of the new tracks."""
        self.num = num_tracks + NUM_SPECIALS + len(before)

    def moved(self, name: str, value: Tensor) -> Tensor:
        """Return the weights `name` of the extended run."""
        if _KEYS.fullmatch(name):
            rows, old = len(self.old), torch.from_numpy(self.old)
            number = value // rows
            return (old[number] if name.endswith((".pairs", ".keys_2")) else number) * self.num + old[value % rows]
        if name == _OF_ROWS:
            if len(value) and not 0 <= int(value.min()) <= int(value.max()) < len(self.old):
                raise FormatError("the run's weights do not fit its vocabulary; train it again")
            return torch.from_numpy(self.old)[value.long()].to(value.dtype)
        return self.by_row(value) if name in _BY_ROW else value

    def by_row(self, value: Tensor) -> Tensor:
        """Return a tensor by table row with its entries at their new rows, and 0 for new tracks."""
        if len(value) != len(self.old):
            raise FormatError("the run's weights do not fit its vocabulary; train it again")
        result = value.new_zeros((self.num, *value.shape[1:]))
        result[torch.from_numpy(self.old)] = value
        return result


def _feature_facts(path: Path) -> dict[str, Any]:
    features = RunFolder.open(path).recipe().inputs.get("features")
    if features is None or (features.optional and not (path / FEATURES).is_file()):
        raise InputError(
            f"{path} was trained without features of tracks, which a new track needs; train a recipe with "
            "--set inputs.features=true on a store prepared with --tracks"
        )
    if not (path / FEATURES).is_file():
        raise InputError(f"{path} does not say which features it reads ({FEATURES} is missing); train it again")
    facts = read_json_object(path / FEATURES, "names", "mean", "spread")
    lists = [facts[name] for name in ("names", "mean", "spread")]
    numbers = all(isinstance(value, int | float) for part in lists[1:] if isinstance(part, list) for value in part)
    if not all(isinstance(part, list) and len(part) == len(lists[0]) for part in lists) or not numbers:
        raise FormatError(f"{path / FEATURES} is damaged; train the run again")
    return facts

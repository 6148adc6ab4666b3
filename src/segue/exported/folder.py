"""The files of an export, their shapes, and their verification against the manifest.

manifest.json            facts about the model, and the hash of every file
encoder.onnx             rows of a session's tracks, feedback -> state [B, D] after its last track
listen.onnx              state -> direction u [B, D] and level c [B] of the logit of P(listen); only with that head
table.npy                float32 [V + 3, D], rows for ranking
scan_int4.npy            uint8 [N, P, W / 2], the candidates' rows in 4 bits, P parts, the first value in the lower half
scan_step.npy            float32 [N, P], a value is about (4 bits - 8) * the step of its part
scan_order.npy           int32 [N], table row of each, in whole blocks of BLOCK; 0 = padding
listen_offset.npy        float32 [V + 3], the track's own term in the logit of P(listen)
untrained.npy            int32 [U], rows that are ranked only where heads give them mass, ascending; their rows of the
                         table are that of UNKNOWN. Only where every track of the store may be ranked
copy/                    ask float32 [D, D], age float32 [A], heard float32 [6]; only with the head that copies
transitions/             begin int64 [V + 4], tracks int32, times int32 (successors of a row), gate float32 [O, D + 2]
                         keys_k int64 [C], begin_k [C + 1], tracks_k, times_k (those of k = 2, 3, ..., O tracks)
repeats/                 gate float32 [5, D + 2], age float32 [A, 2], time float32 [T, 2], heard float32 [6, 2],
                         now, again float32 [1], near float32 [N]; int64: ages [A - 1], minutes [T - 1]
                         (lower bounds of codes), distances [N], around [1]; only with the head of earlier plays
neighbours/              the index of training sessions: tracks int32 [N], offsets int64 [S + 1], distinct bool [N],
                         postings int64, posting_offsets int64 [V + 4]; only where validation chose neighbours
plays.npy                int64 [V + 3], plays of each row in training
map.npy                  float32 [V, 2], the two principal axes of the track space
index/                   centres float32 [L, D] of cells of the track space, cell int32 [V + 3] of each row, -1 = none
vocabulary/ title/       ids and titles of the tracks
artist/                  names of artists, each once, in UTF-8 byte order
artist_code.npy          int32 [V + 3], index of each track's artist in artist/, -1 = none
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.errors import FormatError
from segue.exported.manifest import FOLDERS, MANIFEST, ExportManifest, FileFacts, read_export_manifest
from segue.neighbours.session_index import STORED, SessionIndex
from segue.skips import NUM_FEEDBACK
from segue.store.vocabulary import NUM_SPECIALS, TextColumn, Vocabulary, read_array

BLOCK: Final = 64
"""Rows of a block of the scan; a first pass keeps the best of each block."""
ENCODER: Final = "encoder.onnx"
LISTEN: Final = "listen.onnx"
REPEAT_KINDS: Final = 5
"""Kinds of earlier plays: own, near, order 2, order 3, around."""
_FARTHEST: Final = 1000
"""Most plays between two that count for one another."""
_PART: Final = 1 << 14
"""Rows checked at a time."""


def parts_in_four_bits(width: int) -> tuple[int, int]:
    """Return the number of parts of a row in 4 bits and the values of a part, which share a step.

    The runtime requires powers of two from 16 to 256.
    """
    together = min(max(16, 1 << (width - 1).bit_length()), 256)
    return -(-width // together), together


def file_facts(path: Path) -> FileFacts:
    """Return size and hash of a file."""
    with path.open("rb") as file:
        return FileFacts(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def all_facts(folder: Path) -> dict[str, FileFacts]:
    """Return the facts of every file of an export in writing, by name."""
    files = [path for name in FOLDERS for path in sorted((folder / name).glob("*")) if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in files if path.name != MANIFEST]
    return dict(zip(names, _each_facts(folder, names), strict=True))


def _each_facts(folder: Path, names: Collection[str]) -> list[FileFacts]:
    with ThreadPoolExecutor(2) as pool:
        return [*pool.map(lambda name: file_facts(folder / name), names)]


@dataclass(frozen=True)
class Successors:
    """The successors in training of each sequence of k tracks."""

    keys: NDArray[np.int64]
    """number of the sequence without its first track * (V + 3) + that track, ascending. Empty for k = 1, where the
    number of a sequence is its row."""
    begin: NDArray[np.int64]
    tracks: NDArray[np.int32]
    times: NDArray[np.int32]


@dataclass(frozen=True)
class Transitions:
    """The successors of the last k = 1, 2, ..., O tracks in training, and the gates, functions of the state."""

    orders: tuple[Successors, ...]
    gate: NDArray[np.float32]
    """By order: weights of the state [D], of log(1 + times followed), and the bias, [O, D + 2]."""


def transition_file(name: str, order: int) -> str:
    """Return the name of an array of transitions, without its suffix.

    >>> transition_file("begin", 1), transition_file("begin", 2)
    ('begin', 'begin_2')
    """
    return name if order == 1 else f"{name}_{order}"


@dataclass(frozen=True)
class Copying:
    """The head that copies from the session: score = (ask y) . row + age[tracks since] + heard[feedback]."""

    ask: NDArray[np.float32]
    age: NDArray[np.float32]
    heard: NDArray[np.float32]


@dataclass(frozen=True)
class Repeats:
    """The head that reads earlier plays of a listener: see `segue.model.heads.repeats`."""

    gate: NDArray[np.float32]
    """By kind: weights of the state [D], of log(1 + number), and the bias, [K, D + 2]."""
    age: NDArray[np.float32]
    time: NDArray[np.float32]
    heard: NDArray[np.float32]
    """The terms of w by code, of own plays and of all other kinds."""
    now: NDArray[np.float32]
    """The term of w of plays of the session, in place of age and time, [1]."""
    near: NDArray[np.float32]
    """log m of each of `distances`."""
    again: NDArray[np.float32]
    """Added to log m of plays around others if they are of tracks of the session, [1]."""
    ages: NDArray[np.int64]
    minutes: NDArray[np.int64]
    """The code of a number is how many of these it reaches."""
    distances: NDArray[np.int64]
    around: NDArray[np.int64]
    """How many plays before and after one count as around it, [1]."""


@dataclass(frozen=True)
class Cells:
    """Cells of the track space, for an index."""

    centres: NDArray[np.float32]
    """[L, D]."""
    of_row: NDArray[np.int32]
    """Cell of each table row, -1 = not a candidate."""


@dataclass(frozen=True)
class ExportFolder:
    """A verified export, its arrays memory-mapped."""

    path: Path
    manifest: ExportManifest
    table: NDArray[np.float32]
    scan_int4: NDArray[np.uint8]
    scan_step: NDArray[np.float32]
    scan_order: NDArray[np.int32]
    plays: NDArray[np.int64]
    map: NDArray[np.float32]
    vocabulary: Vocabulary
    title: TextColumn | None
    artist: Vocabulary | None
    """Names of artists, each once."""
    artist_code: NDArray[np.int32] | None
    """Index of each row's artist, -1 = none."""
    listen_offset: NDArray[np.float32] | None
    """None without a head for P(listen)."""
    transitions: Transitions | None
    copying: Copying | None = None
    repeats: Repeats | None = None
    untrained: NDArray[np.int32] | None = None
    """Table rows that are ranked only where heads give them mass; None = there are none."""
    neighbours: SessionIndex | None = None
    """None where neighbours get no mass."""
    cells: Cells | None = None
    """None without an index."""

    @cached_property
    def fingerprint(self) -> str:
        """Return the identity of this export: a hash over the names and hashes of its files."""
        hashes = "".join(f"{name}:{facts.sha256};" for name, facts in sorted(self.manifest.files.items()))
        return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def open_export(path: str | Path, *, verify: bool = True) -> ExportFolder:
    """Return the export at `path`, its files checked against the manifest and against one another.

    `verify` = False skips the hashes, not the shapes, for an export that was just verified.

    Raises:
        FormatError: not an export, damaged, changed after it was made, or with files that the manifest lacks.
    """
    folder = Path(path)
    manifest = read_export_manifest(folder)
    _check_files(folder, manifest, verify=verify)
    arrays = _Arrays(folder, manifest, verify=verify)
    facts = manifest.facts
    rows, width = facts.num_tracks + NUM_SPECIALS, facts.width
    parts, together = parts_in_four_bits(width)
    order = arrays.of("scan_order.npy", np.int32, (None,))
    _check_order(order, rows, facts.num_candidates, f"{folder}/scan_order.npy")
    listens = arrays.has(LISTEN)
    artist = arrays.texts("artist", Vocabulary, None) if arrays.has("artist/bytes.npy") else None
    return ExportFolder(
        path=folder,
        manifest=manifest,
        table=arrays.of("table.npy", np.float32, (rows, width)),
        scan_int4=arrays.of("scan_int4.npy", np.uint8, (len(order), parts, together // 2)),
        scan_step=arrays.of("scan_step.npy", np.float32, (len(order), parts)),
        scan_order=order,
        plays=arrays.of("plays.npy", np.int64, (rows,)),
        map=arrays.of("map.npy", np.float32, (facts.num_tracks, 2)),
        vocabulary=arrays.texts("vocabulary", Vocabulary, facts.num_tracks),
        title=arrays.texts("title", TextColumn, facts.num_tracks) if arrays.has("title/bytes.npy") else None,
        artist=artist,
        artist_code=None if artist is None else arrays.codes("artist_code.npy", rows, len(artist)),
        listen_offset=arrays.of("listen_offset.npy", np.float32, (rows,)) if listens else None,
        transitions=arrays.transitions(rows, width) if arrays.has("transitions/gate.npy") else None,
        copying=arrays.copying(width) if arrays.has("copy/ask.npy") else None,
        repeats=arrays.repeats(width) if arrays.has("repeats/gate.npy") else None,
        untrained=arrays.untrained(order, rows) if arrays.has("untrained.npy") else None,
        neighbours=arrays.neighbours(rows) if facts.neighbour_mass > 0 else None,
        cells=arrays.cells(order, rows, width) if arrays.has("index/centres.npy") else None,
    )


def _check_files(folder: Path, manifest: ExportManifest, *, verify: bool) -> None:
    for name, facts in manifest.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise FormatError(f"{path} is missing, or not a plain file; export the run again")
        if path.stat().st_size != facts.bytes:
            raise FormatError(f"{path} has {path.stat().st_size} bytes, not {facts.bytes}; export the run again")
    actual = _each_facts(folder, manifest.files) if verify else manifest.files.values()
    for (name, facts), of_file in zip(manifest.files.items(), actual, strict=True):
        if of_file != facts:
            raise FormatError(f"{folder / name} differs from the manifest (sha256); export the run again")


def _check_order(order: NDArray[np.int32], rows: int, candidates: int, where: str) -> None:
    real = order[order != 0]
    sound = len(order) % BLOCK == 0 and len(real) == candidates and not np.any(order[: len(real)] == 0)
    if sound and len(real):
        seen = np.bincount(real.clip(0), minlength=1)
        sound = bool(real.min() >= NUM_SPECIALS and real.max() < rows and seen.max() == 1)
    if not sound:
        raise FormatError(f"{where} does not fit the vocabulary; export the run again")


def _finite(array: NDArray[Any]) -> bool:
    """Return whether all values are finite; read in parts, since the table may be larger than memory."""
    return all(bool(np.isfinite(array[first : first + _PART]).all()) for first in range(0, len(array), _PART))


class _Arrays:
    """Reads and checks the arrays of an export."""

    def __init__(self, folder: Path, manifest: ExportManifest, *, verify: bool) -> None:
        self._folder, self._manifest, self._verify = folder, manifest, verify

    def has(self, name: str) -> bool:
        return name in self._manifest.files

    def of(self, name: str, dtype: Any, shape: tuple[int | None, ...]) -> NDArray[Any]:
        if not self.has(name):
            raise FormatError(f"{self._folder / MANIFEST} does not name {name}; export the run again")
        array = np.asarray(read_array(self._folder / name))  # np.memmap is slower to index
        fits = len(array.shape) == len(shape) and all(
            wanted is None or have == wanted for have, wanted in zip(array.shape, shape, strict=True)
        )
        if array.dtype != np.dtype(dtype) or not fits:
            raise FormatError(
                f"{self._folder / name} is {array.dtype} {list(array.shape)}, which does not fit; export the run again"
            )
        if self._verify and array.dtype.kind == "f" and not _finite(array):
            raise FormatError(f"{self._folder / name} has NaN or infinite values; train and export again")
        return array

    def texts(self, name: str, kind: type[Any], count: int | None) -> Any:
        if not (self.has(f"{name}/bytes.npy") and self.has(f"{name}/offsets.npy")):
            raise FormatError(f"{self._folder / MANIFEST} does not name {name}; export the run again")
        column = kind.read(self._folder / name)
        if (count is not None and len(column) != count) or np.any(np.diff(column.offsets) < 0):
            raise FormatError(f"{self._folder / name} does not fit the vocabulary; export the run again")
        return column

    def codes(self, name: str, rows: int, count: int) -> NDArray[np.int32]:
        codes: NDArray[np.int32] = self.of(name, np.int32, (rows,))
        if len(codes) and (codes.min() < -1 or codes.max() >= count):
            raise FormatError(f"{self._folder / name} does not fit the artists; export the run again")
        return codes

    def cells(self, order: NDArray[np.int32], rows: int, width: int) -> Cells:
        centres = self.of("index/centres.npy", np.float32, (None, width))
        cell = self.of("index/cell.npy", np.int32, (rows,))
        candidate = np.zeros(rows, np.bool_)
        candidate[order] = True
        candidate[0] = False
        if cell.min() < -1 or cell.max() >= len(centres) or not np.array_equal(cell >= 0, candidate):
            raise FormatError(f"{self._folder}/index does not fit the candidates; export the run again")
        return Cells(centres, cell)

    def copying(self, width: int) -> Copying:
        ask = self.of("copy/ask.npy", np.float32, (width, width))
        heard = self.of("copy/heard.npy", np.float32, (NUM_FEEDBACK,))
        age = self.of("copy/age.npy", np.float32, (None,))
        if len(age) == 0:
            raise FormatError(f"{self._folder}/copy/age.npy is empty; export the run again")
        return Copying(ask, age, heard)

    def repeats(self, width: int) -> Repeats:
        shapes: dict[str, tuple[int | None, ...]] = {"gate": (REPEAT_KINDS, width + 2), "heard": (NUM_FEEDBACK, 2)}
        shapes |= {"age": (None, 2), "time": (None, 2), "now": (1,), "again": (1,), "near": (None,)}
        read = {name: self.of(f"repeats/{name}.npy", np.float32, shape) for name, shape in shapes.items()}
        numbers = {"ages": None, "minutes": None, "distances": len(read["near"]), "around": 1}
        read |= {name: self.of(f"repeats/{name}.npy", np.int64, (num,)) for name, num in numbers.items()}
        sound = len(read["age"]) == len(read["ages"]) + 1 and len(read["time"]) == len(read["minutes"]) + 1
        sound = sound and not any(np.any(np.diff(read[name]) < 0) for name in ("ages", "minutes"))
        if not sound or not 0 <= read["around"][0] <= _FARTHEST or np.abs(read["distances"]).max(initial=0) > _FARTHEST:
            raise FormatError(f"{self._folder}/repeats do not fit one another; export the run again")
        return Repeats(**read)

    def untrained(self, order: NDArray[np.int32], rows: int) -> NDArray[np.int32]:
        untrained: NDArray[np.int32] = self.of("untrained.npy", np.int32, (None,))
        sound = not np.any(np.diff(untrained) <= 0) and not np.any(np.isin(untrained, order))
        if not sound or (len(untrained) and not NUM_SPECIALS <= untrained[0] <= untrained[-1] < rows):
            raise FormatError(f"{self._folder}/untrained.npy does not fit the candidates; export the run again")
        return untrained

    def neighbours(self, rows: int) -> SessionIndex:
        kinds = {"tracks": np.int32, "distinct": np.bool_}
        read = {name: self.of(f"neighbours/{name}.npy", kinds.get(name, np.int64), (None,)) for name in STORED}
        index = SessionIndex.of_arrays(read)
        if not index.is_sound(NUM_SPECIALS, rows):
            raise FormatError(f"{self._folder}/neighbours do not fit the training rows; export the run again")
        for array in read.values():
            let_go(array)  # the checks have read all pages
        return index

    def transitions(self, rows: int, width: int) -> Transitions:
        gate = self.of("transitions/gate.npy", np.float32, (None, width + 2))
        orders, parents = list[Successors](), rows
        for order in range(1, len(gate) + 1):
            orders.append(self._successors(order, rows, parents))
            parents = len(orders[-1].begin) - 1
        if not orders:
            raise FormatError(f"{self._folder}/transitions do not fit the training rows; export the run again")
        return Transitions(tuple(orders), gate)

    def _successors(self, order: int, rows: int, parents: int) -> Successors:
        """Return the successors of sequences of `order` tracks; `parents`: number of those of one track less."""
        names = (f"transitions/{transition_file(name, order)}.npy" for name in ("keys", "begin", "tracks", "times"))
        of_keys, of_begin, of_tracks, of_times = names
        keys = np.zeros(0, np.int64) if order == 1 else self.of(of_keys, np.int64, (None,))
        begin = self.of(of_begin, np.int64, ((rows if order == 1 else len(keys)) + 1,))
        tracks = self.of(of_tracks, np.int32, (None,))
        times = self.of(of_times, np.int32, (len(tracks),))
        sound = begin[0] == 0 and begin[-1] == len(tracks) and not np.any(np.diff(begin) < 0)
        if len(tracks):
            sound = sound and tracks.min() >= 0 and tracks.max() < rows and times.min() > 0
        if len(keys):
            sound = sound and keys[0] >= 0 and keys[-1] < parents * rows and not np.any(np.diff(keys) <= 0)
        if not sound:
            raise FormatError(f"{self._folder}/transitions do not fit the training rows; export the run again")
        for array in (keys, tracks, times):
            let_go(array)  # the checks have read all pages
        return Successors(keys, begin, tracks, times)


def let_go(array: NDArray[Any]) -> None:
    """Release the pages of a memory-mapped array; they are read again on use."""
    mapped = getattr(array.base, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)

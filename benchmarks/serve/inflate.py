"""An export blown up to many tracks, to time a server with: trained rows with noise, ids and texts made up.

    python benchmarks/serve/inflate.py EXPORT OUT --tracks 1000000

What it ranks means nothing; how long ranking takes does not hang on that.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.export.table_forms import in_four_bits, make_cells, scan_order
from segue.exported.folder import ENCODER, LISTEN, ExportFolder, all_facts, open_export
from segue.exported.manifest import MANIFEST, ExportManifest
from segue.files import replaced_folder, write_json
from segue.neighbours.session_index import SessionIndex
from segue.neighbours.sparse_scores import FlatSessions
from segue.store.vocabulary import NUM_SPECIALS, TextColumn


def inflate(source: Path, out: Path, tracks: int, *, index: bool = False, seed: int = 0) -> None:
    """Write the export `source` with `tracks` tracks to `out`, with cells for an index if asked."""
    export = open_export(source)
    generator = np.random.default_rng(seed)
    trained = np.asarray(export.scan_order)
    trained = trained[trained != 0]
    drawn = np.concatenate([trained, generator.choice(trained, max(tracks - len(trained), 0))])[:tracks]
    table = np.zeros((tracks + NUM_SPECIALS, export.manifest.facts.width), np.float32)
    table[:NUM_SPECIALS] = export.table[:NUM_SPECIALS]
    spread = float(np.std(export.table[trained]))
    for begin in range(0, tracks, 1 << 16):
        rows = drawn[begin : begin + (1 << 16)]
        noise = generator.normal(0.0, 0.5 * spread, (len(rows), table.shape[1])).astype(np.float32)
        table[NUM_SPECIALS + begin : NUM_SPECIALS + begin + len(rows)] = export.table[rows] + noise
    candidates = np.arange(NUM_SPECIALS, tracks + NUM_SPECIALS, dtype=np.int32)
    with replaced_folder(out, overwrite=True, marker=MANIFEST) as folder:
        for name in (ENCODER, LISTEN):
            if (source / name).is_file():
                shutil.copy(source / name, folder / name)
        order = scan_order(candidates)
        halves, step = in_four_bits(table, order)
        arrays = {"table": table, "scan_order": order, "scan_int4": halves, "scan_step": step}
        if index:
            (folder / "index").mkdir()
            arrays["index/centres"], arrays["index/cell"] = make_cells(table, candidates)
        arrays["plays"] = np.ones(len(table), np.int64)
        arrays["map"] = np.zeros((tracks, 2), np.float32)
        if export.listen_offset is not None:
            arrays["listen_offset"] = np.concatenate(
                [np.zeros(NUM_SPECIALS, np.float32), np.asarray(export.listen_offset)[drawn]]
            )
        for name, array in _of_heads(export, candidates, generator).items():
            (folder / name).parent.mkdir(exist_ok=True)
            arrays[name] = array
        arrays["artist_code"] = np.concatenate([[-1] * NUM_SPECIALS, np.arange(tracks) // 20]).astype(np.int32)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        TextColumn.from_texts(f"t_{place:09d}" for place in range(tracks)).write(folder / "vocabulary")
        TextColumn.from_texts(f"title {place} (made up)" for place in range(tracks)).write(folder / "title")
        artists = (tracks + 19) // 20
        TextColumn.from_texts(f"artist {place:09d} (made up)" for place in range(artists)).write(folder / "artist")
        facts = replace(export.manifest.facts, num_tracks=tracks, num_candidates=tracks)
        manifest = ExportManifest(f"inflated-{tracks}", facts, all_facts(folder), "benchmarks/serve/inflate.py")
        write_json(folder / MANIFEST, manifest.to_json())


def _of_heads(
    export: ExportFolder, candidates: NDArray[np.int32], generator: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return the arrays of transitions, copying, earlier plays and neighbours, of those that `export` has, made up."""
    arrays, rows = dict[str, NDArray[Any]](), len(candidates) + NUM_SPECIALS
    if export.transitions is not None:
        each = 30  # followers of a track, as of a popular one
        arrays["transitions/begin"] = np.arange(rows + 1, dtype=np.int64) * each
        followers = generator.integers(NUM_SPECIALS, rows, (rows, each))
        arrays["transitions/tracks"] = np.sort(followers, axis=1).astype(np.int32).ravel()
        arrays["transitions/times"] = np.ones(rows * each, np.int32)
        arrays["transitions/gate"] = np.asarray(export.transitions.gate)
        for order in range(2, len(export.transitions.orders) + 1):  # longer sequences: none of made-up sessions
            for part, kind in (("keys", np.int64), ("begin", np.int64), ("tracks", np.int32), ("times", np.int32)):
                arrays[f"transitions/{part}_{order}"] = np.zeros(1 if part == "begin" else 0, kind)
    if export.copying is not None:
        arrays |= {f"copy/{name}": np.asarray(part) for name, part in vars(export.copying).items()}
    if export.repeats is not None:
        arrays |= {f"repeats/{name}": np.asarray(part) for name, part in vars(export.repeats).items()}
    if export.neighbours is not None:
        each, long = 10, 20  # plays of a track in training, tracks of a session
        played = generator.permutation(np.repeat(candidates.astype(np.int64), each))
        sessions = FlatSessions(played, np.append(np.arange(0, len(played), long), len(played)))
        index_of = SessionIndex.of(sessions, rows)
        arrays |= {f"neighbours/{name}": part for name, part in index_of.arrays().items()}
    return arrays


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--index", action="store_true")
    given = parser.parse_args()
    inflate(given.export, given.out, given.tracks, index=given.index)

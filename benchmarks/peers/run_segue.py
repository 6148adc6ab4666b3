"""Segue's own training step; run by the project's own Python."""

from __future__ import annotations

from measured import NEGATIVES, Log, Stamps, begin, report, runner_parser

PARSER = runner_parser(__doc__ or "")
PARSER.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
RECIPES = ("paper-causal-s-plus-track", "segue")
PARSER.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
PARSER.add_argument("--history", action="store_true", help="each sequence is a listener, whose plays are read")
PARSER.add_argument("--softmax", action="store_true", help="every track is a negative")
GIVEN = PARSER.parse_args()
begin(GIVEN)

import dataclasses  # noqa: E402  (after the number of threads is set)
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from segue import columns  # noqa: E402
from segue.batches.split import split_store  # noqa: E402
from segue.recipes import load_recipe  # noqa: E402
from segue.store import NUM_SPECIALS, Store, StoreWriter, Vocabulary  # noqa: E402
from segue.store.manifest import SideColumn, StoreSource  # noqa: E402
from segue.store.writer import SessionColumns  # noqa: E402
from segue.training.device import choose_precision  # noqa: E402
from segue.training.trainer import Trainer  # noqa: E402

COMPUTES = {
    "paper-causal-s-plus-track": (
        "causal encoder of the paper: softmax of every next track against 1000 uniform negatives shared by the batch, "
        "and the skip-contrastive term"
    ),
    "segue": (
        "recipe segue: softmax of every next track against all tracks (mixed negatives beyond 50,000), feedback as an "
        "input, copying, transitions of three orders, P(listen)"
    ),
}
DIGITS = 8
SESSION = 20
"""Tracks of a listener's session."""


def store_of(log: Log, path: Path) -> Store:
    """Write and return the store of `log` whose vocabulary has all V tracks, heard or not."""
    powers = 10 ** np.arange(DIGITS - 1, -1, -1)
    ids = (np.arange(GIVEN.tracks)[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    vocabulary = Vocabulary(ids.reshape(-1), np.arange(GIVEN.tracks + 1, dtype=np.int64) * DIGITS)
    offsets, side, values = log.offsets, (), {}
    if GIVEN.history:
        rows = np.flatnonzero(np.arange(len(log.tracks)) - np.repeat(offsets[:-1], np.diff(offsets)) < GIVEN.length + 1)
        log = Log(log.tracks[rows], log.strength[rows], np.arange(0, len(rows) + 1, GIVEN.length + 1))
        begins = np.concatenate([np.arange(begin, begin + GIVEN.length + 1, SESSION) for begin in log.offsets[:-1]])
        offsets = np.append(begins, len(rows))
        user = (begins // (GIVEN.length + 1)).astype(np.int32)
        side, values = (SideColumn(columns.USER, "int32", "session"),), {columns.USER: user}
    keys = np.arange(len(offsets) - 1, dtype=np.uint64)
    with StoreWriter(path, StoreSource("table", path.name), side) as writer:
        writer.add_shard(SessionColumns(log.tracks + np.int32(NUM_SPECIALS), log.strength, offsets, keys, values))
        writer.finish(vocabulary)
    return Store(path)


def trainer_of(store: Store, bf16: bool) -> Trainer:
    """Return the trainer of the recipe; a recipe of the paper draws shared negatives from all V tracks."""
    changes: dict[str, Any] = {"training.batch_size": batch_size()}
    if GIVEN.recipe != "segue":
        changes |= {"next_track.kind": "shared", "next_track.negatives": NEGATIVES}
    if GIVEN.softmax:
        changes = {"training.batch_size": batch_size(), "next_track.kind": "full"}
    if GIVEN.history:
        changes |= {"data.history": GIVEN.length, "data.split": "leave-last-two-out"}
    recipe = load_recipe("paper-causal-s-minus" if GIVEN.history else GIVEN.recipe, changes)
    every = np.arange(store.num_tracks + NUM_SPECIALS, dtype=np.int32)
    split = dataclasses.replace(split_store(store, recipe.data), candidates=every[NUM_SPECIALS:], input_row=every)
    if GIVEN.history:  # every track trains
        offsets = np.asarray(store.offsets).astype(np.int64)
        long = np.diff(offsets) >= 2
        split = dataclasses.replace(split, train_begin=offsets[:-1][long], train_end=offsets[1:][long])
    return Trainer(store, split, recipe.resolved(split, GIVEN.device), torch.device(GIVEN.device), bf16)


def batch_size() -> int:
    """Return how many sessions that train a batch of sequences has."""
    whole, rest = divmod(GIVEN.length + 1, SESSION)
    return int(GIVEN.batch) * (whole + (rest >= 2) if GIVEN.history else 1)


def main() -> None:
    torch.set_num_threads(GIVEN.threads)
    precision = choose_precision(GIVEN.precision, torch.device(GIVEN.device))
    log = Log.read(GIVEN)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_of(store_of(log, Path(scratch) / "store"), precision == "bf16")
    trainer.bring_up()  # touch every row once: the memory of a table trained for long is all there
    wait = torch.cuda.synchronize if GIVEN.device == "cuda" else None
    stamps, epoch, going = Stamps(GIVEN, wait), 0, True
    while going:
        order = trainer.order(epoch)
        order = order[: len(order) // batch_size() * batch_size()]
        for index in trainer.begin(order, len(order) // batch_size()).split(batch_size()):
            trainer.step(index)
            if not (going := stamps.mark()):
                break
        epoch += 1
    begun = time.perf_counter()
    trainer.bring_up()
    if wait is not None:
        wait()
    bring_up_s = time.perf_counter() - begun
    loss = COMPUTES[GIVEN.recipe]
    if GIVEN.history:
        negatives = "all tracks" if GIVEN.softmax else "1000 uniform negatives shared by the batch"
        loss = (
            f"causal encoder over the listener's last {GIVEN.length} tracks and the session, softmax of every next "
            f"track of a session against {negatives}; a step encodes stretches of 64 tracks, each after the tracks "
            "before it that the encoder reads"
        )
    padding = "no padding but to a multiple of 128 inputs a batch, batches gathered from memory"
    if wait is not None:
        padding = "no padding, sessions on the device, the whole step one CUDA graph"
    computes = (
        f"{loss}; exact Adam with decaying moments for every row, rows brought up to date when "
        f"met (and all once an epoch: bring_up_s, not in the rate); {precision} where it multiplies, float32 table; "
        f"{padding}"
    )
    report(stamps, computes, ("segue", "torch", "numpy"), precision=precision, bring_up_s=round(bring_up_s, 3))


if __name__ == "__main__":
    main()

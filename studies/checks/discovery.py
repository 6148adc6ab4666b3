"""What does `discovery` bring? New tracks in the lists and hit rates, for held-out targets of listeners who come back.

`python studies/checks/discovery.py STORE RUN > studies/checks/discovery-NAME.json` ranks the last tracks of validation
sessions. For each discovery it prints the share of the 20 best that the listener had not played before, as far as the
run reads their plays, and hit rates: of all targets, of those that were played before, and of those that were not, with
95 % bootstrap intervals over listeners. It exits with 1 if the share ever falls while discovery rises.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import torch
from torch import Tensor

from segue import columns
from segue.axes import Bool, Int
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.split import Split, split_store
from segue.model.heads import load_heads
from segue.model.heads.repeats import NAME
from segue.ranking import ModelScorer
from segue.ranking.discovering import discovering_lists
from segue.runs import LoadedRun, load_run
from segue.store import PAD, Store

DISCOVERIES = (0.0, 0.25, 0.5, 0.75, 1.0)
CUTOFFS = (1, 10, 20)
RESAMPLES = 2000
AT_ONCE = 64


def played_before(batch: Batch, is_candidate: Bool[Tensor, " R"]) -> Int[Tensor, "B P"]:
    """Return the candidates that each listener of a batch played, each once, 0 = none."""
    tracks = torch.cat([batch.session_side[NAME][:, :, 0].long(), batch.padded.tracks], 1)
    tracks = tracks.masked_fill(~is_candidate[tracks], PAD).sort(dim=1).values
    again = torch.zeros_like(tracks, dtype=torch.bool)
    again[:, 1:] = tracks[:, 1:] == tracks[:, :-1]
    return tracks.masked_fill(again, PAD)


def measured(run: LoadedRun, store: Store, split: Split, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the share of new tracks [D, N], the rank of each target in its list, 21 = not there [D, N], and listeners.

    The last one says whether each target is new, then whose it is, [2, N].
    """
    cases, side = split.cases["validation"], load_heads(run.recipe.heads, store, split, "cpu")
    data = SessionData.load(store, split, "cpu", side)
    scorer = ModelScorer(run.encoder, run.candidates, run.listen_weight)
    is_candidate = torch.zeros(len(run.training_counts), dtype=torch.bool)
    is_candidate[torch.from_numpy(run.candidates.astype(np.int64))] = True
    chosen = np.linspace(0, len(cases) - 1, min(num, len(cases))).astype(np.int64)
    shares, ranks, new = list[Tensor](), list[Tensor](), list[Tensor]()
    for begin in range(0, len(chosen), AT_ONCE):
        index = chosen[begin : begin + AT_ONCE]
        batch = data.context_batch(cases, index, run.encoder.max_len)
        played = played_before(batch, is_candidate)
        target = torch.from_numpy(np.asarray(store.tracks)[cases.target[index]].astype(np.int64))
        lists = discovering_lists(scorer, batch, played, max(CUTOFFS), DISCOVERIES)
        found = torch.stack([one.tracks for one in lists])
        old = (found[:, :, :, None] == played[None, :, None, :]).any(3)
        shares.append((~old & (found > 0)).double().mean(2))
        hit = found == target[None, :, None]
        ranks.append(torch.where(hit.any(2), hit.double().argmax(2) + 1, max(CUTOFFS) + 1))
        new.append(~(played == target[:, None]).any(1))
    listener = np.asarray(store.side(columns.USER))[cases.session[chosen]]
    return torch.cat(shares, 1).numpy(), torch.cat(ranks, 1).numpy(), np.stack([torch.cat(new).numpy(), listener])


def interval(values: np.ndarray, listener: np.ndarray) -> list[float]:
    """Return the mean of values and its 95 % interval over listeners."""
    owners, number = np.unique(listener, return_inverse=True)
    total, count = np.bincount(number, values), np.bincount(number)
    drawn = np.random.default_rng(0).integers(0, len(owners), (RESAMPLES, len(owners)))
    means = total[drawn].sum(1) / count[drawn].sum(1)
    return [round(float(value), 4) for value in (values.mean(), *np.quantile(means, (0.025, 0.975)))]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("run")
    parser.add_argument("--targets", type=int, default=5000)
    given = parser.parse_args()
    store, run = Store(given.store), load_run(given.run)
    shares, ranks, (is_new, listener) = measured(run, store, split_store(store, run.recipe.data), given.targets)
    groups = {"all": np.ones(len(is_new), np.bool_), "repeats": is_new == 0, "discoveries": is_new == 1}
    table = []
    for discovery, share, rank in zip(DISCOVERIES, shares, ranks, strict=True):
        rates = {
            f"hr@{cutoff}": {name: interval((rank <= cutoff)[some], listener[some]) for name, some in groups.items()}
            for cutoff in CUTOFFS
        }
        table.append({"discovery": discovery, "share of new tracks in the top 20": interval(share, listener), **rates})
    simulated = bool(run.environment.get("simulated"))
    numbers = {name: int(some.sum()) for name, some in groups.items()}
    print(json.dumps({"simulated": simulated, "targets": numbers, "discovery": table}, indent=1))
    return int((np.diff(shares, axis=0) < 0).any())


if __name__ == "__main__":
    sys.exit(main())

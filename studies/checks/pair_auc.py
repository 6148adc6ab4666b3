"""Can log p(next) + lambda log P(listen) rank pairs by what will be listened to, with HR@10 kept? (simulated data)

`python studies/checks/pair_auc.py STORE RUN [--targets 5000]` prints, for each lambda, over the test targets of a
simulated store and a run with a head for P(listen) trained on it:

- the pair AUC of log p(next) + lambda log P(listen) with the run's own head,
- the same with the simulator's truth in the head's place (no head can do better),
- HR@10 and HR@10 of listened targets among all tracks with the run's own head (the truth of all tracks is not stored).

How far apart two held-out tracks lie in log p(next) and in log P(listen) is printed beside.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import torch
from ceiling import pair_auc
from numpy.typing import NDArray

from segue import columns
from segue.batches.split import split_store
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.metrics import hit
from segue.evaluation.pairs import Pairs, find_pairs
from segue.evaluation.ranking_pass import full_ranks
from segue.ranking import ModelScorer
from segue.runs import load_run
from segue.store import Store

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def asked(pairs: Pairs, scorer: ModelScorer, differ: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """Return log p(next) up to what both share, and log P(listen), of the pairs that `differ`, [N, 2] each."""
    parts: list[tuple[torch.Tensor, torch.Tensor]] = []
    for index, batch in pairs.contexts.blocks(256):
        tracks = torch.from_numpy(pairs.tracks[index])
        logits = scorer.listen_logits(batch, tracks)
        parts.append((scorer.score(batch, tracks), torch.nn.functional.logsigmoid(logits)))
    return tuple(torch.cat(column).double().numpy()[differ] for column in zip(*parts, strict=True))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("run")
    parser.add_argument("--targets", type=int, default=5_000, help="test targets behind HR@10, at most")
    given = parser.parse_args()
    store, run = Store(given.store), load_run(given.run)
    config = run.recipe
    scene = make_scene(
        store, split_store(store, config.data), config.data, config.evaluation, "test", torch.device("cpu")
    )
    pairs = find_pairs(scene)
    if pairs is None or store.side_column(columns.ORACLE_P_LISTEN_COMMON) is None or "listen" not in config.heads:
        parser.error("a simulated store with two held-out tracks a session, and a run with heads.listen")
    differ = pairs.targets.mixed(0) | pairs.targets.mixed(1)
    heard = scene.listened(pairs.rows[differ])[:, 0]
    next_, head = asked(pairs, ModelScorer(run.encoder, run.candidates), differ)
    truth = np.log(np.asarray(store.side(columns.ORACLE_P_LISTEN_COMMON))[pairs.rows[differ]].astype(np.float64))
    finite = np.isfinite(next_).all(1)
    chosen = np.sort(np.random.default_rng(0).permutation(len(scene.contexts.cases))[: given.targets])
    held, listened = scene.part(scene.contexts.cases, chosen), scene.listened(scene.contexts.cases.target[chosen])
    rows = []
    for weight in WEIGHTS:
        hits = hit(full_ranks(ModelScorer(run.encoder, run.candidates, weight), held).ranks[:, 0], 10)
        rows.append({
            "lambda": weight,
            "pair-auc, head": round(pair_auc((next_ + weight * head)[finite], heard[finite]), 4),
            "pair-auc, truth": round(pair_auc((next_ + weight * truth)[finite], heard[finite]), 4),
            "hr@10, all tracks": round(float(hits.mean()), 4),
            "hr@10.listened": round(float(hits[listened].mean()), 4),
        })  # fmt: skip
    apart = {
        name: round(float(np.median(np.abs(values[finite, 0] - values[finite, 1]))), 3)
        for name, values in (("log p(next)", next_), ("log P(listen), head", head), ("log P(listen), truth", truth))
    }
    result = {
        "simulated": store.manifest.source.simulated, "pairs": int(finite.sum()), "rows": rows,
        "head alone": round(pair_auc(head[finite], heard[finite]), 4),
        "truth alone": round(pair_auc(truth[finite], heard[finite]), 4), "median apart": apart,
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

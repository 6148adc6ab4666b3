"""HR, NDCG and MRR agree with ranx (Bassani 2022) on random rankings without ties, per target and on average."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from segue.evaluation.answers import Answers, metric_ratio
from segue.evaluation.metrics import target_rank
from segue.evaluation.targets import Targets

CUTOFFS = (1, 5, 10, 20)
NUM, TRACKS = 150, 60
ASK_RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
scores, target, names = json.load(sys.stdin)
qrels = Qrels({f"q{i}": {f"t{t}": 1} for i, t in enumerate(target)})
run = Run({f"q{i}": {f"t{t}": s for t, s in enumerate(row)} for i, row in enumerate(scores)})
order = [int(q[1:]) for q in run.keys()]
found = evaluate(qrels, run, names, return_mean=False)
json.dump([order, {name: [float(value) for value in found[name]] for name in names}], sys.stdout)
"""


def ranx_values(scores: np.ndarray, target: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """Return ranx's value of each metric for each target.

    In a process of its own, as plain Python: compiling its kernels takes longer than a minute.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK_RANX],
        input=json.dumps([scores.tolist(), target.tolist(), names]),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    order, values = json.loads(done.stdout)
    placed = {name: np.empty(len(order)) for name in names}
    for name in names:
        placed[name][order] = values[name]
    return placed


@pytest.mark.skipif(find_spec("ranx") is None, reason="ranx is not installed; it belongs to the test extra")
def test_rank_metrics_agree_with_ranx() -> None:
    import torch

    generator = np.random.default_rng(11)
    scores = np.stack([generator.permutation(TRACKS) for _ in range(NUM)]) / 7.0
    target = generator.integers(0, TRACKS, NUM)
    own = scores[np.arange(NUM), target]
    present = torch.ones(NUM, TRACKS, dtype=torch.bool)
    present[torch.arange(NUM), torch.from_numpy(target)] = False
    ranks = target_rank(torch.from_numpy(own), torch.from_numpy(scores), present).numpy()
    assert {rank <= 10 for rank in ranks.tolist()} == {True, False}
    theirs = {f"hr@{k}": f"hit_rate@{k}" for k in CUTOFFS} | {f"ndcg@{k}": f"ndcg@{k}" for k in CUTOFFS}
    theirs["mrr"] = "mrr"
    found = ranx_values(scores, target, list(theirs.values()))
    targets, answers = Targets(np.arange(NUM)), Answers(ranks, TRACKS + 1.0)
    for name, other in theirs.items():
        over, under = metric_ratio(targets, answers, name)
        assert over == pytest.approx(found[other], abs=1e-12), name
        assert over.sum() / under.sum() == pytest.approx(found[other].mean(), abs=1e-12), name

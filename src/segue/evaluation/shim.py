"""temporary"""

from __future__ import annotations
import json
import numpy as np
from segue.evaluation.bootstrap import Estimate
from segue.evaluation.metrics import hit
from segue.evaluation.records import Evaluation, Row
from segue.recipes import EvaluationConfig


def target_ratio(evaluation, name, protocol, metric):
    base, _, group = metric.partition(".")
    if not base.startswith("hr@"):
        return np.zeros(len(evaluation.unit)), np.ones(len(evaluation.unit))
    row = evaluation.row(name, protocol)
    member = evaluation.groups[group].astype(float) if group else np.ones(len(row.ranks))
    return hit(row.ranks, int(base[3:])) * member, member


def holm(p):
    order = np.argsort(p)
    n = len(p)
    out = [0.0] * n
    run = 0.0
    for i, j in enumerate(order):
        run = max(run, min(1.0, (n - i) * p[j]))
        out[j] = run
    return out


def save_evaluation(path, e):
    path.mkdir()
    np.save(path / "unit.npy", e.unit)
    for k, v in e.groups.items():
        np.save(path / f"group-{k}.npy", v)
    rows = []
    for i, r in enumerate(e.rows):
        np.save(path / f"ranks-{i}.npy", r.ranks)
        rows.append(
            {
                "name": r.name,
                "kind": r.kind,
                "protocol": r.protocol,
                "nan": r.num_nan,
                "metrics": {k: [v.value, v.low, v.high] for k, v in r.metrics.items()},
                "strata": {k: [v.value, v.low, v.high] for k, v in r.strata.items()},
            }
        )
    (path / "e.json").write_text(
        json.dumps(
            {
                "split": e.split,
                "rows": rows,
                "counts": dict(e.counts),
                "simulated": dict(e.simulated),
                "config": vars(e.config),
                "listening": [dict(x) for x in e.listening],
                "groups": list(e.groups),
            }
        )
    )


def load_evaluation(path):
    d = json.loads((path / "e.json").read_text())
    rows = [
        Row(
            r["name"],
            r["kind"],
            r["protocol"],
            {k: Estimate(*v) for k, v in r["metrics"].items()},
            {k: Estimate(*v) for k, v in r["strata"].items()},
            np.load(path / f"ranks-{i}.npy"),
            r["nan"],
        )
        for i, r in enumerate(d["rows"])
    ]
    return Evaluation(
        d["split"],
        rows,
        np.load(path / "unit.npy"),
        d["counts"],
        d["simulated"],
        EvaluationConfig(**d["config"]),
        d["listening"],
        {k: np.load(path / f"group-{k}.npy") for k in d["groups"]},
    )

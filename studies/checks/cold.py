"""Are tracks that were never played found? HR@20 among all tracks by how often the target was played in training.

`python studies/checks/cold.py STORE RUN` prints, for each class of training plays of the target, HR@20 among all tracks
of the run and of every baseline (those that know features among them), and the differences of the run to each with 95 %
bootstrap intervals over targets. The run needs features: `segue train STORE RUN --recipe segue --set
data.vocabulary="features"`.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

from segue import api
from segue.store import Store

RESAMPLES = 2000
CUTOFF = 20


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("run")
    given = parser.parse_args()
    store = Store(given.store)
    found = api.evaluate(given.run, store, protocol="full")
    hits = {row.name: (row.ranks <= CUTOFF).astype(float) for row in found.rows if row.kind != "head"}
    table = []
    for name, members in found.strata.items():
        if not name.startswith("plays="):
            continue
        inside = {scorer: values[members] for scorer, values in hits.items()}
        num, generator = int(members.sum()), np.random.default_rng(0)
        drawn = generator.integers(0, num, (RESAMPLES, num)) if num else np.zeros((1, 0), int)
        less = {}
        for scorer, values in inside.items():
            if scorer.startswith("model") or not num:
                continue
            apart = inside["model"] - values
            low, high = np.quantile(apart[drawn].mean(axis=1), [0.025, 0.975])
            less[scorer] = [round(float(value), 4) for value in (apart.mean(), low, high)]
        levels = {scorer: round(float(values.mean()), 4) for scorer, values in inside.items()} if num else {}
        table.append({"stratum": name, "targets": num, f"hr@{CUTOFF}": levels, "model less": less})
    print(json.dumps({"simulated": found.simulated, "strata": table}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

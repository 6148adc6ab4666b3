"""Milliseconds of the scan of an export's candidates, or of its index, by number of states; medians, in one process.

    python benchmarks/serve/scan.py EXPORT [--probes 32] [--pause 0.02]

`pause`: seconds between two of them, as a service that is not saturated has: caches are colder than in a loop.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from segue.exported.folder import open_export
from segue.serving.live_model import DEPTH, LiveModel


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--probes", type=int, default=0, help="cells of the index; 0 = the exact scan")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--times", type=int, default=50)
    given = parser.parse_args()
    model = LiveModel(open_export(given.export), given.threads, given.probes)
    generator, told = np.random.default_rng(0), {}
    rows = generator.choice(np.flatnonzero(model.is_candidate), (given.times, 16))
    for states in (1, 2, 4, 16):
        taken = []
        for place in range(given.times):
            asked = model._scoring.sharpened(model.export.table[rows[place, :states]])
            time.sleep(given.pause)
            begin = time.perf_counter()
            model._scan.around(asked, DEPTH)
            taken.append(1e3 * (time.perf_counter() - begin))
        told[f"{states}_states_ms"] = round(float(np.median(taken)), 3)
    candidates = model.export.manifest.facts.num_candidates
    print(json.dumps({"candidates": candidates, "probes": given.probes, "pause_s": given.pause} | told))


if __name__ == "__main__":
    main()

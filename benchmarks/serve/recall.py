"""How much of the exact ranking the scan in few bits keeps: recall@20 of the served list against all tracks scored.

    python benchmarks/serve/recall.py EXPORT STORE --sessions 500
    python benchmarks/serve/recall.py EXPORT           # sessions of random tracks: of an inflated export

Sessions are the held-out contexts of the store that the run was trained on. `scan`: of the 20 largest float32 dot
products, the share among the tracks that are scored definitely. `served`: of the 20 best by the whole score
(transitions and P(listen) mixed in), the share in the list that is answered.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segue.batches.split import DataConfig, split_store
from segue.config import build
from segue.exported.folder import open_export
from segue.serving import live_model
from segue.serving.kept_states import Session
from segue.serving.live_model import Asked, LiveModel
from segue.serving.messages import feedback_code
from segue.serving.session_encoder import known_session
from segue.store import Store

K = 20


def held_out(model: LiveModel, path: Path, num: int) -> Iterator[Session]:
    """Yield contexts of held-out tracks, evenly spread."""
    store = Store(path)
    config = build(DataConfig, model.export.manifest.facts.data, "data")
    cases = split_store(store, config).cases["test"]
    tracks, strength = np.asarray(store.tracks), np.asarray(store.strength)
    for place in np.linspace(0, len(cases) - 1, num).astype(int):
        begin, end = max(int(cases.begin[place]), int(cases.target[place]) - config.max_len), int(cases.target[place])
        codes = [feedback_code(int(code)) for code in strength[begin:end]]
        yield known_session(tracks[begin:end].tolist(), codes, model.is_candidate)


def drawn(model: LiveModel, num: int) -> Iterator[Session]:
    """Yield sessions of 1 to 20 random candidates."""
    generator, candidates = np.random.default_rng(0), np.flatnonzero(model.is_candidate)
    for length in generator.integers(1, 21, num):
        rows = generator.choice(candidates, length).tolist()
        yield Session(tuple(rows), tuple(generator.integers(0, 4, length).tolist()))


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--probes", type=int, default=0, help="cells of the index; 0 = the exact scan")
    parser.add_argument("--together", type=int, default=1, help="sessions asked for at once")
    given = parser.parse_args()
    model = LiveModel(open_export(given.export), probes=given.probes)
    candidates = np.flatnonzero(model.is_candidate)
    trained = candidates[model._scoring.is_trained[candidates]]
    table = np.asarray(model.export.table)[trained]
    scanned_share, served_share, first_share = [], [], []
    chosen = [*(drawn(model, given.sessions) if given.store is None else held_out(model, given.store, given.sessions))]
    for begin in range(0, len(chosen), given.together):
        sessions = chosen[begin : begin + given.together]
        afters = model._encoding.after(sessions)
        sharp = model._scoring.sharpened(np.stack([after.state for after in afters]))
        scanned = model._scan.around(sharp, live_model.DEPTH)
        answers = model.next_tracks([Asked(session, K) for session in sessions])
        masses = model._scoring.with_mass(afters)
        for state, after, mass, scan, answer in zip(sharp, afters, masses, scanned, answers, strict=True):
            exact = trained[np.argsort(-(table @ state), kind="stable")[:K]]
            scanned_share.append(len(set(exact.tolist()) & set(scan.best(live_model.DEPTH).rows.tolist())) / K)
            whole = model._scoring.of(after, candidates.astype(np.int32), mass, None)
            best = whole.rows[np.argsort(-whole.score, kind="stable")[:K]].tolist()
            found = [each.row for each in answer.suggestions]
            served_share.append(len(set(best) & set(found)) / K)
            first_share.append(best[0] == found[0])
    told = {
        "sessions": given.sessions,
        "together": given.together,
        "candidates": len(candidates),
        "depth": live_model.DEPTH,
        "probes": given.probes,
    }
    told |= {"scan_recall@20": float(np.mean(scanned_share)), "served_recall@20": float(np.mean(served_share))}
    print(json.dumps(told | {"same_first": float(np.mean(first_share))}))


if __name__ == "__main__":
    main()

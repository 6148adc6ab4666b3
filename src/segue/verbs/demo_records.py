"""The demo's records: what evaluations, runs and recommendations say, as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from segue.evaluation import PROTOCOLS, Evaluation, contrast
from segue.runs import RunFolder
from segue.skips import STRENGTH_WORDS
from segue.store import NUM_SPECIALS, Store
from segue.verbs.recommender import load

K: Final = 20
SHORTEST: Final = 8
"""Tracks that the session of the example has at least."""
SHOWN: Final = ("segue", "commit", "python", "torch", "numpy", "system", "processor", "threads", "cores", "seed")


def curve(run: Path) -> list[dict[str, Any]]:
    """Return epoch, next-track loss (the part that all recipes share) and validation HR@10 of each epoch of a run."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        {"epoch": e["epoch"], "loss": e["next_track"], "hr@10": e.get("validation.hr@10")}
        for e in map(json.loads, lines)
    ]


def environment_facts(run: Path) -> dict[str, Any]:
    """Return the versions, the machine and the simulation that a run was made with."""
    environment = RunFolder.open(run).environment()
    facts = {name: environment[name] for name in SHOWN if environment.get(name) is not None}
    simulated = {f"simulation: {key}": value for key, value in environment.get("simulated", {}).items()}
    return facts | {key: value for key, value in simulated.items() if isinstance(value, str | int | float)}


def example_session(store: Store) -> int:
    """Return the first session of at least SHORTEST tracks that holds a skip and whose last track was listened to.

    Without such a session, the longest one.
    """
    offsets, skips = store.offsets, np.concatenate(([0], np.cumsum(np.isin(store.strength, (2, 3)))))
    lengths = np.diff(offsets)
    skipped = skips[offsets[1:]] - skips[offsets[:-1]]
    fits = (lengths >= SHORTEST) & (skipped > 0) & (store.strength[offsets[1:] - 1] == 0)
    return int(np.argmax(fits) if fits.any() else np.argmax(lengths))


def recommended_lists(run: Path, store: Store) -> dict[str, Any]:
    """Return one session and the next tracks after it: as its last track was listened to, and as it was skipped."""
    session = example_session(store)
    rows = slice(int(store.offsets[session]), int(store.offsets[session + 1]))
    tracks = [store.vocabulary.track_id(int(row)) for row in store.tracks[rows]]
    words = [STRENGTH_WORDS[int(strength)] for strength in store.strength[rows]]
    recommender = load(run)
    return {
        "session": _heard(store, store.tracks[rows], tracks, words),
        "reads_feedback": recommender.encoder.reads_feedback,
        "listened": recommender.recommend(tracks, [*words[:-1], "listened"], k=K),
        "skipped": recommender.recommend(tracks, [*words[:-1], "skip"], k=K),
    }


def _heard(store: Store, rows: Any, tracks: list[str], words: list[str]) -> list[dict[str, Any]]:
    """Return the session's own tracks with their titles and what happened to them."""
    title, artist = store.track_text("title"), store.track_text("artist")
    return [
        {
            "track": track,
            "feedback": word,
            "title": title.text(int(row) - NUM_SPECIALS) if title else None,
            "artist": artist.text(int(row) - NUM_SPECIALS) if artist else None,
        }
        for row, track, word in zip(rows, tracks, words, strict=True)
    ]


def evaluation_rows(evaluations: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """Return a record a model or baseline and protocol: metrics as [value, low, high].

    The baselines see no skips and no seed, so those of the first evaluation stand for all; of a model with heads the
    row by which it ranks.
    """
    rows = []
    for number, (name, evaluation) in enumerate(evaluations.items()):
        for row in evaluation.to_json()["rows"]:
            if row["name"] == "model" or (row["kind"] == "baseline" and number == 0):
                named = {"name": name} if row["kind"] == "model" else {}
                rows.append({**row, "listened": row["hr@10.listened"], "skipped": row["hr@10.skipped"], **named})
    return sorted(rows, key=lambda row: row["kind"] != "model")


def contrasts(first: Evaluation, second: Evaluation) -> list[dict[str, Any]]:
    """Return HR@10 of `first` less that of `second` by protocol, with the paired bootstrap interval over sessions."""
    differences = {protocol: contrast([first], [second], protocol, 10).over_units for protocol in PROTOCOLS}
    return [
        {"protocol": protocol, "metric": "hr@10", "difference": part.value, "low": part.low, "high": part.high}
        for protocol, part in differences.items()
    ]

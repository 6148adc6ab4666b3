"""The verb `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from segue.batches.split import split_store
from segue.checkpoint import load_run
from segue.errors import InputError
from segue.evaluation import PROTOCOLS, Evaluation, evaluate_scorers, make_scene
from segue.files import write_json
from segue.progress import Progress, silent
from segue.ranking import ModelScorer, fit_baselines
from segue.store import Store
from segue.training.device import choose_device


def evaluate(
    run: str | Path,
    store: str | Path | Store,
    *,
    protocol: Literal["sampled", "full", "both"] = "both",
    split: Literal["test", "validation"] = "test",
    device: str = "auto",
    baselines: bool = True,
    progress: Progress = silent,
) -> Evaluation:
    """Measure a run on the held-out tracks of its store, beside every baseline; return metrics with intervals.

    `baselines` False measures the model alone. A target whose score is NaN ranks last, and `num_nan` counts it.

    The document also goes to `run/evaluation/<split>.json`.

    Raises:
        InputError: no such run or store, or a store that the run was not trained on.
    """
    loaded = load_run(run)
    opened = store if isinstance(store, Store) else Store(store)
    trained_on = loaded.environment.get("store", {}).get("fingerprint")
    if trained_on is not None and trained_on != opened.manifest.fingerprint:
        raise InputError(f"{run} was trained on another store than {opened.path}; evaluate it on its own")
    recipe = loaded.recipe
    parts = split_store(opened, recipe.data)
    place = choose_device(device)
    scene = make_scene(opened, parts, recipe.data, recipe.evaluation, split, place)
    model = ModelScorer(loaded.encoder.to(place), parts.candidates)
    scorers = [model, *(fit_baselines(opened, parts) if baselines else [])]
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    result = evaluate_scorers(scene, scorers, protocols, progress)
    write_json(Path(run) / "evaluation" / f"{split}.json", result.to_json())
    return result

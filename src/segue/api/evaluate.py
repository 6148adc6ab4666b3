"""The verb `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from segue.batches.split import split_store
from segue.checkpoint import load_run
from segue.errors import InputError
from segue.evaluation import Evaluation, evaluate_scorers
from segue.files import write_json
from segue.progress import Progress, silent
from segue.ranking.baselines import fit_baselines
from segue.ranking.model import ModelScorer
from segue.store import Store
from segue.training.device import choose_device


def evaluate(
    run: str | Path,
    store: str | Path | Store,
    *,
    protocol: Literal["sampled", "full", "both"] = "both",
    split: Literal["test", "validation"] = "test",
    device: str = "auto",
    progress: Progress = silent,
) -> Evaluation:
    """Measure a run on its held-out tracks beside every baseline; the document also goes to RUN/evaluation/.

    Raises:
        InputError: `store` is not the one that the run was trained on.
        NonFiniteError: the model scores a target NaN.
    """
    opened = store if isinstance(store, Store) else Store(store)
    loaded = load_run(run)
    trained_on = loaded.environment["store"]
    if trained_on["fingerprint"] != opened.manifest.fingerprint:
        raise InputError(f"{run} was trained on another store ({trained_on['name']}); name that one")
    chosen = choose_device(device)
    held_out = split_store(opened, loaded.recipe.data)
    scorers = [ModelScorer(loaded.encoder.to(chosen), held_out.candidates), *fit_baselines(opened, held_out)]
    found = evaluate_scorers(
        opened,
        held_out,
        scorers,
        loaded.recipe.evaluation,
        protocol=protocol,
        which=split,
        max_len=loaded.recipe.data.max_len,
        device=chosen,
        progress=progress,
    )
    (Path(run) / "evaluation").mkdir(exist_ok=True)
    write_json(Path(run) / "evaluation" / f"{split}.json", found.to_json())
    return found

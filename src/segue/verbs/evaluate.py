"""The verb `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segue.files import replaced_file, write_json
from segue.option_types import Device, Split
from segue.progress import Progress, silent

if TYPE_CHECKING:
    from segue.evaluation import DayEvaluation, Evaluation
    from segue.store import Store

ProtocolChoice = Literal["full", "sampled", "both", "popularity"]


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `evaluate`."""

    protocol: ProtocolChoice = "both"
    """Rank targets among all tracks (with heard ones and without), 1000 sampled, both, or 1000 drawn by popularity."""
    split: Split = "test"
    """Held-out tracks to rank."""
    model_only: bool = False
    """Measure no baselines."""
    device: Device = "auto"
    """auto uses a GPU if there is one."""


def evaluate(
    run: str | Path,
    store: str | Path | Store,
    options: EvaluateOptions = EvaluateOptions(),
    *,
    progress: Progress = silent,
) -> Evaluation | DayEvaluation:
    """Measure a run and every baseline on held-out tracks, with intervals.

    A run of `split = "next-day"` is measured by days: against all tracks that each listener listened to on the day.

    A target whose score is NaN ranks last, and `num_nan` counts it. The document is also written to
    RUN/evaluation/SPLIT.json (for 'popularity': SPLIT-popularity.json); for a model with a head for P(listen) its
    calibration is drawn to RUN/evaluation/SPLIT-reliability.svg, unless Matplotlib is missing.

    Args:
        run: a trained run.
        store: the store it was trained on.

    Raises:
        InputError: no such run or store, or a store that the run was not trained on.
    """
    from segue.reports.reliability import reliability
    from segue.verbs.evaluator import Evaluator

    evaluator = Evaluator(store, split=options.split, device=options.device)
    evaluation = evaluator.evaluate(run, options.protocol, baselines=not options.model_only, progress=progress)
    name = options.split + ("-popularity" if options.protocol == "popularity" else "")
    folder = Path(run) / "evaluation"
    document = evaluation.to_json()
    write_json(folder / f"{name}.json", document)
    if any(row["name"] == "model" for row in document.get("listening", ())) and find_spec("matplotlib"):
        title = f"P(listen), {options.split}" + (" (simulated)" if document["simulated"] else "")
        with replaced_file(folder / f"{name}-reliability.svg") as temporary:
            temporary.write_text(reliability(document["listening"], title) + "\n", encoding="utf-8")
    return evaluation

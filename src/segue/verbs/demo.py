"""The verb `demo`: the whole path on simulated sessions, in minutes."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from segue.files import check_replaceable, replaced_folder, write_json
from segue.option_types import Whole
from segue.progress import Progress, Step, silent
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.prepare import PrepareOptions, prepare
from segue.verbs.simulate import SimulateOptions, simulate
from segue.verbs.train import TrainOptions, train

if TYPE_CHECKING:
    from segue.evaluation import Evaluation
    from segue.training import FitResult

MARKER: Final = "demo.json"
WITHOUT: Final = "S- (no skips)"
WITH: Final = "S+ (skips, track)"
BEST: Final = "segue"
RUNS: Final = {
    WITHOUT: ("run-s-minus", "paper-causal-s-minus"),
    WITH: ("run-s-plus-track", "paper-causal-s-plus-track"),
    BEST: ("run-segue", "segue"),
}
"""Name in tables -> (folder, recipe)."""
EPOCHS: Final = 5
"""What two cores train in about two minutes, all runs together."""
NEGATIVES: Final = 100
"""A session; ten times fewer than the paper's still touch every track of a small catalogue in every step."""
BATCH_SIZE: Final = 128
LEARNING_RATE: Final = 0.001
"""Of .0005, .001 and .002 the best mean of both runs' validation HR@10 after the demo's epochs."""
VALIDATION_TARGETS: Final = 2000
BUDGET: Final = (
    f"For the demo's time the recipes were shortened: {EPOCHS} epochs at most instead of 30 (segue: 100), {NEGATIVES} "
    f"negatives a session instead of 1000 (segue: all tracks), batches of {BATCH_SIZE} instead of 256, learning rate "
    f"{LEARNING_RATE} instead of the paper's .005 (segue: .003), {VALIDATION_TARGETS} validation targets. Leave the "
    "--set options out for whole trainings."
)


@dataclass(frozen=True)
class DemoOptions:
    """Options of `demo`."""

    sessions: Whole = 5_000
    """Number of simulated sessions."""
    tracks: Whole = 25_000
    """Size of the simulated catalogue."""
    seed: Whole = 1
    """Seed of the simulation and of the trainings."""
    overwrite: bool = False
    """Replace an earlier demo."""


def demo(out: str | Path, options: DemoOptions = DemoOptions(), *, progress: Progress = silent) -> dict[str, Any]:
    """Simulate, prepare, train without and with skips, evaluate, recommend and report, in minutes.

    The record that stands in OUT/demo.json and that OUT/report.html shows is returned. The folder holds the log, the
    store and the runs; it appears when all of it is done.

    Args:
        out: folder to write.

    Raises:
        InputError: `out` exists and is not a demo, or `overwrite` is not set.
    """
    from segue.reports.page import report_html

    path = Path(out)
    check_replaceable(path, overwrite=options.overwrite, marker=MARKER)
    begun = time.monotonic()
    with replaced_folder(path, overwrite=options.overwrite, marker=MARKER) as folder:
        size = {"sessions": options.sessions, "tracks": options.tracks, "seed": options.seed}
        simulate(folder / "log", SimulateOptions(options.sessions, options.tracks, options.seed), progress=progress)
        prepare(folder / "log", folder / "store", PrepareOptions(source="mssd"), progress=progress)
        result = _trained(folder, options.seed, progress)
        result = _opening(folder / "store", size) | result | {"commands": _commands(path.name, size), "budget": BUDGET}
        result["made"] |= {"seconds": round(time.monotonic() - begun)}
        progress(Step("report", 0, 1))
        (folder / "report.html").write_text(report_html(result), encoding="utf-8")
        write_json(folder / MARKER, {"schema_version": 1, **result})
    served = [str(path / run) for run in (RUNS[BEST][0], *(run for run, _ in RUNS.values() if run != RUNS[BEST][0]))]
    return result | {"report": str(path / "report.html"), "serve": shlex.join(["segue", "serve", *served])}


def demo_overrides(recipe: str, seed: int) -> dict[str, Any]:
    """Return what the demo changes in a recipe, for its time; and all rank the same tracks, as the paper does."""
    shortened = {
        "training.seed": seed,
        "training.epochs": EPOCHS,
        "training.batch_size": BATCH_SIZE,
        "training.learning_rate": LEARNING_RATE,
        "training.validation_targets": VALIDATION_TARGETS,
    }
    if recipe == RUNS[BEST][1]:
        return shortened | {"data.vocabulary": "transductive"}
    return shortened | {"next_track.negatives": NEGATIVES}


def _trained(folder: Path, seed: int, progress: Progress) -> dict[str, Any]:
    """Return what the trainings gave: curves, rows, contrasts, recommendations, environment."""
    from segue.verbs.demo_records import contrasts, curve, environment_facts, evaluation_rows, recommended_lists

    store = Store(folder / "store")
    fits: dict[str, FitResult] = {}
    evaluations: dict[str, Evaluation] = {}
    for name, (run, recipe) in RUNS.items():
        training = TrainOptions(recipe=recipe, overrides=demo_overrides(recipe, seed))
        fits[name] = train(store, folder / run, training, progress=progress)
        measuring = EvaluateOptions(model_only=bool(evaluations))
        evaluations[name] = cast("Evaluation", evaluate(folder / run, store, measuring, progress=progress))
    return {
        "converged": all(fit.converged for fit in fits.values()),
        "curves": {name: curve(folder / run) for name, (run, _) in RUNS.items()},
        "rows": evaluation_rows(evaluations),
        "contrasts": contrasts(evaluations[WITH], evaluations[WITHOUT]),
        "recommended": {"model": BEST, **recommended_lists(folder / RUNS[BEST][0], store)},
        "made": environment_facts(folder / RUNS[WITH][0]) | _ends(fits),
    }


def _ends(fits: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: f"{fit.epochs} epochs, best {fit.best_epoch}, " + ("converged" if fit.converged else "not converged")
        for name, fit in fits.items()
    }


def _opening(path: Path, size: Mapping[str, int]) -> dict[str, Any]:
    """Return what the data is."""
    store = Store(path)
    simulated = store.manifest.source.simulated
    return {
        "title": "Segue: does learning from skips help?",
        "simulated": simulated,
        "world": simulated.get("world", ""),
        "catalogue": size["tracks"],
        "sessions": store.num_sessions,
        "tracks_seen": store.num_tracks,
        "rows_read": store.num_rows,
    }


def _commands(name: str, size: Mapping[str, int]) -> list[str]:
    """Return the commands that do by hand what the demo did."""
    log, store = f"{name}/log", f"{name}/store"
    lines = [
        f"segue simulate {log} --sessions {size['sessions']} --tracks {size['tracks']} --seed {size['seed']}",
        f"segue prepare mssd {log} {store}",
    ]
    for run, recipe in RUNS.values():
        sets = " ".join(f"--set {key}={value}" for key, value in demo_overrides(recipe, size["seed"]).items())
        lines += [
            f"segue train {store} {name}/{run} --recipe {recipe} {sets}",
            f"segue evaluate {name}/{run} {store}",
        ]
    return lines

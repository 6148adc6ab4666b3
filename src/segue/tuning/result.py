"""What a search found: `result.json`, `best.toml`, figures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from segue.config import dump_toml
from segue.files import replaced_file, write_json
from segue.output import SCHEMA_VERSION
from segue.tuning.folder import TuneFolder
from segue.tuning.plan import Plan
from segue.tuning.space import changes, tuned
from segue.tuning.trial import Trial, best_of

RESULT: Final = "result.json"
BEST: Final = "best.toml"
CHOSEN_ON: Final = "sampled HR@10 of the validation targets, best epoch"
EDGE: Final = 1.05
"""A value within this factor of an end of what was searched stands at its edge."""


def write_result(folder: TuneFolder, plan: Plan, trials: Mapping[int, Trial]) -> dict[str, Any]:
    """Write result, recipe of the best trial and figures into `folder`; return the result.

    Figures need Matplotlib; without it `figures` is empty, and all numbers stand in the result.
    """
    best = best_of(trials.values())
    result = _document(folder, plan, trials, best)
    if best is not None:
        with replaced_file(folder.path / BEST) as temporary:
            temporary.write_text(_recipe_text(plan, best, bool(result["simulated"])), encoding="utf-8")
    if find_spec("matplotlib") is not None:
        from segue.reports.tuning_figures import write_figures

        result["figures"] = [path.name for path in write_figures(result, folder.path)]
    write_json(folder.path / RESULT, {"schema_version": SCHEMA_VERSION, **result})
    return result


def _document(folder: TuneFolder, plan: Plan, trials: Mapping[int, Trial], best: Trial | None) -> dict[str, Any]:
    manifest = folder.manifest
    states = Counter(trial.state for trial in trials.values())
    return {
        "simulated": manifest["store"]["simulated"],
        "recipe": plan.recipe.name,
        "store": {key: manifest["store"][key] for key in ("name", "fingerprint")},
        "chosen_on": CHOSEN_ON,
        "search": {
            "grid": manifest["grid"],
            "sampler": None if manifest["grid"] else "TPE, median pruner",
            "seed": plan.recipe.training.seed,
            "epochs": plan.recipe.training.epochs,
            "trials": plan.trials,
            "space": [{"name": d.name, "key": d.key, "low": d.low, "high": d.high, "log": d.log} for d in plan.space],
        },
        "states": {state: states[state] for state in ("finished", "pruned", "failed")},
        "not_converged": sum(trial.state == "finished" and not trial.converged for trial in trials.values()),
        "best": None if best is None else _best(folder, plan, best),
        "importance": plan.search.importance(trials.values()),
        "trials": [trial.to_json() for trial in trials.values()],
        "notes": [] if best is None else _notes(plan, best),
        "figures": [],
    }


def _best(folder: TuneFolder, plan: Plan, best: Trial) -> dict[str, Any]:
    return {
        "number": best.number,
        "parameters": best.parameters,
        "value": best.value,
        "epoch": best.best_epoch,
        "converged": best.converged,
        "recipe": str(folder.path / BEST),
        "run": str(folder.run(best.number)),
        "command": _command(folder, plan, best),
    }


def _command(folder: TuneFolder, plan: Plan, best: Trial) -> str:
    """Return the command that trains the best trial anew, RUN left to be named."""
    asked = folder.manifest["command"]
    words = ["segue", "train", asked["store"], "RUN", "--recipe"]
    if asked["recipe"] is None:  # a Recipe made in Python has no name that a command could give
        return shlex.join([*words, str(folder.path / BEST)])
    given = {**asked["overrides"], **changes(plan.recipe, plan.space, best.parameters)}
    sets = [f"{key}={dump_toml({'x': value}).strip().removeprefix('x = ')}" for key, value in given.items()]
    return shlex.join([*words, asked["recipe"], *(word for text in sets for word in ("--set", text))])


def _recipe_text(plan: Plan, best: Trial, simulated: bool) -> str:
    """Return the TOML of the best trial's recipe, with a word on where it comes from."""
    recipe = tuned(plan.recipe, plan.space, best.parameters, f"{plan.recipe.name}-tuned")
    data = "simulated data" if simulated else "the data it was tuned on"
    head = (
        f"# {plan.recipe.name} after {plan.trials} trials of segue tune: trial {best.number}, validation HR@10 "
        f"{best.value:.4f} on {data}.\n"
    )
    return head + dump_toml(recipe.to_tables())


def _notes(plan: Plan, best: Trial) -> list[str]:
    """Return what a reader of the best trial should bear in mind."""
    notes = ["Chosen as the highest of many, so this HR@10 tends to be too high; the test targets are unread."]
    if not best.converged:
        notes.append("The best trial met its epoch cap, not converged: it might have gone on rising (--epochs).")
    for dimension in plan.space:
        own = best.parameters[dimension.name]
        if own >= dimension.high / EDGE or own <= dimension.low * EDGE:
            notes.append(
                f"The best {dimension.name} {own:.3g} stands at an end of what was searched, {dimension.low:.3g} to "
                f"{dimension.high:.3g}: a better one may lie beyond."
            )
    return notes

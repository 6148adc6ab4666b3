"""What a search found: `result.json`, `best.toml`, figures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from segue.config import dump_toml
from segue.files import replaced_file, write_json
from segue.output import SCHEMA_VERSION
from segue.recipes import Recipe
from segue.studies.trials.space import Dimension, changes, tuned
from segue.studies.trials.trial import Tried
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.trials.tuning import Tuning

RESULT: Final = "result.json"
BEST: Final = "best.toml"
CHOSEN_ON: Final = "sampled HR@10 of the validation targets, best epoch"
EDGE: Final = 1.05
"""A value within this factor of an end of what was searched stands at its edge."""


def write_tuning(folder: TrialFolder, tuning: Tuning, recipe: Recipe, space: Sequence[Dimension]) -> dict[str, Any]:
    """Write result, recipe of the best trial and figures into `folder`; return the result.

    Figures need Matplotlib; without it `figures` is empty, and all numbers stand in the result.
    """
    best = tuning.best
    result = _document(folder, tuning, recipe, space)
    if best is not None:
        result["best"] = _best(folder, best) | {
            "run": str(folder.run(tuning.name(best.number))),
            "command": _command(folder, changes(recipe, space, best.parameters)),
        }
        result["notes"] = _notes(space, best)
        tables = tuned(recipe, space, best.parameters, f"{recipe.name}-tuned").to_tables()
        with replaced_file(folder.path / BEST) as temporary:
            temporary.write_text(_head(result, best.number) + dump_toml(tables), encoding="utf-8")
    if find_spec("matplotlib") is not None:
        from segue.reports.tuning_figures import write_figures

        result["figures"] = [path.name for path in write_figures(result, folder.path)]
    write_json(folder.path / RESULT, {"schema_version": SCHEMA_VERSION, **result})
    return result


def _document(folder: TrialFolder, tuning: Tuning, recipe: Recipe, space: Sequence[Dimension]) -> dict[str, Any]:
    document = folder.document
    outcomes = [tried.outcome for tried in tuning.tried.values()]
    states = Counter(outcome.state for outcome in outcomes)
    return {
        "simulated": document["store"]["simulated"],
        "recipe": recipe.name,
        "store": {key: document["store"][key] for key in ("name", "fingerprint")},
        "chosen_on": CHOSEN_ON,
        "search": {
            "grid": document["grid"],
            "sampler": None if document["grid"] else "TPE, median pruner",
            "seed": recipe.training.seed,
            "epochs": recipe.training.epochs,
            "trials": tuning.count,
            "space": [{"name": d.name, "key": d.key, "low": d.low, "high": d.high, "log": d.log} for d in space],
        },
        "states": {state: states[state] for state in ("finished", "pruned", "failed")},
        "not_converged": sum(one.state == "finished" and not one.converged for one in outcomes),
        "best": None,
        "importance": tuning.search.importance(tuning.tried.values()),
        "trials": [tried.to_json() for tried in tuning.tried.values()],
        "notes": [],
        "figures": [],
    }


def _best(folder: TrialFolder, best: Tried) -> dict[str, Any]:
    return {
        "number": best.number,
        "parameters": dict(best.parameters),
        "value": best.value,
        "epoch": best.outcome.best_epoch,
        "converged": best.outcome.converged,
        "recipe": str(folder.path / BEST),
    }


def _command(folder: TrialFolder, changed: Mapping[str, Any]) -> str:
    """Return the command that trains the best trial anew, RUN left to be named."""
    named = folder.document["command"]
    words = ["segue", "train", named["store"], "RUN", "--recipe"]
    if named["recipe"] is None:  # a Recipe made in Python has no name that a command could give
        return shlex.join([*words, str(folder.path / BEST)])
    values = {**named["overrides"], **changed}
    sets = [f"{key}={dump_toml({'x': value}).strip().removeprefix('x = ')}" for key, value in values.items()]
    return shlex.join([*words, named["recipe"], *(word for text in sets for word in ("--set", text))])


def _head(result: Mapping[str, Any], number: int) -> str:
    """Return the comment above the best trial's recipe: where it comes from."""
    data = "simulated data" if result["simulated"] else "the data it was tuned on"
    return (
        f"# {result['recipe']} after {result['search']['trials']} trials of segue tune: trial {number}, validation "
        f"HR@10 {result['best']['value']:.4f} on {data}.\n"
    )


def _notes(space: Sequence[Dimension], best: Tried) -> list[str]:
    """Return what a reader of the best trial should bear in mind."""
    notes = ["Chosen as the highest of many, so this HR@10 tends to be too high; the test targets are unread."]
    if not best.outcome.converged:
        notes.append("The best trial met its epoch cap, not converged: it might have gone on rising (--epochs).")
    for dimension in space:
        value = best.parameters[dimension.name]
        if value >= dimension.high / EDGE or value <= dimension.low * EDGE:
            notes.append(
                f"The best {dimension.name} {value:.3g} stands at an end of what was searched, {dimension.low:.3g} to "
                f"{dimension.high:.3g}: a better one may lie beyond."
            )
    return notes

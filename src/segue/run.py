"""`python -m segue.run`: the verbs about models with argparse, for machines without Polars or cyclopts.

stdout is the result (one JSON document), stderr progress and messages. Exit codes: 0 done, 1 failed, 2 usage or
bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import segue
from segue import api
from segue.config import parse_override
from segue.errors import InputError, NonFiniteError, SegueError
from segue.output import DONE, FAILED, failure, json_text, printable, printable_lines, speak_utf8
from segue.progress import Progress, Step, silent

REPORT_EVERY_S: Final = 10.0
"""Seconds between two lines of progress."""


class Lines:
    """Progress as lines on stderr: the first of each stage, its end, and one each ten seconds."""

    def __init__(self) -> None:
        self._last = -REPORT_EVERY_S
        self._stage = ""

    def __call__(self, step: Step) -> None:
        """Print `step` if it is due."""
        now = time.monotonic()
        if step.stage == self._stage and step.done != step.total and now - self._last < REPORT_EVERY_S:
            return
        self._last, self._stage = now, step.stage
        of = "" if step.total is None else f" of {step.total}"
        line = f"{step.stage}: {step.done}{of} {step.unit} {step.note}".rstrip()
        print(printable(line), file=sys.stderr, flush=True)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the verbs."""
    how = argparse.ArgumentParser(add_help=False)  # before the verb or after it
    how.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="no progress, only errors")
    how.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help="an error shows its traceback")
    parser = argparse.ArgumentParser(prog="python -m segue.run", description=__doc__, parents=[how])
    parser.add_argument("--version", action="version", version=segue.__version__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    _add_simulate(verbs.add_parser("simulate", help="write a simulated store", parents=[how]))
    _add_train(verbs.add_parser("train", help="train a recipe on a store", parents=[how]))
    _add_tune(verbs.add_parser("tune", help="search a recipe's numbers on the validation tracks", parents=[how]))
    _add_evaluate(verbs.add_parser("evaluate", help="measure a run on its held-out tracks", parents=[how]))
    _add_study(verbs.add_parser("study", help="train, measure and compare all arms of a study", parents=[how]))
    return parser


def _add_simulate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("out")
    verb.add_argument("--sessions", type=int, default=10_000)
    verb.add_argument("--tracks", type=int, default=50_704)
    verb.add_argument("--seed", type=int, default=1)
    verb.add_argument("--world", default="full")
    verb.add_argument("--listeners", type=int, default=0)
    verb.add_argument("--store", action="store_true", help="write a store (here the only form)")
    verb.add_argument("--overwrite", action="store_true")


def _add_train(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("store")
    verb.add_argument("run")
    verb.add_argument("--recipe")
    verb.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    verb.add_argument("--seed", type=int)
    verb.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    verb.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    verb.add_argument("--plain", action="store_true", help="take the slow path that the fast ones are tested against")
    verb.add_argument("--resume", action="store_true")
    verb.add_argument("--overwrite", action="store_true")


def _add_tune(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("store")
    verb.add_argument("out")
    verb.add_argument("--recipe")
    verb.add_argument("--grid", choices=["paper"], help="44 trainings; needs no Optuna")
    verb.add_argument("--trials", type=int, help="so many points proposed by Optuna")
    verb.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    verb.add_argument("--epochs", type=int)
    verb.add_argument("--seed", type=int)
    verb.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    verb.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    verb.add_argument("--jobs", type=int, help="trials that train at a time; by default one a GPU, one on a CPU")
    verb.add_argument("--keep-weights", action="store_true", help="keep the run of every trial")
    verb.add_argument("--resume", action="store_true")
    verb.add_argument("--overwrite", action="store_true")


def _add_evaluate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("run")
    verb.add_argument("store")
    verb.add_argument("--protocol", default="both", choices=["sampled", "full", "both", "popularity"])
    verb.add_argument("--split", default="test", choices=["test", "validation"])
    verb.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])


def _add_study(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("store")
    verb.add_argument("out")
    verb.add_argument("--recipe", default="table1")
    verb.add_argument("--seeds", type=int, default=5)
    verb.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    verb.add_argument("--arm", action="append", default=[], dest="arms")
    verb.add_argument("--baseline", action="append", default=[], dest="baselines")
    verb.add_argument("--no-tune", action="store_false", dest="tune")
    verb.add_argument("--tuning-epochs", type=int, default=0)
    verb.add_argument("--jobs", type=int, default=0)
    verb.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    verb.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    verb.add_argument("--keep-weights", action="store_true")
    verb.add_argument("--overwrite", action="store_true")


Outcome = tuple[Mapping[str, Any], SegueError | None]
"""The document of a verb, and what is wrong with it all the same."""


def run_simulate(given: argparse.Namespace, progress: Progress) -> Outcome:
    """Return facts of the store written."""
    if not given.store:
        raise InputError("segue.run simulates stores only; add --store, or use the segue command for a log")
    values = {name: getattr(given, name) for name in ("sessions", "tracks", "seed", "world", "listeners", "overwrite")}
    return api.simulate(given.out, store=True, progress=progress, **values), None


def run_train(given: argparse.Namespace, progress: Progress) -> Outcome:
    """Return how training ended."""
    overrides = _overrides(given, "seed")
    names = ("recipe", "device", "precision", "plain", "resume", "overwrite")
    values = {name: getattr(given, name) for name in names}
    result = api.train(given.store, given.run, overrides=overrides, progress=progress, **values)
    return {**vars(result), "path": str(result.path), "converged": result.converged}, None


def run_tune(given: argparse.Namespace, progress: Progress) -> Outcome:
    """Return what the search found."""
    names = ("recipe", "grid", "trials", "device", "precision", "jobs", "keep_weights", "resume", "overwrite")
    values = {name: getattr(given, name) for name in names}
    overrides = _overrides(given, "epochs", "seed")
    return api.tune(given.store, given.out, overrides=overrides, progress=progress, **values), None


def _overrides(given: argparse.Namespace, *short: str) -> dict[str, Any]:
    """Return the dotted keys that are replaced; the options `short` stand for keys of [training]."""
    values = {f"training.{name}": getattr(given, name) for name in short}
    replaced = {key: value for key, value in values.items() if value is not None}
    return dict(parse_override(text) for text in given.overrides) | replaced


def run_evaluate(given: argparse.Namespace, progress: Progress) -> Outcome:
    """Return the evaluation's document; scores that are no numbers are a failure."""
    values = {name: getattr(given, name) for name in ("protocol", "split", "device")}
    found = api.evaluate(given.run, given.store, progress=progress, **values)
    text = f"{found.num_nan} targets have a score that is no number; they rank last: train {given.run} again"
    return found.to_json(), NonFiniteError(text) if found.num_nan else None


def run_study(given: argparse.Namespace, progress: Progress) -> Outcome:
    """Return the result of a study."""
    overrides = dict(parse_override(text) for text in given.overrides)
    names = (
        "recipe",
        "seeds",
        "arms",
        "baselines",
        "tune",
        "tuning_epochs",
        "jobs",
        "device",
        "precision",
        "keep_weights",
        "overwrite",
    )
    values = {name: getattr(given, name) for name in names}
    return api.study(given.store, given.out, overrides=overrides, progress=progress, **values), None


VERBS: Final[Mapping[str, Callable[[argparse.Namespace, Progress], Outcome]]] = {
    "simulate": run_simulate,
    "train": run_train,
    "tune": run_tune,
    "evaluate": run_evaluate,
    "study": run_study,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of one verb; its document goes to stdout."""
    speak_utf8()
    given = make_parser().parse_args(argv)
    quiet, verbose = getattr(given, "quiet", False), getattr(given, "verbose", False)
    try:
        document, fault = VERBS[given.verb](given, silent if quiet else Lines())
        print(json_text(document, indent=1), flush=True)
        if fault is not None:
            raise fault
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        found = failure(error)
        if found is None:
            raise
        if verbose:
            traceback.print_exception(error)
        print(printable_lines(f"segue: {found[0]}"), file=sys.stderr)
        return found[1]
    return DONE


if __name__ == "__main__":
    sys.exit(main())

"""`python -m segue.run`: simulate, train and evaluate with argparse, for machines without Polars or cyclopts.

stdout is the result (one JSON document), stderr progress and messages. Exit codes: 0 done, 1 failed, 2 usage or
bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from segue import api
from segue.config import parse_override
from segue.errors import InputError, SegueError
from segue.progress import Step

REPORT_EVERY_S: Final = 10.0
"""Seconds between two lines of progress."""
SCHEMA_VERSION: Final = 1


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
        print(f"{step.stage}: {step.done}{of} {step.unit} {step.note}".rstrip(), file=sys.stderr, flush=True)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the three verbs."""
    parser = argparse.ArgumentParser(prog="python -m segue.run", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    simulate = verbs.add_parser("simulate", help="write a simulated store")
    simulate.add_argument("out")
    simulate.add_argument("--sessions", type=int, default=10_000)
    simulate.add_argument("--tracks", type=int, default=50_704)
    simulate.add_argument("--seed", type=int, default=1)
    simulate.add_argument("--world", default="full")
    simulate.add_argument("--store", action="store_true", help="write a store (here the only form)")
    simulate.add_argument("--overwrite", action="store_true")
    train = verbs.add_parser("train", help="train a recipe on a store")
    train.add_argument("store")
    train.add_argument("run")
    train.add_argument("--recipe")
    train.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    train.add_argument("--seed", type=int)
    train.add_argument("--device", default="auto")
    train.add_argument("--precision", default="auto")
    train.add_argument("--resume", action="store_true")
    train.add_argument("--overwrite", action="store_true")
    evaluate = verbs.add_parser("evaluate", help="measure a run on its held-out tracks")
    evaluate.add_argument("run")
    evaluate.add_argument("store")
    evaluate.add_argument("--protocol", default="both", choices=["sampled", "full", "both"])
    evaluate.add_argument("--split", default="test", choices=["test", "validation"])
    for verb in (simulate, train, evaluate):
        verb.add_argument("--quiet", action="store_true")
    return parser


def run_simulate(given: argparse.Namespace, progress: Any) -> dict[str, Any]:
    """Return facts of the store written."""
    if not given.store:
        raise InputError("segue.run simulates stores only; add --store, or use the segue command for a log")
    values = {name: getattr(given, name) for name in ("sessions", "tracks", "seed", "world", "overwrite")}
    facts = api.simulate(given.out, store=True, progress=progress, **values)
    return dict(facts)


def run_train(given: argparse.Namespace, progress: Any) -> dict[str, Any]:
    """Return how training ended."""
    overrides = dict(parse_override(text) for text in given.overrides)
    if given.seed is not None:
        overrides["training.seed"] = given.seed
    names = ("recipe", "device", "precision", "resume", "overwrite")
    values = {name: getattr(given, name) for name in names}
    result = api.train(given.store, given.run, overrides=overrides, progress=progress, **values)
    return {**vars(result), "path": str(result.path), "converged": result.converged}


def run_evaluate(given: argparse.Namespace, progress: Any) -> dict[str, Any]:
    """Return the evaluation's document."""
    evaluation = api.evaluate(given.run, given.store, protocol=given.protocol, split=given.split, progress=progress)
    return dict(evaluation.to_json())


VERBS: Final = {"simulate": run_simulate, "train": run_train, "evaluate": run_evaluate}


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of one verb; its document goes to stdout."""
    given = make_parser().parse_args(argv)
    try:
        document = VERBS[given.verb](given, (lambda step: None) if given.quiet else Lines())
    except SegueError as error:
        print(f"segue: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("segue: interrupted", file=sys.stderr)
        return 130
    print(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=1, ensure_ascii=False, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Fuzz the readers of listening logs: mutated exports of every source, until the time is over.

usage: python tools/fuzz_readers.py --seconds 300 [--seed N] [--json] [--folder FOLDER]
       python tools/fuzz_readers.py --replay FILE

Prints executions and findings, and exits 1 where there are findings. Each failing input is written into FOLDER with
what is needed to run it again; `--replay` runs one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from segue.data.sources import TITLES
from support.exports.every import Original, every_original
from support.lawful import VERBS, Outcome, prepared
from support.mutated import json_nonsense, mutated, nonsense

LAST: Final = "last"
"""The input at hand, kept for the case that the process dies of it."""


@dataclass
class Tally:
    """What the fuzzing counted."""

    executions: int = 0
    stores: int = 0
    refused: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the fault, which one input stands for."""

    def count(self, source: str, outcome: Outcome) -> None:
        """Count one execution."""
        self.executions += 1
        self.by_source[source] = self.by_source.get(source, 0) + 1
        if not outcome.fault:
            self.stores += not outcome.message
            self.refused += bool(outcome.message)


def fuzzed(seconds: float, seed: int, folder: Path) -> Tally:
    """Return what `seconds` of fuzzing find; failing inputs go into `folder`."""
    tally, until = Tally(), time.monotonic() + seconds
    while time.monotonic() < until:
        number = tally.executions
        original, verb = hostile(seed, number)
        keep(folder, LAST, original, verb)
        outcome = tried(original, verb)
        tally.count(original.source, outcome)
        if not outcome.fault:
            continue
        known = tally.findings.setdefault(_kind(outcome.fault), {"fault": outcome.fault, "times": 0})
        known["times"] += 1
        if known["times"] == 1:
            known["file"] = str(keep(folder, f"{len(tally.findings):03d}", original, verb))
            print(f"finding: {original.source}, {verb}: {outcome.fault}", file=sys.stderr, flush=True)
    return tally


def hostile(seed: int, number: int) -> tuple[Original, str]:
    """Return input `number` of a seed, and the way of preparing it; sources take turns."""
    random = Random(f"{seed} {number}")
    source = list(TITLES)[number % len(TITLES)]
    others = every_original()
    original = random.choice([each for each in others if each.source == source])
    if random.random() < 0.04:
        data = random.choice((nonsense, lambda r: json.dumps(json_nonsense(r)).encode()))(random)
        original = Original(source, original.name, data)
    else:
        original = mutated(original, others, random)
    return original, random.choice(("auto", "named", "named", *VERBS))


def tried(original: Original, verb: str) -> Outcome:
    """Return what became of an input, in a folder of its own."""
    with tempfile.TemporaryDirectory() as place:
        return prepared(original, verb, Path(place))


def keep(folder: Path, name: str, original: Original, verb: str) -> Path:
    """Write an input below `folder` so that it can be replayed; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"source": original.source, "name": original.name, "verb": verb}
    folder.joinpath(f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
    folder.joinpath(f"{name}.input").write_bytes(original.data)
    return folder / f"{name}.input"


def replayed(path: Path) -> Outcome:
    """Return what becomes of an input that was kept."""
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return tried(Original(facts["source"], facts["name"], path.read_bytes()), facts["verb"])


def _kind(fault: str) -> str:
    """Return a fault without what differs from input to input: the type of an error, and where it came from."""
    if " at " in fault:
        return fault.split(":", 1)[0] + fault.rsplit(" at ", 1)[1]
    return "".join(character for character in fault if not character.isdigit())[:60]


def main() -> int:
    """Return 1 where something breaks the law, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("scratch/fuzz"), help="where failing inputs go")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one kept input again")
    asked = parser.parse_args()
    if asked.replay:
        outcome = replayed(asked.replay)
        print(outcome.fault or outcome.message or "a whole store")
        return int(bool(outcome.fault))
    tally = fuzzed(asked.seconds, asked.seed, asked.folder)
    document = {"schema_version": 1, "seed": asked.seed, **vars(tally)}
    if asked.json:
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        print(f"executions {tally.executions}: {tally.stores} stores, {tally.refused} refused")
        print(f"findings {len(tally.findings)}")
        for found in tally.findings.values():
            print(f"  {found['times']} x {found['fault']} ({found['file']})")
    return int(bool(tally.findings))


if __name__ == "__main__":
    raise SystemExit(main())

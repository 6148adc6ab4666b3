"""What the README and pages under docs state of the results in this folder and of `benchmarks/notes`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skips_figures import MINUS, PER_SESSION_MINUS
from stated import HOME, Study, share
from stated_days import benchmarks_page, histories_on_a_gpu
from stated_real import readme, recipes

NOTES = HOME.parent / "benchmarks" / "notes"


def speed() -> list[str]:
    """Return what the page of speed says of rates."""

    def note(name: str) -> Any:
        return json.loads((NOTES / f"{name}.json").read_text(encoding="utf-8"))

    small, large = (
        {name: f"{system['sessions_per_s']['median']:.0f}" for name, system in each["systems"].items()}
        for each in note("2026-11-25-peers")["results"]
    )
    lazy = note("2026-11-25-lazy-adam")["paper-causal-s-minus"]["sampled hr@10"]["lazy - fast"]["points"]
    rows = {
        "Segue": ("segue",),
        "RePlay 0.22.0, as it comes / at its best": ("replay", "replay-tuned"),
        "plain PyTorch, dense Adam / SparseAdam": ("torch", "torch-sparse"),
    }
    recipe = note("2026-11-30-peers-recipe")["results"][0]["systems"]
    ours, theirs = (recipe[name]["sessions_per_s"]["median"] for name in ("segue-recipe", "replay"))
    faster = recipe["replay"]["segue_is_faster"]
    peak = max(note(f"2026-11-29-prepare-50m-{name}")["peak_gb"] for name in ("table", "one-file"))
    return [
        *(
            f"| {title} | {' / '.join(small[name] for name in names)} | {' / '.join(large[name] for name in names)} |"
            for title, names in rows.items()
        ),
        f"after 12 epochs is {-lazy:.1f} points lower",
        f"50 million plays take {peak:.1f} GB",
        f"it trains {ours:.0f} sessions a second, RePlay with its sampled loss {theirs:.0f}",
        f"{faster['median']:.2f} times as many ({faster['min']:.2f} to {faster['max']:.2f})",
        *_whole_trainings(note("2026-11-30-gpu-recipe"), note("2026-11-30-gpu-recipe-exact")),
        *_long_sequences(note("2026-12-01-histories")),
        *histories_on_a_gpu(),
    ]


def _long_sequences(note: Any) -> list[str]:
    """Return what the page of speed says of long histories: plays trained a second, and ratios."""
    rows = []
    for each in note["lengths"]:
        length, systems = each["setting"]["length"], each["results"][0]["systems"]
        rate = {name: (length + 1) * system["sessions_per_s"]["median"] for name, system in systems.items()}
        sampled = systems["replay-tuned"]["segue_is_faster"]
        every = rate["segue-history-softmax"] / rate["rectools-flat"]
        cells = [f"{rate[name]:,.0f}" for name in ("segue-history", "replay-tuned")]
        cells.append(f"{sampled['median']:.2f} ({sampled['min']:.2f} to {sampled['max']:.2f})")
        cells += [f"{rate[name]:,.0f}" for name in ("segue-history-softmax", "rectools-flat")]
        rows.append(f"| {length} | {' | '.join(cells)} | {every:.1f} |")
    return rows


def _whole_trainings(fresh: Any, kept: Any) -> list[str]:
    """Return what the page of speed says of trainings of `segue` on a GPU.

    `fresh`: each training compiled for itself; `kept`: with the exact softmax, compiled once for all.
    """
    before, now = (fresh["trainings"][name][0] for name in ("before", "now"))
    exact, mixed = (kept["trainings"][name][0] for name in ("now", "mixed"))
    epoch, command = (now[key] / before[key] for key in ("epoch_s", "whole_command_s"))
    both, both_before, both_exact = (one["epoch_s"] + one["validation_s"] for one in (now, before, exact))
    ndcg = [share(one["best"]["validation.ndcg@20"], 4) for one in (exact, mixed)]
    return [
        *(
            f"| {title} | {one['epoch_s']:.2f} s | {with_validation:.2f} s | "
            f"{one['whole_command_s']:.0f} s, {one['epochs']} epochs |"
            for title, one, with_validation in (
                ("at 6efd546, mixed negatives", before, both_before),
                ("mixed negatives", now, both),
            )
        ),
        f"| exact softmax | {exact['epoch_s']:.2f} s | {both_exact:.2f} s |",
        f"an epoch takes {epoch:.2f} times as long",
        f"with its validation {both / both_before:.2f} times, the whole command {command:.2f} times",
        f"({now['first_epoch_s']:.0f} s in the first epoch, {before['first_epoch_s']:.0f} s before)",
        f"validation NDCG@20 {ndcg[0]} and {ndcg[1]}",
    ]


def serving() -> list[str]:
    """Return what the page of serving says of rates and of the index: what the rows of its note hold."""
    note = (NOTES / "2026-11-27-serve.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in note.splitlines() if line.startswith("| ")]
    by_name = {row[0]: row for row in rows}

    def ends(cell: str) -> str:
        values = sorted(cell.replace(";", ",").split(","), key=float)
        return f"{values[0].strip()} to {values[-1].strip()}"

    names = ("1,000,000, exact", "1,000,000, 32 probes", "50,000, exact")
    kept = "8, 16, 24, 32 probes of 503 cells .962, .991, .996, .998 of dot products"
    assert kept in note
    return [
        *(
            f"| {name} | {ends(by_name[name][2])} | {by_name[name][1].removesuffix('/s')} | {ends(by_name[name][5])} |"
            for name in names
        ),
        "8 probes find .962, 16 .991 and 32 .998",
        *_costs_of_heads(),
    ]


def _costs_of_heads() -> list[str]:
    """Return what copying, longer transitions and neighbours cost, by the CPU time of an answer."""
    loads = json.loads((NOTES / "2026-11-30-serve-neighbours.json").read_text(encoding="utf-8"))["loads"]

    def ratios(name: str) -> str:
        small, small_most, large, large_most = (f"{load['versions'][name]['cpu_ms'][3]:.2f}" for load in loads)
        return f"| {small} / {small_most} | {large} / {large_most} |"

    memory = [round(load["versions"]["with"]["resident_mb"][1]) for load in loads[:3:2]]
    return [
        f"| without neighbours {ratios('without')}",
        f"| with neighbours {ratios('with')}",
        f"{memory[0]} and {memory[1]} MB with neighbours",
    ]


def method() -> list[str]:
    """Return what the page of the method says of shared negatives."""
    lost = Study("shared-negatives/100k").contrast(PER_SESSION_MINUS, MINUS, "hr@10")["difference"]
    return [
        f"it costs S- {100 * lost:.1f} points of sampled HR@10",
    ]


DOCS: dict[Path, Callable[[], list[str]]] = {
    HOME.parent / "README.md": readme,
    HOME.parent / "docs" / "recipes.md": recipes,
    HOME.parent / "docs" / "speed.md": speed,
    HOME.parent / "docs" / "serving.md": serving,
    HOME.parent / "docs" / "method.md": method,
    HOME.parent / "docs" / "benchmarks.md": benchmarks_page,
    HOME.parent / "docs" / "listeners.md": histories_on_a_gpu,
}
"""Page to what it must say. These pages state more: only what stands here is checked."""

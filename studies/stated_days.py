"""What the pages on listeners and days state of the rehearsal, and of trainings with histories on a GPU."""

from __future__ import annotations

import json
from typing import Any

from stated import HOME, share

NOTES = HOME.parent / "benchmarks" / "notes"
TITLES = {
    "popularity": "popularity",
    "decayed-popularity": "decayed popularity",
    "own-plays": "the listener's own plays",
}
Document = dict[str, Any]


def _read(name: str) -> Document:
    document: Document = json.loads((HOME / "yambda-rehearsal" / name).read_text(encoding="utf-8"))
    return document


def histories_on_a_gpu() -> list[str]:
    """Return what pages say of the epochs of `segue` with a history of 256 plays."""
    note = json.loads((NOTES / "2026-12-01-gpu-histories.json").read_text(encoding="utf-8"))
    plays, seconds = note["training_plays"], note["segue"]["epochs"][-1]["train_s"]
    return [f"{seconds:.1f} s for {plays:,} plays", f"some {50e6 / plays * seconds:.0f} s for 50 million"]


def rehearsal_page() -> list[str]:
    """Return what the page of the rehearsal says of times, memory and metrics."""
    times, result = _read("times.json"), _read("result.json")
    cores, gpu, alone = times["two_cores"], times["h200"], times["h200_alone"]

    def step(name: str) -> str:
        return " | ".join(f"{part[name]['seconds']:.0f} s, {part[name]['peak_gb']:.1f} GB" for part in (cores, gpu))

    first, *_, last = (
        f"{alone['segue'][epoch]['train_s']:.1f} s | {alone['segue'][epoch + 1]['train_s']:.1f} s" for epoch in (0, 1)
    )
    assert last.split(" | ")[0] == last.split(" | ")[1]  # the further epochs are alike
    sasrec = " | ".join(f"{epoch['train_s']:.1f} s" for epoch in alone["sasrec"])
    segue, counts = result["arms"]["segue"], result["arms"]["segue"]["counts"]
    rows = {
        "`segue`": segue["rows"][0],
        "SASRec over the last 200 plays": result["arms"]["sasrec"]["rows"][0],
        **{TITLES[row["name"]]: row for row in segue["rows"] if row["name"] in TITLES},
    }
    return [
        f"{times['plays']:,} plays of {times['tracks']:,} tracks",
        f"| `segue simulate` | {step('simulate')} |",
        f"| `segue prepare` | {step('prepare')} |",
        f"| not run | {gpu['study_seconds']} s, {gpu['gpu_mib'] / 1000:.1f} GB of GPU memory |",
        f"An epoch trains {times['training_plays']:,} plays",
        f"| `segue`, no history | {first} |",
        f"| SASRec over the last 200 plays | {sasrec} |",
        f"{counts['targets']:,} tracks of {counts['cases']:,} listeners, {counts['repeat']:,} of them repeats",
        *(f"| {title} | {share(row['ndcg@10'][0])} | {share(row['recall@100'][0])} |" for title, row in rows.items()),
        *histories_on_a_gpu(),
    ]


def benchmarks_page() -> list[str]:
    """Return what the page of benchmarks by days says of the rehearsal."""
    times = _read("times.json")
    alone, prepare = times["h200_alone"], times["two_cores"]["prepare"]
    return [
        f"an epoch of `segue` takes {alone['segue'][-1]['train_s']:.1f} s, one of SASRec over the last 200 plays "
        f"{alone['sasrec'][-1]['train_s']:.1f} s; preparing the log takes {prepare['seconds']:.0f} s and "
        f"{prepare['peak_gb']:.1f} GB",
    ]

"""What the pages on listeners and days state of the rehearsal, of trainings with histories on a GPU, and of the next
day of real listeners."""

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


def _read(name: str, study: str = "yambda-rehearsal") -> Document:
    document: Document = json.loads((HOME / study / name).read_text(encoding="utf-8"))
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


NEXT_DAY = {
    "model": "`segue`",
    "own-plays": "the listener's own plays",
    "ials": "iALS",
    "item-knn-listeners": "item k-NN over listeners",
    "v-sknn": "V-SKNN",
    "item-knn": "item k-NN",
    "sequential-rules": "sequential rules",
    "ordered-neighbours": "ordered neighbours",
    "markov": "Markov with back-off",
    "bpr": "BPR",
    "repeat-last": "the last track again",
    "popularity": "popularity",
    "decayed-popularity": "decayed popularity",
}
"""Rows of the next day in the order of the table."""
OF_DAYS = ("ndcg@10", "ndcg@100", "recall@10", "recall@100")


def signed(bounds: list[str]) -> str:
    """Return an interval with its signs.

    >>> signed(["-.0043", ".0049"])
    '-.0043 to +.0049'
    """
    return " to ".join(bound if bound.startswith("-") else f"+{bound}" for bound in bounds)


def _lead(row: Document, metric: str, places: int = 4) -> str:
    """Return the lead of the model over a row, with its interval over seeds and over listeners."""
    difference, *seeds = (share(value, places) for value in row["model_minus_by_run"][metric])
    _, *listeners = (share(value, places) for value in row["model_minus"][metric])
    sign = "" if difference.startswith("-") else "+"
    return f"{sign}{difference} ({signed(seeds)} over seeds, {signed(listeners)} over listeners)"


def next_day_page() -> list[str]:
    """Return what the study of histories says of the next day."""
    document = _read("next-day.json", "segue-histories")
    rows, counts = {row["name"]: row for row in document["rows"]}, document["counts"]
    own_plays = rows["own-plays"]
    for metric in ("ndcg@10", "recall@100"):
        leads = {name: row["model_minus"][metric] for name, row in rows.items() if not name.startswith("model")}
        assert min(leads, key=lambda name: leads[name][0]) == "own-plays"
        assert all(low > 0 for name, (_, low, _) in leads.items() if name != "own-plays")
        low, high = leads["own-plays"][1:]
        assert low < 0 < high
    assert all(row["ndcg@10.discovery"][0] < 0.0015 for row in rows.values())
    new = "recall@100.new"
    assert all(rows["ials"][minus][new][2] < 0 for minus in ("model_minus_by_run", "model_minus"))
    return [
        *(
            f"| {title} | {' | '.join(share(rows[name][metric][0]) for metric in OF_DAYS)} | "
            f"{share(rows[name]['recall@100.repeat'][0])} | {share(rows[name][new][0], 4)} | "
            f"{share(rows[name]['coverage@100'][0])} |"
            for name, title in NEXT_DAY.items()
        ),
        f"{counts['cases']:,} days of {counts['listeners']} listeners with {counts['targets']:,} tracks",
        f"{counts['repeat']:,} of them played before",
        f"NDCG@10 {_lead(own_plays, 'ndcg@10')}",
        f"Recall@100 {_lead(own_plays, 'recall@100')}",
        f"NDCG@100 {_lead(own_plays, 'ndcg@100')}",
        f"{share(rows['model'][new][0], 4)}, iALS {share(rows['ials'][new][0], 4)}: {_lead(rows['ials'], new)}",
        f"The published forms: NDCG@10 {share(rows['model']['yambda-ndcg@10'][0])} and Recall@100 "
        f"{share(rows['model']['yambda-recall@100'][0])}, own plays {share(own_plays['yambda-ndcg@10'][0])} and "
        f"{share(own_plays['yambda-recall@100'][0])}",
    ]

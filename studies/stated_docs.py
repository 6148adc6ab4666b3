"""What the README and pages under docs state of the results in this folder and of `benchmarks/notes`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skips_figures import MINUS, PER_SESSION_MINUS, SESSION, TRACK
from stated import HOME, Study, points, share, span

SEGUE = "segue"
NOTES = HOME.parent / "benchmarks" / "notes"


def ratings() -> Any:
    """Return the result of `ml-100k`, the study of the paper's own method that was made before `segue study`."""
    return json.loads((HOME / "ml-100k" / "result.json").read_text(encoding="utf-8"))


def on_ratings(name: str, metric: str, protocol: str = "sampled") -> float:
    """Return the mean of an arm or a baseline of `ml-100k`."""
    result = ratings()
    if name in result["arms"]:
        return float(result["arms"][name][protocol][metric][0])
    rows = result["baselines"]
    return float(next(row[metric][0] for row in rows if (row["name"], row["protocol"]) == (name, protocol)))


def neighbour_rows(name: str) -> dict[str, dict[str, float]]:
    """Return the rows of a check of session neighbours by scorer."""
    document = json.loads((HOME / "checks" / f"session-neighbours-{name}.json").read_text(encoding="utf-8"))
    return {row["name"]: row for row in document["rows"]}


def readme() -> list[str]:
    """Return what the README says of real ratings, and of what skips brought."""
    real, near = Study("segue-ml-100k"), neighbour_rows("ml-100k")
    planned = [record for record in Study("table1-simulated").result["contrasts"] if record["primary"]]
    assert (len(planned), [record for record in planned if record["verdict"] == "gain"]) == (12, [])
    titles = {
        "popularity": "popularity",
        "markov": "first-order Markov",
        "causal S-": "causal encoder without skips",
        "causal S+ track": "causal encoder with the paper's skip term",
    }
    asked = ("causal S+ track", "causal S-", "hr@10", "sampled")
    contrasts = ratings()["contrasts"]
    lost = next(r for r in contrasts if (r["arm"], r["less"], r["metric"], r["protocol"]) == asked)
    decay, model = near["v-sknn with decay"], near["model"]
    return [
        *(
            f"| {title} | {share(on_ratings(name, 'hr@10'))} | {share(on_ratings(name, 'hr@20', 'full'))} |"
            for name, title in titles.items()
        ),
        f"| recipe `segue` | {real.mean(SEGUE, 'hr@10')} | {real.mean(SEGUE, 'hr@20', 'full')} |",
        f"| session neighbours with decay | {share(decay['sampled hr@10'])} | "
        f"{share(decay['full hr@20, heard kept'])} |",
        f"{points(lost['difference'])} points ({span(lost['t_interval'])}) of sampled HR@10 here",
        f"(HR@20 {share(decay['full hr@20, heard left out'])} against {share(model['full hr@20, heard left out'])} of",
    ]


def recipes() -> list[str]:
    """Return what the page of recipes says of `segue` and of its parts."""
    big, real = Study("segue-simulated/450k"), Study("segue-ml-100k")
    parts, null = Study("segue-simulated/parts"), Study("segue-simulated/null")
    skips = [Study(f"segue-simulated/{name}").contrast("s-plus-track", SEGUE, "hr@10") for name in ("options", "null")]
    paper = [record for record in big.result["contrasts"] if record["primary"] and record["less"].startswith("causal")]
    counted = [record for record in paper if record["counts"]]
    assert (len(paper), len(counted)) == (9, 4)
    assert {record["verdict"] for record in counted} == {"gain"}
    rows = []
    for place, metric, protocol in (
        ("HR@10, 1000 sampled", "hr@10", "sampled"),
        ("HR@20, all tracks", "hr@20", "full"),
    ):
        best = max((MINUS, SESSION, TRACK), key=lambda arm: big.level(arm, metric, protocol)[0])
        cells = [big.mean(name, metric, protocol) for name in (SEGUE, best, "markov")]
        rows.append(f"| *simulated*, 450,000 sessions | {place} | {' | '.join(cells)} |")
        values = [real.level(name, metric, protocol)[0] for name in (SEGUE, "markov")]
        values.insert(1, on_ratings("causal S-", metric, protocol))
        cells = [share(value, 4) for value in values]
        rows.append(f"| real ratings, MovieLens 100K | {place} | {' | '.join(cells)} |")
    for title, key, arm in (
        ("features of tracks", "inputs.features=false", "no-features"),
        ("transitions", "heads.transitions=false", "no-transitions"),
        ("feedback as an input", "inputs.feedback=false", "no-feedback"),
        ("P(listen)", "heads.listen=false", "no-listen"),
    ):
        asked = [(parts, "hr@10", "sampled"), (parts, "hr@20", "full"), (null, "hr@10", "sampled")]
        known = [each for each in asked if arm in each[0].result["arms"]]
        records = [study.contrast(SEGUE, arm, metric, protocol) for study, metric, protocol in known]
        cells = [
            points(r["difference"]) if r["verdict"] == "none shown" else f"**{points(r['difference'])}**"
            for r in records
        ]
        rows.append(f"| {title} | `{key}` | {' | '.join(cells + ['not asked'] * (3 - len(cells)))} |")
    return [
        *rows,
        f"loses to Markov ({points(big.contrast(SEGUE, 'markov', 'hr@1', 'full')['difference'])} points)",
        f"costs {points(skips[0]['difference'])} points of sampled HR@10, and {points(skips[1]['difference'])} in",
    ]


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
    peak = max(note(f"2026-11-29-prepare-50m-{name}")["peak_gb"] for name in ("table", "one-file"))
    return [
        *(
            f"| {title} | {' / '.join(small[name] for name in names)} | {' / '.join(large[name] for name in names)} |"
            for title, names in rows.items()
        ),
        f"after 12 epochs is {-lazy:.1f} points lower",
        f"50 million plays take {peak:.1f} GB",
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
}
"""Page to what it must say. These pages state more: only what stands here is checked."""

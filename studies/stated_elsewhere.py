"""What the README, pages under docs and the pages of single studies state of these results and of benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gains_by_skips import chosen_at_the_edge
from skips_figures import METRICS, MINUS, PAIRS, PER_SESSION, PER_SESSION_MINUS, SESSION, TRACK
from stated import HOME, Study, difference, points, share, span

SEGUE = "segue"


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
        ("features of tracks", "features=false", "no-features"),
        ("transitions", "heads.transitions=false", "no-transitions"),
        ("feedback as an input", "encoder.feedback=false", "no-feedback"),
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
    """Return what the page of speed says of rates and of the fast paths."""

    def note(name: str) -> Any:
        path = HOME.parent / "benchmarks" / "notes" / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    small, large = (
        {name: f"{system['sessions_per_s']['median']:.0f}" for name, system in each["systems"].items()}
        for each in note("2026-11-25-peers")["results"]
    )
    gpu, cpu = (
        note(f"2026-11-25-{name}")["paper-causal-s-plus-track"]["sampled hr@10"]["fast - plain"]
        for name in ("gpu-paths-small", "paths-cpu")
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
        f"{points(gpu['points'] / 100)} points (sd {share(gpu['sd'], 2)}) on CUDA over eight seeds, and "
        f"{points(cpu['points'] / 100)} (sd {share(cpu['sd'], 2)}) on a CPU over three",
        f"after 12 epochs is {-lazy:.1f} points lower",
        f"50 million plays take {peak:.1f} GB",
    ]


def method() -> list[str]:
    """Return what the page of the method says of session neighbours, and of shared negatives."""
    cells = []
    for name in ("demo", "ml-100k"):
        near = neighbour_rows(name)
        cells.append([share(near[row]["sampled hr@10"]) for row in ("v-sknn with decay", "v-sknn", "model")])
    lost = Study("shared-negatives/100k").contrast(PER_SESSION_MINUS, MINUS, "hr@10")["difference"]
    demo, real = cells
    return [
        f"sampled HR@10 is {demo[0]} against {demo[1]} (as shipped) and {demo[2]} (`segue`)",
        f"{real[0]} against {real[1]} and {real[2]} on MovieLens 100K",
        f"it costs S- {100 * lost:.1f} points of sampled HR@10",
    ]


def shared_negatives() -> list[str]:
    """Return what its page says of negatives at the same rate."""
    study, rows = Study("shared-negatives/100k"), []
    for title, arm, less in PAIRS:
        cells = []
        for protocol, metric in METRICS:
            record = study.contrast(arm, less, metric, protocol)
            bold = record["counts"] and record["verdict"] != "none shown"
            text = difference(record)
            cells.append(f"**{text.split(' ', 1)[0]}** {text.split(' ', 1)[1]}" if bold else text)
        rows.append(f"| {title} | {' | '.join(cells)} |")
    epochs = {arm: [s["epochs"] for s in study.result["arms"][arm]["seeds"]] for arm in study.result["arms"]}
    ends = [sorted(epochs[a] + epochs[b]) for a, b in ((MINUS, TRACK), (PER_SESSION, PER_SESSION_MINUS))]
    return [
        *rows,
        f"{study.mean(MINUS, 'hr@10')} and {study.mean(TRACK, 'hr@10')} shared (S-, S+ track), "
        f"{study.mean(PER_SESSION_MINUS, 'hr@10')} and {study.mean(PER_SESSION, 'hr@10')} per session; Markov "
        f"{study.mean('markov', 'hr@10')}",
        f"in {ends[0][0]} to {ends[0][-1]} epochs shared and {ends[1][0]} to {ends[1][-1]} per session",
    ]


def segue_on_ratings() -> list[str]:
    """Return what its page says of `segue` and the paper's own S-."""
    study, own = Study("segue-ml-100k"), Study("ml-100k").result["arms"]["causal S-"]
    asked = (("sampled", "hr@10"), ("full", "hr@20"), ("sampled", "hr@10.listened"), ("full", "hr@10.listened"))
    cells = [share(own[p][m][0], 4) for p, m in asked]
    shared = [share(study.level(MINUS, m, p)[0], 4) for p, m in asked]
    low, high = own["sampled"]["hr@10"][1:]
    return [
        f"(best of the three in this study) | {' | '.join(shared)} |",
        f"| {cells[0]} | {cells[1]} | {cells[2]} | {cells[3]} |",
        f"{share(low, 4)} to {share(high, 4)}",
    ]


def architectures() -> list[str]:
    """Return what its page says of random tracks and of gains."""
    study = Study("architectures-simulated")

    def less(encoder: str, metric: str) -> str:
        record = study.contrast(f"{encoder}-s-plus-track", f"{encoder}-random-negatives", metric, "full")
        return points(record["difference"])

    heard = [study.contrast(f"{e}-s-plus-track", f"{e}-s-minus", "hr@10.listened") for e in ("causal", "gru4rec")]
    random = [
        study.contrast(f"{e}-random-negatives", f"{e}-s-minus", "hr@10.listened")["difference"]
        for e in ("causal", "gru4rec")
    ]
    assert "`architectures-simulated` 11 of 20" in chosen_at_the_edge()
    return [
        f"{less('causal', 'hr@1')} (HR@1) and {less('causal', 'hr@10')} (HR@10) with causal, "
        f"{less('gru4rec', 'hr@1')} (HR@1) with GRU4Rec, {less('nextitnet', 'hr@10')} (HR@10) and "
        f"{less('nextitnet', 'hr@20')} (HR@20) with NextItNet",
        f"causal S+ track {difference(heard[0])}, GRU4Rec S+ track {difference(heard[1])}; random tracks give "
        f"{points(random[0])} and {points(random[1])}",
    ]


def ablations() -> list[str]:
    """Return what its page says of gains by own skips."""
    full, taste = Study("ablations-simulated/full"), Study("ablations-simulated/taste")
    few = full.contrast("uniform-8192-s-plus-track", "uniform-8192-s-minus", "hr@10.listened")
    warm = [taste.contrast(f"temperature-{t}", MINUS, "hr@10") for t in (20, 50)]
    assert points(warm[0]["difference"]) == points(warm[1]["difference"])
    spans = "; ".join(difference(record).split("(")[1].rstrip(")") for record in warm)
    random = [
        full.contrast("random-negatives", MINUS, "hr@10.listened"),
        taste.contrast("random-negatives", MINUS, "hr@10"),
    ]
    return [
        f"S+ track HR_l@10 {difference(full.contrast(TRACK, MINUS, 'hr@10.listened'))}, with 8192 uniform negatives "
        f"HR_l@10 {difference(few)}",
        f"HR@10 {points(warm[0]['difference'])} ({spans})",
        f"HR_l@10 {points(random[0]['difference'])} in `full`, HR@10 {points(random[1]['difference'])} in `taste`",
    ]


def dose() -> list[str]:
    """Return what its page says of listened targets."""
    study = Study("dose-simulated")
    every, few = (
        study.contrast(f"{name}-s-plus-track", f"{name}-s-minus", "hr@10.listened")
        for name in ("all-skips", "length-5")
    )
    assert every["counts"]
    assert few["counts"]
    return [f"all skips {difference(every)} over seeds), 5 tracks".replace(") over", " over"), difference(few)]


def departures() -> list[str]:
    """Return what its page says of negatives for each session."""
    arms = Study("departures-simulated").result["arms"]

    def less(protocol: str, metric: str) -> str:
        values = [sum(arms[arm]["per_seed"][protocol][metric]) / 3 for arm in (PER_SESSION, TRACK)]
        return points(values[0] - values[1])

    return [
        f"S+ track gains {less('sampled', 'hr@10')} points of sampled HR@10 (",
        f"{less('sampled', 'hr@1')} of HR@1 and {less('full', 'hr@20')} of HR@20 among all tracks",
    ]


def table1() -> list[str]:
    """Return what its page says of losses and of the gain."""
    study = Study("table1-simulated")
    one = [study.contrast(arm, MINUS, "hr@1") for arm in (SESSION, TRACK)]
    ten = study.contrast(SESSION, MINUS, "hr@10")
    heard, passed, area = (study.contrast(TRACK, MINUS, m) for m in ("hr@10.listened", "hr@10.skipped", "pair-auc"))
    bounds = difference(heard).split("(")[1].rstrip(")")
    return [
        f"causal S+ session {points(one[0]['difference'])} points (p {share(one[0]['holm'], 4)}) and causal S+ track "
        f"{points(one[1]['difference'])} (p {share(one[1]['holm'])})",
        f"Causal S+ session in HR@10 ({points(ten['difference'])}) has p {share(ten['holm'])}",
        f"by {points(heard['difference'])[1:]} points ({bounds} over seeds; sampled; it counts), and lowers that of "
        f"skipped ones ({points(passed['difference'])}) and pair AUC ({points(area['difference'])})",
    ]


def neighbour_rows(name: str) -> dict[str, dict[str, float]]:
    """Return the rows of a check of session neighbours by scorer."""
    document = json.loads((HOME / "checks" / f"session-neighbours-{name}.json").read_text(encoding="utf-8"))
    return {row["name"]: row for row in document["rows"]}


def neighbours() -> list[str]:
    """Return what the page of checks says of session neighbours."""
    rows = []
    for name, model, number in (
        ("demo", "demo (*simulated*): `segue`", 500),
        ("ml-100k", "ml-100k: `segue`", 100),
        ("ml-100k-s-minus", "ml-100k, transductive: causal S-, negatives for each session", 100),
    ):
        document = json.loads((HOME / "checks" / f"session-neighbours-{name}.json").read_text(encoding="utf-8"))
        assert document["neighbours"] == number
        titles = (model, "`v-sknn` as shipped", f"with decay, {number} neighbours")
        for title, row in zip(titles, document["rows"], strict=True):
            keys = ("sampled hr@10", "full hr@20, heard kept", "full hr@20, heard left out")
            rows.append(f"| {title} | {' | '.join(share(row[key], 4) for key in keys)} |")
    return rows


PAGES: dict[Path, Callable[[], list[str]]] = {
    HOME.parent / "README.md": readme,
    HOME.parent / "docs" / "recipes.md": recipes,
    HOME.parent / "docs" / "speed.md": speed,
    HOME.parent / "docs" / "method.md": method,
    HOME / "shared-negatives" / "README.md": shared_negatives,
    HOME / "segue-ml-100k" / "README.md": segue_on_ratings,
    HOME / "architectures-simulated" / "README.md": architectures,
    HOME / "ablations-simulated" / "README.md": ablations,
    HOME / "dose-simulated" / "README.md": dose,
    HOME / "departures-simulated" / "README.md": departures,
    HOME / "table1-simulated" / "README.md": table1,
    HOME / "checks" / "README.md": neighbours,
}
"""Page to what it must say. These pages state more: only what stands here is checked."""

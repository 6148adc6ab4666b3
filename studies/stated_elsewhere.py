"""What the pages of single studies state of these results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from skips_figures import METRICS, MINUS, PAIRS, PER_SESSION, PER_SESSION_MINUS, SESSION, TRACK
from stated import HOME, Study, difference, points, share
from stated_days import next_day_page, rehearsal_page
from stated_docs import DOCS
from stated_real import histories_page, music_page, ratings_page, simulated_page, stopping
from stated_skips import ablations_page, table1_page

SEGUE = "segue"


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
    **DOCS,
    HOME / "shared-negatives" / "README.md": shared_negatives,
    HOME / "architectures-simulated" / "README.md": architectures,
    HOME / "ablations-simulated" / "README.md": ablations,
    HOME / "dose-simulated" / "README.md": dose,
    HOME / "departures-simulated" / "README.md": departures,
    HOME / "table1-simulated" / "README.md": table1,
    HOME / "checks" / "README.md": lambda: [*neighbours(), *stopping()],
    HOME / "segue-mssd" / "README.md": music_page,
    HOME / "segue-simulated" / "README.md": simulated_page,
    HOME / "segue-ml-100k" / "README.md": ratings_page,
    HOME / "segue-histories" / "README.md": lambda: [*histories_page(), *next_day_page()],
    HOME / "yambda-rehearsal" / "README.md": rehearsal_page,
    HOME / "table1-mssd" / "README.md": table1_page,
    HOME / "ablations-mssd" / "README.md": ablations_page,
}
"""Page to what it must say. These pages state more: only what stands here is checked."""

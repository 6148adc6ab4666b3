"""The figures of docs/what-skips-bring.md, drawn from the results in this folder.

`python studies/what_skips_bring.py` writes docs/figures/skips-*.svg and prints the numbers that they show.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from segue.reports.study_figures import differences

HOME = Path(__file__).parent
FIGURES = HOME.parent / "docs" / "figures"
GREY = "#7d8590"
METRICS = {
    ("sampled", "hr@1"): "HR@1, sampled",
    ("sampled", "hr@10"): "HR@10, sampled",
    ("full", "hr@20"): "HR@20, all",
}
WORLDS = ("full", "track", "taste", "null")
CONTRASTS = {
    "causal-s-plus-track": "the session's own skips",
    "cross-session": "another session's skips",
    "random-negatives": "random negatives",
}
EXTRA = ("causal-s-plus-track", "cross-session", "random-negatives", "inverted", "all-anchors", "mixed-logq-s-minus")


def result(*parts: str) -> dict[str, Any]:
    """Return the result of a study in this folder."""
    found: dict[str, Any] = json.loads(HOME.joinpath(*parts, "result.json").read_text())
    return found


def shown(
    study: dict[str, Any], *, arms: tuple[str, ...] = (), less: str = "", about: str = ""
) -> list[dict[str, Any]]:
    """Return contrasts of the three metrics, with what they are called."""
    found = []
    for record in study["contrasts"]:
        wanted = METRICS.get((record["protocol"], record["metric"]))
        if wanted is None or (arms and record["arm"] not in arms) or (less and record["less"] != less):
            continue
        if about and record["about"] != about:
            continue
        title = study["arms"][record["arm"]]["title"]
        mark = "" if record["counts"] else " (does not count)"
        found.append(record | {"label": f"{title}, {wanted}{mark}"})
    return found


def at_ten(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the contrasts of HR@10 alone."""
    return [record for record in records if record["metric"] == "hr@10"]


def write(name: str, title: str, records: list[dict[str, Any]]) -> None:
    """Draw a figure in a grey that light and dark pages show, and print its numbers."""
    text = differences(records, title).replace("currentColor", GREY)
    text = text.replace("<svg ", f'<svg fill="{GREY}" ', 1)  # texts that name no colour
    (FIGURES / f"{name}.svg").write_text(text + "\n", encoding="utf-8")
    print(f"\n{title}")
    for record in records:
        low, high = record["t_interval"]
        print(
            f"  {record['label']:62s} {100 * record['difference']:+6.2f} points ({100 * low:+.2f} to {100 * high:+.2f} "
            f"over {len(record['per_seed'])} seeds) {record['verdict']}"
        )


def main() -> int:
    """Draw all figures."""
    write(
        "skips-table1-real", "S+ less S-, MovieLens 100K (real ratings)", shown(result("table1-ml-100k"), about="skips")
    )
    causal = ("causal-s-plus-session", "causal-s-plus-track")
    write(
        "skips-table1-simulated",
        "S+ less S-, causal, 450,000 sessions x 1,000,000 tracks (simulated, world full)",
        shown(result("table1-simulated"), arms=causal, less="causal-s-minus"),
    )
    records = shown(result("ablations-simulated", "full"), arms=EXTRA, less="causal-s-minus")
    write("skips-ablations-full", "Less causal S-, 100,000 x 200,000 (simulated, world full)", records)
    records = [
        record | {"label": f"world {world}: {CONTRASTS[record['arm']]}"}
        for arm in CONTRASTS
        for world in WORLDS
        for record in at_ten(shown(result("ablations-simulated", world), arms=(arm,), less="causal-s-minus"))
    ]
    write("skips-ablations-worlds", "HR@10, sampled, less causal S-, 100,000 x 200,000 (simulated)", records)
    for name, title in (("dose", "How much skip"), ("cloze-setup", "Share of masked tracks")):
        records = at_ten(shown(result(f"{name}-simulated"), about="skips"))
        write(f"skips-{name}", f"{title}: S+ less S-, 100,000 x 200,000 (simulated, world full)", records)
    study = result("departures-simulated")
    records = at_ten(shown(study, about="departure"))
    write("skips-departures", "The paper's letter less our reading, 100,000 x 200,000 (simulated, world full)", records)
    study = result("architectures-simulated")
    records = at_ten(shown(study, about="skips") + shown(study, about="ablation"))
    records.sort(key=lambda r: list(study["arms"]).index(r["arm"]))
    write("skips-architectures", "Encoders: less S-, 100,000 x 200,000 (simulated, world full)", records)
    records = at_ten(shown(study, about="term"))
    write("skips-architectures-random", "S+ track less random negatives, 100,000 x 200,000 (simulated)", records)
    records = at_ten(shown(result("scarce-simulated"), less="causal-s-minus"))
    write("skips-scarce", "Less causal S-, 10,000 sessions (simulated, world full)", records)
    return 0


if __name__ == "__main__":
    sys.exit(main())

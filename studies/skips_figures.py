"""The figures of docs/what-skips-bring.md."""

from __future__ import annotations

from typing import Any

from stated import HOME, Study

from segue.reports.study_figures import differences

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
MINUS, SESSION, TRACK = "causal-s-minus", "causal-s-plus-session", "causal-s-plus-track"
PER_SESSION, PER_SESSION_MINUS = "negatives-each-step", "negatives-each-step-s-minus"
PAIRS = (
    ("S-: per session less shared", PER_SESSION_MINUS, MINUS),
    ("S+ track: per session less shared", PER_SESSION, TRACK),
    ("shared: S+ track less S-", TRACK, MINUS),
    ("per session: S+ track less S-", PER_SESSION, PER_SESSION_MINUS),
)
"""What is asked of negatives per session and shared."""


def shown(
    study: dict[str, Any], *, arms: tuple[str, ...] = (), less: str = "", about: str = ""
) -> list[dict[str, Any]]:
    """Return contrasts of the three metrics, with what they are called."""
    records = []
    for record in study["contrasts"]:
        wanted = METRICS.get((record["protocol"], record["metric"]))
        if wanted is None or (arms and record["arm"] not in arms) or (less and record["less"] != less):
            continue
        if about and record["about"] != about:
            continue
        title = study["arms"][record["arm"]]["title"]
        mark = "" if record["counts"] else " (does not count)"
        records.append(record | {"label": f"{title}, {wanted}{mark}"})
    return records


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


def draw() -> None:
    """Draw all figures."""
    records = [
        record | {"label": f"{record['label']}, {drawn}"}
        for name, drawn in (("table1-mssd", "each session"), ("table1-mssd/shared", "the batch"))
        for record in at_ten(shown(Study(name).result, about="skips"))
    ]
    write("skips-table1-mssd", "S+ less S-, 7,000 streaming sessions; negatives for each session or the batch", records)
    study = Study("table1-ml-100k").result
    write("skips-table1-real", "S+ less S-, MovieLens 100K (real ratings)", shown(study, about="skips"))
    records = [
        record | {"label": f"world {world}: {CONTRASTS[record['arm']]}"}
        for arm in CONTRASTS
        for world in WORLDS
        for record in at_ten(shown(Study(f"ablations-simulated/{world}").result, arms=(arm,), less=MINUS))
    ]
    write("skips-ablations-worlds", "HR@10, sampled, less causal S-, 100,000 x 200,000 (simulated)", records)

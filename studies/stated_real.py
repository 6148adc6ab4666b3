"""What the pages state of real music: `segue-mssd`, and when trainings stop."""

from __future__ import annotations

import json
from typing import Any, Final

from stated import HOME, Study, difference, points, share, span

SEGUE: Final = "segue"
MUSIC: Final = "segue-mssd"
TITLES: Final = {
    "segue": "`segue`",
    "markov": "Markov with back-off",
    "sequential-rules": "sequential rules",
    "ordered-neighbours": "ordered neighbours",
    "v-sknn": "V-SKNN",
    "item-knn": "item k-NN",
    "popularity": "popularity",
    "causal-shared-s-minus": "causal S-, shared negatives",
    "causal-shared-s-plus-session": "causal S+ session, shared negatives",
    "causal-shared-s-plus-track": "causal S+ track, shared negatives",
    "causal-s-minus": "causal S-",
    "causal-s-plus-session": "causal S+ session",
    "causal-s-plus-track": "causal S+ track",
    "cloze-shared-s-minus": "cloze S-, shared negatives",
    "cloze-shared-s-plus-session": "cloze S+ session, shared negatives",
    "cloze-shared-s-plus-track": "cloze S+ track, shared negatives",
    "cloze-s-minus": "cloze S-",
    "cloze-s-plus-session": "cloze S+ session",
    "cloze-s-plus-track": "cloze S+ track",
}
"""Arms and baselines in the order of the tables."""
SHOWN: Final = ("segue", "markov", "sequential-rules", "ordered-neighbours", "v-sknn", "item-knn", "popularity")
BESTS: Final = ("causal-shared-s-minus", "causal-s-minus")
"""The arms of the paper that are best in HR@1 and in HR@20."""
TERMS: Final = {
    "causal": "each session",
    "causal-shared": "the batch",
    "cloze": "each session",
    "cloze-shared": "the batch",
}
"""Arms to what their negatives are drawn for."""
NEXT_LISTENED: Final = "hr@10.next-listened"
GOALS: Final = (
    *((protocol, f"hr@{k}") for protocol in ("full", "unheard") for k in (1, 10, 20)),
    ("sampled", "hr@10"),
)
"""What the recipe is to lead in."""
COLUMNS: Final = (
    *(f"HR@{k}, {form}" for form in ("all tracks", "heard tracks left out") for k in (1, 10, 20)),
    "HR@10, sampled",
)
"""Their titles."""


def row(study: Study, name: str, title: str = "") -> str:
    """Return the row of a table: HR@1, HR@10, HR@20 in both forms, and sampled HR@10; `title` if not the usual one."""
    forms = (" / ".join(study.mean(name, f"hr@{k}", form) for k in (1, 10, 20)) for form in ("full", "unheard"))
    return f"| {title or TITLES[name]} | {' | '.join(forms)} | {study.mean(name, 'hr@10')} |"


def nearest_rival(study: Study, protocol: str, metric: str) -> Any:
    """Return the contrast of `segue` with the arm or baseline next to it; it leads all of them."""
    asked = [
        one
        for one in study.result["contrasts"]
        if (one["arm"], one["protocol"], one["metric"]) == (SEGUE, protocol, metric)
        and one["about"] in ("recipe", "baseline")
    ]
    assert {one["verdict"] for one in asked} == {"gain"}, (protocol, metric)
    return min(asked, key=lambda one: one["difference"])


def page_table() -> list[str]:
    """Return the table of the README and of the page of recipes, and the least leads of `segue`."""
    study = Study(MUSIC)
    least = [nearest_rival(study, *goal) for goal in GOALS]
    first = nearest_rival(study, "full", "hr@1")
    variants = (("segue", "no-feedback"), ("segue", "no-listen"), ("s-plus-track", "segue"))
    for arm, less in variants:  # "by more than half a point"
        assert all(abs(study.contrast(arm, less, metric, protocol)["difference"]) < 0.005 for protocol, metric in GOALS)
    assert first["less"] == "markov"
    return [
        *(row(study, name) for name in (*SHOWN, *BESTS)),
        f"{points(first['difference'])} points of HR@1 over Markov ({span(first['t_interval'])}",
        f"The least lead in any of these columns is {points(min(one['difference'] for one in least))} points",
    ]


def readme() -> list[str]:
    """Return what the README says of real music."""
    study = Study(MUSIC)
    for goal in GOALS:
        nearest_rival(study, *goal)
    lost = study.contrast("causal-shared-s-plus-track", "causal-shared-s-minus", "hr@10")
    assert lost["verdict"] == "none shown"
    quality = [study.result["arms"][arm]["listening"]["auc"][0] for arm in (SEGUE, "no-feedback")]
    names = ("segue", "markov", "ordered-neighbours", "v-sknn", "popularity")
    return [
        *(row(study, name) for name in names),
        row(study, "causal-shared-s-minus", "the paper's encoder without skips"),
        row(study, "causal-shared-s-plus-track", "the paper's encoder with its skip term"),
        f"{points(lost['difference'])} points ({span(lost['t_interval'])})",
        f"AUC {share(quality[0])} with it, {share(quality[1])} without",
    ]


def study_page() -> list[str]:
    """Return what the page of the study says."""
    study = Study(MUSIC)
    arms, quality = study.result["arms"], study.result["arms"][SEGUE]["listening"]
    without = arms["no-feedback"]["listening"]
    family = [one for one in study.result["contrasts"] if one["primary"]]
    assert all(one["verdict"] == "gain" and one["holm"] < 0.05 for one in family)
    leads = [nearest_rival(study, *goal) for goal in GOALS]
    rows = [
        f"| {title} | {TITLES[one['less']]} | {difference(one)} | {span(one['bootstrap_interval'])} |"
        for title, one in zip(COLUMNS, leads, strict=True)
    ]
    return [
        *(row(study, name) for name in TITLES),
        *rows,
        f"All {len(family)} contrasts fixed beforehand are gains; the largest p after Holm's correction is "
        f"{share(max(one['holm'] for one in family), 4)}",
        f"AUC {share(quality['auc'][0])} (without feedback {share(without['auc'][0])}), Brier "
        f"{share(quality['brier'][0])} ({share(without['brier'][0])}), ECE {share(quality['ece'][0])}",
        f"{min(s['epochs'] for s in arms[SEGUE]['seeds'])} to {max(s['epochs'] for s in arms[SEGUE]['seeds'])} epochs",
    ]


def music() -> list[str]:
    """Return what docs/what-skips-bring.md says of real music."""
    study = Study(MUSIC)
    cells = (("full", "hr@20"), ("sampled", "hr@10"), ("full", NEXT_LISTENED))
    rows, verdicts = [], list[tuple[str, str, bool]]()
    for encoder, drawn in TERMS.items():
        for context in ("session", "track"):
            found = [study.contrast(f"{encoder}-s-plus-{context}", f"{encoder}-s-minus", m, p) for p, m in cells]
            verdicts += [(one["metric"], one["verdict"], one["counts"]) for one in found]
            texts = [f"{difference(one)}{mark(one)}" for one in found]
            rows.append(f"| {encoder.removesuffix('-shared')} S+ {context} | {drawn} | {' | '.join(texts)} |")
    counted = [(metric, verdict) for metric, verdict, counts in verdicts if counts and verdict != "none shown"]
    losses, gains = ([metric for metric, one in counted if one == which] for which in ("loss", "gain"))
    assert set(gains) == {NEXT_LISTENED}
    assert NEXT_LISTENED not in losses
    more, less = (
        study.contrast("s-plus-track", SEGUE, m, p) for p, m in (("full", NEXT_LISTENED), ("sampled", "hr@10"))
    )
    fed = [study.contrast(SEGUE, "no-feedback", metric, "full") for metric in ("hr@20", NEXT_LISTENED)]
    types = [one for one in study.result["strata"] if one["less"] == "no-feedback" and "session_type" in one["stratum"]]
    assert {one["verdict"] for one in types if one["metric"] == NEXT_LISTENED} == {"none shown"}
    only = [study.contrast("listened", SEGUE, metric, "full") for metric in (NEXT_LISTENED, "hr@10")]
    arm, without = study.result["arms"][SEGUE], study.result["arms"]["no-feedback"]["listening"]
    plain = arm["beside"]["model, lambda 0"]["full"]
    return [
        *rows,
        f"{len(losses)} losses and {len(gains)} gains count. Every gain is in the next *listened* track",
        f"In the recipe `segue` the term brings {difference(more)} points of it, and costs "
        f"{points(-less['difference'])[1:]} of sampled HR@10",
        f"HR@20 {difference(fed[0])} and HR@10 of the next listened track {difference(fed[1])}",
        f"AUC {share(arm['listening']['auc'][0])} with it, {share(without['auc'][0])} without; Brier "
        f"{share(arm['listening']['brier'][0])} and {share(without['brier'][0])}",
        f"{points(only[0]['difference'])} points of HR@10 of the next listened track, and "
        f"{points(only[1]['difference'])} of HR@10",
        f"{share(plain['skipped@1'][0])} of the right first suggestions are skipped, with it "
        f"{share(arm['full']['skipped@1'][0])}; HR@1 is {share(plain['hr@1'][0])} and {share(arm['full']['hr@1'][0])}",
    ]


def mark(record: Any) -> str:
    """Return how a difference is marked: a gain or loss that counts by name."""
    return f", {record['verdict']}" if record["counts"] and record["verdict"] != "none shown" else ""


def stopping() -> list[str]:
    """Return what the page of checks says of early stopping and of blocks."""
    rows = []
    for name in ("mssd-7k", "ml-100k"):
        document = json.loads((HOME / "checks" / f"stopping-{name}.json").read_text(encoding="utf-8"))
        for arm, found in document["arms"].items():
            assert len(found["trainings"]) == 10
            cells = (share(found["summary"][key], 4) for key in ("mean", "sd", "min", "mean_lost", "most_lost"))
            rows.append(f"| {name} | `{arm}` | {' | '.join(cells)} |")
    return rows

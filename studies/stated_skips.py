"""What the pages state of skips on real music: `table1-mssd`, `ablations-mssd`, and `segue` on three data sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from stated import Study, difference, points, share
from stated_real import HISTORIES, MUSIC, RATINGS, SEGUE

DRAWN: Final = {"table1-mssd": "each session", "table1-mssd/shared": "the batch"}
"""Studies to what their negatives are drawn for."""
NEXT_LISTENED: Final = "hr@10.next-listened"
CELLS: Final = (("full", "hr@20"), ("sampled", "hr@10"), ("full", NEXT_LISTENED))
OTHERS: Final = {
    "causal-s-plus-track": "the session's own skips",
    "cross-session": "another session's skips",
    "random-negatives": "random tracks",
    "inverted": "listened and skipped swapped",
    "align-only": "none: alignment alone",
    "random-positive": "own skips, a random track as the positive",
}
"""Arms of the ablations to what they put in the place of the term's tracks."""
MINUS, TRACK = "causal-s-minus", "causal-s-plus-track"
DATA: Final = (MUSIC, RATINGS, HISTORIES)


def _arms() -> Iterator[tuple[Study, str, str]]:
    """Yield each study of Table 1 with an encoder and a context."""
    for name in DRAWN:
        study = Study(name)
        for encoder in ("causal", "cloze"):
            for context in ("session", "track"):
                yield study, encoder, context


def table1_rows() -> list[str]:
    """Return the table of Table 1 on real music."""
    rows = []
    for study, encoder, context in _arms():
        found = [study.contrast(f"{encoder}-s-plus-{context}", f"{encoder}-s-minus", m, p) for p, m in CELLS]
        cells = " | ".join(f"{difference(one)}{mark(one)}" for one in found)
        rows.append(f"| {encoder} S+ {context} | {DRAWN[study.name]} | {cells} |")
    return rows


def mark(record: Any) -> str:
    """Return how a difference is marked: a gain or loss that counts by name."""
    return f", {record['verdict']}" if record["counts"] and record["verdict"] != "none shown" else ""


def table1() -> list[str]:
    """Return what is said of Table 1 on real music."""
    family = [one for name in DRAWN for one in Study(name).result["contrasts"] if one["primary"]]
    counted = sum(one["counts"] for one in family)
    assert not any(one["counts"] and one["holm"] < 0.05 for one in family)
    first = [
        study.contrast(f"{encoder}-s-plus-{context}", f"{encoder}-s-minus", "hr@1")
        for study, encoder, context in _arms()
    ]
    assert not any(one["counts"] and one["verdict"] == "gain" for one in first)
    lows, highs = (choose(one["difference"] for one in first) for choose in (min, max))
    weights = [
        study.result["arms"][f"causal-s-plus-{context}"]["settings"]["next_track.weight"]
        for study, encoder, context in _arms()
        if encoder == "causal"
    ]
    assert set(weights) == {2.0}, "the smallest term of those tried"
    return [
        *table1_rows(),
        f"Of the {len(family)} contrasts fixed beforehand {counted} count and none stands",
        f"is {points(lows)} to {points(highs)} points",
    ]


def ablation_rows() -> list[str]:
    """Return the table of other tracks in the place of skips."""
    study = Study("ablations-mssd")
    return [
        f"| {title} | {' | '.join(difference(study.contrast(arm, MINUS, m, p)) for p, m in CELLS)} |"
        for arm, title in OTHERS.items()
    ]


def ablations() -> list[str]:
    """Return what is said of other tracks in the place of skips."""
    study = Study("ablations-mssd")
    lifts = [study.contrast(arm, MINUS, NEXT_LISTENED, "full") for arm in OTHERS]
    assert not any(one["counts"] for one in lifts)
    assert [one["verdict"] for one in lifts] == ["gain"] * 5 + ["loss"]
    assert min(lifts[:4], key=lambda one: one["difference"])["arm"] == TRACK
    less = [study.contrast(TRACK, arm, NEXT_LISTENED, "full") for arm in ("random-negatives", "inverted")]
    return [
        *ablation_rows(),
        f"less random tracks {difference(less[0])}, less swapped ones {difference(less[1])}",
    ]


def besides() -> list[str]:
    """Return what skips bring to `segue` on each data set."""
    studies = [Study(name) for name in DATA]

    def cells(arm: str, less: str, metric: str) -> str:
        texts = []
        for study in studies:
            try:
                texts.append(difference(study.contrast(arm, less, metric, "full")))
            except KeyError:
                texts.append("not asked")
        return " | ".join(texts)

    def quality(measure: str) -> str:
        return " | ".join(
            " / ".join(share(s.result["arms"][arm]["listening"][measure][0]) for arm in (SEGUE, "no-feedback"))
            for s in studies
        )

    def ranked(metric: str) -> str:
        texts = []
        for study in studies:
            arm = study.result["arms"][SEGUE]
            by_score, by_both = arm["beside"]["model, lambda 0"]["full"][metric], arm["full"][metric]
            texts.append(f"{share(by_score[0])} / {share(by_both[0])}")
        return " | ".join(texts)

    inputs = [one for s in studies for one in s.result["contrasts"] if one["less"] == "no-feedback"]
    ranks = [one for one in inputs if one["arm"] == SEGUE and one["metric"].startswith("hr@")]
    shown = [one for one in ranks if one["verdict"] != "none shown"]
    strata = [one for s in studies for one in s.result["strata"] if one["less"] == "no-feedback"]
    by_verdict = {verdict: sum(one["verdict"] == verdict for one in strata) for verdict in ("gain", "loss")}
    in_histories = [one for one in studies[-1].result["strata"] if one["less"] == "no-feedback"]
    lost_there = sum(one["verdict"] == "loss" for one in in_histories)
    return [
        f"{len(shown)} of the {len(ranks)} hit rates",
        f"Of {len(strata)} hit rates of groups of targets {by_verdict['gain']} show a gain and "
        f"{by_verdict['loss']} a loss, {lost_there} of these on histories",
        f"| feedback as an input: HR@20 | {cells(SEGUE, 'no-feedback', 'hr@20')} |",
        f"| feedback as an input: HR@1, next listened | {cells(SEGUE, 'no-feedback', 'hr@1.next-listened')} |",
        f"| feedback as an input: HR@10, next listened | {cells(SEGUE, 'no-feedback', NEXT_LISTENED)} |",
        f"| the skip term in `segue`: HR@10, next listened | {cells('s-plus-track', SEGUE, NEXT_LISTENED)} |",
        f"| listened targets alone: HR@10 | {cells('listened', SEGUE, 'hr@10')} |",
        f"| listened targets alone: HR@10, next listened | {cells('listened', SEGUE, NEXT_LISTENED)} |",
        f"| P(listen), AUC with / without feedback | {quality('auc')} |",
        f"| P(listen), Brier with / without feedback | {quality('brier')} |",
        f"| right first suggestions skipped, by score alone / with P(listen) | {ranked('skipped@1')} |",
        f"| HR@1, by score alone / with P(listen) | {ranked('hr@1')} |",
    ]


def table1_page() -> list[str]:
    """Return what the page of `table1-mssd` says."""
    columns = ("hr@1", "hr@5", "hr@10", "hr@20")
    levels = []
    for name in DRAWN:
        study = Study(name)
        for arm, record in study.result["arms"].items():
            title = record["title"]
            sampled = " / ".join(study.mean(arm, metric) for metric in columns)
            forms = [" / ".join(study.mean(arm, f"hr@{k}", form) for k in (1, 10, 20)) for form in ("full", "unheard")]
            chosen = record["settings"]
            levels.append(
                f"| {title} | {DRAWN[name]} | {sampled} | {forms[0]} | {forms[1]} | "
                f"{chosen['training.learning_rate']:g}, {chosen['next_track.weight']:g} |"
            )
    return [*levels, *table1()]


def ablations_page() -> list[str]:
    """Return what the page of `ablations-mssd` says."""
    study = Study("ablations-mssd")
    with_others = [
        study.contrast(f"{arm}-s-plus-track", f"{arm}-s-minus", NEXT_LISTENED, "full")
        for arm in ("uniform-8192", "mixed-logq")
    ]
    assert all(one["counts"] and one["verdict"] == "gain" for one in with_others)
    return [
        *ablations(),
        f"{difference(with_others[0])} with 8192 uniform negatives and {difference(with_others[1])} with mixed ones",
    ]


def music() -> list[str]:
    """Return what docs/what-skips-bring.md says of real music."""
    return [*table1(), *ablations(), *besides()]

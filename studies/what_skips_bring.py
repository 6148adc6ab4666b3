"""Every figure of docs/what-skips-bring.md, from the results in this folder, and some of other pages.

`python studies/what_skips_bring.py` draws docs/figures/skips-*.svg and prints what they show, prints every statement of
the page and what `stated_elsewhere` holds of others, and exits with 1 where a page and the results differ. `--check`
draws nothing.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path

from skips_figures import MINUS, PER_SESSION, PER_SESSION_MINUS, SESSION, TRACK, WORLDS, draw
from stated import HOME, Study, arm_on_ratings, difference, lacking, points, share, unstated
from stated_elsewhere import PAGES
from stated_skips import music

from segue.studies.result_tables import TABLE_1

PAGE = HOME.parent / "docs" / "what-skips-bring.md"
NO_RESULTS = (
    "7,000 streaming sessions",
    "15 to 20 plays",
    "100 tracks hold 61 %",
    "HR@20, all tracks",
    "7,000 real sessions",
    "7,000 sessions and 50 listeners",
    "plays of 50 listeners",
    "450,000 sessions x 1,000,000 tracks",
    "100,000 x 200,000",
    "10,000 simulated sessions",
    "exclude 0",
    "patience 10",
    "63 of 64 queries",
)
"""Pieces of the page with numbers that are no results but what was asked for."""


def paper() -> list[str]:
    """Return what the page says of the paper."""
    causal, cloze = (TABLE_1[f"{e}-s-plus-track"][0] / TABLE_1[f"{e}-s-minus"][0] - 1 for e in ("causal", "cloze"))
    return [f"lifts HR@1 by {100 * causal:.1f} % (causal) and {100 * cloze:.1f} % (cloze)"]


def real() -> list[str]:
    """Return what the page says of MovieLens 100K."""
    study = Study("table1-ml-100k")
    family = [record for record in study.result["contrasts"] if record["primary"]]
    losses = [record for record in family if record["verdict"] == "loss"]
    counted = [record for record in losses if record["counts"]]
    standing = [record for record in counted if record["holm"] < 0.05]
    assert {(record["arm"], record["less"]) for record in standing} == {(SESSION, MINUS)}
    gains = sum(record["verdict"] == "gain" for record in family)
    per_session = {
        term: arm_on_ratings(f"causal {term}")["sampled"]["hr@10"][0] for term in ("S-", "S+ session", "S+ track")
    }
    return [
        f"Of the {len(family)} contrasts fixed beforehand {len(losses)} are losses and {gains} are gains; "
        f"{len(counted)} of these losses count, and {len(standing)} stand after Holm's correction (causal S+ session, "
        "in all three metrics)",
        f"(causal, sampled HR@10: S- {share(per_session['S-'])}, S+ session "
        f"{share(per_session['S+ session'])}, S+ track {share(per_session['S+ track'])}",
    ]


def table1() -> list[str]:
    """Return what the page says of Table 1 on the simulated log, and of its training on the plateau."""
    study = Study("table1-simulated")
    family = [record for record in study.result["contrasts"] if record["primary"]]
    counted = [record for record in family if record["counts"]]
    standing = [record for record in counted if record["holm"] < 0.05]
    assert [(r["arm"], r["metric"], r["verdict"]) for r in standing] == [
        (SESSION, "hr@1", "loss"),
        (TRACK, "hr@1", "loss"),
    ]
    at_one = [study.contrast(arm, MINUS, "hr@1") for arm in (SESSION, TRACK)]
    holm = [share(record["holm"], 4 if record["holm"] < 0.01 else 3) for record in at_one]
    stuck = study.result["arms"]["cloze-s-minus"]["per_seed"]["sampled"]["hr@10"]
    others = [value for value in stuck if value != min(stuck)]
    cloze = study.contrast("cloze-s-plus-track", "cloze-s-minus", "hr@1")
    without = [value for value, level in zip(cloze["per_seed"], stuck, strict=True) if level != min(stuck)]
    return [
        f"Sampled HR@10: causal S- {study.mean(MINUS, 'hr@10')}, S+ session {study.mean(SESSION, 'hr@10')}, S+ track "
        f"{study.mean(TRACK, 'hr@10')}, popularity {study.mean('popularity', 'hr@10')}, first-order Markov "
        f"{study.mean('markov', 'hr@10')}. {len(counted)} of the {len(family)} contrasts count, and two losses stand: "
        f"sampled HR@1 of S+ session {points(at_one[0]['difference'])} points (p {holm[0]}) and of S+ track "
        f"{points(at_one[1]['difference'])} (p {holm[1]})",
        f"(HR@10 {share(min(stuck))}; the other four {share(min(others))} to {share(max(others))})",
        f"cloze S+ track looks {100 * cloze['difference']:.1f} points better in HR@1; without it the difference is "
        f"{points(sum(without) / 4)}",
    ]


def ablations() -> list[str]:
    """Return what the page says of random tracks in four worlds."""
    worlds = [Study(f"ablations-simulated/{world}") for world in WORLDS]

    def ends(arm: str) -> str:
        values = [study.contrast(arm, MINUS, "hr@10")["difference"] for study in worlds]
        return f"{points(min(values))} to {points(max(values))}"

    return [
        f"Sampled HR@10 less S-: own skips {ends(TRACK)} points",
        f"another session's skips {ends('cross-session')}; random tracks {ends('random-negatives')}",
    ]


def per_session() -> list[str]:
    """Return what the page says of negatives drawn for each session."""
    study = Study("shared-negatives/100k")
    lost = [study.contrast(PER_SESSION, PER_SESSION_MINUS, metric) for metric in ("hr@1", "hr@10")]
    assert all(record["counts"] and record["verdict"] == "loss" for record in lost)
    return [
        f"the term loses {points(-lost[0]['difference'])[1:]} points of sampled HR@1 and "
        f"{points(-lost[1]['difference'])[1:]} of sampled HR@10",
    ]


def scarce() -> list[str]:
    """Return what the page says of little data."""
    study = Study("scarce-simulated")
    seeds = {arm: study.result["arms"][arm]["per_seed"]["sampled"]["hr@1"] for arm in (MINUS, TRACK)}
    ten = {arm: study.contrast(arm, MINUS, "hr@10") for arm in study.result["arms"] if arm != MINUS}
    return [
        f"the first seed shows HR@1 {100 * (seeds[TRACK][0] / seeds[MINUS][0] - 1):+.1f} %",
        f"own skips {difference(ten[TRACK])}, another session's {difference(ten['cross-session'])}, random tracks "
        f"{difference(ten['random-negatives'])}",
        f"(HR@10 {study.mean(MINUS, 'hr@10')} against {study.mean('markov', 'hr@10')})",
    ]


def dose() -> list[str]:
    """Return what the page says of the dose."""
    study = Study("dose-simulated")
    names = ("all-skips", "share-15", "share-30", "share-50")
    skips = [study.contrast(f"{n}-s-plus-track", f"{n}-s-minus", "hr@10")["difference"] for n in names]
    return [f"{points(min(skips))} to {points(max(skips))} points from a share of .15 to all"]


def architectures() -> list[str]:
    """Return what the page says of other encoders, and of a search that was too short."""
    study, capped = Study("architectures-simulated"), Study("architectures-simulated/capped")
    pairs = [r for r in study.result["contrasts"] if r["about"] == "skips" and r["metric"] == "hr@10"]
    pairs = [record for record in pairs if record["protocol"] == "sampled"]
    counted = [record for record in pairs if record["counts"]]
    losses = [record["arm"] for record in counted if record["verdict"] == "loss"]
    assert not any(record["verdict"] == "gain" for record in counted)
    tuned = [share(t["validation_hr@10"]) for t in capped.result["arms"][MINUS]["tuning"]]
    gap = [s.contrast(TRACK, MINUS, "hr@10")["difference"] for s in (capped, study)]
    return [
        f"of {len(pairs)} differences between S+ and S- in sampled HR@10 {len(counted)} count, {len(losses)} are "
        "losses, none is a gain",
        f"(validation HR@10 {tuned[0]}, {tuned[1]}, {tuned[2]} for three rates)",
        f"looked {100 * gap[0]:.0f} points better. With the recipe's own number of epochs the difference is "
        f"{points(gap[1])}",
    ]


def limits() -> None:
    """Check what the page says of how settings were chosen."""
    for name in ("table1-simulated", *(f"ablations-simulated/{world}" for world in WORLDS), "dose-simulated"):
        assert Study(name).result["settings"]["tuning_epochs"] == 10
        assert set(Study(name).result["settings"]["tuned"]) == {"training.learning_rate"}
    assert set(Study("table1-ml-100k").result["settings"]["tuned"]) == {"training.learning_rate"}


@cache
def statements() -> list[str]:
    """Return every statement of the page."""
    limits()
    parts = (paper, music, real, table1, ablations, per_session, architectures, dose, scarce)
    return [statement for part in parts for statement in part()]


def differing(page: Path = PAGE) -> list[str]:
    """Return where the page and the results differ, one line a place; nothing where they agree."""
    stated = statements()
    missing = [f"{page.name} does not say: {statement}" for statement in lacking(page, stated)]
    return missing + [
        f"{page.name} has a number of no result: ...{words}..." for words in unstated(page, stated, NO_RESULTS)
    ]


def elsewhere() -> list[str]:
    """Return where other pages and the results differ."""
    return [
        f"{page.relative_to(HOME.parent)} does not say: {statement}"
        for page, statements_of in PAGES.items()
        for statement in lacking(page, statements_of())
    ]


def main() -> int:
    """Draw, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="draw nothing, only compare")
    if not parser.parse_args().check:
        draw()
    for page, stated in {PAGE: statements(), **{page: each() for page, each in PAGES.items()}}.items():
        print(f"\n{page.relative_to(HOME.parent)} says, by the results:")
        print("\n".join(f"  {statement}" for statement in stated))
    wrong = differing() + elsewhere()
    print("\n".join(wrong) if wrong else "\nthe pages and the results agree", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

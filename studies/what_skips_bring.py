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

from gains_by_skips import STUDIES, chosen_at_the_edge, repeated, skip_differences, table
from skips_figures import CONTRASTS, METRICS, MINUS, PAIRS, PER_SESSION, PER_SESSION_MINUS, SESSION, TRACK, WORLDS, draw
from stated import HOME, Study, arm_on_ratings, difference, lacking, points, share, unstated
from stated_elsewhere import PAGES
from stated_real import music

from segue.studies.result_tables import TABLE_1

PAGE = HOME.parent / "docs" / "what-skips-bring.md"
ENCODERS = {"causal": "causal", "cloze": "cloze", "gru4rec": "GRU4Rec", "nextitnet": "NextItNet", "caser": "Caser"}
RATINGS_ARMS = tuple(
    f"{encoder} {term}" for encoder in ("causal", "cloze") for term in ("S-", "S+ session", "S+ track")
)
NO_RESULTS = (
    "7,000 streaming sessions",
    "15 to 20 plays",
    "100 tracks hold 61 %",
    "differ from 0",
    "200,000 tracks",
    "100,000 sessions",
    "450,000 sessions x 1,000,000 tracks",
    "at 450,000 sessions",
    "100,000 x 200,000",
    "10,000 simulated sessions",
    "![10,000 sessions",
    "1000 negatives",
    "exclude 0",
    "patience 10",
    "temperature .5 in",
    "with 5 tracks",
    "63 of 64 queries",
    "at the same rate of .001",
    "have .5 and .5",
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
    per_session = {arm: arm_on_ratings(arm)["sampled"]["hr@10"][0] for arm in RATINGS_ARMS if arm.startswith("causal")}
    return [
        f"Of the {len(family)} contrasts fixed beforehand {len(losses)} are losses and {gains} are gains; "
        f"{len(counted)} of these losses count, and {len(standing)} stand after Holm's correction (causal S+ session, "
        "in all three metrics)",
        f"(causal, sampled HR@10: S- {share(per_session['causal S-'])}, S+ session "
        f"{share(per_session['causal S+ session'])}, S+ track {share(per_session['causal S+ track'])}",
    ]


def table1() -> list[str]:
    """Return what the page says of Table 1 on the simulated log."""
    study = Study("table1-simulated")
    family = [record for record in study.result["contrasts"] if record["primary"]]
    counted = [record for record in family if record["counts"]]
    standing = [record for record in counted if record["holm"] < 0.05]
    assert [(r["arm"], r["metric"], r["verdict"]) for r in standing] == [
        (SESSION, "hr@1", "loss"),
        (TRACK, "hr@1", "loss"),
    ]
    at_one = [study.contrast(arm, MINUS, "hr@1") for arm in (SESSION, TRACK)]
    ten = study.contrast(SESSION, MINUS, "hr@10")
    holm = [share(record["holm"], 4 if record["holm"] < 0.01 else 3) for record in (*at_one, ten)]
    plateau = next(v for v in study.result["verdict"] if "plateau" in v["question"])["details"]
    stuck = study.result["arms"]["cloze-s-minus"]["per_seed"]["sampled"]["hr@10"]
    others = [value for value in stuck if value != min(stuck)]
    cloze = study.contrast("cloze-s-plus-track", "cloze-s-minus", "hr@1")
    assert "4 of 5 seeds: +0.76 points (over seeds -1.81 to +3.32)" in " ".join(plateau)
    per_seed = cloze["per_seed"]
    without = [value for value, level in zip(per_seed, stuck, strict=True) if level != min(stuck)]
    epochs = {arm: [seed["epochs"] for seed in study.result["arms"][arm]["seeds"]] for arm in study.result["arms"]}
    context = [r for r in study.result["contrasts"] if r["about"] == "context" and r["protocol"] == "sampled"]
    context = [r for r in context if r["metric"] in ("hr@1", "hr@5", "hr@10", "hr@20") and r["counts"]]
    better = sum(record["verdict"] == "gain" for record in context)
    return [
        f"in {better} of the {len(context)} contrasts that count",
        f"{len(counted)} of the {len(family)} contrasts count. Two losses stand after Holm's correction, one for each "
        f"context, both in sampled HR@1: S+ session {points(at_one[0]['difference'])} points (p {holm[0]}) and S+ "
        f"track {points(at_one[1]['difference'])} (p {holm[1]})",
        f"S+ session in HR@10 ({points(ten['difference'])}) has p {holm[2]} after the correction and does not stand",
        f"(HR@10 {share(min(stuck))}; the other four {share(min(others))} to {share(max(others))})",
        f"cloze S+ track looks {100 * cloze['difference']:.1f} points better in HR@1; without it the difference is "
        f"{points(sum(without) / 4)}",
        f"cloze S- took {min(epochs['cloze-s-minus'])} to {max(epochs['cloze-s-minus'])} epochs, cloze S+ session "
        f"{min(epochs['cloze-s-plus-session'])} to {max(epochs['cloze-s-plus-session'])}",
        f"causal S- {study.mean(MINUS, 'hr@10')}, S+ session {study.mean(SESSION, 'hr@10')}, S+ track "
        f"{study.mean(TRACK, 'hr@10')}, popularity {study.mean('popularity', 'hr@10')}, first-order Markov "
        f"{study.mean('markov', 'hr@10')}",
    ]


def per_session() -> list[str]:
    """Return what the page says of negatives drawn for each session."""
    study = Study("shared-negatives/100k")
    rates = {record["settings"]["training.learning_rate"] for record in study.result["arms"].values()}
    assert rates == {0.001}
    rows = [
        f"| {title} | " + " | ".join(difference(study.contrast(arm, less, m, p)) for p, m in METRICS) + " |"
        for title, arm, less in PAIRS
    ]
    lost = [study.contrast(PER_SESSION, PER_SESSION_MINUS, metric) for metric in ("hr@1", "hr@10")]
    assert all(record["counts"] and record["verdict"] == "loss" for record in lost)
    heard = study.contrast(PER_SESSION, PER_SESSION_MINUS, "hr@10.listened")
    assert heard["verdict"] == "loss"
    old = Study("departures-simulated").result["arms"]
    means = {
        arm: [sum(old[arm]["per_seed"][p][m]) / 3 for p, m in (("sampled", "hr@1"), ("full", "hr@20"))]
        for arm in (PER_SESSION, TRACK)
    }
    one, twenty = (a - b for a, b in zip(means[PER_SESSION], means[TRACK], strict=True))
    return [
        *rows,
        f"the term loses {points(-lost[0]['difference'])[1:]} points of sampled HR@1 and "
        f"{points(-lost[1]['difference'])[1:]} of sampled HR@10",
        f"an earlier study had shown it (S+ track, three seeds: {points(one)} points of HR@1, {points(twenty)} of "
        "HR@20 among all tracks",
        f"HR_l@10 falls too: {difference(heard)}",
    ]


def ablations() -> list[str]:
    """Return what the page says of the ablations."""
    worlds = [Study(f"ablations-simulated/{world}") for world in WORLDS]

    def ends(arm: str, metric: str = "hr@10", protocol: str = "sampled") -> str:
        values = [study.contrast(arm, MINUS, metric, protocol)["difference"] for study in worlds]
        return f"{points(min(values))} to {points(max(values))}"

    full = [study.contrast(arm, MINUS, "hr@20", "full") for study in worlds for arm in CONTRASTS]
    random_or_other = [r["difference"] for r in full if r["arm"] != TRACK]
    epochs = {
        arm: [s["epochs"] for s in worlds[0].result["arms"][arm]["seeds"]] for arm in (MINUS, "mixed-logq-s-minus")
    }
    mixed = worlds[0].contrast("mixed-logq-s-minus", MINUS, "hr@10")
    return [
        f"own skips {ends(TRACK)} points",
        f"another session's skips {ends('cross-session')}",
        f"random tracks {ends('random-negatives')}",
        f"by {100 * -max(random_or_other):.1f} to {100 * -min(random_or_other):.1f} points",
        f"in {min(epochs['mixed-logq-s-minus'])} to {max(epochs['mixed-logq-s-minus'])} epochs, {min(epochs[MINUS])} "
        f"to {max(epochs[MINUS])} with 1000 uniform ones (HR@10 {difference(mixed)})",
    ]


def scarce() -> list[str]:
    """Return what the page says of little data."""
    study = Study("scarce-simulated")
    seeds = {arm: study.result["arms"][arm]["per_seed"]["sampled"]["hr@1"] for arm in (MINUS, TRACK)}
    ten = {arm: study.contrast(arm, MINUS, "hr@10") for arm in study.result["arms"] if arm != MINUS}
    ordered = sorted(ten, key=lambda arm: float(ten[arm]["difference"]))
    assert ordered[0] == "inverted", "listened and skipped swapped help least"
    return [
        f"the first seed shows HR@1 {100 * (seeds[TRACK][0] / seeds[MINUS][0] - 1):+.1f} %",
        f"own skips {difference(ten[TRACK])}, another session's {difference(ten['cross-session'])}, random tracks "
        f"{difference(ten['random-negatives'])}, listened and skipped swapped {difference(ten['inverted'])}",
        f"(HR@10 {study.mean(MINUS, 'hr@10')} against {study.mean('markov', 'hr@10')})",
    ]


def dose() -> list[str]:
    """Return what the page says of the dose."""
    study = Study("dose-simulated")
    by_dose = {}
    for record in study.result["contrasts"]:
        if (record["about"], record["protocol"], record["metric"]) == ("skips", "sampled", "hr@10"):
            by_dose[record["arm"].removesuffix("-s-plus-track")] = record
    skips = [by_dose[name]["difference"] for name in ("all-skips", "share-15", "share-30", "share-50")]
    others = [by_dose[name]["difference"] for name in ("at-least-1", "at-least-3", "length-5", "length-10")]
    return [
        f"from a share of .15 to all skips the difference lies between {points(min(skips))} and {points(max(skips))} "
        f"points",
        f"between {points(min(others))} and {points(max(others))} where a skip is another strength or less is read",
    ]


def architectures() -> list[str]:
    """Return what the page says of other encoders."""
    study, rows = Study("architectures-simulated"), []
    for name, title in ENCODERS.items():
        skips, other = f"{name}-s-plus-track", f"{name}-random-negatives"
        kinds = (("sampled", "hr@10"), ("full", "hr@1"), ("full", "hr@10"), ("full", "hr@20"))
        cells = [difference(study.contrast(skips, other, metric, protocol)) for protocol, metric in kinds]
        rows.append(f"| {title} | {' | '.join(cells)} |")
        assert study.contrast(skips, other, "hr@10")["verdict"] == "loss"
        assert study.contrast(skips, other, "hr@10")["counts"]
    pairs = [r for r in study.result["contrasts"] if r["about"] == "skips" and r["metric"] == "hr@10"]
    pairs = [record for record in pairs if record["protocol"] == "sampled"]
    counted = [record for record in pairs if record["counts"]]
    losses = [record["arm"] for record in counted if record["verdict"] == "loss"]
    assert losses == ["causal-s-plus-session", "gru4rec-s-plus-session", "nextitnet-s-plus-session"]
    reversed_ = [
        r
        for r in study.result["contrasts"]
        if r["about"] == "term" and r["protocol"] == "full" and r["metric"] in ("hr@1", "hr@10", "hr@20")
    ]
    gains = [r for r in reversed_ if r["verdict"] == "gain"]
    assert not any(r["counts"] for r in reversed_)
    caser = [study.mean(f"caser-{end}", "hr@10") for end in ("s-minus", "s-plus-track", "random-negatives")]
    capped = Study("architectures-simulated/capped")
    tuned = [share(t["validation_hr@10"]) for t in capped.result["arms"][MINUS]["tuning"]]
    gap = [s.contrast(TRACK, MINUS, "hr@10")["difference"] for s in (capped, study)]
    return [
        *rows,
        f"Of the {len(pairs)} differences between S+ and S- in sampled HR@10 {len(counted)} count, {len(losses)} are "
        "losses (session context: causal, GRU4Rec, NextItNet), none is a gain",
        f"{len(gains)} of the {len(reversed_)} differences among all tracks are above 0 by both intervals",
        f"({caser[0]}; with own skips {caser[1]}, with random tracks {caser[2]})",
        f"(validation HR@10 {tuned[0]}, {tuned[1]}, {tuned[2]} for three rates)",
        f"looked {100 * gap[0]:.0f} points better. With the recipe's own number of epochs the difference is "
        f"{points(gap[1])}",
    ]


def setup() -> list[str]:
    """Return what the page says of the cloze encoder and of the letter."""
    study = Study("cloze-setup-simulated")
    pairs = [r for r in study.result["contrasts"] if r["about"] == "skips"]
    ten = [r["difference"] for r in pairs if (r["protocol"], r["metric"]) == ("sampled", "hr@10")]
    shares = [
        r
        for r in study.result["contrasts"]
        if r["about"] == "mask share" and (r["protocol"], r["metric"]) == ("sampled", "hr@10")
    ]
    more = next(r for r in shares if r["verdict"] == "gain")
    letter = Study("departures-simulated")
    undone = [letter.contrast(name, TRACK, "hr@10") for name in ("letter-denominator", "letter-negatives")]
    return [
        f"{points(max(ten))} to {points(min(ten))} points of sampled HR@10, none shown",
        f"Masking .4 is better than the paper's .2 by {difference(more)}",
        f"the positive left out of the denominator costs {difference(undone[0])}",
        f"keeping tracks among the negatives that the session also listened to gains {difference(undone[1])}",
    ]


def gains() -> list[str]:
    """Return what the page says of gains by a session's own skips."""
    every = skip_differences()
    counted = [each.record for each in every if each.record["counts"]]
    verdicts = [record["verdict"] for record in counted]
    gained = [each for each in every if each.gain and not each.again]
    areas = [each.beside("pair-auc") for each in gained]
    fallen = {(each.study.name, each.record["arm"]) for each, area in zip(gained, areas, strict=True) if area < 0}
    assert fallen == {
        ("table1-simulated", TRACK),
        ("dose-simulated", "length-5-s-plus-track"),
        ("ablations-simulated/taste", "temperature-50"),
    }
    rates = [(each.random, each.record["difference"]) for each in gained if each.record["metric"] != "pair-auc"]
    random = [by_random for by_random, by_skips in rates if by_random is not None and by_random > by_skips]
    assert len(random) == sum(by_random is not None for by_random, _ in rates), "random tracks raise each by more"
    return [
        f"they raise the same hit rate by more: by {100 * min(random):.1f} to {100 * max(random):.1f} points",
        f"pair AUC moves by {points(max(map(abs, areas)))[1:]} points at most",
        f"{len(every)} differences of hit rates and of pair AUC between the term with a session's own skips and the "
        f"same encoder without it; {len(counted)} count; {verdicts.count('gain')} are gains and "
        f"{verdicts.count('loss')} are losses",
        *table(every),
        *repeated(every),
    ]


def limits() -> list[str]:
    """Return what the page says of how settings were chosen."""
    short = [name for name in STUDIES if Study(name).result["settings"].get("tuning_epochs") == 10]
    assert short == ["table1-simulated", *(f"ablations-simulated/{world}" for world in WORLDS), "dose-simulated"]
    edges = [row for row in chosen_at_the_edge() if " 0 of " not in row]
    real = {arm: arm_on_ratings(arm)["learning_rate"] for arm in RATINGS_ARMS}
    assert [arm for arm, rate in real.items() if rate == 0.0005] == ["causal S-", "cloze S-"]
    assert set(real.values()) == {0.0005, 0.001}
    table1, long = Study("table1-simulated"), Study("shared-negatives/100k")
    chosen = [study.result["arms"][TRACK]["settings"]["training.learning_rate"] for study in (table1, long)]
    tuned = {one["training.learning_rate"]: one["validation_hr@10"] for one in table1.result["arms"][TRACK]["tuning"]}
    stuck = next(v for v in table1.result["verdict"] if "tuning" in v["question"])["details"]
    assert [line.split(":")[0] for line in stuck] == ["cloze S-", "cloze S+ track"]
    return [
        ", ".join(edges),
        f"Table 1 took {share(chosen[0], 4)} for causal S+ track (validation HR@10 {share(tuned[chosen[0]])} against "
        f"{share(tuned[chosen[1]])} at {share(chosen[1])}); longer searches took {share(chosen[1])}",
    ]


@cache
def statements() -> list[str]:
    """Return every statement of the page."""
    parts = (paper, music, real, table1, gains, per_session, ablations, scarce, dose, architectures, setup, limits)
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

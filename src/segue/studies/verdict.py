"""The answer in plain words, computed from the numbers: the paper's own observations, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from segue.evaluation import t_estimate
from segue.studies.wording import (
    AMONG,
    HIT_RATES,
    MEASURES,
    Answer,
    Record,
    answered,
    contrast_sentence,
    in_null,
    label,
    points,
    title_of,
    validated_among,
)

STUCK: Final = 0.05
"""Least difference between an arm's best training and popularity at which a training can be called stuck."""
LEVEL: Final = 0.05
NO_VERDICT: Final = "no verdict"
QUESTIONS: Final[Mapping[str, str]] = {
    "skips": "Do skips help: S+ > S-?",
    "ablation": "Does the term still gain over S- with one thing of it changed?",
    "term": "Is the term better than its ablations?",
    "softmax": "Do other negatives of the softmax bring something by themselves?",
    "mask share": "Is another share of masked tracks better than p = .2?",
    "departure": "Does the paper's letter do better than our reading?",
    "recipe": "Is it better than the paper's recipes?",
    "baseline": "Is it better than the baselines?",
    "part": "Does each part bring something?",
    "option": "Would another option be better?",
}
REGULARISATION: Final = "In world null skips say nothing about what is heard next: a gain there is regularisation."
WHY: Final[Mapping[str, str]] = {
    "did not converge": "met the epoch cap",
    "does not beat popularity": "not above popularity",
    "does not beat markov": "not above first-order Markov",
    "does not beat ordered-neighbours": "not above ordered neighbours",
}
"""A contrast's reasons as words of a sentence."""
TUNED: Final[Mapping[str, str]] = {"does not beat markov": "not above Markov"}
"""Those of results whose baselines are tuned."""
PLURALS: Final = {"gain": "gains", "loss": "losses"}


def verdicts(result: Record) -> list[Answer]:
    """Return the answer to each of the paper's observations, and of the study's own, that its arms allow."""
    family = [record for record in _about(result, "skips") if record["primary"]]
    hit_rates = [("sampled", metric) for metric in HIT_RATES]
    answers = [_skips(result, family)]
    for about, question in QUESTIONS.items():
        pairs = [] if about == "skips" and family else _about(result, about, MEASURES)
        answers.append(_from_pairs(result, question, pairs))
    by_seed = {
        (record["arm"], record["less"], record["metric"]): record["per_seed"]
        for record in _about(result, "encoder")
        if record["protocol"] == "sampled"
    }
    levels = {name: arm["per_seed"]["sampled"] for name, arm in result["arms"].items()}

    def relative(arm: str, less: str, metric: str) -> list[float]:
        pairs = zip(levels[arm][metric], levels[less][metric], strict=True)
        return [mine / its - 1 if its else float("nan") for mine, its in pairs]

    closing = "Does the gap between causal and cloze close in K?"
    better_context = "Is the track a better context than the session?"
    answers += [
        _from_pairs(result, "Is causal better than cloze?", _about(result, "encoder", hit_rates)),
        _by_cutoff(result, closing, "encoder", lambda arm, less, metric: by_seed[arm, less, metric]),
        _from_pairs(result, better_context, _about(result, "context", hit_rates)),
        _by_cutoff(result, "Do the relative gains wane in K?", "skips", relative),
        _ranks(result),
        stuck(result),
        tuned_by_chance(result),
    ]
    return [answer for answer in answers if answer is not None]


def _about(result: Record, about: str, measures: Sequence[tuple[str, str]] = ()) -> list[Record]:
    """Return the contrasts that answer a question, those of `measures` (protocol and metric) if any are given."""
    records = (record for record in result["contrasts"] if record["about"] == about)
    return [record for record in records if not measures or (record["protocol"], record["metric"]) in measures]


def _skips(result: Record, family: Sequence[Record]) -> Answer | None:
    """Return whether S+ > S- in the primary family, after Holm's correction; with one seed nothing is shown."""
    if not family:
        return None
    counted = [record for record in family if record["counts"]]
    certain = [record["verdict"] for record in counted if record["holm"] is not None and record["holm"] < LEVEL]
    gains, losses = certain.count("gain"), certain.count("loss")
    if not counted:
        answer = NO_VERDICT
    elif gains == len(family):
        answer = "yes, in every contrast"
    elif gains:
        answer = f"in {gains} of {len(family)} contrasts" + (f", and it loses in {losses}" if losses else "")
    else:
        answer = f"no: it loses in {losses} of {len(family)}" if losses else "not shown"
    why = (
        f"{len(counted)} of {len(family)} contrasts count; after Holm's correction {_tally(gains, losses)}"
        f"{_why_not(result, family)}"
    )
    return answered(QUESTIONS["skips"], answer, why, [contrast_sentence(result, record) for record in family])


def _tally(gains: int, losses: int) -> str:
    counts = (("gain", gains), ("loss", losses))
    parts = [f"there is 1 {what}" if num == 1 else f"there are {num} {PLURALS[what]}" for what, num in counts]
    return f"{' and '.join(parts)} among them."


def _from_pairs(result: Record, question: str, pairs: Sequence[Record]) -> Answer | None:
    """Return the answer of the differences that count: yes where all are gains, no where all are losses."""
    if not pairs:
        return None
    counted = [pair["verdict"] for pair in pairs if pair["counts"]]
    gains, losses = counted.count("gain"), counted.count("loss")
    if not counted:
        answer = NO_VERDICT
    elif gains == len(counted):
        answer = "yes" if len(counted) == len(pairs) else "yes, where it counts"
    elif losses == len(counted):
        answer = "no, the other way round"
    elif gains and losses:
        answer = "it depends"
    else:
        answer = "in part" if gains else ("in part the other way round" if losses else "not shown")
    why = f"{len(counted)} of {len(pairs)} differences count; {_tally(gains, losses)}{_why_not(result, pairs)}"
    return answered(question, answer, why, [contrast_sentence(result, pair) for pair in pairs])


def _by_cutoff(
    result: Record, question: str, about: str, gains: Callable[[str, str, str], Sequence[float]]
) -> Answer | None:
    """Return whether the gains at K = 1 are larger than at K = 20; `gains`: arm, other arm and metric to seeds."""
    pairs = [pair for pair in _about(result, about) if pair["protocol"] == "sampled"]
    if not pairs:
        return None
    above, details = [], []
    for arm, less in dict.fromkeys((pair["arm"], pair["less"]) for pair in pairs):
        at_one, at_twenty = (gains(arm, less, metric) for metric in ("hr@1", "hr@20"))
        e = t_estimate([one - twenty for one, twenty in zip(at_one, at_twenty, strict=True)])
        above.append(e.low > 0)
        details.append(f"{title_of(result, arm)}: {points(e.value)} points ({points(e.low)} to {points(e.high)})")
    answer = "yes" if all(above) else ("in part" if any(above) else "not shown")
    answer = answer if any(pair["counts"] for pair in pairs) else NO_VERDICT
    return answered(question, answer, "The difference at K = 1 less that at 20; intervals are t over seeds.", details)


def _ranks(result: Record) -> Answer | None:
    """Return whether the rank of the listened track rises *and* that of the skipped falls."""
    heard, passed = (_about(result, "skips", [("full", f"log-rank.{kind}")]) for kind in ("listened", "skipped"))
    if not heard:
        return None
    pairs = list(zip(heard, passed, strict=True))
    counted = [(one["direction"], other["direction"]) for one, other in pairs if one["counts"] and other["counts"]]
    both = counted.count(("fall", "rise"))
    answer = "yes" if both == len(pairs) else ("in some arms" if both else "not shown")
    answer = answer if counted else NO_VERDICT
    why = f"A log rank that falls is a track ranked higher.{_why_not(result, [*heard, *passed])}"
    details = [contrast_sentence(result, record) for pair in pairs for record in pair]
    return answered("Does the listened track's rank rise and the skipped one's fall?", answer, why, details)


def _why_not(result: Record, records: Sequence[Record]) -> str:
    """Return, once, why some of the contrasts do not count."""
    arms: dict[str, dict[str, None]] = {}
    words = {**WHY, **TUNED} if result.get("tuning_of_baselines") else WHY
    for record in records:
        for reason in record["reasons"]:
            why = words.get(reason["why"], reason["why"])
            why += "" if reason["why"] == "did not converge" else f" {AMONG[record['protocol']]}"
            arms.setdefault(why, {})[title_of(result, reason["arm"])] = None
    all_arms = {title_of(result, record[side]) for record in records for side in ("arm", "less")}
    causes = [f"{why}: {'every arm' if set(names) == all_arms else ', '.join(names)}" for why, names in arms.items()]
    why_not = f" Some contrasts do not count ({'; '.join(causes)})." if causes else ""
    gained = any(record["verdict"] == "gain" for record in records)
    return f"{why_not} {REGULARISATION}" if gained and in_null(result) else why_not


def tuned_by_chance(result: Record) -> Answer | None:
    """Return whether the tuning of every arm could tell settings apart; None where it could, or nothing is known.

    It could not where the best validation HR@10 it saw is nearer to popularity's (on test targets) than to that of the
    study's best training.
    """
    protocol = validated_among(result)
    popularity, levels = _popularity(result, protocol), _levels(result, protocol)
    best = max((level for arm in levels.values() for level in arm), default=-1.0)
    if popularity is None or best - popularity < STUCK:
        return None
    details = []
    for arm in result["arms"].values():
        scores = [tried["validation_hr@10"] or 0.0 for tried in arm["tuning"]]
        if scores and max(scores) < (best + popularity) / 2:
            details.append(f"{arm['title']}: {', '.join(f'{score:.4f}' for score in scores)}")
    if not details:
        return None
    cap = result["settings"]["tuning_epochs"]
    why = (
        f"Every setting tried was still nearer to popularity ({popularity:.4f}) than to the best training ({best:.4f}) "
        "when it was judged, so that the choice is close to chance: what such an arm lacks may be the right setting."
    )
    hint = f" They were given {cap} epochs (--tuning-epochs); more would tell." if cap else ""
    return answered("Could the tuning of every arm choose?", "no", why + hint, details)


def stuck(result: Record) -> Answer | None:
    """Return whether every training left the plateau that the first epochs reach; None where all did.

    One did not where its sampled HR@10 is nearer to popularity's than to that of its arm's best training.
    """
    popularity = _popularity(result)
    if popularity is None:
        return None
    stuck_seeds, details = dict[str, set[int]](), []
    for name, levels in _levels(result).items():
        best = max(levels)
        seeds = {seed: level for seed, level in enumerate(levels) if 0 <= level < (best + popularity) / 2}
        if best - popularity >= STUCK and seeds:
            stuck_seeds[name] = set(seeds)
            shown = ", ".join(f"seed {seed} {level:.4f}" for seed, level in seeds.items())
            title = result["arms"][name]["title"]
            details.append(f"{title}: {shown}; its best seed {best:.4f}, popularity {popularity:.4f}")
    if not stuck_seeds:
        return None
    details += filter(None, (_without(result, record, stuck_seeds) for record in result["contrasts"]))
    why = (
        "Patience ended trainings near the level of popularity, where others of the same arm went on and left it: "
        "their differences say when a training left the plateau, not how good an arm is. Below, exploratory, without "
        "them."
    )
    return answered("Did every training leave the plateau of its first epochs?", "no", why, details)


def _without(result: Record, record: Record, stuck_seeds: Mapping[str, set[int]]) -> str:
    """Return a contrast about skips over the seeds where neither arm is stuck; '' where no seed is."""
    seeds = stuck_seeds.get(record["arm"], set()) | stuck_seeds.get(record["less"], set())
    differences = [value for seed, value in enumerate(record["per_seed"]) if seed not in seeds]
    measured = (record["protocol"], record["metric"]) in MEASURES
    if record["about"] != "skips" or not measured or not seeds or not differences:
        return ""
    e = t_estimate(differences)
    return (
        f"{label(result, record)}, {record['metric'].upper()} {AMONG[record['protocol']]}, {len(differences)} of "
        f"{len(record['per_seed'])} seeds: {points(e.value)} points (over seeds {points(e.low)} to {points(e.high)})"
    )


def _popularity(result: Record, protocol: str = "sampled") -> float | None:
    """Return the HR@10 of popularity; None where nothing was ranked or popularity was not measured."""
    rows = (row for row in result["baselines"] if (row["name"], row["protocol"]) == ("popularity", protocol))
    return next((row["hr@10"][0] for row in rows), None)


def _levels(result: Record, protocol: str = "sampled") -> dict[str, list[float]]:
    """Return the HR@10 of each arm's trainings by seed; -1 where nothing was ranked."""
    return {
        name: [-1.0 if level is None else level for level in arm["per_seed"][protocol]["hr@10"]]
        for name, arm in result["arms"].items()
    }

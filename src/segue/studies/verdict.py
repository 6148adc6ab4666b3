"""The answer in plain words, computed from the numbers: the paper's own observations, one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from segue.evaluation import Estimate, t_estimate
from segue.studies.plateau import stuck, tuned_by_chance
from segue.studies.published import CUTOFFS
from segue.studies.wording import (
    AMONG,
    MEASURES,
    Answer,
    Record,
    answered,
    contrast_sentence,
    in_null,
    points,
    title_of,
)

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
}
"""What a contrast's reasons are called in a sentence."""


def verdicts(result: Record) -> list[Answer]:
    """Return the answer to each of the paper's observations, and of the study's own, that its arms let one ask."""
    family = any(record["primary"] and record["about"] == "skips" for record in result["contrasts"])
    answers = [_skips(result)]
    for about, question in QUESTIONS.items():
        pairs = [r for r in _about(result, about) if (r["protocol"], r["metric"]) in MEASURES]
        answers.append(None if about == "skips" and family else _from_pairs(result, question, pairs))
    answers += [
        _causal(result),
        _closing(result),
        _context(result),
        _waning(result),
        _ranks(result),
        stuck(result),
        tuned_by_chance(result),
    ]
    return [answer for answer in answers if answer is not None]


def _skips(result: Record) -> Answer | None:
    """S+ > S-?"""
    family = [record for record in result["contrasts"] if record["primary"] and record["about"] == "skips"]
    if not family:
        return None
    counted = [record for record in family if record["counts"]]
    shown = [record for record in counted if record["verdict"] == "gain" and _survives(record)]
    lost = [record for record in counted if record["verdict"] == "loss" and _survives(record)]
    if not counted:
        answer = NO_VERDICT
    elif len(shown) == len(family):
        answer = "yes, in every contrast"
    elif shown:
        answer = f"in {len(shown)} of {len(family)} contrasts" + (f", and it loses in {len(lost)}" if lost else "")
    else:
        answer = f"no: it loses in {len(lost)} of {len(family)}" if lost else "not shown"
    why = (
        f"{len(counted)} of {len(family)} contrasts count; after Holm's correction {_are(len(shown), 'gain')} and "
        f"{_are(len(lost), 'loss')} among them.{_why_not(result, family)}"
    )
    return answered("Do skips help: S+ > S-?", answer, why, [contrast_sentence(result, record) for record in family])


def _are(count: int, what: str) -> str:
    plural = {"gain": "gains", "loss": "losses"}[what]
    return f"there is 1 {what}" if count == 1 else f"there are {count} {plural}"


def _survives(record: Record) -> bool:
    """Return whether a contrast is shown after correction; with one seed nothing is."""
    return record["holm"] is not None and record["holm"] < LEVEL


def _causal(result: Record) -> Answer | None:
    """causal > cloze?"""
    return _from_pairs(result, "Is causal better than cloze?", _sampled_hit_rates(result, "encoder"))


def _context(result: Record) -> Answer | None:
    """track >= session?"""
    return _from_pairs(result, "Is the track a better context than the session?", _sampled_hit_rates(result, "context"))


def _closing(result: Record) -> Answer | None:
    """Does the gap between causal and cloze close as K grows?"""
    estimates: list[tuple[str, Estimate]] = []
    pairs = [pair for pair in _about(result, "encoder") if pair["protocol"] == "sampled"]
    for arm in dict.fromkeys(pair["arm"] for pair in pairs):
        by = {pair["metric"]: pair["per_seed"] for pair in pairs if pair["arm"] == arm}
        change = [one - twenty for one, twenty in zip(by["hr@1"], by["hr@20"], strict=True)]
        estimates.append((title_of(result, arm), t_estimate(change)))
    return _from_estimates("Does the gap between causal and cloze close in K?", estimates, pairs)


def _waning(result: Record) -> Answer | None:
    """Do the relative gains wane in K?"""
    estimates: list[tuple[str, Estimate]] = []
    pairs = [pair for pair in _about(result, "skips") if pair["protocol"] == "sampled"]
    for arm, less in dict.fromkeys((pair["arm"], pair["less"]) for pair in pairs):
        mine, its = (result["arms"][name]["per_seed"]["sampled"] for name in (arm, less))
        one, twenty = (_relative(mine[name], its[name]) for name in ("hr@1", "hr@20"))
        estimates.append((title_of(result, arm), t_estimate([a - b for a, b in zip(one, twenty, strict=True)])))
    return _from_estimates("Do the relative gains wane in K?", estimates, pairs)


def _relative(mine: Sequence[float], its: Sequence[float]) -> list[float]:
    return [a / b - 1 if b else float("nan") for a, b in zip(mine, its, strict=True)]


def _ranks(result: Record) -> Answer | None:
    """Does the rank of p_m rise *and* that of the skipped fall?"""
    records = [record for record in _about(result, "skips") if record["protocol"] == "full"]
    heard = {record["arm"]: record for record in records if record["metric"] == "log-rank.listened"}
    passed = {record["arm"]: record for record in records if record["metric"] == "log-rank.skipped"}
    if not heard:
        return None
    counted = [arm for arm in heard if heard[arm]["counts"] and passed[arm]["counts"]]
    both = [heard[arm]["direction"] == "fall" and passed[arm]["direction"] == "rise" for arm in counted]
    answer = "yes" if len(both) == len(heard) and all(both) else ("in some arms" if any(both) else "not shown")
    answer = answer if counted else NO_VERDICT
    why_not = _why_not(result, [*heard.values(), *passed.values()])
    why = f"A log rank that falls is a track ranked higher.{why_not}"
    pairs = zip(heard.values(), passed.values(), strict=True)
    details = [contrast_sentence(result, record) for pair in pairs for record in pair]
    return answered("Does the listened track's rank rise and the skipped one's fall?", answer, why, details)


def _sampled_hit_rates(result: Record, about: str) -> list[Record]:
    wanted = {f"hr@{cutoff}" for cutoff in CUTOFFS}
    return [r for r in _about(result, about) if r["protocol"] == "sampled" and r["metric"] in wanted]


def _from_pairs(result: Record, question: str, pairs: Sequence[Record]) -> Answer | None:
    """Return the answer that the differences that count give: yes where all are gains, no where all are losses."""
    if not pairs:
        return None
    counted = [pair for pair in pairs if pair["counts"]]
    gains, losses = (sum(pair["verdict"] == verdict for pair in counted) for verdict in ("gain", "loss"))
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
    why = (
        f"{len(counted)} of {len(pairs)} differences count; {_are(gains, 'gain')} and {_are(losses, 'loss')} among "
        f"them.{_why_not(result, pairs)}"
    )
    return answered(question, answer, why, [contrast_sentence(result, pair) for pair in pairs])


def _from_estimates(question: str, estimates: Sequence[tuple[str, Estimate]], pairs: Sequence[Record]) -> Answer | None:
    if not estimates:
        return None
    above = [estimate.low > 0 for _, estimate in estimates]
    answer = "yes" if all(above) else ("in part" if any(above) else "not shown")
    if not any(pair["counts"] for pair in pairs):
        answer = NO_VERDICT
    details = [f"{title}: {points(e.value)} points ({points(e.low)} to {points(e.high)})" for title, e in estimates]
    return answered(question, answer, "The difference at K = 1 less that at 20; intervals are t over seeds.", details)


def _why_not(result: Record, records: Sequence[Record]) -> str:
    """Return, once, why some of the contrasts do not count."""
    arms: dict[tuple[str, str], dict[str, None]] = {}
    for record in records:
        for reason in record["reasons"]:
            where = "" if reason["why"] == "did not converge" else f" {AMONG[record['protocol']]}"
            arms.setdefault((WHY.get(reason["why"], reason["why"]), where), {})[title_of(result, reason["arm"])] = None
    all_arms = {title_of(result, record[side]) for record in records for side in ("arm", "less")}
    causes = [
        f"{why}{where}: {'every arm' if set(names) == all_arms else ', '.join(names)}"
        for (why, where), names in arms.items()
    ]
    why_not = f" Some contrasts do not count ({'; '.join(causes)})." if causes else ""
    gained = any(record["verdict"] == "gain" for record in records)
    return f"{why_not} {REGULARISATION}" if gained and in_null(result) else why_not


def _about(result: Record, about: str) -> list[Record]:
    return [record for record in result["contrasts"] if record["about"] == about]

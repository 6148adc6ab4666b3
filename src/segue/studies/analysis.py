"""The result of a study from its trials: levels, contrasts, strata, curves, and the verdict, as one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from segue.evaluation import PROTOCOLS, Bootstrap, Evaluation, Protocol, Question, Row, contrasts, holm, t_estimate
from segue.ranking import BASELINE_NAMES
from segue.recipes import EvaluationConfig
from segue.reports.headline import METRICS
from segue.skips import BASELINES_TO_BEAT
from segue.store import Store
from segue.studies.design import Arm, Compared, Design
from segue.studies.result_file import rounded
from segue.studies.result_tables import LEVELS, LISTENING
from segue.studies.study_schedule import BASELINES, StudySchedule
from segue.studies.trials.trial import WATCHED, Outcome
from segue.studies.verdict import verdicts
from segue.studies.wording import HIT_RATES, OF_GROUPS

WRITTEN: Final = (
    *LEVELS, *(name for name in METRICS if name not in LEVELS), "hr@10.seen", "hr@10.untied",
    *(f"hr@{cutoff}.{group}" for group in ("replayed", "new") for cutoff in (1, 10, 20)),
    "feedback-utility", "responsiveness", "skipped@1",
)  # fmt: skip
"""Metrics of arms and baselines in a result: those that reports print, and HR@10 of the method's groups of targets."""
BESIDE: Final = ("hr@1", "hr@10", "hr@10.listened", "pair-auc", "skipped@1")
"""Metrics, among all tracks, of a head's own row."""
CONTRASTED: Final[Mapping[Protocol, tuple[str, ...]]] = {
    "full": (
        *("hr@1", "hr@10", "hr@20", *OF_GROUPS),
        *("hr@10.listened", "hr@10.skipped", "log-rank.listened", "log-rank.skipped"),
    ),
    "unheard": ("hr@1", "hr@10", "hr@20", "hr@1.next-listened", "hr@10.next-listened"),
    "sampled": (*HIT_RATES, "hr@10.listened", "hr@10.skipped", "log-rank.listened", "log-rank.skipped", "pair-auc"),
}
STRATIFIED: Final[tuple[tuple[Protocol, str], ...]] = (
    ("full", "hr@10"), ("full", "hr@10.next-listened"), ("sampled", "hr@10"),
)  # fmt: skip
"""Protocols and metrics of the contrasts by stratum."""
PRIMARY: Final = (("full", "hr@20"), ("sampled", "hr@1"), ("sampled", "hr@10"))
"""Metrics of the family that is corrected for number, of the contrasts that the design calls primary."""
STRATUM: Final = (
    "arm", "less", "protocol", "metric", "stratum", "difference", "t_interval", "bootstrap_interval", "verdict",
    "counts",
)  # fmt: skip
"""Keys of a contrast in one stratum; the contrast of all targets has the reasons."""


@dataclass(frozen=True)
class ArmResults:
    """The reported trials of one arm, seed after seed."""

    outcomes: Sequence[Outcome]
    evaluations: Sequence[Evaluation]

    @property
    def converged(self) -> bool:
        """Whether every reported training stopped by patience."""
        return all(outcome.converged for outcome in self.outcomes)


def analysed(schedule: StudySchedule, store: Store) -> dict[str, Any]:
    """Return the result document of a study whose trials have all ended."""
    options, design = schedule.options, schedule.design
    results = {arm.name: _results(schedule, arm) for arm in design.arms}
    first = next(iter(results.values())).outcomes[0]
    baselines = schedule.folder.evaluation(BASELINES)
    config = design.arms[0].resolved(options.overrides).evaluation
    records = _contrast_records(design, results | _as_arms(baselines, options.seeds), baselines, config)
    document = baselines.to_json()
    numbers: dict[str, Any] = rounded(
        {
            "study": design.name,
            "title": design.title,
            "question": design.question,
            "simulated": document["simulated"],
            "data": {
                "store": store.path.name,
                "fingerprint": store.manifest.fingerprint,
                "sessions": store.num_sessions,
                "tracks": store.num_tracks,
                "rows": store.num_rows,
                "counts": document["counts"],
            },
            "settings": {
                "seeds": options.seeds,
                "overrides": dict(options.overrides),
                "tuned": {key: list(values) for key, values in design.tuned.items()},
                "tuning_epochs": options.tuning_epochs,
                "validated_among": "full",
                "chosen_by": WATCHED,
                "tuning_trials": options.tuning_trials,
            },
            "environment": first.environment,
            "arms": {arm.name: _arm_record(schedule, arm, results[arm.name]) for arm in design.arms},
            "baselines": [
                {key: row[key] for key in ("name", "protocol", *WRITTEN) if key in row}
                for row in document["rows"]
                if row["kind"] == "baseline"
            ],
            "tuning_of_baselines": document["tuning"],
            "listening": [{key: row[key] for key in ("name", *LISTENING)} for row in document["listening"]],
            "contrasts": [record for record in records if not record["stratum"]],
            "strata": [{key: record[key] for key in STRATUM} for record in records if record["stratum"]],
            "curves": {
                name: [{"epoch": epoch, WATCHED: value} for epoch, value in enumerate(arm.outcomes[0].curve, 1)]
                for name, arm in results.items()
            },
        }
    )
    return numbers | {"verdict": verdicts(numbers)}


def _results(schedule: StudySchedule, arm: Arm) -> ArmResults:
    names = [schedule.name(arm, seed) for seed in schedule.seeds]
    outcomes = [schedule.folder.trial(name)[1] for name in names]
    return ArmResults(outcomes, [schedule.folder.evaluation(name) for name in names])


def _as_arms(baselines: Evaluation, seeds: int) -> dict[str, ArmResults]:
    """Return each baseline as an arm with the same result for every seed."""
    arms = {}
    for name in dict.fromkeys(row.name for row in baselines.rows):
        rows = [replace(row, name="model", kind="model") for row in baselines.rows if row.name == name]
        arms[name] = ArmResults([], [replace(baselines, rows=rows)] * seeds)
    return arms


def _arm_record(schedule: StudySchedule, arm: Arm, results: ArmResults) -> dict[str, Any]:
    """Return seed means with t intervals of every metric of one arm and its heads, and how its trainings ended."""
    ends, evaluations = ("epochs", "best_epoch", "converged"), results.evaluations
    record: dict[str, Any] = {
        "title": arm.title,
        "per_seed": {},
        "settings": dict(schedule.settings(arm) or {}),
        "tuning": schedule.tuning(arm),
        "converged": results.converged,
        "seeds": [
            {name: getattr(one, name) for name in ends} | {"seconds": round(one.seconds, 1)} for one in results.outcomes
        ],
    }
    for protocol in PROTOCOLS:
        rows = [evaluation.row("model", protocol) for evaluation in evaluations]
        record[protocol] = _levels(rows, WRITTEN)
        record["per_seed"][protocol] = {
            name: [row.metrics[name].value for row in rows] for name in HIT_RATES if name in rows[0].metrics
        }
    listening = [row for evaluation in evaluations for row in evaluation.listening if row["name"] == "model"]
    if len(listening) == len(evaluations):
        record["listening"] = {name: t_estimate([row[name][0] for row in listening]).to_json() for name in LISTENING}
    for name in dict.fromkeys(row.name for row in evaluations[0].rows if row.name != "model"):
        rows = [evaluation.row(name, "full") for evaluation in evaluations]
        record.setdefault("beside", {})[name] = {"full": _levels(rows, BESIDE)}
    return record


def _levels(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, Any]:
    """Return the mean over seeds, with its t interval, of each of `metrics` that is measured."""
    return {
        name: t_estimate([row.metrics[name].value for row in rows]).to_json()
        for name in metrics
        if name in rows[0].metrics
    }


def _contrast_records(
    design: Design, arms: Mapping[str, ArmResults], baselines: Evaluation, config: EvaluationConfig
) -> list[dict[str, Any]]:
    """Return a record a contrast: difference, both intervals, p and Holm's p of the primary family, verdict.

    All contrasts share one bootstrap. The evaluations of all arms are of one store and split, in the order of seeds.
    """
    bootstrap = Bootstrap(next(iter(arms.values())).evaluations[0].unit, config.resamples, config.seed)
    records: list[dict[str, Any]] = []
    for pair in design.compared:
        if pair.less not in arms:
            continue  # a baseline that the options leave out
        evaluations, others = arms[pair.arm].evaluations, arms[pair.less].evaluations
        questions = list(_questions(pair, evaluations[0]))
        for question, contrast in zip(questions, contrasts(evaluations, others, questions, bootstrap), strict=True):
            reasons = _reasons(arms, pair, baselines, question)
            cell = question.protocol, question.metric
            records.append(
                {
                    "arm": pair.arm,
                    "less": pair.less,
                    "about": pair.about,
                    "protocol": question.protocol,
                    "metric": question.metric,
                    "stratum": question.stratum,
                    "primary": pair.primary and not question.stratum and cell in PRIMARY,
                    **contrast.to_json(),
                    "holm": None,
                    "counts": not reasons,
                    "reasons": reasons,
                }
            )
    family = [record for record in records if record["primary"]]
    p_values = [float("nan") if record["p_value"] is None else record["p_value"] for record in family]
    for record, adjusted in zip(family, holm(p_values), strict=True):
        record["holm"] = adjusted
    return records


def _questions(pair: Compared, measured: Evaluation) -> Iterator[Question]:
    """Yield the questions about a pair: each metric, and those by stratum of the targets if the pair is about skips."""
    for protocol, metrics in CONTRASTED.items():
        row = measured.row("model", protocol)
        # a split by time has no pairs, and so no metrics of pairs
        yield from (Question(protocol, metric) for metric in metrics if metric in row.metrics)
    if pair.about == "skips":  # exploratory
        for protocol, metric in STRATIFIED:
            if metric in measured.row("model", protocol).metrics:
                yield from (Question(protocol, metric, name) for name in measured.strata)


def _reasons(
    arms: Mapping[str, ArmResults], pair: Compared, baselines: Evaluation, question: Question
) -> list[dict[str, str]]:
    """Return why a contrast carries no verdict: an arm below the bar, or one that did not converge."""
    names = pair.arm, pair.less
    reasons = [(name, "did not converge") for name in names if not arms[name].converged]
    metric = question.metric if question.metric.startswith("hr@") else "hr@10"
    # a contrast with a baseline asks whether the arm beats it: the bar does not apply
    for bar in () if pair.less in BASELINE_NAMES else BASELINES_TO_BEAT:
        row = next((row for row in baselines.rows if (row.name, row.protocol) == (bar, question.protocol)), None)
        for name in names:
            rows = [evaluation.row("model", question.protocol) for evaluation in arms[name].evaluations]
            if row is None:
                reasons.append((name, f"was not held against {bar}"))
            elif not float(np.mean([one.metrics[metric].value for one in rows])) > row.metrics[metric].value:
                reasons.append((name, f"does not beat {bar}"))
    return [{"arm": name, "why": why} for name, why in reasons]

"""What the trials of a study say: levels, contrasts, strata, curves, and the verdict, as one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from segue.evaluation import PROTOCOLS, Evaluation, Protocol, Question, t_estimate
from segue.ranking import BASELINE_NAMES
from segue.skips import BASELINES_TO_BEAT
from segue.store import Store
from segue.studies.contrasts import Reason, Wanted, contrast_records, stratum_records
from segue.studies.design import Arm, Design
from segue.studies.result_file import rounded
from segue.studies.study_schedule import BASELINES, StudySchedule
from segue.studies.tables import LEVELS, LISTENING
from segue.studies.trials.trial import Outcome
from segue.studies.verdict import verdicts

HIT_RATES: Final = ("hr@1", "hr@5", "hr@10", "hr@20")
"""Metrics whose value of each seed is written."""
WRITTEN: Final = (
    *LEVELS, "hr@10.next-listened", "hr@10.seen", "hr@10.untied", "feedback-utility", "responsiveness",
)  # fmt: skip
"""Metrics of arms and baselines that are written: what reports print, and HR@10 of the groups that the method names."""
BESIDE: Final = ("hr@10", "hr@10.listened", "pair-auc")
"""Metrics, among all tracks, of a head's own row."""
CONTRASTED: Final[Mapping[Protocol, tuple[str, ...]]] = {
    "sampled": ("hr@1", "hr@5", "hr@10", "hr@20", "hr@10.listened", "hr@10.skipped", "log-rank.listened",
                "log-rank.skipped", "pair-auc"),
    "full": ("hr@1", "hr@10", "hr@20", "hr@10.listened", "hr@10.skipped", "log-rank.listened", "log-rank.skipped"),
}  # fmt: skip
PRIMARY: Final = (("sampled", "hr@1"), ("sampled", "hr@10"), ("full", "hr@20"))
"""Metrics of the family that is corrected for number, of the contrasts that the design calls primary."""


@dataclass(frozen=True)
class ArmResults:
    """The reported trials of one arm, seed after seed."""

    settings: Mapping[str, Any]
    outcomes: Sequence[Outcome]
    evaluations: Sequence[Evaluation]
    tuning: Sequence[Mapping[str, Any]]
    """Settings tried and their validation HR@10."""

    @property
    def converged(self) -> bool:
        """Whether every reported training stopped by patience."""
        return all(outcome.converged for outcome in self.outcomes)


def analysed(schedule: StudySchedule, store: Store) -> dict[str, Any]:
    """Return the result document of a study whose trials have all ended."""
    options, design = schedule.options, schedule.design
    results = {arm.name: _results(schedule, arm) for arm in design.arms}
    baselines = schedule.folder.evaluation(BASELINES)
    arms = {arm.name: _arm_record(arm.title, results[arm.name]) for arm in design.arms}
    first = next(iter(results.values()))
    compared = results | _as_arms(baselines, options.seeds)
    wanted = [*_wanted(design, compared, baselines), *_by_stratum(design, first.evaluations[0])]
    config = design.arms[0].resolved(options.overrides).evaluation
    records = contrast_records(wanted, {name: each.evaluations for name, each in compared.items()}, config)
    whole = [record for record in records if not record["stratum"]]
    document = baselines.to_json()
    result = {
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
            "tuning_trials": options.tuning_trials,
        },
        "environment": first.outcomes[0].environment,
        "arms": arms,
        "baselines": [_written(row) for row in document["rows"] if row["kind"] == "baseline"],
        "listening": [{key: row[key] for key in ("name", *LISTENING)} for row in document["listening"]],
        "contrasts": whole,
        "strata": stratum_records([record for record in records if record["stratum"]], whole),
        "curves": {name: _curve(each.outcomes[0]) for name, each in results.items()},
    }
    numbers: dict[str, Any] = rounded(result)
    return numbers | {"verdict": verdicts(numbers)}


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written of a baseline's row."""
    return {key: row[key] for key in ("name", "protocol", *WRITTEN) if key in row}


def _curve(outcome: Outcome) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "hr@10": value} for epoch, value in enumerate(outcome.curve, 1)]


def _results(schedule: StudySchedule, arm: Arm) -> ArmResults:
    names = [schedule.name(arm, seed) for seed in schedule.seeds]
    outcomes = [schedule.folder.trial(name)[1] for name in names]
    evaluations = [schedule.folder.evaluation(name) for name in names]
    return ArmResults(schedule.settings(arm) or {}, outcomes, evaluations, schedule.tuning(arm))


def _as_arms(baselines: Evaluation, seeds: int) -> dict[str, ArmResults]:
    """Return each baseline as an arm that every seed trains alike."""
    arms = {}
    for name in dict.fromkeys(row.name for row in baselines.rows):
        rows = [replace(row, name="model", kind="model") for row in baselines.rows if row.name == name]
        arms[name] = ArmResults({}, [], [replace(baselines, rows=rows)] * seeds, [])
    return arms


def _arm_record(title: str, results: ArmResults) -> dict[str, Any]:
    """Return seed means with t intervals of every metric of one arm, and how its trainings ended."""
    record: dict[str, Any] = {
        "title": title,
        "per_seed": {},
        "settings": dict(results.settings),
        "tuning": list(results.tuning),
        "converged": results.converged,
        "seeds": [
            {name: getattr(one, name) for name in ("epochs", "best_epoch", "converged")}
            | {"seconds": round(one.seconds, 1)}
            for one in results.outcomes
        ],
    }
    for protocol in PROTOCOLS:
        rows = [evaluation.row("model", protocol) for evaluation in results.evaluations]
        values = {name: [row.metrics[name].value for row in rows] for name in WRITTEN if name in rows[0].metrics}
        record[protocol] = {name: t_estimate(by_seed).to_json() for name, by_seed in values.items()}
        record["per_seed"][protocol] = {name: values[name] for name in HIT_RATES if name in values}
    return record | _heads_record(results.evaluations)


def _heads_record(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Return what the heads of an arm reach, seed means with t intervals: P(listen), and the rows beside the model."""
    first = evaluations[0]
    listening = [next((row for row in e.listening if row["name"] == "model"), None) for e in evaluations]
    record: dict[str, Any] = {}
    if all(row is not None for row in listening):
        values = {name: [row[name][0] for row in listening if row is not None] for name in LISTENING}
        record["listening"] = {name: t_estimate(by_seed).to_json() for name, by_seed in values.items()}
    beside = dict.fromkeys(row.name for row in first.rows if row.kind in ("model", "head") and row.name != "model")
    for name in beside:
        rows = [evaluation.row(name, "full") for evaluation in evaluations]
        values = {metric: [row.metrics[metric].value for row in rows] for metric in BESIDE if metric in rows[0].metrics}
        levels = {metric: t_estimate(by_seed).to_json() for metric, by_seed in values.items()}
        record.setdefault("beside", {})[name] = {"full": levels}
    return record


def _by_stratum(design: Design, one: Evaluation) -> list[Wanted]:
    """Return the contrast of HR@10 in each stratum of targets, for the pairs that ask about skips; exploratory."""
    return [
        Wanted(pair.arm, pair.less, pair.about, Question(protocol, "hr@10", stratum), False, ())
        for pair in design.compared
        if pair.about == "skips"
        for protocol in PROTOCOLS
        for stratum in one.strata
    ]


def _wanted(design: Design, results: Mapping[str, ArmResults], baselines: Evaluation) -> list[Wanted]:
    """Return every contrast that the design asks for, and why it would not count."""
    wanted = []
    for pair in design.compared:
        if pair.less not in results:
            continue  # a baseline that was not asked for
        for protocol, metrics in CONTRASTED.items():
            measured = results[pair.arm].evaluations[0].row("model", protocol).metrics
            for metric in (metric for metric in metrics if metric in measured):  # a split by time has no pairs
                reasons = _reasons(results, (pair.arm, pair.less), baselines, protocol, metric)
                primary = pair.primary and (protocol, metric) in PRIMARY
                question = Question(protocol, metric)
                wanted.append(Wanted(pair.arm, pair.less, pair.about, question, primary, reasons))
    return wanted


def _reasons(
    results: Mapping[str, ArmResults], pair: tuple[str, str], baselines: Evaluation, protocol: Protocol, metric: str
) -> tuple[Reason, ...]:
    """Return why a contrast carries no verdict: an arm below the bar, or one that did not converge."""
    reasons = [Reason(name, "did not converge") for name in pair if not results[name].converged]
    if pair[1] in BASELINE_NAMES:  # whether the arm beats it is what is asked
        return tuple(reasons)
    measure = metric if metric.startswith("hr@") else "hr@10"
    for bar in BASELINES_TO_BEAT:
        row = next((row for row in baselines.rows if (row.name, row.protocol) == (bar, protocol)), None)
        for name in pair:
            levels = [e.row("model", protocol).metrics[measure].value for e in results[name].evaluations]
            if row is None:
                reasons.append(Reason(name, f"was not held against {bar}"))
            elif not float(np.mean(levels)) > row.metrics[measure].value:
                reasons.append(Reason(name, f"does not beat {bar}"))
    return tuple(reasons)

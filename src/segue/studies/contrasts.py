"""All contrasts of a study at once: one draw of the bootstrap for the whole table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from segue.evaluation import Bootstrap, Contrast, Evaluation, Question, contrasts, holm
from segue.recipes import EvaluationConfig


@dataclass(frozen=True)
class Reason:
    """Why a contrast carries no verdict."""

    arm: str
    why: str


@dataclass(frozen=True)
class Wanted:
    """One contrast, and what its answer is worth."""

    arm: str
    less: str
    about: str
    question: Question
    primary: bool
    """Belongs to the family that is corrected for number."""
    reasons: tuple[Reason, ...]
    """Why it would carry no verdict; none = it counts."""


def contrast_records(
    wanted: Sequence[Wanted], arms: Mapping[str, Sequence[Evaluation]], config: EvaluationConfig
) -> list[dict[str, Any]]:
    """Return a record a contrast: difference, both intervals, p and Holm's p of the primary family, verdict.

    `arms` holds one evaluation a seed of each arm, in the same order of seeds; all are of one store and split.
    """
    bootstrap = Bootstrap(next(iter(arms.values()))[0].unit, config.resamples, config.seed)
    differences: dict[int, Contrast] = {}
    for arm, less in dict.fromkeys((each.arm, each.less) for each in wanted):
        rows = [row for row, each in enumerate(wanted) if (each.arm, each.less) == (arm, less)]
        questions = [wanted[row].question for row in rows]
        differences |= dict(zip(rows, contrasts(arms[arm], arms[less], questions, bootstrap), strict=True))
    family = [row for row, each in enumerate(wanted) if each.primary]
    adjusted = dict(zip(family, holm([differences[row].p_value for row in family]), strict=True))
    return [
        {
            "arm": each.arm,
            "less": each.less,
            "about": each.about,
            "protocol": each.question.protocol,
            "metric": each.question.metric,
            "stratum": each.question.stratum,
            "primary": each.primary,
            **{key: value for key, value in differences[row].to_json().items() if key != "non_inferior"},
            "holm": adjusted.get(row),
            "counts": not each.reasons,
            "reasons": [asdict(reason) for reason in each.reasons],
        }
        for row, each in enumerate(wanted)
    ]


STRATUM: Final = (
    "arm", "less", "protocol", "metric", "stratum", "difference", "t_interval", "bootstrap_interval", "verdict",
)  # fmt: skip
"""What is written of a contrast in one stratum."""


def stratum_records(strata: Sequence[Mapping[str, Any]], whole: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what is written of the records of `strata`, each counting where its contrast of all targets does.

    `whole`: those of all targets; the reasons stand there.
    """
    counts = {(one["arm"], one["less"], one["protocol"], one["metric"]): one["counts"] for one in whole}
    keys = ("arm", "less", "protocol", "metric")
    return [
        {key: record[key] for key in STRATUM} | {"counts": counts[tuple(record[key] for key in keys)]}
        for record in strata
    ]

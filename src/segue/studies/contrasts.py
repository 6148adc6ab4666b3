"""All contrasts of a study at once: one draw of the bootstrap for the whole table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from segue.evaluation import Contrast, Evaluation, Protocol, holm, t_estimate, target_ratio
from segue.evaluation.bootstrap import Bootstrap
from segue.evaluation.metrics import Ratio
from segue.recipes import EvaluationConfig

NON_INFERIOR: Final = -0.005
"""Lower bound above which an arm is called not inferior (method, section 5)."""


@dataclass(frozen=True)
class Reason:
    """Why a contrast carries no verdict."""

    arm: str
    why: str


@dataclass(frozen=True)
class Question:
    """One contrast, and what its answer is worth."""

    arm: str
    less: str
    about: str
    protocol: Protocol
    metric: str
    primary: bool
    """Belongs to the family that is corrected for number."""
    reasons: tuple[Reason, ...]
    """Why it would carry no verdict; none = it counts."""


def contrast_records(
    questions: Sequence[Question], arms: Mapping[str, Sequence[Evaluation]], config: EvaluationConfig
) -> list[dict[str, Any]]:
    """Return a record a question: difference, both intervals, p and Holm's p of the primary family, verdict.

    `arms` holds one evaluation a seed of each arm, in the same order of seeds; all are of one store and split. p is
    that of the t statistic of the seed-paired differences, two-sided (None with one seed).
    """
    found = [_contrast(question, arms) for question in questions]
    one = next(iter(arms.values()))[0]
    bootstrap = Bootstrap(one.unit, config.resamples, config.seed)
    intervals, _ = bootstrap.estimate({str(place): ratio for place, (_, ratio) in enumerate(found)})
    contrasts = [
        Contrast(tuple(seeds), t_estimate(seeds), intervals[str(place)]) for place, (seeds, _) in enumerate(found)
    ]
    p = [_p_value(contrast.per_seed) for contrast in contrasts]
    family = [place for place, question in enumerate(questions) if question.primary and p[place] is not None]
    adjusted = dict(zip(family, holm([p[place] or 0.0 for place in family]), strict=True))
    return [
        {
            "arm": question.arm, "less": question.less, "about": question.about, "protocol": question.protocol,
            "metric": question.metric, "primary": question.primary, **contrast.to_json(), "p": p[place],
            "holm": adjusted.get(place), "not_inferior": _not_inferior(contrast), "counts": not question.reasons,
            "reasons": [asdict(reason) for reason in question.reasons],
        }
        for place, (question, contrast) in enumerate(zip(questions, contrasts, strict=True))
    ]  # fmt: skip


def _contrast(question: Question, arms: Mapping[str, Sequence[Evaluation]]) -> tuple[list[float], Ratio]:
    """Return the difference of each seed, and the ratio whose value is their mean."""
    first, second = (
        [target_ratio(evaluation, "model", question.protocol, question.metric) for evaluation in arms[name]]
        for name in (question.arm, question.less)
    )
    under = first[0][1]
    over = [a - b for (a, _), (b, _) in zip(first, second, strict=True)]
    whole = max(float(under.sum()), 1.0)
    return [float(values.sum()) / whole for values in over], (np.mean(over, axis=0), under)


def _p_value(per_seed: Sequence[float]) -> float | None:
    """Return the two-sided p of the mean difference's t statistic; 0 or 1 where all seeds agree exactly."""
    if len(per_seed) < 2:
        return None
    spread = float(np.std(per_seed, ddof=1)) / len(per_seed) ** 0.5
    mean = abs(float(np.mean(per_seed)))
    if spread == 0.0:
        return float(mean == 0.0)
    return float(2 * stats.t.sf(mean / spread, len(per_seed) - 1))


def _not_inferior(contrast: Contrast) -> bool:
    """Return whether both intervals lie above the margin."""
    return min(contrast.over_seeds.low, contrast.over_units.low) > NON_INFERIOR

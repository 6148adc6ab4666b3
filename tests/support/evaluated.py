"""Evaluates scorers on a scene."""

from __future__ import annotations

from collections.abc import Sequence

from segue.evaluation import PROTOCOLS, Evaluation, Protocol, Table, assembled, scorer_rows
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.ranking import Scorer


def evaluate_scorers(
    scene: EvaluationScene, scorers: Sequence[Scorer], protocols: Sequence[Protocol] = PROTOCOLS
) -> Evaluation:
    """Return the metrics of each scorer: the first as the model, the others as baselines."""
    table = Table(scene)
    rows = [
        *scorer_rows(table, scorers[:1], "model", protocols),
        *scorer_rows(table, scorers[1:], "baseline", protocols),
    ]
    return assembled(table, rows)

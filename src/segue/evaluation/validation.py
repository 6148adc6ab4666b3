"""What early stopping looks at: sampled HR on the validation targets, epoch after epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from segue.batches.split import DataConfig, Split
from segue.encoders.encoder import Encoder
from segue.evaluation.metrics import hit
from segue.evaluation.ranking_pass import sampled_ranks
from segue.evaluation.scene import make_scene
from segue.evaluation.session_candidates import session_candidates
from segue.ranking import ModelScorer
from segue.recipes import EvaluationConfig, Recipe
from segue.store import Store


class Validation:
    """The validation targets of one split and their candidates, the same in all epochs."""

    def __init__(self, store: Store, split: Split, data: DataConfig, config: EvaluationConfig, device: object) -> None:
        self._scene = make_scene(store, split, data, config, "validation", device)
        session = split.cases["validation"].session
        drawn = session_candidates(store, session, split.candidates, config.candidates, config.seed, device)
        self._candidates = drawn.kept()

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """Return HR@1 and HR@10 of `encoder` (in eval mode); NaN where there are no targets."""
        scorer = ModelScorer(encoder, self._scene.split.candidates)
        ranks = sampled_ranks(scorer, self._scene.held, self._candidates).ranks[:, 0]
        if len(ranks) == 0:
            return {"hr@1": float("nan"), "hr@10": float("nan")}
        return {"hr@1": float(hit(ranks, 1).mean()), "hr@10": float(hit(ranks, 10).mean())}


def validating(store: Store, recipe: Recipe) -> Callable[[Split, Encoder], Mapping[str, float]]:
    """Return what measures an encoder on the validation targets of `store` after each epoch of `recipe`.

    Its targets and candidates are made when it is first called: training knows the split and the device.
    """
    made: list[Validation] = []

    def validate(split: Split, encoder: Encoder) -> Mapping[str, float]:
        if not made:
            made.append(Validation(store, split, recipe.data, recipe.evaluation, encoder.table.weight.device))
        return made[0].measure(encoder)

    return validate

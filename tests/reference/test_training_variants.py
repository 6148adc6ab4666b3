"""The step trains every variant of the term as the naive step does; what they draw leaves other draws alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from segue.batches.split import split_store
from segue.training import step as step_module
from segue.training.trainer import Trainer
from support.plain_step import assert_same_training, taken_plainly
from support.small_recipes import small_recipe
from support.stores import tiny_store

TRACK, SESSION = "paper-causal-s-plus-track", "paper-causal-s-plus-session"
CLOZE_TRACK, CLOZE_SESSION = "paper-cloze-s-plus-track", "paper-cloze-s-plus-session"
CASES: list[tuple[str, dict[str, Any]]] = [
    (TRACK, {"variant": "cross_session"}),
    (CLOZE_SESSION, {"variant": "cross_session"}),
    (SESSION, {"variant": "cross_session_anchors"}),
    (TRACK, {"variant": "random_negatives"}),
    (CLOZE_SESSION, {"variant": "random_negatives"}),
    (SESSION, {"variant": "random_positive"}),
    (CLOZE_TRACK, {"variant": "random_positive"}),
    (CLOZE_TRACK, {"variant": "inverted"}),
    (SESSION, {"variant": "inverted"}),
    (CLOZE_SESSION, {"variant": "align_only"}),
    (SESSION, {"variant": "all_anchors"}),
    (TRACK, {"variant": "positive_not_in_denominator"}),
    (SESSION, {"variant": "listened_negatives"}),
]
IDS = [f"{name}-{'-'.join(map(str, options.values()))}" for name, options in CASES]


def _trained(path: Path, name: str, options: dict[str, Any], *, plain: bool, steps: int = 3, **changes: Any) -> Trainer:
    overrides = {"encoder__dropout": 0.0, "next_track__kind": "shared", **changes}
    overrides |= {f"terms__0__{key}": value for key, value in options.items()}
    recipe = small_recipe(name, **overrides, training__learning_rate=1e-3)
    store = tiny_store(path, tracks=200)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
        trainer = taken_plainly(trainer) if plain else trainer
        order = trainer.begin(torch.arange(19).repeat(3), steps)
        for step in range(steps):
            trainer.step(order[step * 7 : (step + 1) * 7])
        if not plain:
            trainer.bring_up()
    return trainer


def _same(fast: Trainer, plain: Trainer) -> None:
    assert plain.sums[2] != 0
    assert_same_training(fast, plain)


@pytest.fixture(autouse=True)
def clipping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients as small as those of these models are clipped, too."""
    monkeypatch.setattr(step_module, "CLIP", 0.5)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_the_step_trains_a_variant_as_the_naive_one(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    plain, fast = (_trained(tmp_path / str(turn), name, options, plain=turn) for turn in (True, False))
    _same(fast, plain)


@pytest.mark.parametrize("variant", ["random_negatives", "cross_session"])
def test_so_it_does_with_the_full_softmax_and_windows_shorter_than_the_encoder(tmp_path: Path, variant: str) -> None:
    changes = {"next_track__kind": "full", "data__max_len": 20}
    options = {"variant": variant}
    plain, fast = (_trained(tmp_path / str(turn), SESSION, options, plain=turn, **changes) for turn in (True, False))
    _same(fast, plain)


def test_several_terms_draw_in_their_order(tmp_path: Path) -> None:
    terms = [
        {"kind": "skip_contrastive", "variant": variant, "context": context, "weight": 0.2}
        for context in ("track", "session")
        for variant in ("random_positive", "none", "cross_session")
    ]
    plain, fast = (_trained(tmp_path / str(turn), TRACK, {}, plain=turn, terms=terms) for turn in (True, False))
    _same(fast, plain)


@pytest.mark.parametrize("name", [TRACK, CLOZE_SESSION])
def test_what_a_variant_draws_leaves_the_batch_as_it_was(tmp_path: Path, name: str) -> None:
    """The first step of both arms has the same negatives, masks and offsets, and so the same next_track loss."""
    correct, *others = (
        _trained(tmp_path / variant, name, {"variant": variant}, plain=False, steps=1)
        for variant in ("none", "random_negatives", "random_positive", "cross_session")
    )
    for other in others:
        assert torch.equal(other.sums[1], correct.sums[1])
        assert other.sums[2] != correct.sums[2]


def test_an_ablation_and_its_control_draw_alike(tmp_path: Path) -> None:
    arms = [
        _trained(tmp_path / name, TRACK, {"variant": name}, plain=False, steps=2)
        for name in ("cross_session", "cross_session_anchors")
    ]
    assert torch.equal(arms[0].generator.get_state(), arms[1].generator.get_state())


def test_rows_drawn_from_elsewhere_are_moved(tmp_path: Path) -> None:
    begun, trained = (
        _trained(tmp_path / str(steps), TRACK, {"variant": "random_positive"}, plain=False, steps=steps)
        for steps in (0, 1)
    )
    moved = (begun.weights()["table.weight"] != trained.weights()["table.weight"]).any(1)
    data = trained.data
    windows = [data.tracks[int(data.train_begin[i]) : int(data.train_end[i])][-9:] for i in range(7)]
    in_windows = torch.cat(windows).unique()
    assert moved.sum() > len(in_windows) + trained.recipe.next_track.negatives
    assert not moved[:2].any()

"""The training step equals the naive one: same draws, same losses, same weights after several steps."""

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

PRESETS = [
    f"paper-{kind}-{arm}" for kind in ("causal", "cloze") for arm in ("s-minus", "s-plus-session", "s-plus-track")
]
PAIRS = (("per_session", "mixed"), ("shared", "full"))
CASES = [(name, kind, "shifted", "post_norm") for turn, name in enumerate(PRESETS) for kind in PAIRS[turn % 2]]
CASES += [
    (f"{encoder}-{arm}", kind, "literal", "post_norm")
    for encoder in ("gru4rec", "nextitnet", "caser")
    for arm, kind in (("s-minus", "mixed"), ("s-plus-session", "per_session"))
]
CASES += [
    (f"paper-{encoder}", kind, "shifted", "post_norm")
    for encoder in ("causal-s-minus", "cloze-s-plus-track")
    for kind in ("avoid", "weighed", "own-skips", "own-skips-per-session", "gbce", "visible")
]
CASES += [
    ("paper-causal-s-plus-track", "next-listened", "shifted", "post_norm"),
    ("gru4rec-s-minus", "next-listened-full", "literal", "post_norm"),
    ("paper-causal-s-minus", "histories", "shifted", "post_norm"),
    ("paper-causal-s-plus-track", "histories-mixed", "literal", "pre_norm"),
    ("paper-causal-s-minus", "features-full", "shifted", "post_norm"),
]
CASES += [
    ("paper-causal-s-minus", "shared+log_q", "shifted", "post_norm"),
    ("paper-causal-s-minus", "mixed-log_q", "shifted", "post_norm"),
    ("paper-causal-s-plus-track", "shared", "literal", "pre_norm"),
    ("paper-cloze-s-plus-track", "shared", "literal", "pre_norm"),
    ("paper-causal-s-plus-session", "feedback+gates", "shifted", "gated"),
    ("paper-cloze-s-plus-track", "feedback", "shifted", "post_norm"),
    ("paper-causal-s-plus-session", "transitions", "shifted", "pre_norm"),
    ("paper-causal-s-minus", "transitions+full", "shifted", "post_norm"),
    ("paper-causal-s-minus", "transitions+listen", "shifted", "pre_norm"),
    ("paper-causal-s-plus-track", "transitions-both", "shifted", "post_norm"),
    ("paper-causal-s-minus", "copy", "shifted", "pre_norm"),
    ("paper-causal-s-minus", "copy-mixed", "shifted", "pre_norm"),
    ("paper-causal-s-plus-track", "copy-shared", "shifted", "post_norm"),
    ("paper-causal-s-minus", "copy-transitions", "shifted", "gated"),
    ("paper-causal-s-minus", "copy-mixed-transitions", "shifted", "pre_norm"),
    ("paper-causal-s-minus", "copy-repeats", "shifted", "pre_norm"),
    ("paper-causal-s-plus-track", "listen-flow", "shifted", "pre_norm"),
    ("paper-cloze-s-plus-track", "listen-flow", "shifted", "post_norm"),
    ("paper-causal-s-plus-track", "features", "shifted", "pre_norm"),
    ("paper-cloze-s-plus-session", "features", "shifted", "post_norm"),
    ("paper-causal-s-minus", "all", "shifted", "pre_norm"),
    ("paper-causal-s-plus-session", "context", "shifted", "post_norm"),
    ("paper-causal-s-plus-track", "skips-from-1", "shifted", "pre_norm"),
    ("paper-cloze-s-plus-session", "skips-from-3", "shifted", "post_norm"),
]

KINDS: dict[str, dict[str, Any]] = {
    "avoid": {"next_track__kind": "mixed", "next_track__targets": "avoid_skipped"},
    "weighed": {"next_track__kind": "shared", "next_track__skipped_weight": 0.3},
    "own-skips": {"next_track__kind": "mixed", "next_track__own_skips": True},
    "own-skips-per-session": {"next_track__own_skips": True, "next_track__skipped_weight": 2.0},
    "gbce": {"next_track__kind": "gbce"},
    "visible": {"next_track__kind": "shared", "encoder__position": "padded"},
    "next-listened": {"next_track__kind": "mixed", "next_track__targets": "next_listened"},
    "next-listened-full": {"next_track__kind": "full", "next_track__targets": "next_listened"},
    "histories": {"next_track__kind": "shared", "data__history": 12, "inputs__feedback": True},
    "histories-mixed": {
        "next_track__kind": "mixed",
        "data__history": 30,
        "encoder__unknown_share": 0.2,
        "inputs__context": {"columns": ["gap", "hour"]},
        "heads__copy": True,
    },
    "features-full": {"next_track__kind": "full", "inputs__features": {"drop": 0.3}},
    "shared+log_q": {"next_track__kind": "shared", "next_track__log_q": True},
    "mixed-log_q": {"next_track__kind": "mixed", "next_track__log_q": False},
    "feedback": {"next_track__kind": "shared", "inputs__feedback": True},
    "transitions": {"next_track__kind": "mixed", "heads__transitions": True},
    "transitions+full": {"next_track__kind": "full", "heads__transitions": True},
    "transitions+listen": {
        "next_track__kind": "shared",
        "next_track__log_q": True,
        "heads__transitions": True,
        "heads__listen": {"weight": 0.7},
    },
    "transitions-both": {"next_track__kind": "mixed", "heads__transitions": {"own_weight": 0.5}},
    "copy": {"next_track__kind": "full", "heads__copy": True},
    "copy-mixed": {"next_track__kind": "mixed", "heads__copy": True},
    "copy-repeats": {"next_track__kind": "mixed", "heads__copy": True, "heads__repeats": True},
    "copy-shared": {"next_track__kind": "shared", "next_track__log_q": True, "heads__copy": True},
    "copy-transitions": {
        "next_track__kind": "full",
        "next_track__temperature": 0.5,
        "heads__copy": True,
        "heads__transitions": {"own_weight": 1.0},
    },
    "copy-mixed-transitions": {
        "next_track__kind": "mixed",
        "heads__copy": True,
        "heads__transitions": {"own_weight": 1.0},
    },
    "listen-flow": {"next_track__kind": "shared", "heads__listen": {"gradient": "flow"}},
    "features": {"next_track__kind": "shared", "inputs__features": {"drop": 0.5}, "data__vocabulary": "features"},
    "context": {"next_track__kind": "shared", "inputs__context": {"columns": ["gap", "hour"]}},
    "all": {
        "inputs__context": {"columns": ["hour", "premium", "context_type", "shuffle", "gap"]},
        "next_track__kind": "mixed",
        "next_track__targets": "listened",
        "inputs__feedback": True,
        "encoder__unknown_share": 0.2,
        "heads__transitions": True,
        "heads__listen": {"gradient": "flow"},
        "inputs__features": True,
        "data__vocabulary": "features",
    },
    **{
        f"skips-from-{at_least}": {
            "data__skip_at_least": at_least,
            "next_track__kind": "mixed",
            "next_track__targets": "listened",
            "heads__listen": {"gradient": "flow"},
        }
        for at_least in (1, 3)
    },
    "feedback+gates": {
        "next_track__kind": "mixed",
        "inputs__feedback": True,
        "encoder__unknown_share": 0.3,
    },
}


@pytest.fixture(autouse=True)
def clipping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients as small as those of these models are clipped, too."""
    monkeypatch.setattr(step_module, "CLIP", 0.5)


def _trained(path: Path, case: tuple[str, str, str, str], *, plain: bool, steps: int = 6) -> Trainer:
    name, kind, position, block_type = case
    changes = {"encoder__dropout": 0.0}
    if name.startswith("paper"):
        changes |= {"encoder__position": position, "encoder__block_type": block_type}
    changes |= KINDS.get(kind, {"next_track__kind": kind})
    recipe = small_recipe(name, **changes, training__learning_rate=1e-3)
    store = tiny_store(path, tracks=200, rich=True)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
        trainer = taken_plainly(trainer) if plain else trainer
        first = torch.arange(19) if trainer.data.histories is None else trainer.order(0)[:19]
        order = trainer.begin(first.repeat(3), steps)
        for step in range(steps):
            trainer.step(order[step * 7 : (step + 1) * 7])
        if not plain:
            trainer.bring_up()
    return trainer


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_step_trains_as_the_naive_one(tmp_path: Path, case: tuple[str, str, str, str]) -> None:
    plain, fast = (_trained(tmp_path / str(is_plain), case, plain=is_plain) for is_plain in (True, False))
    assert_same_training(fast, plain)


def test_sessions_too_few_for_a_batch_train(tmp_path: Path) -> None:
    trainer = _trained(tmp_path / "store", CASES[0], plain=False, steps=1)
    before = trainer.sums.clone()
    trainer.step(torch.tensor([2]))  # the shortest
    assert trainer.finite()
    assert trainer.sums[0] > before[0]

"""The keys of a recipe: few, each with a docstring, each set by an override."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap

import pytest

from segue.batches.split import DataConfig
from segue.config import dump_toml, parse_toml
from segue.losses import NEXT_TRACK, TERMS
from segue.model.encoders.registry import ENCODER_CONFIGS
from segue.model.heads import HEADS
from segue.model.inputs import INPUTS
from segue.recipes import EvaluationConfig, TrainingConfig, load_recipe, recipe_from_tables

CHANGED = {
    "data.split": "temporal",
    "data.vocabulary": "training",
    "data.history": 256,
    "data.max_len": 7,
    "data.sample_sessions": 100,
    "data.sample_seed": 4,
    "data.skip_at_least": 1,
    "data.skip_share": 0.3,
    "data.next_day": {"train_days": 9, "gap_minutes": 5, "days": 2, "until": 7, "clock": "listener"},
    "training.epochs": 2,
    "training.batch_size": 32,
    "training.learning_rate": 0.1,
    "training.average": 0.5,
    "training.patience": 9,
    "training.validation_targets": 50,
    "training.seed": 5,
    "training.checkpoint_minutes": 0.5,
    "evaluation.seed": 6,
    "evaluation.candidates": 70,
    "evaluation.resamples": 80,
    "encoder.width": 64,
    "encoder.blocks": 3,
    "encoder.heads": 4,
    "encoder.dropout": 0.1,
    "encoder.block_type": "gated",
    "encoder.ffn_width": 64,
    "encoder.prediction_layer": False,
    "encoder.position": "literal",
    "encoder.unknown_share": 0.25,
    "encoder.mask_share": 0.4,
    "next_track.weight": 0.75,
    "next_track.targets": "listened",
    "next_track.skipped_weight": 0.25,
    "next_track.temperature": 0.5,
    "next_track.own_skips": True,
    "next_track.negatives": 8,
    "next_track.log_q": True,
    "next_track.uniform": 9,
    "next_track.batch": 10,
    "terms.weight": 0.25,
    "terms.context": "session",
    "terms.temperature": 0.5,
    "terms.variant": "inverted",
    "inputs.context.columns": ("hour",),
    "inputs.features.drop": 0.5,
    "inputs.features.optional": True,
    "heads.transitions.own_weight": 2.0,
    "heads.listen.weight": 0.75,
    "heads.listen.gradient": "flow",
}
"""Every key of a recipe, with a value that the presets of the paper do not have."""
NEEDED = {
    "encoder.mask_share": {"encoder.kind": "cloze"},
    "next_track.log_q": {"next_track.kind": "shared"},
    "next_track.uniform": {"next_track.kind": "mixed"},
    "next_track.batch": {"next_track.kind": "mixed"},
    "heads.transitions.own_weight": {"next_track.kind": "mixed"},
}
"""What a key goes with."""


def config_types():
    """Yield section and type of each part of a recipe."""
    yield from (("data", DataConfig), ("training", TrainingConfig), ("evaluation", EvaluationConfig))
    for section, registry in (("encoder", ENCODER_CONFIGS), ("next_track", NEXT_TRACK), ("terms", TERMS)):
        yield from ((section, kind) for kind in registry.values())
    for section, parts in (("inputs", INPUTS), ("heads", HEADS)):
        yield from ((f"{section}.{name}", part.config_type) for name, part in parts.items())


def test_a_recipe_has_fewer_than_50_keys_and_each_is_tested_and_has_a_docstring():
    keys, described = set(), set()
    for section, kind in config_types():
        keys |= {f"{section}.{part.name}" for part in dataclasses.fields(kind)}
        for each in kind.__mro__[:-1]:
            body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0].body
            for field, text in itertools.pairwise(body):
                if isinstance(field, ast.AnnAssign) and isinstance(getattr(text, "value", None), ast.Constant):
                    described.add(f"{section}.{field.target.id}")
    assert keys == set(CHANGED)
    assert len(keys) < 50
    assert keys <= described


@pytest.mark.parametrize("key", CHANGED)
def test_a_key_is_set_by_an_override_and_survives_the_recipes_own_toml(key):
    place = key.replace("terms.", "terms.0.")
    recipe = load_recipe("paper-causal-s-plus-track", NEEDED.get(key, {}) | {place: CHANGED[key]})
    value = recipe.to_tables()
    for part in place.split("."):
        value = value[int(part) if part.isdigit() else part]
    assert value == CHANGED[key]
    assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe
    if not key.startswith(("heads", "inputs")):
        assert recipe != load_recipe("paper-causal-s-plus-track", NEEDED.get(key, {}))

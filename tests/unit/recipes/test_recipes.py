"""Laws of recipes: strict, versioned, layered."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap

import pytest

from segue.batches.split import DataConfig
from segue.config import dump_toml, parse_toml
from segue.errors import InputError
from segue.losses import NEXT_TRACK, TERMS
from segue.model.encoders.registry import ENCODER_CONFIGS
from segue.model.heads import HEADS
from segue.model.inputs import INPUTS
from segue.model.inputs.context import ContextConfig
from segue.model.inputs.earlier import EarlierConfig
from segue.model.inputs.features import FeaturesConfig
from segue.model.inputs.feedback_codes import FeedbackConfig
from segue.objectives.variants import VARIANTS
from segue.recipes import EvaluationConfig, TrainingConfig, list_recipes, load_recipe, recipe_from_tables
from segue.recipes.older import MERGED, REMOVED
from segue.training.step import CLIP

PAPER = [f"paper-{kind}-{arm}" for kind in ("causal", "cloze") for arm in ("s-minus", "s-plus-session", "s-plus-track")]


OTHERS = [
    f"{kind}-{arm}"
    for kind in ("gru4rec", "nextitnet", "caser")
    for arm in ("s-minus", "s-plus-session", "s-plus-track")
]

AS_PAPER = {"weight": 0.5, "targets": "next", "skipped_weight": 1.0, "own_skips": False}
"""What every kind of [next_track] has, as the paper has it."""


def test_the_six_recipes_of_the_paper_and_nine_of_other_encoders_are_shipped():
    assert set(PAPER + OTHERS) <= set(list_recipes())


@pytest.mark.parametrize("name", PAPER + OTHERS)
def test_a_shipped_recipe_survives_its_own_toml(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe


@pytest.mark.parametrize("name", PAPER)
def test_a_shipped_recipe_is_the_papers(name):
    recipe = load_recipe(name)
    assert (recipe.data.split, recipe.data.vocabulary) == ("leave-last-two-out", "transductive")
    assert recipe.to_tables()["next_track"] == {
        "kind": "per_session",
        "negatives": 1000,
        **AS_PAPER,
    }
    assert recipe.training.epochs == (30 if "causal" in name else 200)
    assert (recipe.training.learning_rate, CLIP, recipe.training.patience) == (0.005, 5.0, 3)
    contexts = [term.context for term in recipe.terms]
    assert contexts == ([] if name.endswith("minus") else [name.rsplit("-", 1)[1]])
    assert all((term.weight, term.temperature) == (0.5, 0.1) for term in recipe.terms)
    encoder = recipe.to_tables()["encoder"]
    assert (encoder["block_type"], encoder["ffn_width"]) == ("post_norm", 128)


@pytest.mark.parametrize("name", OTHERS)
def test_another_encoder_differs_from_the_papers_causal_one_in_the_encoder_alone(name):
    kind, arm = name.split("-", 1)
    recipe, paper = load_recipe(name).to_tables(), load_recipe(f"paper-causal-{arm}").to_tables()
    assert (recipe["name"], recipe["encoder"]["kind"]) == (name, kind)
    assert (recipe["encoder"]["width"], recipe["encoder"]["dropout"]) == (128, 0.2)
    for table in (recipe, paper):
        del table["name"], table["encoder"]
    assert recipe == paper


def test_arms_differ_in_their_terms_alone():
    for kind in ("causal", "cloze", "gru4rec", "nextitnet", "caser"):
        arms = [load_recipe(name).to_tables() for name in PAPER + OTHERS if kind in name]
        assert len({str({k: v for k, v in arm.items() if k not in ("name", "terms")}) for arm in arms}) == 1


def test_overrides_win_over_the_recipe_and_the_recipe_over_defaults(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'recipe_version = 1\n[encoder]\nkind = "causal"\n[next_track]\nkind = "shared"\n'
        "[training]\nepochs = 7\npatience = 9\n"
    )
    recipe = load_recipe(path, {"training.epochs": 2})
    assert recipe.name == "mine"
    assert (recipe.training.epochs, recipe.training.patience, recipe.training.batch_size) == (2, 9, 256)


def test_a_term_can_be_overridden_by_its_place():
    assert load_recipe("paper-causal-s-plus-track", {"terms.0.weight": 1}).terms[0].weight == 1.0


def test_another_kind_drops_the_keys_it_lacks_but_not_those_that_are_given():
    assert load_recipe("paper-causal-s-minus", {"next_track.kind": "full"}).to_tables()["next_track"]["kind"] == "full"
    for kind in ("full", "mixed"):
        with pytest.raises(InputError, match="negatives"):
            load_recipe("paper-causal-s-minus", {"next_track.kind": kind, "next_track.negatives": 3})


@pytest.mark.parametrize("name", PAPER)
def test_a_preset_takes_mixed_negatives_and_the_letters_options(name):
    mixed = load_recipe(name, {"next_track.kind": "mixed", "next_track.batch": 7}).to_tables()["next_track"]
    assert mixed == {"kind": "mixed", "uniform": 4096, "batch": 7, "log_q": True, **AS_PAPER}
    shared = {"next_track.kind": "shared", "next_track.log_q": True}
    letter = {"encoder.position": "padded"}
    for overrides in ({"next_track.kind": "mixed"}, shared, letter):
        recipe = load_recipe(name, overrides)
        assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe
        assert recipe != load_recipe(name)


@pytest.mark.parametrize("kind", ["gru4rec", "nextitnet", "caser"])
def test_another_encoder_drops_the_keys_it_lacks_in_both_directions(kind):
    to = load_recipe("paper-causal-s-minus", {"encoder.kind": kind, "encoder.width": 32})
    assert to.encoder == ENCODER_CONFIGS[kind](width=32)
    back = load_recipe(f"{kind}-s-minus", {"encoder.kind": "causal"})
    assert back.encoder == ENCODER_CONFIGS["causal"]()
    for key in ("heads", "position", "ffn_width"):
        with pytest.raises(InputError, match=f"unknown key '{key}'"):
            load_recipe("paper-causal-s-minus", {"encoder.kind": kind, f"encoder.{key}": 1})


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("gru4rec", "dropout", 1.0),
        ("nextitnet", "width", 0),
        ("caser", "width", "wide"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_and_named(kind, key, value):
    with pytest.raises(InputError, match=key):
        load_recipe(f"{kind}-s-minus", {f"encoder.{key}": value})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"training.epoch": 3}, "epochs"),
        ({"trainning.epochs": 3}, "training"),
        ({"encoder.kind": "casual"}, "causal"),
        ({"next_track.kind": "per_sesion"}, "per_session"),
        ({"terms.0.context": "tracks"}, "track"),
        ({"terms.0.temprature": 0.1}, "temperature"),
        ({"training.epochs": 0}, "at least 1"),
        ({"training.epochs": "many"}, "expected int"),
        ({"training.seed": -1}, "seed"),
        ({"terms.0.temperature": 0.0}, "temperature"),
        ({"next_track.kind": "mixd"}, "mixed"),
        ({"next_track.kind": "mixed", "next_track.uniform": 0}, "uniform must be at least 1"),
        ({"next_track.kind": "mixed", "next_track.batch": 0}, "batch must be at least 1"),
        ({"next_track.kind": "mixed", "next_track.weight": 0.0}, "weight"),
        ({"next_track.kind": "mixed", "next_track.logq": True}, "log_q"),
        ({"next_track.kind": "shared", "next_track.log_q": 1}, "expected bool"),
        ({"next_track.log_q": True}, "log_q"),
        ({"encoder.position": "seen"}, "position"),
        ({"encoder.heads": 7}, "must divide width"),
        ({"data.skip_at_least": 4}, "1, 2 or 3"),
        ({"terms.0.variant": "cross_sesion"}, "cross_session"),
        ({"terms.0.variant": 1}, "expected str"),
        ({"terms": 3}, "terms"),
        ({"training": 3}, "training"),
        ({"name": 3}, "name"),
    ],
)
def test_a_wrong_key_or_value_is_refused_and_named(overrides, said):
    with pytest.raises(InputError, match=said):
        load_recipe("paper-causal-s-plus-track", overrides)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_the_term_survives_its_own_toml(variant):
    recipe = load_recipe("paper-cloze-s-plus-session", {"terms.0.variant": variant})
    assert recipe.terms[0].variant == variant
    assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe


def old_file(path, version, **sections):
    """Write a recipe of an older version: the lines of its sections by name."""
    parts = {"encoder": 'kind = "causal"', "next_track": 'kind = "shared"'}
    for name, lines in sections.items():
        parts[name] = parts.get(name, "") + f"\n{lines}"
    terms = parts.pop("terms", None)
    text = "".join(f"[{name.replace('__', '.')}]\n{lines}\n" for name, lines in parts.items())
    text += f'[[terms]]\nkind = "skip_contrastive"{terms}\n' if terms else ""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"recipe_version = {version}\n{text}")
    return path


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_key_is_read_where_it_changes_nothing_and_refused_with_the_commit_that_has_it(tmp_path, key):
    section, name = key.rsplit(".", 1)
    commit, constant = REMOVED[key]
    line = dump_toml({name: 128 if name == "hidden" else constant}).strip()
    section = section.replace(".", "__")
    version = 1 if commit == "076bca47e" else 2
    path = old_file(tmp_path / "mine.toml", version, **{section: line})
    without = {section: ""} if section in ("terms", "heads__listen") else {}
    assert load_recipe(path) == load_recipe(old_file(tmp_path / "other" / "mine.toml", version, **without))
    other = str(not constant).lower() if isinstance(constant, bool) else '"other"'
    with pytest.raises(InputError, match=rf"{name} = .* no longer supported.*{commit}"):
        load_recipe(old_file(tmp_path / "mine.toml", version, **{section: f"{name} = {other}"}))
    place = key.replace("terms.", "terms.0.")
    with pytest.raises(InputError, match=rf"--set {place}: .*{commit}"):
        load_recipe("paper-causal-s-plus-track", {place: constant})


OF_VERSION_2 = [
    ("encoder", 'norm = "pre"\nactivation = "gelu"', {"encoder.block_type": "pre_norm"}),
    ("encoder", 'norm = "post"\nactivation = "relu"\ngated = false', {}),
    ("encoder", 'norm = "pre"\nactivation = "swiglu"\ngated = true', {"encoder.block_type": "gated"}),
    ("encoder", 'padding = "visible"', {"encoder.position": "padded"}),
    ("encoder", 'padding = "masked"\nposition = "literal"', {"encoder.position": "literal"}),
    ("next_track", 'skipped = "avoid"', {"next_track.targets": "avoid_skipped"}),
    (
        "next_track",
        'loss = "gbce"\nlog_q = false\nnegatives = 9',
        {"next_track.kind": "gbce", "next_track.negatives": 9},
    ),
    ("next_track", 'loss = "softmax"\nskipped = "predict"', {}),
    ("terms", 'ablation = "inverted"', {"terms.0.variant": "inverted"}),
    ("terms", 'anchors_of = "cross_session"', {"terms.0.variant": "cross_session_anchors"}),
    ("terms", 'anchors = "all"', {"terms.0.variant": "all_anchors"}),
    ("terms", "positive_in_denominator = false", {"terms.0.variant": "positive_not_in_denominator"}),
    ("terms", 'listened_negatives = true\nablation = "none"', {"terms.0.variant": "listened_negatives"}),
]
"""Section, lines of a file of version 2, and what they mean now."""


@pytest.mark.parametrize(("section", "lines", "meaning"), OF_VERSION_2)
def test_merged_keys_of_version_2_are_read_in_a_file(tmp_path, section, lines, meaning):
    bare = old_file(tmp_path / "other" / "mine.toml", 3, **({"terms": ""} if section == "terms" else {}))
    assert load_recipe(old_file(tmp_path / "mine.toml", 2, **{section: lines})) == load_recipe(bare, meaning)


@pytest.mark.parametrize(
    ("section", "lines", "said"),
    [
        ("encoder", 'norm = "pre"', "block_type"),
        ("encoder", "gated = true", "block_type"),
        ("encoder", 'norm = ["pre"]', "block_type"),
        ("terms", 'anchors = "all"\nlistened_negatives = true', "listened_negatives and anchors .*variant"),
        ("terms", 'ablation = "inverted"\npositive_in_denominator = false', "variant"),
        ("terms", 'ablation = "invertd"', "inverted"),
        ("next_track", 'targets = "listened"\nskipped = "avoidd"\nskiped = 1', "skiped"),
    ],
)
def test_combinations_of_version_2_that_no_value_stands_for_are_refused(tmp_path, section, lines, said):
    with pytest.raises(InputError, match=said):
        load_recipe(old_file(tmp_path / "old.toml", 2, **{section: lines}))


def test_a_recipe_of_version_2_that_extends_another_has_all_keys_of_its_blocks_or_none(tmp_path):
    path, head = tmp_path / "old.toml", 'recipe_version = 2\nextends = "segue"\n[encoder]\n'
    path.write_text(head + "width = 64\n")
    assert load_recipe(path).encoder == load_recipe("segue", {"encoder.width": 64}).encoder
    path.write_text(head + 'norm = "pre"\nactivation = "swiglu"\ngated = true\n')
    assert load_recipe(path).encoder == load_recipe("segue", {"encoder.block_type": "gated"}).encoder
    path.write_text(head + "gated = true\n")
    with pytest.raises(InputError, match="set block_type"):
        load_recipe(path)


@pytest.mark.parametrize("key", MERGED)
def test_an_override_of_a_merged_key_is_refused_with_the_new_key(key):
    place, new = (text.replace("terms.", "terms.0.") for text in (key, MERGED[key]))
    with pytest.raises(InputError, match=rf"--set {place}: .* {new};"):
        load_recipe("paper-causal-s-plus-track", {place: True})


MOVED = {
    "feedback": ("[encoder]", "feedback = true", {"encoder.feedback": True}, FeedbackConfig()),
    "context": (
        "[data]",
        'context = ["hour", "gap"]',
        {"data.context": ["hour", "gap"]},
        ContextConfig(("hour", "gap")),
    ),
    "earlier": ("[data]", "earlier = 7", {"data.earlier": 7}, EarlierConfig(7)),
    "features": ("[features]", "drop = 0.3", {"features.drop": 0.3}, FeaturesConfig(0.3)),
}
"""Inputs of version 1: section and line of a file, the override, and what it means now."""


@pytest.mark.parametrize("name", MOVED)
def test_an_input_of_version_1_is_read_in_a_file_and_as_an_override(tmp_path, name):
    section, line, override, config = MOVED[name]
    path = tmp_path / "old.toml"
    parts = {"[encoder]": 'kind = "causal"', "[next_track]": 'kind = "shared"'}
    parts[section] = parts.get(section, "") + f"\n{line}"
    path.write_text("recipe_version = 1\n" + "".join(f"{key}\n{value}\n" for key, value in parts.items()))
    assert load_recipe(path).inputs == {name: config}
    assert load_recipe(path).recipe_version == 3
    bare = tmp_path / "new.toml"
    bare.write_text('recipe_version = 3\n[encoder]\nkind = "causal"\n[next_track]\nkind = "shared"\n')
    recipe = load_recipe(bare, override)
    assert recipe.inputs == {name: config}
    assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe


@pytest.mark.parametrize(
    ("section", "line"),
    [("[encoder]", "feedback = false"), ("[data]", "context = []"), ("[data]", "earlier = 0")],
)
def test_an_input_that_version_1_leaves_out_is_left_out(tmp_path, section, line):
    path = tmp_path / "old.toml"
    parts = {"[encoder]": 'kind = "causal"', "[next_track]": 'kind = "shared"'}
    parts[section] = parts.get(section, "") + f"\n{line}"
    path.write_text("recipe_version = 1\n" + "".join(f"{key}\n{value}\n" for key, value in parts.items()))
    assert load_recipe(path).inputs == {}


def test_an_input_is_switched_on_and_off_and_reached_into():
    for on in ({"inputs.features.drop": 0.1}, {"inputs.features": {"drop": 0.1}}):
        assert load_recipe("paper-causal-s-minus", on).inputs == {"features": FeaturesConfig(0.1)}
    assert load_recipe("segue", {"inputs.feedback": False}).inputs.keys() == load_recipe("segue").inputs.keys() - {
        "feedback"
    }
    for wrong, said in (
        ({"inputs.fedback": True}, "did you mean 'feedback'"),
        ({"inputs.earlier": {"tracks": 0}}, "tracks must be at least 1"),
        ({"inputs.context": True}, "columns must name"),
        ({"inputs.features.dorp": 0.1}, "drop"),
    ):
        with pytest.raises(InputError, match=said):
            load_recipe("paper-causal-s-minus", wrong)
    with pytest.raises(InputError, match="reads tracks alone"):
        load_recipe("gru4rec-s-minus", {"inputs.feedback": True})


def test_a_recipe_is_laid_over_the_one_that_it_extends(tmp_path):
    (tmp_path / "base.toml").write_text('recipe_version = 3\nextends = "paper-causal"\n[training]\nepochs = 3\n')
    (tmp_path / "mine.toml").write_text(
        'recipe_version = 3\nextends = "base"\n[next_track]\nkind = "full"\n[training]\npatience = 9\n'
    )
    recipe = load_recipe(tmp_path / "mine.toml")
    assert recipe.name == "mine"
    assert (recipe.training.epochs, recipe.training.patience, recipe.training.learning_rate) == (3, 9, 0.005)
    assert recipe.next_track == load_recipe("paper-causal-s-minus", {"next_track.kind": "full"}).next_track
    (tmp_path / "base.toml").write_text('recipe_version = 3\nextends = "mine"\n')
    with pytest.raises(InputError, match="extends itself"):
        load_recipe(tmp_path / "mine.toml")
    (tmp_path / "base.toml").write_text('recipe_version = 3\nextends = "paper-casual"\n')
    with pytest.raises(InputError, match="did you mean"):
        load_recipe(tmp_path / "mine.toml")


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'paper-causal-s-plus-track'"):
        load_recipe("paper-causal-s-plus-trck")
    with pytest.raises(InputError, match="no such file"):
        load_recipe("nowhere/mine.toml")


@pytest.mark.parametrize("version", ["", "recipe_version = 4\n", "recipe_version = true\n"])
def test_only_recipe_versions_1_to_3_are_read(tmp_path, version):
    path = tmp_path / "old.toml"
    path.write_text(version + '[encoder]\nkind = "causal"\n[next_track]\nkind = "shared"\n')
    with pytest.raises(InputError, match="recipe_version"):
        load_recipe(path)


def test_overrides_of_version_1_are_renamed_or_refused_with_the_last_commit_that_has_them() -> None:
    recipe = load_recipe("segue", {"heads.transitions.own": 0.5, "inputs.features": True, "inputs.features.drop": 0.1})
    assert recipe.heads["transitions"].own_weight == 0.5
    assert recipe.inputs["features"].drop == 0.1


# --- the keys ------------------------------------------------------------------------------------------------

CHANGED = {
    "data.split": "temporal",
    "data.vocabulary": "training",
    "data.max_len": 7,
    "data.sample_sessions": 100,
    "data.sample_seed": 4,
    "data.skip_at_least": 1,
    "data.skip_share": 0.3,
    "training.epochs": 2,
    "training.batch_size": 32,
    "training.learning_rate": 0.1,
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
    "encoder.position": "literal",
    "encoder.unknown_share": 0.25,
    "encoder.mask_share": 0.4,
    "next_track.weight": 0.75,
    "next_track.targets": "listened",
    "next_track.skipped_weight": 0.25,
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
    "inputs.earlier.tracks": 5,
    "inputs.features.drop": 0.5,
    "inputs.features.optional": True,
    "heads.transitions.gradient": "stop",
    "heads.transitions.own_weight": 2.0,
    "heads.transitions.settle": False,
    "heads.listen.weight": 0.75,
    "heads.listen.gradient": "flow",
}
"""Every key of a recipe, with a value that the presets of the paper do not have."""
NEEDED = {
    "encoder.mask_share": {"encoder.kind": "cloze"},
    "next_track.log_q": {"next_track.kind": "shared"},
    "next_track.uniform": {"next_track.kind": "mixed"},
    "next_track.batch": {"next_track.kind": "mixed"},
    "heads.transitions.gradient": {"next_track.kind": "mixed", "heads.transitions.own_weight": 1.0},
    "heads.transitions.own_weight": {"next_track.kind": "mixed"},
    "heads.transitions.settle": {"next_track.kind": "mixed"},
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

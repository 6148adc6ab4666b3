"""Laws of recipes: strict, versioned, layered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segue.batches.split import Split
from segue.config import dump_toml, parse_toml
from segue.errors import InputError
from segue.losses import Full, Mixed
from segue.model.encoders.registry import ENCODER_CONFIGS
from segue.model.inputs.features import FeaturesConfig
from segue.objectives.variants import VARIANTS
from segue.recipes import list_recipes, load_recipe, recipe_from_tables
from segue.training.step import CLIP

PAPER = [f"paper-{kind}-{arm}" for kind in ("causal", "cloze") for arm in ("s-minus", "s-plus-session", "s-plus-track")]


OTHERS = [
    f"{kind}-{arm}"
    for kind in ("gru4rec", "nextitnet", "caser")
    for arm in ("s-minus", "s-plus-session", "s-plus-track")
]

AS_PAPER = {"weight": 0.5, "targets": "next", "skipped_weight": 1.0, "temperature": 0.0, "own_skips": False}
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
    assert (recipe.data.split, recipe.data.vocabulary) == ("auto", "transductive")
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


@pytest.mark.parametrize(("num_tracks", "device", "kind"), [
    (50_000, "cpu", Full), (50_001, "cpu", Mixed), (250_000, "cuda", Full), (250_001, "cuda", Mixed),
])  # fmt: skip
def test_the_exact_softmax_is_taken_where_the_catalogue_allows(num_tracks, device, kind):
    recipe = load_recipe("segue", {"next_track.uniform": 7, "next_track.weight": 0.3})
    none, tracks = np.zeros(0, np.int64), np.arange(num_tracks, dtype=np.int32)
    split = Split("temporal", none, none, none, {}, 0, none, tracks, tracks, tracks, vocabulary="catalogue")
    chosen = recipe.resolved(split, device)
    assert (chosen.data.split, chosen.data.vocabulary) == ("temporal", "catalogue")
    assert type(chosen.next_track) is kind
    assert (chosen.next_track.weight, chosen.next_track.temperature) == (0.3, recipe.next_track.temperature)
    if kind is Mixed:
        assert (chosen.next_track.uniform, chosen.next_track.log_q) == (7, True)
    assert chosen.resolved(split, "cpu") == chosen, "a chosen kind stays"
    assert replace(chosen, next_track=recipe.next_track, data=recipe.data) == recipe, "nothing else changes"


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


def test_an_input_is_switched_on_and_off_and_reached_into():
    for on in ({"inputs.features.drop": 0.1}, {"inputs.features": {"drop": 0.1}}):
        assert load_recipe("paper-causal-s-minus", on).inputs == {"features": FeaturesConfig(0.1)}
    assert load_recipe("segue", {"inputs.feedback": False}).inputs.keys() == load_recipe("segue").inputs.keys() - {
        "feedback"
    }
    for wrong, said in (
        ({"inputs.fedback": True}, "did you mean 'feedback'"),
        ({"data.history": 1025}, "history must be 0 to 1024"),
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

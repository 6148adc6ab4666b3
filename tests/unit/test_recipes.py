"""Laws of recipes: strict, versioned, layered."""

from __future__ import annotations

import pytest

from segue.config import dump_toml, parse_toml
from segue.errors import InputError
from segue.recipes import list_recipes, load_recipe, recipe_from_tables

PAPER = [f"paper-{kind}-{arm}" for kind in ("causal", "cloze") for arm in ("s-minus", "s-plus-session", "s-plus-track")]


def test_the_six_recipes_of_the_paper_are_shipped():
    assert set(PAPER) <= set(list_recipes())


@pytest.mark.parametrize("name", PAPER)
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
        "weight": 0.5,
        "redraw": "step",
    }
    assert recipe.training.epochs == (30 if "causal" in name else 200)
    assert (recipe.training.learning_rate, recipe.training.clip, recipe.training.patience) == (0.005, 5.0, 3)
    contexts = [term.context for term in recipe.terms]
    assert contexts == ([] if name.endswith("minus") else [name.rsplit("-", 1)[1]])
    assert all((term.weight, term.temperature) == (0.5, 0.1) for term in recipe.terms)
    encoder = recipe.to_tables()["encoder"]
    assert (encoder["norm"], encoder["ffn_width"], encoder["activation"]) == ("post", 128, "relu")


def test_arms_differ_in_their_terms_alone():
    for kind in ("causal", "cloze"):
        arms = [load_recipe(name).to_tables() for name in PAPER if kind in name]
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
    assert mixed == {"kind": "mixed", "uniform": 4096, "batch": 7, "log_q": True, "weight": 0.5}
    shared = {"next_track.kind": "shared", "next_track.log_q": True}
    letter = {"next_track.redraw": "epoch", "encoder.padding": "visible"}
    for overrides in ({"next_track.kind": "mixed"}, shared, letter):
        recipe = load_recipe(name, overrides)
        assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe
        assert recipe != load_recipe(name)


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
        ({"next_track.kind": "shared", "next_track.redraw": "epoch"}, "redraw"),
        ({"next_track.log_q": True}, "log_q"),
        ({"next_track.redraw": "epochs"}, "epoch"),
        ({"encoder.padding": "seen"}, "padding"),
        ({"terms": 3}, "terms"),
        ({"training": 3}, "training"),
        ({"name": 3}, "name"),
    ],
)
def test_a_wrong_key_or_value_is_refused_and_named(overrides, said):
    with pytest.raises(InputError, match=said):
        load_recipe("paper-causal-s-plus-track", overrides)


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'paper-causal-s-plus-track'"):
        load_recipe("paper-causal-s-plus-trck")
    with pytest.raises(InputError, match="no such file"):
        load_recipe("nowhere/mine.toml")


@pytest.mark.parametrize("version", ["", "recipe_version = 2\n", "recipe_version = true\n"])
def test_only_recipe_version_1_is_read(tmp_path, version):
    path = tmp_path / "old.toml"
    path.write_text(version + '[encoder]\nkind = "causal"\n[next_track]\nkind = "shared"\n')
    with pytest.raises(InputError, match="recipe_version"):
        load_recipe(path)

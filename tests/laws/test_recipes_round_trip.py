"""Any recipe survives being written and read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segue.config import dump_toml, parse_toml
from segue.recipes import list_recipes, load_recipe, recipe_from_tables

POSITIVE = st.floats(min_value=1e-9, max_value=1e9)


@given(
    name=st.sampled_from(list_recipes()),
    epochs=st.integers(1, 10**6),
    seed=st.integers(0, 2**32 - 1),
    rate=POSITIVE,
    title=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
def test_reading_what_was_written_gives_the_same_recipe(name, epochs, seed, rate, title):
    overrides = {"training.epochs": epochs, "training.seed": seed, "training.learning_rate": rate, "name": title}
    recipe = load_recipe(name, overrides)
    assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe
    assert (recipe.training.seed, recipe.training.learning_rate, recipe.name) == (seed, rate, title)

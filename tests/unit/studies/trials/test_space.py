"""What is searched: the paper's grid, equal budgets, ranges, and how a point becomes a recipe."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import InputError
from segue.recipes import list_recipes, load_recipe
from segue.studies.trials.search import main_effects
from segue.studies.trials.space import changes, paper_grid, search_space, tuned
from segue.studies.trials.trial import Outcome, Tried
from segue.studies.trials.tuning import best_of

WITH = [name for name in list_recipes() if "s-plus" in name]
WITHOUT = [name for name in list_recipes() if name.endswith("s-minus")]


def grid(name: str) -> list[dict[str, float]]:
    """Return the paper's grid for a recipe that comes with Segue."""
    recipe = load_recipe(name)
    return paper_grid(recipe, search_space(recipe))


@pytest.mark.parametrize("name", WITH)
def test_the_papers_grid_is_four_rates_by_the_eleven_ratios(name):
    points = grid(name)
    quarters = [Fraction(n, 4) for n in (1, 2, 3, 4)]
    ratios = {alpha / beta for alpha in quarters for beta in quarters}
    assert len(ratios) == 11
    wanted = {(rate, float(ratio)) for rate in (1e-4, 5e-4, 1e-3, 5e-3) for ratio in ratios}
    assert len(points) == 44
    assert {(point["learning_rate"], point["ratio"]) for point in points} == wanted


@pytest.mark.parametrize("name", WITHOUT)
def test_a_recipe_without_skips_gets_as_many_trainings_on_a_finer_grid_of_rates(name):
    points = grid(name)
    rates = [point["learning_rate"] for point in points]
    assert len(points) == len(grid(WITH[0]))
    assert all(set(point) == {"learning_rate"} for point in points)
    assert {1e-4, 5e-4, 1e-3, 5e-3} <= set(rates)
    assert (rates[0], rates[-1]) == (1e-4, 5e-3)
    steps = np.diff(np.log(rates))
    assert (steps > 0.07).all()
    assert (steps < 0.11).all()  # as even as the four of the paper allow


@pytest.mark.parametrize("name", list_recipes())
def test_only_what_a_recipe_has_is_searched(name):
    names = {dimension.name for dimension in search_space(load_recipe(name))}
    assert names == {"learning_rate", "dropout"} | ({"ratio", "tau"} if name in WITH else set())


def test_the_recipes_own_values_lie_in_the_ranges():
    assert all(d.low <= d.default <= d.high for name in list_recipes() for d in search_space(load_recipe(name)))


def test_a_key_that_is_set_is_not_searched_and_a_grid_needs_its_keys():
    recipe = load_recipe(WITH[0])
    space = search_space(recipe, {"terms.0.weight", "data.max_len"})
    assert "ratio" not in {dimension.name for dimension in space}
    with pytest.raises(InputError, match=r"varies terms\.0\.weight"):
        paper_grid(recipe, space)
    assert len(paper_grid(recipe, search_space(recipe, {"encoder.dropout", "terms.0.temperature"}))) == 44
    with pytest.raises(InputError, match="all that can be tuned"):
        search_space(recipe, {d.key for d in search_space(recipe)})


@given(
    name=st.sampled_from(list_recipes()),
    beta=st.floats(0.01, 10),
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_a_point_becomes_the_recipe_of_its_values_and_of_nothing_else(name, beta, shares):
    recipe = load_recipe(name, {"next_track.weight": beta})
    space = search_space(recipe)
    point = {d.name: d.low + share * (d.high - d.low) for d, share in zip(space, shares, strict=False)}
    made = tuned(recipe, changes(space, point))
    assert made.training.learning_rate == point["learning_rate"]
    assert made.encoder.dropout == point["dropout"]
    assert made.next_track == recipe.next_track
    if made.terms:
        assert made.terms[0].weight / made.next_track.weight == pytest.approx(point["ratio"])
        assert made.terms[0].temperature == point["tau"]
    assert made == load_recipe(name, {"next_track.weight": beta, **changes(space, point)})


def trial(number: int, value: float | None, state="finished", **parameters: float) -> Tried:
    """Return a trial that ended with `value`."""
    return Tried(number, parameters, Outcome(state, {"ndcg@20": value}, 3, 2, True, 1.0))


def test_the_best_is_the_highest_finished_one_and_the_first_of_equals():
    trials = [trial(3, 0.5), trial(1, 0.5), trial(0, 0.4), trial(2, 0.9, "pruned"), trial(4, None, "failed")]
    assert best_of(trials) == trials[1]
    assert best_of(trials[3:]) is None


def test_main_effects_add_up_to_one_where_effects_add_and_leave_out_interaction():
    a, b = [0.0, 1.0, 5.0], [0.0, 2.0]
    added = [trial(0, 0.1 * x + 0.3 * y, a=x, b=y) for x in a for y in b]
    shares = main_effects(added)
    spread = np.var([0.1 * x for x in a]), np.var([0.3 * y for y in b])
    assert shares == pytest.approx({"a": spread[0] / sum(spread), "b": spread[1] / sum(spread)})
    assert list(shares) == sorted(shares, key=lambda name: -shares[name])
    crossed = [trial(0, (x - 2.0) * (y - 1.0), a=x, b=y) for x in a for y in b]
    assert sum(main_effects(crossed).values()) == pytest.approx(0.0, abs=1e-12)
    assert main_effects([trial(0, x, a=x) for x in a]) == pytest.approx({"a": 1.0})
    assert main_effects([trial(0, 0.3, a=x) for x in a]) == {}
    assert main_effects([]) == {}

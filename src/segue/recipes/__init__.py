"""Recipes: TOML in, one frozen record out."""

from segue.recipes.loading import list_recipes, load_recipe
from segue.recipes.recipe import RECIPE_VERSION, EvaluationConfig, Recipe, TrainingConfig, recipe_from_tables

__all__ = [
    "RECIPE_VERSION",
    "EvaluationConfig",
    "Recipe",
    "TrainingConfig",
    "list_recipes",
    "load_recipe",
    "recipe_from_tables",
]

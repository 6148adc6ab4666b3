"""Recipes: TOML in, one frozen record out."""

from segue.recipes.configs import EvaluationConfig, TrainingConfig
from segue.recipes.loading import list_recipes, load_recipe, recipe_path
from segue.recipes.recipe import RECIPE_VERSION, Recipe, recipe_from_tables
from segue.recipes.terms import TERMS, SkipContrastive

__all__ = [
    "RECIPE_VERSION",
    "TERMS",
    "EvaluationConfig",
    "Recipe",
    "SkipContrastive",
    "TrainingConfig",
    "list_recipes",
    "load_recipe",
    "recipe_from_tables",
    "recipe_path",
]

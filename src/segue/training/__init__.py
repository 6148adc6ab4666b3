"""Training: a store and a recipe in, a run folder out."""

from segue.training.fit import FitOptions, FitResult, Stop, Validate, fit

__all__ = ["FitOptions", "FitResult", "Stop", "Validate", "fit"]

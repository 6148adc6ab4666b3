"""The shipped recipes, made small enough for tests."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from segue.model.encoders.registry import ENCODER_CONFIGS
from segue.recipes import Recipe, load_recipe

SMALL: dict[str, Any] = {
    "encoder.width": 16,
    "encoder.heads": 2,
    "encoder.ffn_width": 16,
    "data.max_len": 8,
    "next_track.negatives": 5,
    "training.batch_size": 8,
    "training.epochs": 4,
    "training.checkpoint_minutes": 0.0,
    "evaluation.candidates": 10,
    "evaluation.resamples": 20,
}


def small_recipe(name: str = "paper-causal-s-plus-track", **changes: Any) -> Recipe:
    """Return the recipe `name` with width 16 and small batches; `changes` name keys with __ for the dot."""
    given = {key.replace("__", "."): value for key, value in changes.items()}
    kind = given.get("encoder.kind") or load_recipe(name).to_tables()["encoder"]["kind"]
    lacking = {key for key in SMALL if key.startswith("encoder.")}
    lacking -= {f"encoder.{part.name}" for part in fields(ENCODER_CONFIGS[kind])}
    values = {key: value for key, value in SMALL.items() if key not in lacking} | given
    next_track = values.get("next_track.kind", load_recipe(name).to_tables()["next_track"]["kind"])
    if next_track == "auto":  # what it chooses for few tracks
        next_track = values["next_track.kind"] = "mixed" if "next_track.uniform" in given else "full"
    if load_recipe(name).to_tables()["next_track"]["targets"] == "auto":
        values = {"next_track.targets": "next"} | values
    if next_track in ("full", "mixed"):
        del values["next_track.negatives"]  # every track is one; or they are counted by where they come from
    if next_track == "mixed":
        values = {"next_track.uniform": 6, "next_track.batch": 5} | values
    return load_recipe(name, values)

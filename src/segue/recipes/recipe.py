"""A recipe: everything that decides what is trained, in one frozen record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from segue.batches.split import DataConfig
from segue.config import build, build_kind, nearest
from segue.errors import InputError
from segue.losses import NEXT_TRACK, TERMS, SkipContrastive
from segue.model import ModelConfig
from segue.model.encoders.causal import CausalConfig
from segue.model.encoders.lookback import LookbackConfig
from segue.model.encoders.registry import ENCODER_CONFIGS, ENCODERS
from segue.model.heads import HEADS
from segue.model.inputs import INPUTS
from segue.recipes.configs import EvaluationConfig, TrainingConfig
from segue.recipes.older import up_to_date

RECIPE_VERSION: Final = 2


@dataclass(frozen=True)
class Recipe:
    """One resolved recipe; equal recipes, stores and machines give equal bytes."""

    name: str
    """Name of the preset or of the file it came from."""
    encoder: Any
    """A config of `segue.model.encoders.registry.ENCODER_CONFIGS`."""
    next_track: Any
    """A config of `segue.losses.NEXT_TRACK`."""
    terms: tuple[SkipContrastive, ...] = ()
    """What is added to next_track: none is S-."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What the encoder reads beside tracks: configs of `segue.model.inputs.INPUTS` by name."""
    heads: Mapping[str, Any] = field(default_factory=dict)
    """What is trained on top of the encoder's states: configs of `segue.model.heads.HEADS` by name."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    recipe_version: int = RECIPE_VERSION

    @property
    def model(self) -> ModelConfig:
        """The parts that decide which parameters the model has."""
        return ModelConfig(self.encoder, self.data.max_len, self.inputs, self.heads, not self.next_track.reads_table)

    def to_tables(self) -> dict[str, Any]:
        """Return the recipe as TOML tables; `recipe_from_tables` gives an equal recipe back."""
        return {
            "recipe_version": self.recipe_version,
            "name": self.name,
            "data": asdict(self.data),
            "encoder": _kind_table(ENCODER_CONFIGS, self.encoder),
            "next_track": _kind_table(NEXT_TRACK, self.next_track),
            "training": asdict(self.training),
            "evaluation": asdict(self.evaluation),
            "terms": [_kind_table(TERMS, term) for term in self.terms],
            "inputs": {name: asdict(config) for name, config in self.inputs.items()},
            "heads": {name: asdict(config) for name, config in self.heads.items()},
        }


def recipe_from_tables(tables: Mapping[str, Any], where: str) -> Recipe:
    """Return the recipe of TOML `tables`; what they leave out takes its default. `where` names them in errors.

    Raises:
        InputError: another recipe_version, an unknown key (with the nearest name), a wrong value, a term that the
            encoder cannot have.
    """
    tables = up_to_date(tables, where)
    allowed = {part.name for part in fields(Recipe)}
    for key in tables:
        if key not in allowed:
            raise InputError(f"{where}: unknown key {key!r}{nearest(key, allowed)}")
    version = tables.get("recipe_version")
    if version != RECIPE_VERSION or isinstance(version, bool):
        raise InputError(
            f"{where}: recipe_version is {version!r}, this Segue reads {RECIPE_VERSION}; "
            f"write 'recipe_version = {RECIPE_VERSION}' at the top, or update Segue"
        )
    name = tables.get("name", where)
    if not isinstance(name, str):
        raise InputError(f"{where}.name is {name!r}, expected a text")
    terms = tables.get("terms", ())
    if not isinstance(terms, list | tuple):
        raise InputError(f"{where}.terms is {terms!r}, expected [[terms]] tables")
    recipe = Recipe(
        name=name,
        data=build(DataConfig, _table(tables, "data", where), f"{where}: data"),
        encoder=build_kind(ENCODER_CONFIGS, _table(tables, "encoder", where), f"{where}: encoder"),
        next_track=build_kind(NEXT_TRACK, _table(tables, "next_track", where), f"{where}: next_track"),
        terms=tuple(
            build_kind(TERMS, _as_table(t, f"{where}: terms.{i}"), f"{where}: terms.{i}") for i, t in enumerate(terms)
        ),
        inputs=_sections(tables, "inputs", {name: kind.config_type for name, kind in INPUTS.items()}, where),
        heads=_sections(tables, "heads", {name: kind.config_type for name, kind in HEADS.items()}, where),
        training=build(TrainingConfig, _table(tables, "training", where), f"{where}: training"),
        evaluation=build(EvaluationConfig, _table(tables, "evaluation", where), f"{where}: evaluation"),
    )
    for check in CHECKS:
        check(recipe, where)
    return recipe


def _check_inputs(recipe: Recipe, where: str) -> None:
    can_read = ENCODERS[type(recipe.encoder)].reads_inputs
    causal = isinstance(recipe.encoder, CausalConfig) and recipe.encoder.padding == "masked"
    for name in recipe.inputs:
        if not can_read:
            raise InputError(
                f"{where}: encoder.kind = {recipe.encoder.kind!r} reads tracks alone, not [inputs.{name}]: leave the "
                "input out, or use encoder.kind = 'causal'"
            )
        if INPUTS[name].only_causal and not causal:
            raise InputError(
                f"{where}: [inputs.{name}] is read by an encoder that looks back only: encoder.kind must be 'causal', "
                "with padding = 'masked'"
            )
    if recipe.data.vocabulary == "features" and "features" not in recipe.inputs:
        raise InputError(
            f"{where}: data.vocabulary = 'features' ranks tracks that have features alone: add [inputs.features], or "
            "use 'training'"
        )


def _check_targets(recipe: Recipe, where: str) -> None:
    config = recipe.next_track
    if config.targets == "next_listened" and not isinstance(recipe.encoder, CausalConfig | LookbackConfig):
        raise InputError(
            f"{where}: next_track.targets = 'next_listened' predicts from each position, and encoder.kind = 'cloze' "
            "from masked ones: use 'listened'"
        )
    if "transitions" in recipe.heads and (config.targets == "next_listened" or not config.is_plain):
        raise InputError(
            f"{where}: heads.transitions counts what followed right after a track: next_track.targets must be 'next' "
            "or 'listened', with skipped, skipped_weight and own_skips left out"
        )


def _check_transitions(recipe: Recipe, where: str) -> None:
    if "transitions" not in recipe.heads:
        return
    if not isinstance(recipe.encoder, CausalConfig):
        raise InputError(
            f"{where}: heads.transitions mixes in what followed the last track, and only encoder.kind = 'causal' "
            "predicts each track from the one before it: leave it out"
        )
    if not (recipe.next_track.reads_table or recipe.next_track.corrects):
        raise InputError(
            f"{where}: heads.transitions is a share of the softmax over all tracks, so negatives must be corrected for "
            "how often they are drawn: next_track.kind = 'mixed' or 'shared' with log_q = true, or 'full'"
        )


def _check_gbce(recipe: Recipe, where: str) -> None:
    if "features" in recipe.inputs and getattr(recipe.next_track, "loss", "softmax") == "gbce":
        raise InputError(
            f"{where}: next_track.loss = 'gbce' moves the scores of all tracks down together, and features, which have "
            "no constant, cannot do so for tracks without a row of their own: set inputs.features = false"
        )


CHECKS: Final[tuple[Callable[[Recipe, str], None], ...]] = (
    _check_inputs,
    _check_targets,
    _check_transitions,
    _check_gbce,
)
"""What a recipe's parts demand of each other."""


def _sections(tables: Mapping[str, Any], section: str, registry: Mapping[str, type[Any]], where: str) -> dict[str, Any]:
    """Return the configs of the parts that have a table, in the order of the registry.

    true stands for a table with all defaults, false for none.
    """
    table = _table(tables, section, where)
    for name in table:
        if name not in registry:
            raise InputError(f"{where}: unknown key {section}.{name}{nearest(name, registry)}")
    chosen = {name: table[name] for name in registry if table.get(name, False) is not False}
    return {
        name: build(registry[name], _as_table({} if value is True else value, f"{where}: {section}.{name}"),
                    f"{where}: {section}.{name}")
        for name, value in chosen.items()
    }  # fmt: skip


def _table(tables: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    return _as_table(tables.get(name, {}), f"{where}.{name}")


def _as_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r}, expected a table")
    return value


def _kind_table(registry: Mapping[str, type[Any]], config: Any) -> dict[str, Any]:
    kind = next(name for name, allowed in registry.items() if type(config) is allowed)
    return {"kind": kind, **asdict(config)}

"""A recipe: everything that decides what is trained, in one frozen record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from segue.batches.split import DataConfig, Split
from segue.config import Config, Count, CountOrNone, NotNegative, Positive, Seed, Share, build, build_kind, nearest
from segue.errors import InputError
from segue.losses import NEXT_TRACK, TERMS, Auto, Gbce, SkipContrastive
from segue.model import ModelConfig
from segue.model.encoders.causal import CausalConfig
from segue.model.encoders.cloze import ClozeConfig
from segue.model.encoders.registry import ENCODER_CONFIGS, ENCODERS
from segue.model.heads import HEADS
from segue.model.inputs import INPUTS
from segue.recipes.older import up_to_date

RECIPE_VERSION: Final = 3
MIXED_HEADS: Final[Mapping[str, str]] = {
    "copy": "predicts each track from the tracks before it",
    "transitions": "predicts each track from the one before it",
    "repeats": "predicts each track from those that the listener played before",
}
"""Heads that mix into the softmax, and what they need of an encoder and its targets."""


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How the parameters are fitted (method, section 4)."""

    epochs: Count = 30
    """Most epochs; a run that meets this cap is marked not converged (causal 30, cloze 200)."""
    batch_size: Count = 256
    """Sessions in a batch."""
    learning_rate: Positive = 0.005
    """Of Adam, constant."""
    average: Share = 0.0
    """a: the weights that are validated and kept are a mean over epochs, mean = a * mean before + (1 - a) * weights.
    0 = the weights of the last epoch alone."""
    patience: Count = 3
    """Epochs without progress after which training stops: without a better validation NDCG@20 and without a lower
    validation loss."""
    validation_targets: CountOrNone = 20_000
    """How many validation targets are ranked among all tracks after each epoch, a uniform sample; 0 = all."""
    seed: Seed = 0
    """Seed of initialisation, order, masks, negatives and dropout."""
    checkpoint_minutes: NotNegative = 5.0
    """Shortest time between two checkpoints; 0 writes one each epoch."""


@dataclass(frozen=True)
class EvaluationConfig(Config):
    """How a run is judged (method, section 5)."""

    seed: Seed = 0
    """Seed of the sampled candidates and of the bootstrap."""
    candidates: Count = 1000
    """Distinct tracks that the target is ranked against in the sampled protocol."""
    resamples: CountOrNone = 1000
    """Bootstrap resamples behind each interval."""


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
        loss = self.next_track
        return ModelConfig(
            self.encoder, self.data.max_len, self.inputs, self.heads, not loss.reads_table, loss.temperature,
            self.data.history > 0,
        )  # fmt: skip

    def resolved(self, split: Split, device: str) -> Recipe:
        """Return the recipe with every "auto" replaced: what `split` has, and the loss for its tracks and `device`."""
        loss = self.next_track
        if isinstance(loss, Auto):
            loss = loss.chosen(len(split.negatives), device)
        if loss.targets == "auto":
            by_day = split.kind == "next-day" and not isinstance(self.encoder, ClozeConfig)
            loss = replace(loss, targets="next_day" if by_day else "next")
        history = self.data.history if split.has_listeners else 0
        data = replace(self.data, split=split.kind, vocabulary=split.vocabulary, history=history)
        return replace(self, data=data, next_track=loss)

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
    name, terms = tables.get("name", where), tables.get("terms", ())
    if not isinstance(name, str):
        raise InputError(f"{where}.name is {name!r}, expected a text")
    if not isinstance(terms, list | tuple):
        raise InputError(f"{where}.terms is {terms!r}, expected [[terms]] tables")

    def section(name: str) -> tuple[Mapping[str, Any], str]:
        return _as_table(tables.get(name, {}), f"{where}.{name}"), f"{where}: {name}"

    named_terms = [(term, f"{where}: terms.{i}") for i, term in enumerate(terms)]
    recipe = Recipe(
        name=name,
        data=build(DataConfig, *section("data")),
        encoder=build_kind(ENCODER_CONFIGS, *section("encoder")),
        next_track=build_kind(NEXT_TRACK, *section("next_track")),
        terms=tuple(build_kind(TERMS, _as_table(term, path), path) for term, path in named_terms),
        inputs=_parts({name: kind.config_type for name, kind in INPUTS.items()}, *section("inputs")),
        heads=_parts({name: kind.config_type for name, kind in HEADS.items()}, *section("heads")),
        training=build(TrainingConfig, *section("training")),
        evaluation=build(EvaluationConfig, *section("evaluation")),
    )
    for conflict in _conflicts(recipe):
        raise InputError(f"{where}: {conflict}")
    return recipe


def _conflicts(recipe: Recipe) -> Iterator[str]:
    """Yield what the parts of a recipe demand of each other and do not get."""
    encoder, loss = recipe.encoder, recipe.next_track
    causal = isinstance(encoder, CausalConfig)
    for name in recipe.inputs:
        if not ENCODERS[type(encoder)].reads_inputs:
            yield (
                f"encoder.kind = {encoder.kind!r} reads tracks alone, not [inputs.{name}]: leave the input out, or use "
                "encoder.kind = 'causal'"
            )
        if INPUTS[name].only_causal and not (causal and encoder.position != "padded"):
            yield (
                f"[inputs.{name}] is read by an encoder that looks back only: encoder.kind must be 'causal', with "
                "position = 'shifted' or 'literal'"
            )
    if recipe.data.history and not (causal and encoder.position != "padded"):
        yield (
            "data.history is read by an encoder that looks back only: encoder.kind must be 'causal', with position = "
            "'shifted' or 'literal'"
        )
    if recipe.data.history and causal and encoder.width // encoder.heads % 2:
        yield (
            "data.history needs an even number of values a head, and encoder.width / encoder.heads is "
            f"{encoder.width // encoder.heads}"
        )
    if recipe.data.vocabulary == "features" and "features" not in recipe.inputs:
        yield (
            "data.vocabulary = 'features' ranks tracks that have features alone: add [inputs.features], or use "
            "'training'"
        )
    if loss.targets in ("next_listened", "next_day") and isinstance(encoder, ClozeConfig):
        yield (
            f"next_track.targets = {loss.targets!r} predicts from each position, and encoder.kind = 'cloze' from "
            "masked ones: use 'listened'"
        )
    yield from _mixture_conflicts(recipe)
    if "features" in recipe.inputs and isinstance(loss, Gbce):
        yield (
            "next_track.kind = 'gbce' moves the scores of all tracks down together, and features, which have no "
            "constant, cannot do so for tracks without a row of their own: set inputs.features = false"
        )


def _mixture_conflicts(recipe: Recipe) -> Iterator[str]:
    """Yield what heads that mix into the softmax demand."""
    encoder, loss = recipe.encoder, recipe.next_track
    for name in recipe.heads:
        if name not in MIXED_HEADS:
            continue
        if not isinstance(encoder, CausalConfig):
            yield f"heads.{name} {MIXED_HEADS[name]}, and only encoder.kind = 'causal' predicts so: leave it out"
        if loss.targets == "next_listened" or not loss.is_plain:
            yield (
                f"heads.{name} {MIXED_HEADS[name]}: next_track.targets must be 'next' or 'listened', with "
                "skipped_weight and own_skips left out"
            )
        if not (loss.reads_table or loss.corrects or isinstance(loss, Auto)):
            yield (
                f"heads.{name} is a share of the softmax over all tracks, so negatives must be corrected for how often "
                "they are drawn: next_track.kind = 'auto', 'full', 'mixed', or 'shared' with log_q = true"
            )


def _parts(registry: Mapping[str, type[Any]], table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the configs of the inputs or heads that have a table, in the order of the registry.

    true stands for a table with all defaults, false for none.
    """
    for name in table:
        if name not in registry:
            raise InputError(f"{where}: unknown key {name!r}{nearest(name, registry)}")
    chosen = {name: table[name] for name in registry if name in table and table[name] is not False}
    return {
        name: build(registry[name], _as_table({} if value is True else value, f"{where}.{name}"), f"{where}.{name}")
        for name, value in chosen.items()
    }


def _as_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r}, expected a table")
    return value


def _kind_table(registry: Mapping[str, type[Any]], config: Any) -> dict[str, Any]:
    kind = next(name for name, allowed in registry.items() if type(config) is allowed)
    return {"kind": kind, **asdict(config)}

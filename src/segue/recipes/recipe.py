"""A recipe: everything that decides what is trained, in one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from segue.batches.next_track import NEXT_TRACK, Full
from segue.batches.split import DataConfig
from segue.config import build, build_kind, nearest
from segue.encoders import ENCODERS
from segue.encoders.causal import CausalConfig
from segue.encoders.features import FeaturesConfig
from segue.encoders.lookback import LookbackConfig
from segue.errors import InputError
from segue.heads import HeadsConfig, ListenConfig, TransitionsConfig
from segue.recipes.configs import EvaluationConfig, TrainingConfig
from segue.recipes.removed import without_removed
from segue.recipes.terms import TERMS, SkipContrastive

RECIPE_VERSION: Final = 1
_HEADS: Final[Mapping[str, type[Any]]] = {"listen": ListenConfig, "transitions": TransitionsConfig}


@dataclass(frozen=True)
class Recipe:
    """One resolved recipe; equal recipes, stores and machines give equal bytes."""

    name: str
    """Name of the preset or of the file it came from."""
    encoder: Any
    """A config of `segue.encoders.ENCODERS`."""
    next_track: Any
    """A config of `segue.batches.next_track.NEXT_TRACK`."""
    terms: tuple[SkipContrastive, ...] = ()
    """What is added to next_track: none is S-."""
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    """What is trained on top of the encoder's states."""
    features: FeaturesConfig | None = None
    """Features of tracks in the track space; None = not read."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    recipe_version: int = RECIPE_VERSION

    def to_tables(self) -> dict[str, Any]:
        """Return the recipe as TOML tables; `recipe_from_tables` gives an equal recipe back."""
        heads = {name: head for name, head in asdict(self.heads).items() if head is not None}
        return {
            "recipe_version": self.recipe_version,
            "name": self.name,
            "data": asdict(self.data),
            "encoder": _kind_table(ENCODERS, self.encoder),
            "next_track": _kind_table(NEXT_TRACK, self.next_track),
            "training": asdict(self.training),
            "evaluation": asdict(self.evaluation),
            "terms": [_kind_table(TERMS, term) for term in self.terms],
            **({"heads": heads} if heads else {}),
            **({} if self.features is None else {"features": asdict(self.features)}),
        }


def recipe_from_tables(tables: Mapping[str, Any], where: str) -> Recipe:
    """Return the recipe of TOML `tables`; what they leave out takes its default. `where` names them in errors.

    Raises:
        InputError: another recipe_version, an unknown key (with the nearest name), a wrong value, a term that the
            encoder cannot have.
    """
    known = {part.name for part in fields(Recipe)}
    for key in tables:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}{nearest(key, known)}")
    version = tables.get("recipe_version")
    if version != RECIPE_VERSION or isinstance(version, bool):
        raise InputError(
            f"{where}: recipe_version is {version!r}, this Segue reads {RECIPE_VERSION}; "
            f"write 'recipe_version = {RECIPE_VERSION}' at the top, or update Segue"
        )
    tables = without_removed(tables, where)
    name = tables.get("name", where)
    if not isinstance(name, str):
        raise InputError(f"{where}.name is {name!r}, expected a text")
    terms = tables.get("terms", ())
    if not isinstance(terms, list | tuple):
        raise InputError(f"{where}.terms is {terms!r}, expected [[terms]] tables")
    recipe = Recipe(
        name=name,
        data=build(DataConfig, _table(tables, "data", where), f"{where}: data"),
        encoder=build_kind(ENCODERS, _table(tables, "encoder", where), f"{where}: encoder"),
        next_track=build_kind(NEXT_TRACK, _table(tables, "next_track", where), f"{where}: next_track"),
        terms=tuple(
            build_kind(TERMS, _as_table(t, f"{where}: terms.{i}"), f"{where}: terms.{i}") for i, t in enumerate(terms)
        ),
        heads=_heads(_table(tables, "heads", where), where),
        features=_switched(FeaturesConfig, tables.get("features", False), f"{where}: features"),
        training=build(TrainingConfig, _table(tables, "training", where), f"{where}: training"),
        evaluation=build(EvaluationConfig, _table(tables, "evaluation", where), f"{where}: evaluation"),
    )
    _check_heads(recipe, where)
    _check_loss(recipe, where)
    _check_targets(recipe, where)
    return recipe


def _check_targets(recipe: Recipe, where: str) -> None:
    config = recipe.next_track
    if recipe.data.earlier and (not isinstance(recipe.encoder, CausalConfig) or recipe.encoder.padding == "visible"):
        raise InputError(
            f"{where}: data.earlier is read at the first track by what looks back only: encoder.kind must be 'causal', "
            "with padding = 'masked'"
        )
    if recipe.data.context and (not isinstance(recipe.encoder, CausalConfig) or recipe.encoder.padding == "visible"):
        raise InputError(
            f"{where}: data.context is read at each track by what predicts the one after it: encoder.kind must be "
            "'causal', with padding = 'masked'"
        )
    if recipe.data.vocabulary == "features" and recipe.features is None:
        raise InputError(
            f"{where}: data.vocabulary = 'features' ranks tracks that only their features serve: add [features], or "
            "use 'training'"
        )
    if config.targets == "next_listened" and not isinstance(recipe.encoder, CausalConfig | LookbackConfig):
        raise InputError(
            f"{where}: next_track.targets = 'next_listened' predicts from each position, and encoder.kind = 'cloze' "
            "from masked ones: use 'listened'"
        )
    if recipe.heads.transitions is not None and (config.targets == "next_listened" or not config.is_plain):
        raise InputError(
            f"{where}: heads.transitions knows what followed right after a track: next_track.targets must be 'next' or "
            "'listened', with skipped, skipped_weight and own_skips left out"
        )


def _heads(table: Mapping[str, Any], where: str) -> HeadsConfig:
    """Return the heads that have a table."""
    for name in table:
        if name not in _HEADS:
            raise InputError(f"{where}: unknown key heads.{name}{nearest(name, _HEADS)}")
    return HeadsConfig(**{n: _switched(_HEADS[n], value, f"{where}: heads.{n}") for n, value in table.items()})


def _switched(cls: type[Any], value: Any, where: str) -> Any:
    """Return what a table makes; true stands for one with all defaults, false for None."""
    return None if value is False else build(cls, _as_table({} if value is True else value, where), where)


def _check_heads(recipe: Recipe, where: str) -> None:
    if recipe.heads.transitions is None:
        return
    if not isinstance(recipe.encoder, CausalConfig):
        raise InputError(
            f"{where}: heads.transitions mixes in what followed the last track, and only encoder.kind = 'causal' "
            "predicts each track from the one before it: leave it out"
        )
    if not (isinstance(recipe.next_track, Full) or getattr(recipe.next_track, "log_q", False)):
        raise InputError(
            f"{where}: heads.transitions is a share of the softmax over all tracks, so negatives must be corrected for "
            "how often they are drawn: next_track.kind = 'mixed' or 'shared' with log_q = true, or 'full'"
        )


def _check_loss(recipe: Recipe, where: str) -> None:
    if recipe.features is not None and getattr(recipe.next_track, "loss", "softmax") == "gbce":
        raise InputError(
            f"{where}: next_track.loss = 'gbce' moves the scores of all tracks down together, and features, which have "
            "no constant, cannot do so for tracks without a row of their own: set features = false"
        )


def _table(tables: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    return _as_table(tables.get(name, {}), f"{where}.{name}")


def _as_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r}, expected a table")
    return value


def _kind_table(registry: Mapping[str, type[Any]], config: Any) -> dict[str, Any]:
    kind = next(name for name, known in registry.items() if type(config) is known)
    return {"kind": kind, **asdict(config)}

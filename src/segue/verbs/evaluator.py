"""Evaluates many runs of one store on the same targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from segue.batches.split import DataConfig, split_store
from segue.config import nearest
from segue.errors import InputError
from segue.evaluation import (
    FORMS,
    PROTOCOLS,
    DayEvaluation,
    DayLists,
    DayTable,
    Evaluation,
    Protocol,
    Row,
    Table,
    assembled,
    day_evaluation,
    day_lists,
    keeping_neighbours,
    make_scene,
    scorer_rows,
)
from segue.progress import Progress, silent
from segue.ranking import Scorer, content_baselines, fit_baselines, head_scorers, model_scorers
from segue.ranking.baselines import chosen_options
from segue.runs import load_run
from segue.runs.loaded_run import LoadedRun
from segue.store import Store
from segue.training.device import choose_device
from segue.verbs.evaluate import ProtocolChoice

PROTOCOLS_OF: Final[Mapping[str, tuple[Protocol, ...]]] = {
    "both": PROTOCOLS,
    "sampled": ("sampled",),
    "full": FORMS,
    "popularity": ("popularity",),
}
"""Protocols of each choice: 'full' in both forms; 'both' does not include popularity."""


class Evaluator:
    """Evaluates many runs of one store on the same targets; data that does not depend on a model is computed once.

    Runs of equal [data] and [evaluation] share the split, groups, strata, candidates, near tracks, bootstrap weights
    and the baselines' rows.

    Args:
        store: the store of the runs.
        split: test or validation.
        device: auto, cpu or cuda.
        day_baselines: names of the baselines that are measured by days; none = all.
    """

    def __init__(
        self,
        store: str | Path | Store,
        *,
        split: Literal["test", "validation"] = "test",
        device: str = "auto",
        day_baselines: Sequence[str] = (),
    ) -> None:
        self._store = store if isinstance(store, Store) else Store(store)
        self._which: Final = split
        self._day_baselines: Final = day_baselines
        self._device = choose_device(device)
        self._grounds: dict[tuple[Any, ...], _Ground] = {}
        self._days: dict[tuple[Any, ...], _Days] = {}

    def evaluate(
        self, run: str | Path, protocol: ProtocolChoice = "both", *, baselines: bool = True, progress: Progress = silent
    ) -> Evaluation | DayEvaluation:
        """Return the metrics of `run`, and of every baseline unless `baselines` is False, without writing files.

        A run of `split = "next-day"` is measured by days.

        Raises:
            InputError: no such run, one trained on another store, or an unknown protocol.
        """
        if protocol not in PROTOCOLS_OF:
            raise InputError(f"unknown protocol {protocol!r}{nearest(protocol, PROTOCOLS_OF)}")
        loaded = self._loaded(run)
        if loaded.recipe.data.split == "next-day":
            if protocol not in ("both", "full"):
                raise InputError(f"{run} is measured by days, which rank all tracks: use the protocol full")
            return self._by_days([loaded], baselines, progress)
        ground = self._ground(loaded)
        encoder, candidates = loaded.encoder.to(self._device), ground.split.candidates
        models = model_scorers(encoder, candidates, loaded.listen_weight)
        heads = head_scorers(encoder, candidates)
        protocols = PROTOCOLS_OF[protocol]
        with keeping_neighbours(encoder):
            rows = scorer_rows(ground.table, models, "model", protocols, progress)
        rows += scorer_rows(ground.table, heads, "head", protocols, progress)
        rows += ground.baseline_rows(protocols, progress) if baselines else []
        evaluation = assembled(ground.table, rows, models)
        return replace(evaluation, tuning=ground.tuning if baselines else {})

    def _loaded(self, run: str | Path) -> LoadedRun:
        loaded = load_run(run)
        trained_on = loaded.environment.get("store", {}).get("fingerprint")
        if trained_on is not None and trained_on != self._store.manifest.fingerprint:
            raise InputError(f"{run} was trained on another store than {self._store.path}; name the store of the run")
        if "extended" in loaded.environment:
            raise InputError(f"{run} has tracks that its training store lacks; evaluate the run that it extends")
        return loaded

    def evaluate_seeds(
        self, runs: Sequence[str | Path], *, baselines: bool = True, progress: Progress = silent
    ) -> DayEvaluation:
        """Return the metrics by days of `runs`, which differ in nothing but `training.seed`, and of every baseline.

        The rows of the model are means over the runs, and its lead also has t intervals over them.

        Raises:
            InputError: see `evaluate`; or runs of other splits or of unlike recipes.
        """
        loaded = [self._loaded(run) for run in runs]
        recipes = [replace(one.recipe, training=replace(one.recipe.training, seed=0)) for one in loaded]
        alike = bool(recipes) and all(one == recipes[0] for one in recipes)
        if not alike or recipes[0].data.split != "next-day":
            raise InputError(f"{', '.join(map(str, runs))}: name runs of one recipe with split = 'next-day'")
        return self._by_days(loaded, baselines, progress)

    def _by_days(self, runs: Sequence[LoadedRun], baselines: bool, progress: Progress) -> DayEvaluation:
        recipe = runs[0].recipe
        key = recipe.data, recipe.evaluation
        if key not in self._days:
            split = split_store(self._store, recipe.data)
            scene = make_scene(self._store, split, recipe.data, recipe.evaluation, self._which, self._device)
            self._days[key] = _Days(self._store, DayTable(scene), recipe.data, self._day_baselines)
        table, lists = self._days[key].table, list[list[DayLists]]()
        contexts = table.scene.reading(recipe).contexts
        for run in runs:
            encoder = run.encoder.to(self._device)
            models = model_scorers(encoder, table.scene.split.candidates, run.listen_weight)
            with keeping_neighbours(encoder):
                lists.append(day_lists(table, contexts, models, progress))
        of_baselines, tuning = self._days[key].baselines(progress) if baselines else ([], {})
        return day_evaluation(table, lists, of_baselines, recipe.data.next_day, tuning)

    def _ground(self, loaded: LoadedRun) -> _Ground:
        data, config, inputs = loaded.recipe.data, loaded.recipe.evaluation, loaded.recipe.inputs
        heads = loaded.recipe.heads
        key = data, config, tuple(inputs.items()), tuple(heads.items())
        if key not in self._grounds:
            parts = split_store(self._store, data)
            scene = make_scene(self._store, parts, data, config, self._which, self._device).reading(loaded.recipe)
            self._grounds[key] = _Ground(self._store, Table(scene), data)
        return self._grounds[key]


class _Ground:
    """Data shared by runs of equal [data] and [evaluation]."""

    def __init__(self, store: Store, table: Table, data: DataConfig) -> None:
        self._store, self.split, self.table, self._data = store, table.scene.split, table, data
        self._baselines: list[Scorer] = []
        self._rows: dict[Protocol, list[Row]] = {}

    @property
    def tuning(self) -> dict[str, Any]:
        """How the options of the baselines were chosen, once they have been fitted."""
        return chosen_options(self._baselines)

    def baseline_rows(self, protocols: Sequence[Protocol], progress: Progress) -> list[Row]:
        """Return the rows of every baseline under `protocols`, each computed once."""
        missing = [protocol for protocol in protocols if protocol not in self._rows]
        if missing and not self._baselines:
            features = self._data.vocabulary == "features"  # then tracks that were never played are ranked, too
            content = content_baselines(self._store, self.split) if features else []
            fitted = fit_baselines(self._store, self.split, self._data.max_len, progress=progress)
            self._baselines = [*fitted, *content]
        rows = scorer_rows(self.table, self._baselines, "baseline", missing, progress)
        self._rows |= {protocol: [row for row in rows if row.protocol == protocol] for protocol in missing}
        return [row for protocol in protocols for row in self._rows[protocol]]


class _Days:
    """Data shared by runs of equal [data] and [evaluation] that are measured by days."""

    def __init__(self, store: Store, table: DayTable, data: DataConfig, names: Sequence[str]) -> None:
        self._store, self.table, self._data, self._names = store, table, data, names
        self._baselines: tuple[list[DayLists], dict[str, Any]] | None = None

    def baselines(self, progress: Progress) -> tuple[list[DayLists], dict[str, Any]]:
        """Return the lists of the baselines, and how their options were chosen; made once."""
        if self._baselines is None:
            split = self.table.scene.split
            fitted = fit_baselines(self._store, split, self._data.max_len, names=self._names, progress=progress)
            lists = day_lists(self.table, self.table.scene.contexts, fitted, progress)
            self._baselines = lists, chosen_options(fitted)
        return self._baselines

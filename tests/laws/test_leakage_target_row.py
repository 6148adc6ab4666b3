"""Scores for a target never depend on the target's own row: track, strength and every side column of it.

But for what is known when it is asked for: a model that reads context reads hour and premium of the row asked for. Of
context type and shuffle it reads the row before, and of the pause, the seeks and how it was heard nothing later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segue import columns
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.example import Example
from segue.batches.held_out import Cases, SplitName
from segue.batches.listening_order import listening_order, session_begins
from segue.batches.split import DataConfig, Split, split_store
from segue.evaluation import head_predictions, make_scene
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.listen_predictions import baseline_predictions
from segue.model import Encoder, build_model
from segue.model.heads import NeighboursWeights
from segue.model.inputs import load_side
from segue.model.inputs.context import SIZES, ContextData
from segue.ranking import BASELINE_NAMES, ModelScorer, Scorer, fit_baselines, head_scorers
from segue.ranking.baselines import BASELINES, TrainingRows
from segue.recipes import EvaluationConfig, Recipe
from segue.store import Store
from segue.store.manifest import SideColumn
from segue.training.trainer import store_facts
from support.dense_scores import all_scores
from support.small_models import example_config, example_of
from support.small_recipes import small_recipe
from support.stores import SIDE, rewritten, tiny_store, values_of

EVERY = tuple(SIZES)
OF_TARGET_ROW = (columns.HOUR, columns.PREMIUM)
"""Known of the row that is to be predicted: a law of the method, so it is not read from the code."""
FEEDBACK, CONTEXT = {"inputs__feedback": True}, {"inputs__context": {"columns": list(EVERY)}}
READING = {"inputs__context": {"columns": list(EVERY)}, "heads__repeats": True, "data__history": 12}
"""What contexts hold beside tracks and feedback; models that do not read it leave it alone."""
LISTEN = {"next_track__kind": "mixed", "heads__listen": True}
HEADS = LISTEN | {"heads__transitions": True, "heads__neighbours": True}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "causal": ("causal", {}),
    "cloze": ("cloze", {}),
    "causal, feedback": ("causal", FEEDBACK),
    "cloze, feedback": ("cloze", FEEDBACK),
    "causal, heads": ("causal", HEADS),
    "cloze, heads": ("cloze", LISTEN),
    "causal, context": ("causal", CONTEXT),
    "causal, all": ("causal", FEEDBACK | CONTEXT | HEADS),
    "causal, histories": ("causal", FEEDBACK | {"data__history": 12}),
    "causal, repeats": ("causal", {"next_track__kind": "mixed", "heads__repeats": True}),
}
"""Transitions and context are the causal encoder's."""
READ_CONTEXT = {"causal, context", "causal, all", "causal, all, P(listen) alone"}
ALONE = [f"{name}, P(listen) alone" for name, (_, changes) in MODELS.items() if "heads__listen" in changes]
SESSION_BASELINES = ("repeat-last", "markov", "sequential-rules", "item-knn", "v-sknn", "ordered-neighbours")
SCORERS = (*MODELS, *ALONE, *BASELINE_NAMES)
CONTEXTS = ("catalog", "charts", "radio")
EVENT_SIDE = (
    SideColumn(columns.CONTEXT_TYPE, "uint8", categories=CONTEXTS),
    SideColumn(columns.SHUFFLE, "bool"),
    SideColumn(columns.HOUR, "uint8"),
    SideColumn(columns.PREMIUM, "bool"),
    SideColumn(columns.TIED, "bool"),
    SideColumn(columns.AT, "int64"),
    SideColumn("seeks_forward", "int16"),
    SideColumn(columns.ORACLE_P_LISTEN, "float32"),
    SideColumn(columns.ORACLE_P_LISTEN_COMMON, "float32"),
)
"""Event columns of every kind that the sources and the simulator write, beside `inferred`."""
ARMS = [
    ("leave-last-two-out", "training"),
    ("leave-last-two-out", "transductive"),
    ("chronological", "training"),
    ("temporal", "training"),
    ("sessions", "training"),
]


def drawn(column: SideColumn, size: int, generator: np.random.Generator) -> NDArray[np.generic]:
    """Return random values of a column's dtype."""
    if column.dtype == "float32":
        return generator.random(size, np.float32)
    highest = len(column.categories) or {"bool": 2, "uint8": 24}.get(column.dtype, 30_000)
    return generator.integers(0, highest, size).astype(column.dtype)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A tiny store with event columns of every kind, and six listeners of ten sessions."""
    folder = tmp_path_factory.mktemp("leakage")
    tiny = tiny_store(folder / "tiny", sessions=60)
    generator = np.random.default_rng(1)
    values = values_of(tiny) | {column.name: drawn(column, tiny.num_rows, generator) for column in EVENT_SIDE}
    values[columns.USER] = (np.arange(60) % 6).astype(np.int32)
    return rewritten(folder / "store", tiny, values, SIDE + EVENT_SIDE)


def randomised(
    store: Store,
    path: Path,
    cases: Cases,
    split: Split,
    *,
    only: Collection[str] | None = None,
    known: Collection[str] = (),
) -> Store:
    """Return `store` with every column of the targets' rows, and of what follows them, drawn anew.

    `only`: the names of those that are, None = all; `known`: columns that keep their values in the targets' rows.
    Tracks are drawn among those with a training row and change only where the old one has one too, so that no
    candidate comes or goes in a transductive vocabulary.
    """
    generator = np.random.default_rng(2)
    rows = np.concatenate(
        [np.arange(t, store.offsets[s + 1]) for s, t in zip(cases.session, cases.target, strict=True)]
    )
    values, old = values_of(store), values_of(store)
    for column in store.manifest.side:
        if column.level == "event":
            values[column.name][rows] = drawn(column, len(rows), generator)
    values["strength"][rows] = generator.choice(np.array([0, 1, 2, 3, 255], np.uint8), len(rows))
    trained = np.flatnonzero(split.training_counts)
    new = generator.choice(trained, len(rows)).astype(np.int32)
    values["tracks"][rows] = np.where(np.isin(old["tracks"][rows], trained), new, old["tracks"][rows])
    for name, before in old.items():
        if only is not None and name not in only:
            values[name] = before
        elif name in known:
            values[name][cases.target] = before[cases.target]
    return rewritten(path, store, values)


def recipe_of(name: str) -> Recipe:
    """Return the recipe of one of the models."""
    kind, changes = MODELS[name]
    return small_recipe(f"paper-{kind}-s-minus", **changes)


def model(name: str, store: Store, split: Split) -> Encoder:
    """Return one of the models, its heads counted over the training parts of `split`; alike each time.

    As initialised, states hardly differ and heads say nothing; so scaled, each input and head counts.
    """
    recipe, generator = recipe_of(name), torch.Generator().manual_seed(3)
    encoder = build_model(recipe.model, store_facts(store, split, recipe), generator)
    with torch.no_grad():
        for part, parameter in encoder.named_parameters():
            if part.startswith(("table.", "inputs.")):
                parameter.mul_(50)
            elif part.startswith("heads."):
                parameter.normal_(0.0, 0.5, generator=generator)
    if "neighbours" in encoder.heads:
        encoder.heads["neighbours"].ranking_weights = NeighboursWeights(mass=30.0)  # type: ignore[assignment]
    return encoder


def scorers(store: Store, split: Split, which: SplitName = "test") -> Iterator[tuple[str, Scorer]]:
    """Yield every model, alike each time, what its head for P(listen) says alone, and every baseline of `split`.

    Validation targets choose the options of baselines: where they are changed (`which`), options are the defaults.
    """
    for name in MODELS:
        encoder = model(name, store, split)
        yield name, ModelScorer(encoder, split.candidates, 0.7 if "listen" in encoder.heads else 0.0)
        for alone in head_scorers(encoder, split.candidates):
            yield f"{name}, P(listen) alone", alone
    data = TrainingRows.of(store, split)
    defaults = (kind(data) for kind in BASELINES if kind.fits(data))
    for baseline in fit_baselines(store, split) if which == "test" else defaults:
        yield baseline.name, baseline


def scene_of(store: Store, split: Split, data: DataConfig, which: SplitName) -> EvaluationScene:
    """Return the targets, with every input of their contexts."""
    return make_scene(store, split, data, EvaluationConfig(candidates=5), which, "cpu").reading(
        small_recipe("paper-causal-s-minus", next_track__kind="mixed", **READING)
    )


def cases_of(store: Store, split: Split, which: SplitName) -> Cases:
    """Return the held-out targets; where later ones of the listener may read a session, the last of each listener."""
    cases = split.cases[which]
    if split.kind not in ("chronological", "temporal"):
        return cases
    user, begins = np.asarray(store.side(columns.USER))[cases.session], session_begins(store)
    assert begins is not None
    order = listening_order(user, begins[cases.session])
    last = np.sort(order[np.append(user[order][1:] != user[order][:-1], True)])
    return Cases(cases.session[last], cases.begin[last], cases.target[last])


def contexts_of(store: Store, data: DataConfig, which: SplitName, later: int = 0) -> tuple[Split, Batch]:
    """Return the split and the contexts of its targets; `later` > 0 lets a context see so many rows too many."""
    split = split_store(store, data)
    scene = scene_of(store, split, data, which)
    cases = cases_of(store, split, which)
    moved = Cases(cases.session, cases.begin, cases.target + later)
    return split, scene.contexts.data.context_batch(moved, np.arange(len(cases)), data.max_len)


@pytest.mark.parametrize("which", ["test", "validation"])
@pytest.mark.parametrize(("kind", "vocabulary"), ARMS)
def test_scores_keep_their_bytes_when_the_target_row_is_randomised(
    store: Store, tmp_path: Path, which: SplitName, kind: str, vocabulary: str
) -> None:
    """Hour and premium of that row included, but where a model reads context: there they are known beforehand."""
    data = DataConfig(split=kind, vocabulary=vocabulary, max_len=8)  # type: ignore[arg-type]
    before, contexts = contexts_of(store, data, which)
    cases = cases_of(store, before, which)
    assert len(cases) > 3
    changed = randomised(store, tmp_path / "changed", cases, before)
    with_known = randomised(store, tmp_path / "with-known", cases, before, known=OF_TARGET_ROW)
    after, changed_contexts = contexts_of(changed, data, which)
    after_known, known_contexts = contexts_of(with_known, data, which)
    assert {name for name, _ in scorers(store, before, which)} == set(SCORERS)
    assert before.candidates.tobytes() == after.candidates.tobytes() == after_known.candidates.tobytes()
    others = scorers(changed, after, which), scorers(with_known, after_known, which)
    for (name, one), (_, blind), (_, reader) in zip(scorers(store, before, which), *others, strict=True):
        first = all_scores(one, contexts, before.candidates)
        other, others_contexts = (reader, known_contexts) if name in READ_CONTEXT else (blind, changed_contexts)
        second = all_scores(other, others_contexts, before.candidates)
        assert first.numpy().tobytes() == second.numpy().tobytes(), name
    for other in (changed, with_known):
        assert not np.array_equal(store.tracks[cases.target], other.tracks[cases.target])
        for column in (column.name for column in store.manifest.side if column.level == "event"):
            same = np.array_equal(store.side(column)[cases.target], other.side(column)[cases.target])
            assert same == (other is with_known and column in OF_TARGET_ROW), column


@pytest.mark.parametrize("which", ["test", "validation"])
def test_hour_and_premium_of_the_target_row_count_for_readers_of_context_alone(
    store: Store, tmp_path: Path, which: SplitName
) -> None:
    data = DataConfig(split="leave-last-two-out", max_len=8)
    split, contexts = contexts_of(store, data, which)
    for column in OF_TARGET_ROW:
        changed = randomised(store, tmp_path / column, split.cases[which], split, only=(column,))
        _, changed_contexts = contexts_of(changed, data, which)
        for name, scorer in scorers(store, split, which):
            same = torch.equal(*(all_scores(scorer, each, split.candidates) for each in (contexts, changed_contexts)))
            assert same == (name not in READ_CONTEXT), (name, column)


def foretold(store: Store, data: DataConfig, which: SplitName) -> dict[str, NDArray[np.float64]]:
    """Return P(listen) of each target by every model that foretells it, and by what needs none."""
    split = split_store(store, data)
    scene = scene_of(store, split, data, which)
    found = {name: p for name, p in baseline_predictions(scene).items() if name != "oracle"}
    for name in MODELS:
        for p in head_predictions(scene, [ModelScorer(model(name, store, split), split.candidates)]).values():
            found[name] = p
    return found


@pytest.mark.parametrize("which", ["test", "validation"])
def test_p_listen_of_a_target_is_foretold_from_its_track_and_nothing_else_of_its_row(
    store: Store, tmp_path: Path, which: SplitName
) -> None:
    """Not from how it was heard: no rate counts the play that is foretold."""
    data = DataConfig(split="leave-last-two-out", max_len=8)
    split = split_store(store, data)
    heard = {column.name for column in store.manifest.side} | {"strength"}
    changed = randomised(store, tmp_path / "changed", split.cases[which], split, only=heard, known=OF_TARGET_ROW)
    found = [foretold(each, data, which) for each in (store, changed)]
    assert set(found[0]) == {"share", "track-rate", "session-rate", "causal, heads", "cloze, heads", "causal, all"}
    for name, first in found[0].items():
        assert first.tobytes() == found[1][name].tobytes(), name


POWER = [(name, None) for name in ("causal", "cloze", *SESSION_BASELINES)]
POWER += [(name, ("tracks",)) for name in MODELS]
POWER += [(name, ("strength",)) for name in ("causal, feedback", "cloze, feedback", "causal, all")]
POWER += [
    (name, (column,))
    for name in ("causal, context", "causal, all")
    for column in (columns.CONTEXT_TYPE, columns.SHUFFLE, columns.AT)
]


@pytest.mark.parametrize(("name", "only"), POWER)
def test_a_context_that_holds_its_target_would_be_noticed(
    store: Store, tmp_path: Path, name: str, only: tuple[str] | None
) -> None:
    """Each column of it by itself, by each that reads such a column."""
    data = DataConfig(split="leave-last-two-out", max_len=8)
    split, contexts = contexts_of(store, data, "test", later=1)
    changed = randomised(store, tmp_path / "changed", split.cases["test"], split, only=only)
    scorer = dict(scorers(store, split))[name]
    _, changed_contexts = contexts_of(changed, data, "test", later=1)
    assert not torch.equal(*(all_scores(scorer, each, split.candidates) for each in (contexts, changed_contexts)))


@pytest.mark.parametrize(("name", "column"), [(name, "strength") for name in ("causal, heads", "cloze, heads")] + [
    ("causal, heads", "tracks")
])  # fmt: skip
def test_a_head_that_counts_its_target_would_be_noticed(store: Store, tmp_path: Path, name: str, column: str) -> None:
    data = DataConfig(split="leave-last-two-out", max_len=8)
    split, contexts = contexts_of(store, data, "validation")
    changed = randomised(store, tmp_path / "changed", split.cases["validation"], split, only=(column,))
    longer = replace(split, train_end=split.train_end + 1)
    one, other = (ModelScorer(model(name, each, longer), split.candidates, 0.7) for each in (store, changed))
    assert not torch.equal(*(all_scores(each, contexts, split.candidates) for each in (one, other)))


def with_others(data: SessionData, rows: torch.Tensor, num_tracks: int) -> SessionData:
    """Return the data with another track, heard otherwise and in another context, at `rows` (bool, by row)."""
    side = {}
    for name, values in data.side.items():
        codes = values.gather(torch.arange(len(rows)))
        codes = torch.where(rows[:, None], (codes == 0).long(), codes)
        side[name] = ContextData(codes.to(torch.uint8), EVERY)
    return replace(
        data,
        tracks=torch.where(rows, (data.tracks + 4) % num_tracks + 3, data.tracks).int(),
        feedback=torch.where(rows, 3 * (data.feedback != 3), data.feedback).to(torch.uint8),
        side=side,
    )


@pytest.mark.parametrize("name", MODELS)
def test_in_training_no_state_sees_the_row_that_it_predicts(store: Store, name: str) -> None:
    """Nor, causal, any row after it; other rows do count."""
    recipe = recipe_of(name)
    split = split_store(store, recipe.data)
    encoder = model(name, store, split).eval()
    data = SessionData.load(store, split, "cpu", load_side(recipe.inputs, store, split, "cpu"))
    config = example_config(encoder, share=recipe.encoder.replaced_share)

    def example_with(rows: torch.Tensor | None = None) -> Example:
        changed = data if rows is None else with_others(data, rows, store.num_tracks)
        return example_of(config, changed, torch.Generator().manual_seed(5))

    example = example_with()
    batch, is_target, states = example.batch, example.target > 0, encoder(example.batch)
    column = torch.arange(len(batch.tracks)) - batch.offsets[batch.session]
    length = batch.lengths + (not encoder.masked)
    row = (data.train_end - length)[batch.session] + column
    assert torch.equal(data.tracks[row][~batch.tracks.eq(2)], batch.tracks[~batch.tracks.eq(2)])
    column_of = torch.full((store.num_rows,), -1)
    for end, num in zip(data.train_end.tolist(), length.tolist(), strict=True):
        column_of[end - num : end] = torch.arange(num)
    if encoder.masked:  # what is predicted is masked
        predicted_rows = torch.zeros(store.num_rows, dtype=torch.bool)
        predicted_rows[row[is_target]] = True
        cases = [(predicted_rows, ~predicted_rows & (column_of >= 0), is_target)]
    else:  # input j - 1 predicts row j
        longest = int(length.max())
        cases = [(column_of >= j, column_of == j - 1, is_target & (column == j - 1)) for j in range(1, longest)]
    for predicted, seen, where in cases:
        assert where.any()
        assert torch.equal(encoder(example_with(predicted).batch)[where], states[where])
        assert not torch.equal(encoder(example_with(seen).batch)[where], states[where])

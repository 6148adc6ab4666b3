"""What a listener did with a track before equals loops over their plays: in settling, in P(listen), in a ranking."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns, skips
from segue.batch import Batch
from segue.batches.held_out import Cases
from segue.batches.listener_past import listener_ranges
from segue.batches.split import Split, split_store
from segue.evaluation.evaluation_scene import EvaluationScene, make_scene
from segue.evaluation.settle_listen import listen_terms, settle_listen
from segue.exported.manifest import ModelFacts
from segue.model.heads import ListenHead, ListenQuery, ListenWeights, OwnListens, repeats
from segue.ranking import ModelScorer, candidate_table
from segue.ranking.block_standing import stand
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.model_scorer import ListenScorer
from segue.ranking.scores import ListenTerm, Scores
from segue.runs import LoadedRun, load_run
from segue.store import NUM_SPECIALS, Store
from support.dense_scores import all_scores, dense_standing
from support.listeners import listeners_run
from support.stores import SIDE, rewritten, tiny_store, values_of

CPU = torch.device("cpu")
OWN = ListenWeights(0.5, 0.75, 1.25, 0.25, 0.5, -0.75)


@pytest.fixture(scope="module", params=[1, 2, 3])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    made = tmp_path_factory.mktemp("own")
    listeners_run(made, **{"data.skip_at_least": request.param, "data.max_len": 4})  # shorter than most sessions
    return made


def scene_of(run: LoadedRun, store: Store) -> EvaluationScene:
    split = split_store(store, run.recipe.data)
    scene = make_scene(store, split, run.recipe.data, run.recipe.evaluation, "validation", CPU)
    return scene.reading(run.recipe)


def listen_head(run: LoadedRun) -> ListenHead:
    head = dict(run.encoder.heads.items())["listen"]
    assert isinstance(head, ListenHead)
    return head


def own_rows(store: Store, split: Split, cases: Cases, at: int, most: int) -> list[int]:
    """Return the rows of the plays that are read before a target: the last before the session, then of the session."""
    past, session = listener_ranges(store, split), int(cases.session[at])
    before = past.rows[past.begin[session] : past.end[session]][-most:].tolist()
    return [*before, *range(max(int(cases.begin[at]), int(cases.target[at]) - 4), int(cases.target[at]))]


def times(store: Store, rows: list[int], at_least: int) -> dict[int, tuple[int, int]]:
    """Return listens and skips of each track of `rows`."""
    counts: dict[int, tuple[int, int]] = {}
    for row in rows:
        track, strength = int(store.tracks[row]), int(store.strength[row])
        listens, skipped = counts.get(track, (0, 0))
        counts[track] = (listens + (strength < at_least), skipped + (at_least <= strength <= 3))
    return counts


def cases_of(scene: EvaluationScene) -> Iterator[tuple[int, Batch, dict[int, tuple[int, int]]]]:
    """Yield each case, its context, and what its listener did before."""
    cases, at_least = scene.contexts.cases, scene.split.skip_at_least
    for index, batch in scene.contexts.blocks(1):
        at = int(index[0])
        yield at, batch, times(scene.store, own_rows(scene.store, scene.split, cases, at, 1000), at_least)


def test_settling_reads_listens_and_skips_as_the_loop_counts_them(folder: Path) -> None:
    run, store = load_run(folder / "run"), Store(folder / "store")
    scene = scene_of(run, store)
    terms, _ = listen_terms(scene, run.encoder)
    strength, target = np.asarray(store.strength)[scene.contexts.cases.target], scene.contexts.target
    wanted = [
        [math.log1p(number) for number in counts.get(int(target[at]), (0, 0))]
        for at, _, counts in cases_of(scene)
        if strength[at] <= 3 and target[at] in scene.split.candidates
    ]
    assert terms.shape == (len(wanted), 6)
    np.testing.assert_allclose(terms[:, 4:].numpy(), wanted, rtol=1e-6)
    assert min((terms[:, 4] > 0).sum(), (terms[:, 5] > 0).sum()) > 5
    assert set(terms[:, 3].tolist()) == {1.0}


def test_weights_count_in_every_logit_and_score(folder: Path) -> None:
    """Of all candidates after several sessions at once; a track that was not played before gets nothing."""
    run, store = load_run(folder / "run"), Store(folder / "store")
    scene, head = scene_of(run, store), listen_head(run)
    index, batch = next(scene.contexts.blocks(len(scene.contexts.cases)))
    rows = torch.from_numpy(run.candidates.astype(np.int64)).expand(len(index), -1)
    head.ranking_weights = replace(OWN, own_listens=0.0, own_skips=0.0)
    scorer = ModelScorer(run.encoder, run.candidates, 1.5)
    without, scores = scorer.listen_logits(batch, rows), scorer.score(batch, rows)
    head.ranking_weights = OWN
    scorer = ModelScorer(run.encoder, run.candidates, 1.5)
    logits = scorer.listen_logits(batch, rows)
    own = torch.zeros(logits.shape, dtype=torch.float64)
    for at, _, counts in cases_of(scene):
        for column, track in enumerate(run.candidates.tolist()):
            listens, skipped = counts.get(track, (0, 0))
            own[at, column] = 0.5 * math.log1p(listens) - 0.75 * math.log1p(skipped)
    torch.testing.assert_close(logits.double() - without.double(), own, atol=1e-5, rtol=0)
    assert min(int((own == 0).sum()), int((own > 0).sum()), int((own < 0).sum())) > 20
    assert torch.equal(logits[own == 0], without[own == 0])
    log_p = torch.nn.functional.logsigmoid
    moved = 1.5 * (log_p(without.double() + own) - log_p(without.double()))
    finite = torch.isfinite(scores)
    torch.testing.assert_close((scorer.score(batch, rows) - scores).double()[finite], moved[finite], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["model", "head"])
def test_the_standing_is_that_of_a_full_sort(folder: Path, kind: str) -> None:
    run, store = load_run(folder / "run"), Store(folder / "store")
    listen_head(run).ranking_weights = ListenWeights(own_listens=2.0, own_skips=-3.0)
    scene = scene_of(run, store)
    index, batch = next(scene.contexts.blocks(len(scene.contexts.cases)))
    scorer = ListenScorer(run.encoder, run.candidates) if kind == "head" else None
    scorer = scorer or ModelScorer(run.encoder, run.candidates, 2.0)
    tracks = torch.from_numpy(scene.contexts.target[index, None])
    candidates = torch.from_numpy(run.candidates.astype(np.int64))
    assert int(run.encoder.untrained[candidates].sum()) > 5  # type: ignore[index]
    scores = all_scores(scorer, batch, candidates.numpy(), store.num_tracks + NUM_SPECIALS)
    found, wanted = scorer.stand(batch, tracks, 10), dense_standing(scores, candidates, tracks, 10)
    known = torch.isfinite(wanted.scores)
    assert int(known.sum()) > 10
    assert torch.equal(found.above[known], wanted.above[known])
    assert torch.equal(found.equal[known], wanted.equal[known])
    assert torch.equal(found.best.tracks, wanted.best.tracks)


def tastes(path: Path, store: Store) -> Store:
    """Return the store as if each listener mostly listened to a track, or mostly skipped it."""
    values, offsets = values_of(store), np.asarray(store.offsets)
    user = np.repeat(np.asarray(store.side(columns.USER)), np.diff(offsets))
    draw = np.random.default_rng(5).random((4, store.num_tracks + NUM_SPECIALS))
    often = np.random.default_rng(6).random(store.num_rows) < 0.85
    values["strength"] = np.where((draw[user, values["tracks"]] < 0.5) == often, 3, 0).astype(np.uint8)
    return rewritten(path, store, values)


def test_validation_finds_that_a_listener_stays_with_a_taste(folder: Path, tmp_path: Path) -> None:
    """Then each further skip lowers P(listen) of the track and of no other, and each listen raises it."""
    store = tastes(tmp_path / "store", Store(folder / "store"))
    run = load_run(folder / "run")
    data = replace(run.recipe.data, split="leave-last-two-out")
    scene = scene_of(replace(run, recipe=replace(run.recipe, data=data)), store)
    chosen = settle_listen(*listen_terms(scene, run.encoder))
    assert chosen["own_skips"] < -0.3 < 0.3 < chosen["own_listens"]
    assert chosen["loss"] < chosen["loss_as_trained"] - 0.05
    listen_head(run).ranking_weights = ListenWeights(**{part.name: chosen[part.name] for part in fields(ListenWeights)})
    scorer = ModelScorer(run.encoder, run.candidates, 1.0)
    track, other = int(run.candidates[2]), int(run.candidates[3])
    for code, rises in ((skips.VERY_BRIEFLY, False), (skips.TO_ITS_END, True)):
        logits = []
        for number in range(4):
            past = torch.tensor([[track, code, 60]] * number, dtype=torch.int32).view(1, number, 3)
            batch = Batch(
                torch.tensor([int(run.candidates[5])]), torch.tensor([0]), torch.tensor([0]), torch.tensor([0, 1]), 1,
                session_side={repeats.NAME: past},
            )  # fmt: skip
            logits.append(scorer.listen_logits(batch, torch.tensor([[track, other]]))[0])
        of_track, of_other = torch.stack(logits).unbind(1)
        assert (of_track.diff() > 0).all() if rises else (of_track.diff() < 0).all()
        assert len(set(of_other.tolist())) == 1


def test_without_listeners_nothing_is_read_or_weighed(folder: Path, tmp_path: Path) -> None:
    run, tiny = load_run(folder / "run"), tiny_store(tmp_path / "tiny", sessions=60, tracks=60)
    values = {name: value for name, value in values_of(tiny).items() if name != columns.USER}
    store = rewritten(tmp_path / "store", tiny, values, [part for part in SIDE if part.name != columns.USER])
    recipe = replace(run.recipe, data=replace(run.recipe.data, split="leave-last-two-out", vocabulary="training"))
    scene = scene_of(replace(run, recipe=recipe), store)
    terms, _ = listen_terms(scene, run.encoder)
    assert terms.shape[1] == 4
    assert astuple(ListenWeights())[4:] == (0.0, 0.0)
    listen_head(run).ranking_weights = ListenWeights()
    assert listen_head(run).own_part(next(scene.contexts.blocks(5))[1]) is None


def test_an_export_that_is_older_reads_as_one_without_own_weights() -> None:
    facts = ModelFacts("segue", 5, 5, 8, 4, True)
    assert (facts.own_listens, facts.own_skips) == (0.0, 0.0)
    with pytest.raises(ValueError, match="finite"):
        ModelFacts("segue", 5, 5, 8, 4, True, own_skips=math.nan)


@pytest.mark.parametrize("cells", [2**20, 1], ids=["one block", "blocks of 128"])
def test_own_plays_are_added_in_the_block_of_each_track(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tracks of every block, candidates and others, for some sessions alone."""
    monkeypatch.setattr(candidate_table, "CPU_CELLS", cells)
    generator, sessions, rows = torch.Generator().manual_seed(2), 5, 700
    weight, state, direction = (torch.randn(n, 8, generator=generator) for n in (rows, sessions, sessions))
    candidates = torch.arange(3, rows)[torch.rand(rows - 3, generator=generator) < 0.7]
    is_own = torch.rand(sessions, rows, generator=generator) < 0.1
    is_own[2] = False
    who, own_tracks = torch.nonzero(is_own, as_tuple=True)
    values = 4 * torch.randn(len(who), generator=generator)
    query = ListenQuery(direction, torch.randn(sessions, generator=generator))
    offset = torch.randn(rows, generator=generator)
    own = OwnListens(who, own_tracks, values, rows)
    scores = Scores(CandidateTable(weight, candidates), state, ListenTerm(query, offset, 2.0, own))
    logits = direction.double() @ weight.double().T + query.level[:, None] + offset
    logits[who, own_tracks] += values
    dense = state.double() @ weight.double().T + 2.0 * torch.nn.functional.logsigmoid(logits)
    exact = scores.exact(candidates.expand(sessions, -1))
    torch.testing.assert_close(exact.double(), dense[:, candidates], atol=1e-4, rtol=0)
    for begin, block in scores.blocks():
        fast = block.flatten(1)[:, : len(candidates) - begin]
        difference = (fast - exact[:, begin : begin + fast.shape[1]]).abs()
        assert (difference <= scores.slack()).all()
    tracks = candidates[torch.randint(len(candidates), (sessions, 3), generator=generator)]
    every = torch.full((sessions, rows), -torch.inf).scatter(1, candidates.expand(sessions, -1), exact)
    found, wanted = stand(scores, tracks, 9), dense_standing(every, candidates, tracks, 9)
    assert torch.equal(found.above, wanted.above)
    assert torch.equal(found.best.tracks, wanted.best.tracks)

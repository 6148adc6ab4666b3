"""How heads weigh in a ranking: what validation chooses is the likeliest, and the ranking is made of it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from segue.batch import Batch
from segue.batches.held_out import SplitName
from segue.batches.split import split_store
from segue.errors import FormatError
from segue.evaluation import settle_ranking, validating
from segue.evaluation.evaluation_scene import EvaluationScene, make_scene
from segue.evaluation.settle_listen import listen_terms, settle_listen
from segue.evaluation.settle_mixture import GRID, settle_mixture
from segue.evaluation.settle_ranking import best_weight
from segue.evaluation.settling_ranks import SettlingRanks
from segue.model import Encoder
from segue.model.heads import ListenHead, ListenWeights, MixtureWeights, NeighboursWeights, TransitionsHead
from segue.ranking import ModelScorer
from segue.runs import RunFolder, load_run
from segue.store import Store
from segue.training import fit
from segue.verbs.prepare import PrepareOptions, prepare
from segue.verbs.recommender import load
from support.dense_scores import all_scores
from support.sequences import mass_after
from support.small_recipes import small_recipe
from support.stores import rewritten, tiny_store, values_of

CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return tiny_store(tmp_path / "store", sessions=60, tracks=30)


@pytest.fixture
def run(tmp_path: Path, store: Store) -> Path:
    heads = {"heads__listen": True, "heads__repeats": True}
    recipe = small_recipe("segue", training__epochs=3, training__learning_rate=0.02, **heads)
    fit(store, tmp_path / "run", recipe, validate=validating(store, recipe))
    return tmp_path / "run"


Settle = Callable[[Store], bytes]


@pytest.fixture
def settled(tmp_path: Path, run: Path) -> Settle:
    """What gives the ranking.json of the same trained weights, settled on a store."""

    def settle_on(store: Store) -> bytes:
        shutil.rmtree(tmp_path / "settled", ignore_errors=True)
        shutil.copytree(run, tmp_path / "settled")
        settle_ranking(store, tmp_path / "settled", CPU)
        return (tmp_path / "settled" / "ranking.json").read_bytes()

    return settle_on


def scene_of(store: Store, run: Path, which: SplitName) -> EvaluationScene:
    recipe = load_run(run).recipe
    scene = make_scene(store, split_store(store, recipe.data), recipe.data, recipe.evaluation, which, CPU)
    return scene.reading(recipe)


def retargeted(
    path: Path, store: Store, run: Path, which: SplitName, hard: bool, *, encoder_alone: bool = False
) -> Store:
    """Return `store` with other targets of `which`, and other feedback to them: each choice goes another way.

    Easy ones are what the run ranks first, and most of them are skipped: lambda could only harm. Hard ones come far
    down its list; those of the highest listen rate there are listened to, and those of the lowest are skipped.
    `encoder_alone`: the list is that of the run without its transitions.
    """
    loaded, scene = load_run(run), scene_of(store, run, which)
    if encoder_alone:
        loaded.encoder.heads["transitions"].ranking_weights = MixtureWeights(offset=-1000.0)  # type: ignore[assignment]
    rows = scene.contexts.cases.target
    _, batch = next(scene.contexts.blocks(len(rows)))
    scores = all_scores(ModelScorer(loaded.encoder, loaded.candidates), batch, loaded.candidates)
    order = scores.argsort(1, descending=True)
    head = loaded.encoder.heads["listen"]
    assert isinstance(head, ListenHead)
    rate = head.offset(order).detach().numpy()[:, : len(loaded.candidates)]
    third = np.arange(len(rows)) % 3 == 0
    values, place = values_of(store), np.zeros(len(rows), np.int64)
    if hard:
        place = np.where(third, 20 + rate[:, 20:].argmin(1), 10 + rate[:, 10:20].argmax(1))
    values["tracks"][rows] = order.numpy()[np.arange(len(rows)), place]
    values["strength"][rows] = np.where(third == hard, 3, 0)
    return rewritten(path, store, values)


def test_no_test_row_weighs_in_what_is_chosen(tmp_path: Path, store: Store, run: Path, settled: Settle) -> None:
    base = retargeted(tmp_path / "base", store, run, "validation", hard=True)
    wanted = settled(base)
    for hard in (False, True):
        other = retargeted(tmp_path / f"hard {hard}", base, run, "test", hard)
        held_out = split_store(base, load_run(run).recipe.data).cases["test"].target
        changed = np.flatnonzero((base.tracks != other.tracks) | (base.strength != other.strength))
        assert set(changed) <= set(held_out)
        assert len(changed) > 0.8 * len(held_out)
        assert settled(other) == wanted


def test_validation_rows_choose_gate_temperature_parts_of_p_listen_and_lambda(
    tmp_path: Path, store: Store, run: Path, settled: Settle
) -> None:
    """The very change that does nothing to test rows: there it would have shown, had it been looked at."""
    stores = [retargeted(tmp_path / f"hard {hard}", store, run, "validation", hard) for hard in (False, True)]
    stores.append(retargeted(tmp_path / "encoder", store, run, "validation", hard=False, encoder_alone=True))
    easy, hard, of_encoder = (json.loads(settled(one)) for one in stores)
    assert easy["transitions"]["offset"] > of_encoder["transitions"]["offset"]
    assert hard["mixture"]["tried"] != easy["mixture"]["tried"]
    for part in ("rate", "along", "level", "bias"):
        assert easy["listen"][part] != pytest.approx(hard["listen"][part], abs=0.02), part
    assert easy["listen_weight"] == 0.0 < hard["listen_weight"]


def test_each_choice_is_made_of_all_validation_targets_alone(store: Store, run: Path, settled: Settle) -> None:
    document = json.loads(settled(store))
    rows = store.offsets[1:] - 2  # the last but one of each session
    strength, ranked = np.asarray(store.strength)[rows], np.isin(store.tracks[rows], load_run(run).candidates)
    assert document["mixture"]["targets"] == ranked.sum()
    assert 30 < document["listen"]["targets"] == (ranked & (strength < 4)).sum() < ranked.sum()
    after = load_run(run.parent / "settled")
    scene, target = scene_of(store, run, "validation"), torch.from_numpy(np.array(store.tracks[rows])).long()
    _, batch = next(scene.contexts.blocks(len(rows)))
    for one in document["tried"]:
        scorer = ModelScorer(after.encoder, after.candidates, one["listen_weight"])
        scores = all_scores(scorer, batch, after.candidates, store.num_tracks + 3)
        own = scores.gather(1, target[:, None])
        rank = 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
        gains = np.where((rank <= 20).numpy() & ranked, 1 / np.log2(1 + rank.numpy()), 0)
        assert one["ndcg@20"] == pytest.approx(gains.mean())
        assert one["ndcg@20.listened"] == pytest.approx(gains[strength < 2].mean())
    within = [one for one in document["tried"] if one["ndcg@20"] >= document["tried"][0]["ndcg@20"]]
    best = max(one["ndcg@20.listened"] for one in within)
    wanted = min(one["listen_weight"] for one in within if one["ndcg@20.listened"] == best)
    assert document["listen_weight"] == wanted == after.listen_weight


def weighed(*tried: tuple[float, float, float]) -> float:
    """Return the lambda chosen among (lambda, NDCG@20, NDCG@20 of listened targets)."""
    names = ("listen_weight", "ndcg@20", "ndcg@20.listened")
    return best_weight([dict(zip(names, one, strict=True)) for one in tried])


def test_lambda_costs_nothing() -> None:
    """Its NDCG@20 is at least that of lambda 0, whatever it gains among listened targets, and however others rank."""
    none = (0.0, 0.5, 0.45)
    for cost, chosen in ((-0.01, 2.0), (0.0, 2.0), (1e-9, 0.0), (0.4, 0.0)):
        assert weighed(none, (2.0, 0.5 - cost, 0.9)) == chosen
        assert weighed(none, (1.0, 0.7, 0.4), (2.0, 0.5 - cost, 0.9)) == chosen, "1's NDCG@20 is no measure"
    assert weighed(none, (0.25, 0.51, 0.6), (1.0, 0.49, 0.9), (4.0, 0.1, 1.0)) == 0.25
    assert weighed(none, (0.5, 0.6, 0.4)) == 0.0, "it is listened targets that lambda is for"
    assert weighed(none, (0.5, 0.5, 0.6), (1.0, 0.6, 0.6)) == 0.5, "the smallest of equals"


def test_settled_scores_are_the_mixture_of_both_distributions(store: Store, run: Path) -> None:
    loaded = load_run(run)
    head = loaded.encoder.heads["transitions"]
    assert isinstance(head, TransitionsHead)
    weights = head.ranking_weights = MixtureWeights(0.7, -0.4, 0.3)
    loaded.encoder.heads["neighbours"].ranking_weights = NeighboursWeights(30.0)  # type: ignore[assignment]
    scene = scene_of(store, run, "test")
    scorer = ModelScorer(loaded.encoder, loaded.candidates)
    _, batch = next(scene.contexts.blocks(16))
    scores, states, table = (
        all_scores(scorer, batch, loaded.candidates),
        loaded.encoder.next_state(batch).detach(),
        loaded.encoder.ranked_rows(),
    )
    mixed = near = repeated = 0
    names = "copy", "neighbours", "repeats"
    copied, of_neighbours, repeats = (masses(loaded.encoder, name, batch, states, table) for name in names)
    for session in range(16):
        begin, end = batch.offsets[session : session + 2].tolist()
        added = mass_after(head, states[session], batch.tracks[begin:end].tolist(), weights)
        mixed, near = mixed + len(added), near + len(of_neighbours[session])
        repeated += len(repeats[session])
        assert sum(of_neighbours[session].values()) == pytest.approx(30.0 if of_neighbours[session] else 0.0)
        assert not of_neighbours[session].keys() & copied[session].keys(), "heard tracks get nothing"
        for track in loaded.candidates.tolist():
            own = math.exp(weights.temperature * float(states[session] @ table[track]))
            mass = copied[session].get(track, own) + added.get(track, 0.0) + of_neighbours[session].get(track, 0.0)
            mass += repeats[session].get(track, 0.0)
            assert float(scores[session, track]) == pytest.approx(math.log(mass), abs=1e-4)
    assert min(mixed, near, repeated) > 10


def masses(
    encoder: Encoder, head: str, batch: Batch, states: torch.Tensor, table: torch.Tensor
) -> list[dict[int, float]]:
    """Return the mass that a head gives each track of a session, session by session."""
    added = encoder.heads[head].added(states, batch, table)
    masses: list[dict[int, float]] = [{} for _ in range(batch.num_sessions)]
    for session, track, mass in zip(
        added.session.tolist(), added.tracks.tolist(), added.log_mass.tolist(), strict=True
    ):
        masses[session][track] = masses[session].get(track, 0.0) + math.exp(mass)
    return masses


def test_what_is_chosen_has_the_highest_ndcg_over_all_tracks(store: Store, run: Path) -> None:
    loaded = load_run(run)
    scene, heads = scene_of(store, run, "validation"), loaded.encoder.heads
    parts = [f"{head}.{part}" for head, part in GRID]

    def ndcg(weights: dict[str, float]) -> float:
        """Return NDCG@20 of the targets that are candidates, from the scorer's own scores."""
        for (name, part), value in zip(GRID, (weights[part] for part in parts), strict=True):
            heads[name].ranking_weights = replace(heads[name].ranking_weights, **{part: value})
        scorer, total = ModelScorer(loaded.encoder, loaded.candidates), []
        for index, batch in scene.contexts.blocks(64):
            scores = all_scores(scorer, batch, loaded.candidates, store.num_tracks + 3)
            for place, target in zip(range(len(index)), scene.contexts.target[index].tolist(), strict=True):
                if target in loaded.candidates:
                    own = scores[place, target]
                    rank = 1 + int((scores[place] > own).sum()) + (int((scores[place] == own).sum()) - 1) / 2
                    total.append(1 / math.log2(1 + rank) if rank <= 20 else 0.0)
        return float(np.mean(total))

    found = settle_mixture(scene, loaded.encoder, 0)
    chosen = {f"{name}.{part}": getattr(heads[name].ranking_weights, part) for name, part in GRID}
    mixture = found.pop("mixture")
    assert mixture["targets"] == 60
    assert found == {name: vars(heads[name].ranking_weights) for name in dict.fromkeys(name for name, _ in GRID)}
    tried, levels = mixture["tried"], [one["ndcg@20"] for one in mixture["tried"]]
    assert levels == pytest.approx([ndcg(one) for one in tried])
    as_trained = {f"{name}.{part}": getattr(heads[name].weights_type(), part) for name, part in GRID}  # type: ignore[misc,operator]
    assert {part: tried[0][part] for part in parts} == as_trained
    assert [*as_trained.values()] == [values[0] for values in GRID.values()]
    of_chosen = [one["ndcg@20"] for one in tried if {part: one[part] for part in parts} == chosen]
    assert of_chosen == [max(levels)]
    for (name, part), values in GRID.items():  # each was tried beside the others' first, or best, weights
        assert len({one[f"{name}.{part}"] for one in tried}) == len(values)


def test_scores_too_large_to_exponentiate_settle_all_the_same(store: Store, run: Path) -> None:
    loaded = load_run(run)
    head = loaded.encoder.heads["transitions"]
    head.ranking_weights = MixtureWeights(temperature=1e4)  # type: ignore[assignment]
    scene = scene_of(store, run, "validation")
    assert SettlingRanks(loaded.encoder, scene.contexts).mean_log_mass(
        ModelScorer(loaded.encoder, loaded.candidates)
    ) > 710  # fmt: skip
    found = settle_mixture(scene, loaded.encoder, 0)
    assert math.isfinite(found["neighbours"]["mass"])


def test_planted_weights_of_p_listen_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = torch.cat([torch.randn(60_000, 3, generator=generator), torch.ones(60_000, 1)], 1).double()
    planted = torch.tensor([0.8, 0.2, 1.3, -0.5], dtype=torch.float64)
    heard = (torch.rand(60_000, generator=generator).double() < torch.sigmoid(parts @ planted)).double()
    found = settle_listen(parts, heard)
    assert [found[name] for name in ("rate", "along", "level", "bias")] == pytest.approx(planted.tolist(), abs=0.04)
    assert found["loss"] < found["loss_as_trained"]
    assert settle_listen(parts[:0], heard[:0])["along"] == 1.0


def test_parts_add_up_to_the_logit_and_settling_weighs_them(store: Store, run: Path) -> None:
    loaded = load_run(run)
    head = loaded.encoder.heads["listen"]
    assert isinstance(head, ListenHead)
    scene = scene_of(store, run, "validation")
    parts, heard = listen_terms(scene, loaded.encoder)
    assert len(parts) == len(heard) > 20
    asked = [batch for _, batch in scene.contexts.blocks(1)]
    known = scene.listened(scene.contexts.cases.target) | scene.skipped(scene.contexts.cases.target)
    usable = np.flatnonzero(known & np.isin(scene.contexts.target, loaded.candidates))
    for weights in (ListenWeights(), ListenWeights(2.0, 0.5, -1.0, 0.3), ListenWeights(1.0, 0.5, 1.0, 0.3, 0.7, -0.4)):
        head.ranking_weights = weights
        wanted = parts @ torch.tensor(astuple(weights), dtype=torch.float64)
        scorer = ModelScorer(loaded.encoder, loaded.candidates, 1.0)
        for place, target in enumerate(usable[:8].tolist()):
            track = torch.tensor([[int(scene.contexts.target[target])]])
            assert float(scorer.listen_logits(asked[target], track)) == pytest.approx(float(wanted[place]), abs=1e-5)
            plain = ModelScorer(loaded.encoder, loaded.candidates).score(asked[target], track)
            log_p = float(torch.nn.functional.logsigmoid(wanted[place]))
            assert float(scorer.score(asked[target], track) - plain) == pytest.approx(log_p, abs=1e-4)


def test_a_run_keeps_what_was_chosen_and_refuses_what_could_not_be(store: Store, run: Path) -> None:
    settle_ranking(store, run, CPU)
    document = json.loads((run / "ranking.json").read_text(encoding="utf-8"))
    loaded = load_run(run)
    transitions, listen = loaded.encoder.heads["transitions"], loaded.encoder.heads["listen"]
    assert isinstance(transitions, TransitionsHead)
    assert isinstance(listen, ListenHead)
    assert transitions.ranking_weights.offset == document["transitions"]["offset"]
    assert listen.ranking_weights.along == document["listen"]["along"]
    before = (run / "ranking.json").read_bytes()
    settle_ranking(store, run, CPU)
    assert (run / "ranking.json").read_bytes() == before
    for part, values in (
        ("transitions", {"temperature": 0}),
        ("transitions", {"offset": "high"}),
        ("transitions", {"slope": None}),
        ("copy", {"offset": float("nan")}),
        ("neighbours", {"mass": -1.0}),
        ("listen", {"along": float("inf")}),
        ("listen", 5),
    ):
        RunFolder(run).save_ranking({"listen_weight": 0.5})
        text = json.dumps({"listen_weight": 0.5, part: values})
        (run / "ranking.json").write_text(text, encoding="utf-8")
        with pytest.raises(FormatError, match="train the run again"):
            load_run(run)


@pytest.mark.parametrize("shared", [False, True])
def test_too_few_targets_settle_nothing(tmp_path: Path, shared: bool) -> None:
    """Four sessions that share their tracks, or none: then no validation target is a candidate."""
    frame = pl.DataFrame({
        "session_id": [f"s{s}" for s in range(4) for _ in range(5)],
        "track_id": [f"t{i if shared else 5 * s + i}" for s in range(4) for i in range(5)],
        "position": [i for _ in range(4) for i in range(5)],
        "skipped": [i % 2 == 0 for _ in range(4) for i in range(5)],
    })  # fmt: skip
    prepare(frame, tmp_path / "store", PrepareOptions(source="table"))
    recipe = small_recipe("segue", training__epochs=1)
    fit(Store(tmp_path / "store"), tmp_path / "run", recipe)
    settle_ranking(Store(tmp_path / "store"), tmp_path / "run", CPU)
    document = json.loads((tmp_path / "run" / "ranking.json").read_text(encoding="utf-8"))
    assert document["transitions"]["offset"] == document["transitions"]["slope"] == 0.0
    assert document["transitions"]["temperature"] == document["listen"]["along"] == 1.0
    assert document["listen_weight"] == 0.0
    assert load(tmp_path / "run").recommend(["t0"], k=3)

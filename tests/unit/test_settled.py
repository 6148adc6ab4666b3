"""How heads weigh in a ranking: what validation chooses is the likeliest, and the ranking is made of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from segue import api
from segue.batches.split import split_store
from segue.checkpoint import RunFolder, load_run
from segue.errors import FormatError
from segue.evaluation import settle_ranking, validating
from segue.evaluation.scene import make_scene
from segue.evaluation.settle_listen import look_listen, settle_listen
from segue.evaluation.settle_transitions import TEMPERATURES, look, settle
from segue.heads import ListenHead, Settled, SettledListen, TransitionsHead
from segue.ranking import ModelScorer
from segue.store import Store
from segue.training import fit
from small_recipes import small_recipe
from stores import tiny_store

CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return tiny_store(tmp_path / "store", sessions=60, tracks=30)


@pytest.fixture
def run(tmp_path: Path, store: Store) -> Path:
    recipe = small_recipe("segue", training__epochs=3, training__learning_rate=0.02, heads__listen={"hidden": 5})
    fit(store, tmp_path / "run", recipe, validate=validating(store, recipe))
    return tmp_path / "run"


def test_settled_scores_are_the_mixture_of_both_distributions(store: Store, run: Path) -> None:
    loaded = load_run(run)
    head = loaded.encoder.heads["transitions"]
    assert isinstance(head, TransitionsHead)
    settled = head.settled = Settled(0.7, -0.4, 0.3)
    scene = make_scene(store, split_store(store, loaded.recipe.data), loaded.recipe.data, loaded.recipe.evaluation,
                       "test", CPU)  # fmt: skip
    scorer = ModelScorer(loaded.encoder, loaded.candidates)
    _, batch = next(scene.held.blocks(16))
    scores, states, table = (
        scorer.score_all(batch),
        loaded.encoder.next_state(batch).detach(),
        loaded.encoder.ranked_rows(),
    )
    pairs = dict(zip(head.pairs.tolist(), head.times.tolist(), strict=True))
    mixed = 0
    for session in range(16):
        last = int(batch.tracks[session][batch.valid[session]][-1])
        n = int(head.followed[last])
        gate = float((head.gate(states[session])[0] + head.reliability * math.log1p(n)).detach())
        for track in loaded.candidates.tolist():
            mass = math.exp(settled.temperature * float(states[session] @ table[track]))
            times = pairs.get(last * len(table) + track, 0)
            if times:
                mass += math.exp(gate + settled.offset + settled.slope * math.log1p(n)) * times / n
                mixed += 1
            assert float(scores[session, track]) == pytest.approx(math.log(mass), abs=1e-4)
    assert mixed > 10


def test_what_is_chosen_is_the_likeliest_over_all_tracks(store: Store, run: Path) -> None:
    loaded = load_run(run)
    scene = make_scene(store, split_store(store, loaded.recipe.data), loaded.recipe.data, loaded.recipe.evaluation,
                       "validation", CPU)  # fmt: skip
    head = loaded.encoder.heads["transitions"]
    assert isinstance(head, TransitionsHead)

    def loss(settled: Settled) -> float:
        """Return the mean -log share of the targets among all candidates, from the scorer's own scores."""
        head.settled = settled
        scorer, total = ModelScorer(loaded.encoder, loaded.candidates), []
        for index, batch in scene.held.blocks(64):
            log_shares = torch.log_softmax(scorer.score_all(batch).double(), 1)
            rows = torch.from_numpy(scene.held.target[index])
            ranked = np.isin(scene.held.target[index], loaded.candidates)
            total.append(-log_shares.gather(1, rows[:, None])[ranked, 0])
        return float(torch.cat(total).mean())

    found = settle(look(scene, loaded.encoder, 0))
    chosen = Settled(found["temperature"], found["offset"], found["slope"])
    assert found["loss_as_trained"] == pytest.approx(loss(Settled()), abs=1e-4)
    assert found["loss"] == pytest.approx(loss(chosen), abs=1e-4)
    assert found["loss"] < found["loss_as_trained"]
    for offset, slope in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.05), (0.0, -0.05)):
        moved = Settled(chosen.temperature, chosen.offset + offset, chosen.slope + slope)
        assert loss(moved) >= found["loss"] - 1e-6
    assert [one["temperature"] for one in found["tried"]] == list(TEMPERATURES)


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
    scene = make_scene(store, split_store(store, loaded.recipe.data), loaded.recipe.data, loaded.recipe.evaluation,
                       "validation", CPU)  # fmt: skip
    parts, heard = look_listen(scene, loaded.encoder)
    assert len(parts) == len(heard) > 20
    asked = [batch for _, batch in scene.held.blocks(1)]
    known = scene.listened(scene.held.cases.target) | scene.skipped(scene.held.cases.target)
    usable = np.flatnonzero(known & np.isin(scene.held.target, loaded.candidates))
    for settled, weights in ((SettledListen(), [1.0, 1.0, 1.0, 0.0]), (SettledListen(2.0, 0.5, -1.0, 0.3), None)):
        head.settled = settled
        wanted = parts @ torch.tensor(weights or [2.0, 0.5, -1.0, 0.3], dtype=torch.float64)
        scorer = ModelScorer(loaded.encoder, loaded.candidates, 1.0)
        for place, target in enumerate(usable[:8].tolist()):
            track = torch.tensor([[int(scene.held.target[target])]])
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
    assert transitions.settled.offset == document["transitions"]["offset"]
    assert listen.settled.along == document["listen"]["along"]
    before = (run / "ranking.json").read_bytes()
    settle_ranking(store, run, CPU)
    assert (run / "ranking.json").read_bytes() == before
    for part, values in (
        ("transitions", {"temperature": 0}),
        ("transitions", {"offset": "high"}),
        ("transitions", {"slope": None}),
        ("listen", {"along": float("inf")}),
        ("listen", 5),
    ):
        RunFolder(run).save_ranking({"listen_weight": 0.5})
        text = json.dumps({"listen_weight": 0.5, part: values})
        (run / "ranking.json").write_text(text, encoding="utf-8")
        with pytest.raises(FormatError, match="train the run again"):
            load_run(run)


def test_nothing_is_settled_where_the_recipe_says_so(tmp_path: Path, store: Store) -> None:
    recipe = small_recipe(
        "segue", training__epochs=1, heads__transitions={"settle": False}, heads__listen={"settle": False}
    )
    fit(store, tmp_path / "run", recipe, validate=validating(store, recipe))
    settle_ranking(store, tmp_path / "run", CPU)
    document = json.loads((tmp_path / "run" / "ranking.json").read_text(encoding="utf-8"))
    assert set(document) == {"listen_weight", "margin", "tried"}


@pytest.mark.parametrize("shared", [False, True])
def test_too_few_targets_settle_nothing(tmp_path: Path, shared: bool) -> None:
    """Four sessions that share their tracks, or none: then no validation target is a candidate."""
    frame = pl.DataFrame({
        "session_id": [f"s{s}" for s in range(4) for _ in range(5)],
        "track_id": [f"t{i if shared else 5 * s + i}" for s in range(4) for i in range(5)],
        "position": [i for _ in range(4) for i in range(5)],
        "skipped": [i % 2 == 0 for _ in range(4) for i in range(5)],
    })  # fmt: skip
    api.prepare_table(frame, tmp_path / "store")
    recipe = small_recipe("segue", training__epochs=1)
    fit(Store(tmp_path / "store"), tmp_path / "run", recipe)
    settle_ranking(Store(tmp_path / "store"), tmp_path / "run", CPU)
    document = json.loads((tmp_path / "run" / "ranking.json").read_text(encoding="utf-8"))
    assert document["transitions"]["offset"] == document["transitions"]["slope"] == 0.0
    assert document["transitions"]["temperature"] == document["listen"]["along"] == 1.0
    assert document["listen_weight"] == 0.0
    assert api.load(tmp_path / "run").recommend(["t0"], k=3)

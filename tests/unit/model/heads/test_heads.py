"""What heads know of training rows, and what they make of it, against sums written out."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue import columns
from segue.batch import Batch
from segue.batches import counts as counts_module
from segue.batches.counts import TrainingCounts, training_counts
from segue.batches.split import DataConfig, split_store
from segue.errors import FormatError, InputError
from segue.model.encoders.causal import CausalConfig
from segue.model.heads import ListenConfig, ListenHead, Predicted, TransitionsConfig, TransitionsHead
from segue.objectives import Mixture
from segue.objectives.softmax import softmax_losses
from segue.recipes import load_recipe
from segue.runs import RunFolder, load_run
from segue.store import Store
from segue.store.manifest import SideColumn
from segue.training.trainer import Trainer
from segue.verbs.evaluate import evaluate
from segue.verbs.recommender import load
from segue.verbs.train import TrainOptions, train
from support.sequences import contexts_of
from support.small_models import encoder_of
from support.small_recipes import small_recipe
from support.stores import rewritten, tiny_store, values_of

TRACKS = 9
ROWS = TRACKS + 3


def counted(sessions: list[list[tuple[int, int]]], rows: int = ROWS, at_least: int = 2) -> TrainingCounts:
    """Return the counts of training sessions of (row, strength), by loops; `at_least`: smallest strength of a skip."""
    plays, listens, followed = (torch.zeros(rows, dtype=torch.int32) for _ in range(3))
    times: dict[int, int] = {}
    for session in sessions:
        for row, strength in session:
            plays[row] += strength <= 3
            listens[row] += strength < at_least
        for (before, _), (after, _) in itertools.pairwise(session):
            followed[before] += 1
            times[before * rows + after] = times.get(before * rows + after, 0) + 1
    pairs = sorted(times)
    made = torch.tensor([times[pair] for pair in pairs], dtype=torch.int32)
    contexts = contexts_of([[row for row, _ in session] for session in sessions], rows)
    tracks = torch.tensor([row for session in sessions for row, _ in session], dtype=torch.int32)
    offsets = torch.tensor([0, *itertools.accumulate(len(session) for session in sessions)])
    return TrainingCounts(plays, listens, followed, torch.tensor(pairs), made, tracks, offsets, contexts, at_least)


def arrays_of(counts: TrainingCounts) -> list[torch.Tensor]:
    """Return all counts, those of contexts after the others."""
    *first, contexts, at_least = (getattr(counts, part.name) for part in fields(counts))
    return [torch.tensor(at_least), *first, *(getattr(each, part.name) for each in contexts for part in fields(each))]


SESSIONS = [
    [(3, 0), (4, 3), (5, 1), (3, 0)],
    [(3, 2), (4, 0), (4, 255), (6, 3)],
    [(7, 0), (3, 1), (4, 0), (5, 2), (8, 3), (3, 3)],
]


@pytest.mark.parametrize("at_least", [1, 2, 3])
def test_counts_are_those_of_the_training_parts(tmp_path: Path, at_least: int) -> None:
    store = tiny_store(tmp_path / "store")
    split = split_store(store, DataConfig(skip_share=0.2, skip_at_least=at_least))
    hidden = set(split.hidden.tolist())
    sessions = []
    for begin, end in zip(split.train_begin, split.train_end, strict=True):
        rows = range(int(begin), int(end))
        sessions.append([(int(store.tracks[r]), 255 if r in hidden else int(store.strength[r])) for r in rows])
    assert hidden
    counts, expected = training_counts(store, split), counted(sessions, store.num_tracks + 3, at_least)
    for one, other in zip(arrays_of(counts), arrays_of(expected), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("column", [columns.DATE, columns.AT, ""])
def test_sessions_are_those_of_the_training_parts_the_oldest_first(tmp_path: Path, column: str) -> None:
    tiny = tiny_store(tmp_path / "tiny")
    values, generator = values_of(tiny), np.random.default_rng(1)
    session = np.repeat(np.arange(tiny.num_sessions), np.diff(tiny.offsets))
    values[columns.DATE] = generator.integers(0, 5, tiny.num_sessions).astype(np.int32)
    values[columns.AT] = generator.integers(0, 9, tiny.num_sessions)[session].astype(np.int64)
    side = (SideColumn(columns.DATE, "int32", "session"), SideColumn(columns.AT, "int64"))
    given = side if column == columns.AT else tuple(one for one in side if one.name == column)
    store = rewritten(tmp_path / "store", tiny, values, given)
    split = split_store(store, DataConfig())
    age = {columns.DATE: values[columns.DATE], columns.AT: values[columns.AT][store.offsets[:-1]], "": session * 0}
    order = sorted(range(len(split.train_begin)), key=lambda number: age[column][session[split.train_begin[number]]])
    assert (order == sorted(order)) == (column == "")
    counts = training_counts(store, split)
    expected = [store.tracks[split.train_begin[one] : split.train_end[one]].tolist() for one in order]
    bounds = counts.offsets.tolist()
    assert [counts.tracks[low:high].tolist() for low, high in itertools.pairwise(bounds)] == expected


def test_of_too_many_sequences_those_followed_most_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny_store(tmp_path / "store")
    split = split_store(store, DataConfig())
    whole = training_counts(store, split).contexts
    monkeypatch.setattr(counts_module, "MOST_CONTEXTS", 5)
    second, third = training_counts(store, split).contexts
    assert len(second.keys) == 5
    assert sorted(second.followed.tolist()) == sorted(whole[0].followed.tolist())[-5:]
    assert set(second.keys.tolist()) <= set(whole[0].keys.tolist())
    assert 0 < len(third.keys) <= 5
    assert (third.keys // (store.num_tracks + 3) < 5).all(), "a sequence is found through the shorter one"


def test_held_out_rows_are_in_no_count(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    split = split_store(store, DataConfig())
    before = training_counts(store, split)
    held_out = np.concatenate([split.cases["test"].target, split.cases["validation"].target])

    class Changed(Store):
        @property
        def tracks(self):  # type: ignore[no-untyped-def, override]
            changed = np.array(super().tracks)
            changed[held_out] = 3
            return changed

    after = training_counts(Changed(tmp_path / "store"), split)
    for mine, other in zip(arrays_of(before), arrays_of(after), strict=True):
        assert torch.equal(mine, other)


def gate_of(head: TransitionsHead, state: torch.Tensor, followed: int) -> float:
    return float((head.gate(state)[0] + head.reliability[0] * math.log1p(followed)).detach())


def make(**heads: Any) -> Any:
    """Return the head of a config, its parameters moved away from where they begin."""
    config = CausalConfig(width=6, heads=2)
    encoder = encoder_of(config, TRACKS, 8, heads=heads, counts=counted(SESSIONS))
    generator = torch.Generator().manual_seed(1)
    (head,) = encoder.heads.values()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return head


def predicting(
    states: torch.Tensor,
    target: torch.Tensor,
    last: torch.Tensor | None = None,
    listened: torch.Tensor | None = None,
    skipped: torch.Tensor | None = None,
) -> Predicted:
    nothing = torch.zeros(len(target), dtype=torch.bool)
    return Predicted(
        states,
        target if last is None else last,
        target,
        nothing if listened is None else listened,
        nothing if skipped is None else skipped,
        alone(target if last is None else last),
        states,
    )


def alone(tracks: torch.Tensor) -> Batch:
    """Return sessions of one track each."""
    return Batch(tracks, torch.full_like(tracks, 4), torch.zeros_like(tracks), torch.arange(len(tracks) + 1), 1)


def test_a_transition_is_counted_without_itself() -> None:
    head = make(transitions=TransitionsConfig())
    assert isinstance(head, TransitionsHead)
    # 3 is followed three times, by 4 each time; 4 by 5 (twice), 4, 6 ... ; 7 once; a position without target
    last, target = torch.tensor([3, 4, 4, 7, 3]), torch.tensor([4, 5, 6, 3, 0])
    states = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
    mixture = head.mixture(predicting(states, target, last))
    assert mixture.gate[0].item() == pytest.approx(gate_of(head, states[0], 2), rel=1e-5)
    assert mixture.log_share[0].item() == pytest.approx(0.0, abs=1e-6)  # 2 of the 2 others
    assert mixture.log_share[1].item() == pytest.approx(math.log(1 / 3), rel=1e-5)
    assert mixture.gate[1].item() == pytest.approx(gate_of(head, states[1], 3), rel=1e-5)
    assert mixture.log_share[2] == -1e30  # nobody else made it
    assert mixture.gate[2].item() == pytest.approx(gate_of(head, states[2], 3), rel=1e-5)
    assert (mixture.log_share[3:] == -1e30).all()  # 7 was followed by nobody else; no target
    assert (mixture.gate[3:] == -1e30).all()
    assert mixture.own_weight == 0.0


def test_what_followed_is_listed_with_its_share() -> None:
    head = make(transitions=TransitionsConfig())
    assert isinstance(head, TransitionsHead)
    states = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    added = head.added(states, alone(torch.tensor([4, 6, 0, 3])), torch.zeros(0, 6))
    assert list(zip(added.session.tolist(), added.tracks.tolist(), strict=True)) == [(0, 4), (0, 5), (0, 6), (3, 4)]
    expected = [gate_of(head, states[0], 4) + math.log(share) for share in (1 / 4, 2 / 4, 1 / 4)]
    expected.append(gate_of(head, states[3], 3))
    assert added.log_mass.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_mixture_is_one_of_distributions() -> None:
    """The mass of every track, target by target, adds up to 1."""
    scores, gate = torch.tensor([0.3, -1.0, 2.0, 0.1]), torch.tensor([0.7])
    share = torch.tensor([0.5, 0.0, 0.25, 0.25])
    total = 0.0
    for own in range(4):
        others = torch.logsumexp(scores[torch.arange(4) != own], 0)
        mixture = Mixture(gate, torch.log(share[own : own + 1].clamp(min=1e-30)))
        total += math.exp(-float(softmax_losses(scores[own], others, mixture)))
    assert total == pytest.approx(1.0, abs=1e-5)


def test_p_listen_is_predicted_without_the_play_itself() -> None:
    head = make(listen=ListenConfig())
    assert isinstance(head, ListenHead)
    generator = torch.Generator().manual_seed(3)
    states, table = torch.randn(4, 6, generator=generator), torch.randn(ROWS, 6, generator=generator)
    tracks = torch.tensor([3, 4, 4, 0])
    listened, skipped = torch.tensor([True, False, False, False]), torch.tensor([False, True, False, False])
    counts, losses = counted(SESSIONS), []
    for i in (0, 1):  # the third one's feedback is unknown, the fourth is no target
        track, heard = int(tracks[i]), bool(listened[i])
        plays, listens = int(counts.plays[track]) - 1, int(counts.listens[track]) - heard
        rate = (listens + 2.5) / (plays + 5)
        answer = head.ask(torch.nn.functional.gelu(head.hidden(states[i])))
        logit = float((answer[:-1] @ table[track] + answer[-1] + head.trust * math.log(rate / (1 - rate))).detach())
        losses.append(math.log1p(math.exp(-logit if heard else logit)))
    predicted = predicting(states, tracks, None, listened, skipped)
    assert head.loss(predicted, table[tracks]).item() == pytest.approx(sum(losses) / 2, rel=1e-4)
    assert head.loss(predicting(states, tracks), table[tracks]).item() == 0.0


@pytest.mark.parametrize("at_least", [1, 2, 3])
def test_training_predicts_what_the_setting_calls_listened(tmp_path: Path, at_least: int) -> None:
    """The first step's loss of a head that begins at the tracks' own rates, play after play."""
    head = {"heads__listen": True, "data__skip_at_least": at_least, "next_track__kind": "shared"}
    recipe = small_recipe("paper-causal-s-minus", **head, data__max_len=20)
    store = tiny_store(tmp_path / "store")
    split = split_store(store, recipe.data)
    with torch.random.fork_rng():
        trainer = Trainer(store, split, recipe, torch.device("cpu"), bf16=False)
        trainer.step(trainer.begin(torch.arange(len(trainer.data.train_begin)), 1))
    sessions = [
        [(int(store.tracks[r]), int(store.strength[r])) for r in range(begin, end)]
        for begin, end in zip(split.train_begin, split.train_end, strict=True)
    ]
    counts, losses = counted(sessions, store.num_tracks + 3, at_least), []
    for row, strength in (play for session in sessions for play in session[1:] if play[1] <= 3):
        listened = strength < at_least
        plays, listens = int(counts.plays[row]) - 1, int(counts.listens[row]) - listened
        rate = (listens + 2.5) / (plays + 5)
        losses.append(-math.log(rate if listened else 1 - rate))
    assert trainer.sums[trainer.names.index("listen")].item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)


@pytest.mark.parametrize("gradient", ["stop", "flow"])
def test_the_head_moves_states_only_where_it_may(gradient: str) -> None:
    head = make(listen=ListenConfig(gradient=gradient))  # type: ignore[arg-type]
    assert isinstance(head, ListenHead)
    states, rows = (torch.randn(2, 6).requires_grad_() for _ in range(2))
    listened = torch.tensor([True, False])
    head.loss(predicting(states, torch.tensor([3, 4]), None, listened, ~listened), rows).backward()
    assert (states.grad is not None) == (rows.grad is not None) == (gradient == "flow")
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_logits_are_those_of_the_loss() -> None:
    head = make(listen=ListenConfig())
    assert isinstance(head, ListenHead)
    states, table = torch.randn(2, 6), torch.randn(ROWS, 6)
    tracks = torch.tensor([[3, 4, 8], [5, 5, 3]])
    logits = head.logits(states, table[tracks], tracks)
    for i in range(2):
        query = head.query(states[i])
        for j in range(3):
            expected = query.direction @ table[tracks[i, j]] + query.level + head.offset(tracks[i, j])
            torch.testing.assert_close(logits[i, j], expected)


def test_a_head_is_named_switched_and_refused() -> None:
    bare = load_recipe("paper-causal-s-minus")
    assert bare.heads == bare.to_tables()["heads"] == {}
    mixed = {"next_track.kind": "mixed", "heads.transitions": True, "heads.listen.weight": 0.5}
    recipe = load_recipe("paper-causal-s-minus", mixed)
    assert recipe.heads == {"transitions": TransitionsConfig(), "listen": ListenConfig(weight=0.5)}
    off = load_recipe("segue", {"heads.listen": False})
    assert off.heads.keys() == load_recipe("segue").heads.keys() - {"listen"}
    for wrong, said in (
        ({"heads.lisen": True}, "did you mean 'listen'"),
        ({"heads.transitions": True}, "log_q = true"),
        ({"heads.listen": {"weight": 0.0}}, "above 0"),
        ({"heads.listen": {"gradient": "halt"}}, "stop"),
    ):
        with pytest.raises(InputError, match=said):
            load_recipe("paper-causal-s-minus", wrong)
    with pytest.raises(InputError, match="transitions predicts each track from the one before it"):
        load_recipe("paper-cloze-s-minus", {"next_track.kind": "full", "heads.transitions": True})


def test_a_head_stands_beside_its_model_in_an_evaluation(tmp_path: Path) -> None:
    """As it ranks, by next tracks alone, and the head alone, which loses to nobody; its P(listen) is measured too."""
    store = tiny_store(tmp_path / "store", sessions=60)
    changes = {"next_track__kind": "mixed", "heads__transitions": True, "heads__listen": True}
    recipe = small_recipe("paper-causal-s-minus", **changes)
    train(store, tmp_path / "run", TrainOptions(recipe=recipe))
    chosen = json.loads((tmp_path / "run" / "ranking.json").read_text())
    assert chosen["listen_weight"] in [one["listen_weight"] for one in chosen["tried"]]
    document = evaluate(tmp_path / "run", store).to_json()
    kinds = {row["name"]: row["kind"] for row in document["rows"]}
    assert kinds["model"] == kinds["model, lambda 0"] == "model"
    assert kinds["model, P(listen) alone"] == "head"
    assert all(("beaten_by" in row) == (row["kind"] == "model") for row in document["rows"])
    assert document["listening"][0]["name"] == "model"
    svg = (tmp_path / "run" / "evaluation" / "test-reliability.svg").read_text()
    assert "simulated" not in svg or document["simulated"]
    assert sum(count for _, _, count in document["listening"][0]["reliability"]) == document["listening"][0]["targets"]
    assert ">model<" in svg
    (tmp_path / "run" / "ranking.json").write_text('{"listen_weight": -1}')
    with pytest.raises(FormatError, match="listen_weight is -1"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize(("name", "value"), [("pairs", 10**6), ("pairs", -1), ("times", 0), ("followed", 0)])
def test_damaged_transitions_are_refused(tmp_path: Path, name: str, value: int) -> None:
    store = tiny_store(tmp_path / "store")
    changes = {"next_track__kind": "mixed", "heads__transitions": True}
    train(store, tmp_path / "run", TrainOptions(recipe=small_recipe("paper-causal-s-minus", **changes)))
    run = RunFolder.open(tmp_path / "run")
    weights, document = run.weights("best")
    weights[f"heads.transitions.{name}"][-1 if name != "followed" else slice(None)] = value
    run.save_weights("best", weights, document)
    with pytest.raises(FormatError, match="train again"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize(("name", "value"), [("tracks", 2), ("tracks", 10**6), ("offsets", -1), ("offsets", 10**6)])
def test_damaged_sessions_of_neighbours_are_refused(tmp_path: Path, name: str, value: int) -> None:
    store = tiny_store(tmp_path / "store")
    train(store, tmp_path / "run", TrainOptions(recipe=small_recipe("paper-causal-s-minus", heads__neighbours=True)))
    run = RunFolder.open(tmp_path / "run")
    weights, document = run.weights("best")
    weights[f"heads.neighbours.{name}"][1] = value
    run.save_weights("best", weights, document)
    with pytest.raises(FormatError, match="train again"):
        load_run(tmp_path / "run")


def test_a_weight_of_a_head_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    train(store, tmp_path / "run", TrainOptions(recipe=small_recipe("paper-causal-s-minus", next_track__kind="shared")))
    before = load(tmp_path / "run").recommend(["t0001"], k=5)
    (tmp_path / "run" / "ranking.json").write_text('{"listen_weight": 1.0}')
    assert load(tmp_path / "run").recommend(["t0001"], k=5) == before

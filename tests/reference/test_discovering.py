"""Discovery offline: lists against a loop over all candidates, and what a service suggests with the same history."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import segue
from segue.batch import Batch
from segue.cli.main import main
from segue.discovery import repeat_shift
from segue.errors import InputError
from segue.exported import open_export
from segue.ranking.discovering import discovering_lists
from segue.runs import load_run
from segue.serving.earlier_plays import earlier_plays, read_plays
from segue.serving.live_model import Asked, LiveModel
from segue.serving.session_encoder import known_session
from segue.serving.sessions.store import Logged
from segue.skips import FEEDBACK_WORDS
from segue.verbs.export import export
from segue.verbs.recommend import stored_plays
from segue.verbs.recommender import Recommender
from support.listeners import listeners_run

DISCOVERIES = (0.0, 0.1, 0.5, None, 0.8, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("listeners")
    export(listeners_run(made), made / "export")
    return made


@pytest.mark.parametrize("exclude_heard", [False, True])
def test_lists_are_those_of_a_loop(folder: Path, exclude_heard: bool) -> None:
    recommender = Recommender(load_run(folder / "run"))
    scorer, candidates = recommender._scorer, recommender._run.candidates
    batch = Batch(torch.tensor([5, 9, 4, 7]), torch.tensor([0, 3, 1, 0]), torch.tensor([0, 1, 2, 0]),
                  torch.tensor([0, 3, 4]), 3)  # fmt: skip
    played = torch.tensor([[0, 9, 5, 4, 40, 41, 42], [7, 30, 31, 0, 0, 20, 0]])
    every = torch.from_numpy(candidates.astype(np.int64))[None].expand(2, -1)
    scores = scorer.score(batch, every).tolist()
    for k in (1, 8, 60):
        lists = discovering_lists(scorer, batch, played, k, DISCOVERIES, exclude_heard=exclude_heard)
        for discovery, found in zip(DISCOVERIES, lists, strict=True):
            for b, (first, end) in enumerate(((0, 3), (3, 4))):
                heard = {*batch.tracks[first:end].tolist()} if exclude_heard else set()
                pairs = [(row, score) for row, score in zip(candidates.tolist(), scores[b], strict=True)]
                kept = [(row, score) for row, score in pairs if row not in heard and score > -np.inf]
                mine, shift = {*played[b].tolist()}, repeat_shift(discovery)
                kept.sort(key=lambda pair: (-(pair[1] + shift * (pair[0] in mine)), pair[0]))
                real = found.tracks[b] > 0
                assert found.tracks[b][real].tolist() == [row for row, _ in kept[:k]]
                assert found.scores[b][real].tolist() == pytest.approx([score for _, score in kept[:k]], abs=1e-5)


@pytest.mark.parametrize("discovery", DISCOVERIES)
def test_a_recommender_and_a_service_suggest_the_same(folder: Path, discovery: float | None) -> None:
    live = LiveModel(open_export(folder / "export"), threads=1)
    plays = stored_plays(folder / "store", 2)
    assert len(plays) > 200
    tracks, words = [plays[-3][0], plays[-9][0]], ["listened", "skip"]
    offline = segue.load(folder / "run").recommend(tracks, words, 30, earlier=plays, discovery=discovery)
    past = (tuple(Logged(track, strength, float(at)) for track, strength, at in plays),)
    read = read_plays(live.export, past)
    rows = live.export.vocabulary.rows(tracks)
    heard = known_session(rows, [FEEDBACK_WORDS[word] for word in words], live.is_candidate)
    known = earlier_plays(live.export, read, plays[-1][2] // 60)
    (answer,) = live.next_tracks([Asked(heard, 30, plays=known, discovery=discovery)])
    ids = [live.export.vocabulary.track_id(each.row) for each in answer.suggestions]
    assert ids == [each["track"] for each in offline]
    assert [each.score for each in answer.suggestions] == pytest.approx([each["score"] for each in offline], abs=1e-5)


def test_the_command_knows_a_listener_of_a_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, store = str(folder / "run"), str(folder / "store")

    def ids(*arguments: str) -> list[str]:
        assert main(["recommend", run, "--json", "-k", "10", *arguments]) == 0
        return [each["track"] for each in json.loads(capsys.readouterr().out)["recommended"]]

    mine, known = ["--listener", "1", "--store", store], {track for track, _, _ in stored_plays(folder / "store", 1)}
    assert ids(*mine) != ids("--listener", "2", "--store", store), "without a session, too"
    assert ids(*mine, "--session", "t0005") == ids(*mine, "--session", "t0005", "--discovery", "0.5")
    assert {*ids(*mine, "--discovery", "0")} <= known
    for arguments, told in (
        (["--listener", "1"], "go together"),
        (["--store", store], "go together"),
        (["--listener", "9", "--store", store], "name one of 0 to 3"),
        ([*mine, "--discovery", "1.5"], "expected a number from 0"),
        ([*mine, "--discovery", "nan"], "expected a number from 0"),
        ([*mine, "--session", "a", "--session-json", "-"], "needs one of"),
    ):
        assert main(["recommend", run, *arguments]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "earlier", [[("t0001", "skip", "now")], [("t0001", "skip", -1)], [("t0001",)], [("a", "b", 1, 2)]]
)
def test_earlier_plays_that_are_none_are_refused(folder: Path, earlier: list[tuple[object, ...]]) -> None:
    with pytest.raises(InputError, match="earlier play"):
        segue.load(folder / "run").recommend(["t0001"], earlier=earlier)

"""What an export answers is what the run it was made of answers: torch and the whole table against ONNX and a scan."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.exported import open_export
from segue.runs import load_run
from segue.serving.kept_states import Session
from segue.serving.live_model import Asked, LiveModel
from segue.serving.session_encoder import known_session
from segue.verbs.recommender import Recommender
from support.served import small_export
from support.small_models import padded_batch

RECIPES = (
    "segue",
    "paper-causal-s-plus-track",
    "paper-cloze-s-minus",
    "gru4rec-s-minus",
    "nextitnet-s-minus",
    "caser-s-minus",
)
WORDS = ("listened", "mostly", "brief", "skip", "unknown")


@pytest.fixture(scope="module", params=RECIPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("served"), request.param).parent


def _sessions(num: int, tracks: list[str]) -> list[tuple[list[str], list[str]]]:
    draw = random.Random(1)
    lengths = [0, 1, 2, 8, 9, 25, *(draw.randint(1, 12) for _ in range(num))]
    return [([draw.choice(tracks) for _ in range(n)], [draw.choice(WORDS) for _ in range(n)]) for n in lengths]


def test_every_session_gets_the_same_tracks_and_scores(folder: Path) -> None:
    run = load_run(folder / "run")
    wanted = Recommender(run)
    live = LiveModel(open_export(folder / "export"), threads=1)
    names = [*run.vocabulary.texts(range(run.vocabulary.num_tracks)), "never heard of"]
    sessions = _sessions(10, names)
    rows = [run.vocabulary.rows(tracks) for tracks, _ in sessions]
    asked = [
        Asked(known_session(row, [WORDS.index(word) for word in words], live.is_candidate), k)
        for row, (_, words), k in zip(rows, sessions, [5, 1000] * len(sessions), strict=False)
    ]
    together = live.next_tracks(asked)
    for place, (tracks, words) in enumerate(sessions):
        expected = wanted.recommend(tracks, words, k=asked[place].k)
        (alone,) = live.next_tracks([asked[place]])
        for answer in (together[place], alone):
            ids = [run.vocabulary.track_id(each.row) for each in answer.suggestions]
            scores = [each.score for each in answer.suggestions]
            assert scores == pytest.approx([each["score"] for each in expected], abs=1e-5)
            assert ids == [each["track"] for each in expected]


def test_states_and_what_they_ask_agree_to_five_digits(folder: Path) -> None:
    run = load_run(folder / "run")
    export = open_export(folder / "export")
    live = LiveModel(export, threads=1)
    generator = torch.Generator().manual_seed(0)
    width = run.encoder.max_len
    for sessions in (1, 3, 17):
        length = torch.randint(0, width + 1, (sessions,), generator=generator)
        valid = torch.arange(width)[None, :] < length[:, None]
        tracks = torch.randint(3, len(export.table), (sessions, width), generator=generator) * valid
        feedback = torch.where(valid, torch.randint(0, 5, (sessions, width), generator=generator), 5)
        with torch.no_grad():
            states = run.encoder.next_state(padded_batch(tracks, feedback, valid))
        found = live._encoding.after(
            [
                Session(tuple(tracks[s, :n].tolist()), tuple(feedback[s, :n].tolist()))
                for s, n in enumerate(length.tolist())
            ]
        )
        assert np.abs(np.stack([after.state for after in found]) - states.numpy()).max() <= 1e-5
        head = dict(run.encoder.heads.items()).get("listen")
        if head is not None:
            query = head.query(states)
            assert (
                np.abs(np.stack([after.direction for after in found]) - query.direction.detach().numpy()).max() <= 1e-5
            )
            assert [after.level for after in found] == pytest.approx(query.level.tolist(), abs=1e-5)

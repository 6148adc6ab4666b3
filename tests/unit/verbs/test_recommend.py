"""What a run may be asked for, and what it says to anything else."""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segue
from segue.errors import InputError, NonFiniteError
from segue.runs import RunFolder
from segue.verbs.export import export
from segue.verbs.recommender import Recommender
from support.served import small_run

TRACKS = 60
RECOMMEND, UNKNOWN = unwrap(Recommender.recommend), unwrap(Recommender.unknown)  # as users call them: types unchecked


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("run"), tracks=TRACKS)


@pytest.fixture(scope="module")
def recommender(run: Path) -> Recommender:
    return segue.load(run)


@pytest.fixture(scope="module")
def known(run: Path) -> list[str]:
    vocabulary = segue.Store(run.parent / "store").vocabulary
    return [vocabulary.track_id(row) for row in range(3, 3 + len(vocabulary))]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [each["track"] for each in found]


@pytest.mark.parametrize("exclude", [False, True])
def test_more_than_there_is_gives_all_there_is(recommender: Recommender, known: list[str], exclude: bool) -> None:
    heard = [*known[:4], known[0]]
    everything = recommender.recommend(heard, k=10**9, exclude_heard=exclude)
    assert len(set(names(everything))) == len(everything) > 20
    assert names(recommender.recommend(heard, k=7, exclude_heard=exclude)) == names(everything)[:7]
    assert set(names(everything)).isdisjoint(heard) == exclude


def test_a_session_that_holds_the_catalogue_leaves_nothing_new(recommender: Recommender, known: list[str]) -> None:
    assert recommender.recommend(known * 20, k=5, exclude_heard=True) == []


@pytest.mark.parametrize("k", [0, -1, 1.5, "ten", True, None])
def test_how_many_is_a_whole_number_above_0(recommender: Recommender, known: list[str], k: Any) -> None:
    with pytest.raises(InputError, match="k is"):
        RECOMMEND(recommender, known[:2], k=k)


@pytest.mark.parametrize(
    ("tracks", "match"),
    [
        ("track_1", "not a list"),
        ([17], "17 is of type int"),
        ([None], "NoneType"),
        (17, "not a list"),
        ([b"a"], "bytes"),
    ],
)
@pytest.mark.parametrize("ask", [RECOMMEND, UNKNOWN])
def test_tracks_are_a_list_of_texts(
    recommender: Recommender, tracks: Any, match: str, ask: Callable[[Recommender, Any], Any]
) -> None:
    with pytest.raises(InputError, match=match):
        ask(recommender, tracks)


@pytest.mark.parametrize("feedback", [[True, False], ["listened"], [4, 0], [-1, 0], "ab", [1.0, 0.0], 3])
def test_feedback_is_a_word_or_a_strength_for_each_track(
    recommender: Recommender, known: list[str], feedback: Any
) -> None:
    with pytest.raises(InputError, match="feedback"):
        RECOMMEND(recommender, known[:2], feedback)


def test_strengths_of_a_store_are_feedback(recommender: Recommender, known: list[str]) -> None:
    words = ["listened", "mostly", "brief", "skip", "unknown"]
    strengths = np.array([0, 1, 2, 3, 255], np.uint8)
    assert recommender.recommend(known[:5], strengths) == recommender.recommend(known[:5], words)
    assert recommender.recommend(known[:5], strengths.tolist()) == recommender.recommend(known[:5], words)


@pytest.mark.parametrize("earlier", [[("a", "loud")], [(17, "skip")], "ab", [("a",)]])
def test_earlier_plays_are_pairs_of_a_track_and_its_feedback(
    recommender: Recommender, known: list[str], earlier: Any
) -> None:
    with pytest.raises(InputError):
        RECOMMEND(recommender, known[:2], earlier=earlier)


@pytest.mark.parametrize("name", ["table.weight", "blocks.0"])
def test_weights_that_are_no_numbers_neither_recommend_nor_leave(tmp_path: Path, name: str) -> None:
    run = RunFolder.open(small_run(tmp_path, tracks=20))
    weights, document = run.weights("best")
    place = next(each for each in sorted(weights) if each.startswith(name) and weights[each].is_floating_point())
    weights[place].view(-1)[-1] = torch.nan
    run.save_weights("best", weights, document)
    with pytest.raises(NonFiniteError, match="not finite"):
        segue.load(run.path)
    with pytest.raises(NonFiniteError, match="not finite"):
        export(run.path, tmp_path / "export")
    assert not (tmp_path / "export").exists()

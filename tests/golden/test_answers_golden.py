"""Every metric of an evaluation on four to six targets, worked by hand: ties, NaN, misses, constant scores."""

from __future__ import annotations

from math import inf, log, log2, nan

import numpy as np
import pytest

from segue.errors import InputError
from segue.evaluation.answers import (
    Answers,
    ListAnswers,
    PairAnswers,
    combined_names,
    metric_names,
    metric_ratio,
    parts,
)
from segue.evaluation.pairs import pair_answers
from segue.evaluation.ranking_pass import Ranked
from segue.evaluation.targets import PairTargets, Targets


def flags(text: str) -> np.ndarray:
    """Return where `text` holds an x."""
    return np.array([char == "x" for char in text])


# Sessions of the pairs below, earlier track first (L listened, S skipped, ? unknown):
# 0 L S, 1 S L, 2 L L, 3 L S and 4 S L (one track no candidate), 5 ? L; target 6 has no listened track.
CHOSEN = np.array([0, 1, 2, 3, 4, 5])
PAIRS = PairTargets(
    CHOSEN,
    listened=np.stack([flags("x.xx.."), flags(".xx.xx")], axis=1),
    skipped=np.stack([flags(".x..x."), flags("x..x..")], axis=1),
    reachable=flags("xxx..x"),
)
TARGETS = Targets(
    unit=np.arange(7),
    groups={"listened": flags(".xx.xx."), "skipped": flags("x..x..x")},
    strata={"hour=0-5": flags("xx....."), "hour=6-11": flags("..xxxxx")},
    known_last=flags("xxxx..x"),
    pairs=PAIRS,
)
RANKS = np.array([1.0, 10.0, 10.5, 2.5, inf, 20.0, 4.0])
FLIPPED = np.array([11.0, 10.0, 1.0, 2.5, 1.0, 20.0, 10.5])
PAIR_RANKS = np.array([[2.0, 8.0], [4.0, 4.0], [1.0, 1.0], [inf, 2.0], [1.0, inf], [3.0, 7.0]])
SCORES = np.array([[5.0, 1.0], [3.0, 3.0], [9.0, 8.0], [0.0, 4.0], [7.0, -1.0], [2.0, 1.0]])
LISTS = ListAnswers(
    log_plays=np.array([2.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    repeats=np.array([1, 2, 0, 0, 0, 0, 0]),
    listed=np.array([2, 4, 2, 2, 2, 2, 2]),
    nearer=np.array([0.5, -0.25, 0.0, 0.15, 1.0, 1.0, 0.0]),
)
ANSWERS = Answers(
    RANKS,
    behind_all=1002.0,
    flipped=FLIPPED,
    pairs=pair_answers(PAIRS, Ranked(PAIR_RANKS, SCORES, np.zeros((6, 0)), np.zeros((6, 0), np.int32), 0, 1002.0)),
    lists=LISTS,
)


def value(metric: str, stratum: str = "", answers: Answers = ANSWERS) -> float:
    """Return a metric, weighted sums included."""
    total = 0.0
    for part, weight in parts(metric).items():
        over, under = metric_ratio(TARGETS, answers, part, stratum)
        total += weight * over.sum() / under.sum()
    return total


HAND = {
    # ranks 1, 10, 10.5, 2.5, miss, 20, 4
    "hr@1": 1 / 7,
    "hr@5": 3 / 7,
    "hr@10": 4 / 7,
    "hr@20": 6 / 7,
    "hr@3": 2 / 7,
    "ndcg@10": (1 + 1 / log2(11) + 1 / log2(3.5) + 1 / log2(5)) / 7,
    "mrr": (1 + 0.1 + 1 / 10.5 + 0.4 + 0 + 0.05 + 0.25) / 7,
    # listened: 10, 10.5, miss, 20; skipped: 1, 2.5, 4
    "hr@10.listened": 1 / 4,
    "hr@10.skipped": 1.0,
    "delta": 1 / 4 - 1,
    "mrr.skipped": (1 + 0.4 + 0.25) / 3,
    # next listened: ranks 2, 4, 1, miss, miss, 7
    "hr@1.next-listened": 1 / 6,
    "hr@10.next-listened": 4 / 6,
    "mrr.next-listened": (1 / 2 + 1 / 4 + 1 + 0 + 0 + 1 / 7) / 6,
    "ndcg@10.next-listened": (1 / log2(3) + 1 / log2(5) + 1 + 1 / 3) / 6,
    # session 0: 5 > 1; session 1 ties; sessions 3 and 4 have a track that is no candidate
    "listened-first": 1.0,
    "skipped-first": 0.5,
    "pair-auc": (1 + 0.5) / 2,
    # sessions 0, 1, 3, 4: p_m at 2, 4 and twice behind all; the skipped at 8, 4, 2, 1
    "log-rank.listened": (log(2) + log(4) + 2 * log(1002)) / 4,
    "log-rank.skipped": (log(8) + log(4) + log(2) + log(1)) / 4,
    # known last: targets 0, 1, 2, 3, 6; hits 1 1 0 1 1, flipped 0 1 1 1 0
    "feedback-utility": (1 + 0 - 1 + 0 + 1) / 5,
    "skipped@1": 1.0,
    "responsiveness": (0.5 - 0.25 + 0.15) / 5,
    "log-popularity@20": 6 / 16,
    "repeats@20": 3 / 16,
}


@pytest.mark.parametrize("metric", HAND)
def test_a_metric_is_what_the_hand_finds(metric: str) -> None:
    assert value(metric) == pytest.approx(HAND[metric], abs=1e-12)


def test_every_metric_of_a_table_is_worked_by_hand_or_is_one_of_a_kind_that_is() -> None:
    names = [*metric_names(TARGETS, ANSWERS), *combined_names(TARGETS, ANSWERS)]
    kinds = {name.partition("@")[0] if name[:2] in ("hr", "nd") else name.partition(".")[0] for name in HAND}
    assert {name.partition("@")[0] if name[:2] in ("hr", "nd") else name.partition(".")[0] for name in names} == kinds


@pytest.mark.parametrize(
    ("metric", "stratum", "expected"),
    [
        ("hr@10", "hour=0-5", 1.0),
        ("hr@10", "hour=6-11", 2 / 5),
        ("hr@10", "skipped", 1.0),
        ("delta", "hour=6-11", 0 - 1),
        ("log-rank.skipped", "hour=0-5", (log(8) + log(4)) / 2),
        ("feedback-utility", "hour=6-11", 0.0),
    ],
)
def test_a_stratum_keeps_its_members_alone(metric: str, stratum: str, expected: float) -> None:
    assert value(metric, stratum) == pytest.approx(expected, abs=1e-12)


def test_a_scorer_blind_to_feedback_has_no_utility() -> None:
    assert value("feedback-utility", answers=Answers(RANKS, 1002.0)) == 0


def test_nan_scores_of_a_pair_are_never_better() -> None:
    scores = np.array([[nan, 1.0], [nan, nan], [0.0, 0.0], [1.0, nan], [0.0, 0.0], [0.0, 0.0]])
    found = pair_answers(PAIRS, Ranked(PAIR_RANKS, scores, np.zeros((6, 0)), np.zeros((6, 0), np.int32), 4, 1002.0))
    assert found.better.tolist() == [0, 0, 0, 0, 0.5, 0]


def test_constant_scores_give_a_pair_auc_of_one_half() -> None:
    found = pair_answers(
        PAIRS, Ranked(PAIR_RANKS, np.zeros((6, 2)), np.zeros((6, 0)), np.zeros((6, 0), np.int32), 0, 1002.0)
    )
    assert value("pair-auc", answers=Answers(RANKS, 1002.0, pairs=found)) == 0.5


@pytest.mark.parametrize("metric", ["hr@", "hr@x", "hr@0", "hr@-1", "hr@10.", "hrs@10", "log-rank", "hr@10.listend"])
def test_a_metric_that_is_none_is_refused(metric: str) -> None:
    if metric == "hr@10.":
        assert value(metric) == HAND["hr@10"]  # no group named: all targets
        return
    with pytest.raises(InputError, match=r"unknown (metric|group)"):
        value(metric)


def test_what_a_split_or_protocol_lacks_is_refused_not_zero() -> None:
    single = Targets(np.arange(7))
    with pytest.raises(InputError, match="leave-last-two-out"):
        metric_ratio(single, ANSWERS, "log-rank.listened")
    with pytest.raises(InputError, match="full protocol"):
        metric_ratio(TARGETS, Answers(RANKS, 1002.0), "responsiveness")
    with pytest.raises(InputError, match="did you mean 'hour=0-5'"):
        metric_ratio(TARGETS, ANSWERS, "hr@10", "hour=0-6")


def test_an_empty_group_is_undefined_not_zero() -> None:
    targets = Targets(np.arange(7), {"listened": flags("......."), "skipped": flags("xxxxxxx")})
    over, under = metric_ratio(targets, Answers(RANKS, 1002.0), "hr@10.listened")
    assert (over.sum(), under.sum()) == (0, 0)


def test_a_single_pair_of_one_kind_only() -> None:
    """All pairs agree: neither order is defined anywhere."""
    pairs = PairTargets(np.array([0]), flags("xx")[None], flags("..")[None], flags("x"))
    answers = Answers(RANKS, 1002.0, pairs=PairAnswers(np.array([[1.0, 2.0]]), np.zeros(1)))
    for name in ("listened-first", "skipped-first", "log-rank.skipped"):
        assert metric_ratio(Targets(np.arange(7), pairs=pairs), answers, name)[1].sum() == 0

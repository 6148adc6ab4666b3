"""A figure shows colour only for what counts."""

from __future__ import annotations

import pytest

from segue.reports.study_figures import VERDICTS, differences, hit_rates_by_k, training_curves


def test_a_difference_that_does_not_count_has_no_colour() -> None:
    record = {
        "label": "plus less minus", "difference": 0.2, "t_interval": [0.1, 0.3], "bootstrap_interval": [0.15, 0.25],
    }  # fmt: skip
    for verdict, colour in VERDICTS.items():
        counted = differences([{**record, "verdict": verdict, "counts": True}], "title")
        assert colour in counted
        assert colour not in differences([{**record, "verdict": verdict, "counts": False}], "title")


def test_what_was_not_measured_is_not_drawn() -> None:
    record = {
        "label": "one seed", "difference": None, "t_interval": [None, None], "bootstrap_interval": [None, None],
        "verdict": "gain", "counts": True,
    }  # fmt: skip
    drawn = differences([record], "title")
    assert "one seed" in drawn
    assert VERDICTS["gain"] not in drawn


@pytest.mark.parametrize("num_arms", [1, 40])
def test_a_figure_has_room_for_the_names_of_all_arms(num_arms: int) -> None:
    """Matplotlib warns, and warnings are errors here, where a legend leaves the axes no room."""
    levels = {"full": {"hr@1": [0.1, 0.0, 0.2], "hr@10": [0.3, 0.2, 0.4]}}
    titles = [f"causal S+ session, shared negatives {number}" for number in range(num_arms)]
    baselines = [{"name": "markov", "protocol": "full", **levels["full"]}]
    rates = hit_rates_by_k(dict.fromkeys(titles, levels), baselines, (1, 10))
    points = [{"epoch": 1, "ndcg@20": 0.1}, {"epoch": 2, "ndcg@20": 0.2}]
    curves = training_curves(dict.fromkeys(titles, points), "ndcg@20", "among all tracks")
    assert all(title in drawn for title in titles for drawn in (rates, curves))

"""A figure shows colour only for what counts."""

from __future__ import annotations

from segue.reports.study_figures import VERDICTS, differences


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

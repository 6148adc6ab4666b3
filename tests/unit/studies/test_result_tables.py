"""Tables of a study's result."""

from __future__ import annotations

from segue.studies.result_tables import strata


def test_a_stratum_has_one_row_and_a_column_a_metric() -> None:
    """In the order of the protocols; a dash where a metric was not asked."""
    asked = [
        ("full", "hr@10", "hour=0-5"),
        ("sampled", "hr@10", "hour=0-5"),
        ("full", "hr@10.next-listened", "hour=0-5"),
        ("full", "hr@10", "hour=6-11"),
    ]
    record = {"arm": "a", "less": "b", "t_interval": [0.0, 0.1], "bootstrap_interval": [0.0, 0.1], "counts": True}
    records = [
        {**record, "protocol": protocol, "metric": metric, "stratum": stratum, "difference": 0.01 * number}
        for number, (protocol, metric, stratum) in enumerate(asked, 1)
    ]
    head, rows = strata({"arms": {"a": {"title": "A"}, "b": {"title": "B"}}, "strata": records})
    assert head[2::3] == ["HR@10 full", "HR@10.NEXT-LISTENED full", "HR@10 sampled"]
    assert [[row[1], *row[2::3]] for row in rows] == [
        ["hour=0-5", "+0.0100", "+0.0300", "+0.0200"],
        ["hour=6-11", "+0.0400", "-", "-"],
    ]

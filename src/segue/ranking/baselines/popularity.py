"""Popularity: the straw man that every other baseline backs off to."""

from __future__ import annotations

from segue.ranking.baselines.baseline import Baseline


class Popularity(Baseline):
    """Training plays."""

    name = "popularity"

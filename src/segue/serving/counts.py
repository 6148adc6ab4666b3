"""Counts of the service for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0)
"""Upper limits in seconds."""


class Counts:
    """Answers by status, and a histogram of their seconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter("segue_http_answers", "Answers by status", ["status"], registry=self._registry)
        self._seconds = Histogram(
            "segue_http_seconds", "Seconds to the end of an answer", buckets=_BUCKETS, registry=self._registry
        )

    def add(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self._answers.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """Return all counts in the text format of Prometheus."""
        return generate_latest(self._registry)

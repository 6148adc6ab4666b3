"""Table 1 of Seshadri & Knees (2023, arXiv 2309.11623), to print beside ours: other data, so no equals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CUTOFFS: Final = (1, 5, 10, 20)
TABLE_1: Final[Mapping[str, tuple[float, ...]]] = {
    "causal-s-minus": (0.2821, 0.4803, 0.5593, 0.6316),
    "causal-s-plus-session": (0.3049, 0.5042, 0.5836, 0.6550),
    "causal-s-plus-track": (0.3073, 0.5088, 0.5867, 0.6554),
    "cloze-s-minus": (0.1945, 0.4203, 0.5135, 0.5989),
    "cloze-s-plus-session": (0.2101, 0.4370, 0.5270, 0.6101),
    "cloze-s-plus-track": (0.2339, 0.4358, 0.5165, 0.5911),
}
"""Arm to HR@1, @5, @10, @20 against 1000 sampled tracks, on about 450,000 sessions of MSSD and 1,000,000 tracks."""
POPULARITY: Final = ((0.23, 0.27), (0.45, 0.50), (0.54, 0.60), (0.63, 0.69))
"""About what a pure popularity ranker reaches there by MSSD's published play counts, lowest and highest, by cutoff."""

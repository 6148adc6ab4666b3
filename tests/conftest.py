"""What holds for every test."""

from __future__ import annotations

import signal

import pytest

# A shell without job control starts a command with `&` so that it ignores Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _baselines_keep_their_defaults(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation of a tiny store spends most of its time on the options of ten baselines."""
    from segue.ranking.baselines import tuning  # here: types are checked in what is imported once pytest has begun

    if request.node.get_closest_marker("full_tuning") is None:
        monkeypatch.setattr(tuning, "ROUNDS", 0)

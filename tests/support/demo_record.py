"""A made-up demo result, hostile texts included, for tests of the report and the terminal summary."""

from __future__ import annotations

from typing import Any

HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m"


def demo_record(*, difference: tuple[float, float, float] = (0.02, 0.01, 0.03), text: str = HOSTILE) -> dict[str, Any]:
    """Return a result with two models and two baselines; S+ loses to Markov, and every text is `text`."""
    shares = {"S-": 0.30, "S+ track": 0.32, "popularity": 0.25, "markov": 0.40}
    rows = [
        {
            "name": name,
            "kind": "model" if name.startswith("S") else "baseline",
            "protocol": protocol,
            "hr@10": [share, share - 0.02, share + 0.02],
            "hr@1": [share / 2, None, None],
            "delta": [0.05, 0.01, 0.09],
        }
        for protocol in ("sampled", "full")
        for name, share in shares.items()
    ]
    tracks = [{"track": f"t{i}", "title": text, "artist": text, "score": 1.0 - i} for i in range(3)]
    value, low, high = difference
    contrast = {"protocol": "sampled", "metric": "hr@10", "difference": value, "low": low, "high": high}
    return {
        "title": "Segue demo",
        "simulated": {"world": "full", "version": 1},
        "world": "full",
        "sessions": 100,
        "tracks_seen": 40,
        "rows_read": 1500,
        "rows": rows,
        "contrasts": [contrast],
        "converged": False,
        "curves": {"S-": [{"epoch": 1, "loss": 2.0, "hr@10": 0.1}, {"epoch": 2, "loss": 1.5, "hr@10": 0.2}]},
        "recommended": {
            "model": "S+ track",
            "reads_feedback": False,
            "session": [{**tracks[0], "feedback": "listened"}, {**tracks[1], "feedback": "skip"}],
            "listened": tracks,
            "skipped": tracks,
        },
        "commands": [f"segue train {text}"],
        "budget": "Two epochs each.",
        "made": {"version": text},
        "report": "demo/report.html",
        "serve": "segue serve demo/run-segue",
    }

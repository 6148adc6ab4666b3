"""Trainings that never left the plateau which the first epochs reach, and what they do to a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from segue.evaluation import t_estimate
from segue.studies.wording import AMONG, MEASURES, Answer, Record, answered, label, points

STUCK: Final = 0.05
"""Least distance of popularity from an arm's best training for its trainings to be told apart by it."""


def tuned_by_chance(result: Record) -> Answer | None:
    """Return whether the tuning of every arm could tell settings apart; None where it could, or nothing is known.

    It could not where the best validation HR@10 it saw is nearer to popularity's (sampled, on test targets) than to
    that of the study's best training.
    """
    popularity, levels = _popularity(result), _levels(result)
    best = max((level for arm in levels.values() for level in arm), default=-1.0)
    if popularity is None or best - popularity < STUCK:
        return None
    details = []
    for arm in result["arms"].values():
        scores = [tried["validation_hr@10"] or 0.0 for tried in arm["tuning"]]
        if scores and max(scores) < (best + popularity) / 2:
            details.append(f"{arm['title']}: {', '.join(f'{score:.4f}' for score in scores)}")
    if not details:
        return None
    cap = result["settings"]["tuning_epochs"]
    why = (
        f"Every setting tried was still nearer to popularity ({popularity:.4f}) than to the best training ({best:.4f}) "
        "when it was judged, so that the choice is close to chance: what such an arm lacks may be the right setting."
    )
    hint = f" They were given {cap} epochs (--tuning-epochs); more would tell." if cap else ""
    return answered("Could the tuning of every arm choose?", "no", why + hint, details)


def stuck(result: Record) -> Answer | None:
    """Return whether every training left the plateau that the first epochs reach; None where all did.

    One did not where its sampled HR@10 is nearer to popularity's than to that of its arm's best training.
    """
    popularity = _popularity(result)
    if popularity is None:
        return None
    stuck_seeds, details = dict[str, set[int]](), []
    for name, levels in _levels(result).items():
        best = max(levels)
        seeds = {seed: level for seed, level in enumerate(levels) if 0 <= level < (best + popularity) / 2}
        if best - popularity >= STUCK and seeds:
            stuck_seeds[name] = set(seeds)
            shown = ", ".join(f"seed {seed} {level:.4f}" for seed, level in seeds.items())
            title = result["arms"][name]["title"]
            details.append(f"{title}: {shown}; its best seed {best:.4f}, popularity {popularity:.4f}")
    if not stuck_seeds:
        return None
    details += filter(None, (_without(result, record, stuck_seeds) for record in result["contrasts"]))
    why = (
        "Patience ended trainings near the level of popularity, where others of the same arm went on and left it: "
        "their differences say when a training left the plateau, not how good an arm is. Below, exploratory, without "
        "them."
    )
    return answered("Did every training leave the plateau of its first epochs?", "no", why, details)


def _without(result: Record, record: Record, stuck_seeds: Mapping[str, set[int]]) -> str:
    """Return a contrast about skips over the seeds where neither arm is stuck; '' where no seed is."""
    seeds = stuck_seeds.get(record["arm"], set()) | stuck_seeds.get(record["less"], set())
    differences = [value for seed, value in enumerate(record["per_seed"]) if seed not in seeds]
    measured = (record["protocol"], record["metric"]) in MEASURES
    if record["about"] != "skips" or not measured or not seeds or not differences:
        return ""
    e = t_estimate(differences)
    return (
        f"{label(result, record)}, {record['metric'].upper()} {AMONG[record['protocol']]}, {len(differences)} of "
        f"{len(record['per_seed'])} seeds: {points(e.value)} points (over seeds {points(e.low)} to {points(e.high)})"
    )


def _popularity(result: Record) -> float | None:
    """Return the sampled HR@10 of popularity; None where nothing was ranked or popularity was not measured."""
    rows = (row for row in result["baselines"] if (row["name"], row["protocol"]) == ("popularity", "sampled"))
    return next((row["hr@10"][0] for row in rows), None)


def _levels(result: Record) -> dict[str, list[float]]:
    """Return the sampled HR@10 of each arm's trainings by seed; -1 where nothing was ranked."""
    return {
        name: [-1.0 if level is None else level for level in arm["per_seed"]["sampled"]["hr@10"]]
        for name, arm in result["arms"].items()
    }

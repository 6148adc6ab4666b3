"""One evaluation: every scorer, both protocols, intervals, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from segue import columns
from segue.batches.split import Split
from segue.errors import InputError
from segue.evaluation import metrics
from segue.evaluation.bootstrap import by_unit, interval, resampled_means
from segue.evaluation.pairs import pair_aucs
from segue.evaluation.ranks import Targets, full_ranks, sample_rows, sampled_ranks
from segue.events import skips
from segue.progress import Progress, Step, silent
from segue.ranking.scorer import Scorer
from segue.recipes.configs import EvaluationConfig
from segue.store import Store

HEADLINES: Final = ("hr@1", "hr@10", "hr@20")
"""Metrics whose differences from each baseline are printed."""
Protocol = Literal["sampled", "full", "both"]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found."""

    split: str
    counts: dict[str, Any]
    rows: list[dict[str, Any]]
    """A record a scorer and protocol: name, kind (model or baseline), protocol, metric -> [value, low, high]."""
    differences: list[dict[str, Any]]
    """Model minus each baseline: protocol, metric, baseline, difference, low, high."""
    simulated: dict[str, Any]
    config: EvaluationConfig
    ranks: Mapping[tuple[str, str], NDArray[np.float64]] = field(repr=False)
    """(protocol, scorer) -> rank of each target."""
    unit: NDArray[np.int64] = field(repr=False)
    """What the bootstrap draws: the session or user of each target."""
    resampled_over: str = "sessions"

    def to_json(self) -> dict[str, Any]:
        """Return the document, schema_version 1."""
        return {
            "schema_version": 1,
            "simulated": self.simulated,
            "split": self.split,
            "intervals": f"95 %, {self.config.resamples} resamples of {self.resampled_over}",
            "counts": self.counts,
            "rows": self.rows,
            "differences": self.differences,
        }


def evaluate_scorers(
    store: Store,
    split: Split,
    scorers: Sequence[Scorer],
    config: EvaluationConfig,
    *,
    protocol: Protocol = "both",
    which: Literal["test", "validation"] = "test",
    max_len: int = 20,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Evaluation:
    """Return metrics of `scorers` (the first is the model) on the held-out tracks of `which`.

    Raises:
        InputError: nothing is held out.
        NonFiniteError: a scorer gave a target NaN.
    """
    targets = Targets.of(store, split, which, max_len, device)
    if len(targets.cases) == 0:
        raise InputError(f"{store.path} holds no {which} targets; sessions of at least 3 tracks are needed")
    ranks, fewer = _all_ranks(targets, scorers, config, protocol, progress)
    strength = np.asarray(store.strength)[targets.cases.target]
    groups = {
        "": np.ones(len(strength), np.bool_),
        "listened": skips.listened(strength),
        "skipped": skips.skipped(strength),
        "seen": targets.seen,
    }
    users = store.side_column(columns.USER) is not None
    unit = np.arange(len(strength))
    if users:
        unit = np.unique(np.asarray(store.side(columns.USER))[targets.cases.session], return_inverse=True)[1]
    rows, differences = _table(ranks, groups, unit, config)
    aucs = pair_aucs(store, split, scorers, max_len, device) if which == "test" else {}
    for row in rows:
        row["pair_auc"] = [aucs.get(row["name"]), None, None]
    counts = {
        "targets": len(strength),
        "listened": int(groups["listened"].sum()),
        "skipped": int(groups["skipped"].sum()),
        "unseen_share": float(1.0 - targets.seen.mean()),
        "candidates": len(split.candidates),
        "sampled_candidates": config.candidates,
        "sessions_with_fewer_eligible": fewer,
        "sessions_too_short": split.num_short,
    }
    simulated = dict(store.manifest.source.simulated)
    over = "users" if users else "sessions"
    return Evaluation(which, counts, rows, differences, simulated, config, ranks, unit, over)


def _all_ranks(
    targets: Targets, scorers: Sequence[Scorer], config: EvaluationConfig, protocol: Protocol, progress: Progress
) -> tuple[dict[tuple[str, str], NDArray[np.float64]], int]:
    """Return ranks by (protocol, scorer), and how many sessions have fewer eligible tracks than asked."""
    wanted = ("sampled", "full") if protocol == "both" else (protocol,)
    ranks, fewer = {}, 0
    done, total = 0, len(wanted) * len(scorers)
    for kind in wanted:
        sampled = sample_rows(targets, seed=config.seed, num=config.candidates) if kind == "sampled" else None
        fewer += 0 if sampled is None else int((~sampled.valid.all(1)).sum())
        for scorer in scorers:
            progress(Step("evaluate", done, total, "tables", f"{scorer.name}, {kind}"))
            found = full_ranks(targets, scorer) if sampled is None else sampled_ranks(targets, scorer, sampled)
            ranks[kind, scorer.name] = found
            done += 1
    progress(Step("evaluate", total, total, "tables"))
    return ranks, fewer


def _table(
    ranks: Mapping[tuple[str, str], NDArray[np.float64]],
    groups: Mapping[str, NDArray[np.bool_]],
    unit: NDArray[np.int64],
    config: EvaluationConfig,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows with intervals, and the differences model minus baseline."""
    names, parts, masks = [], [], []
    for key, found in ranks.items():
        for metric, value in metrics.values(found).items():
            for group, mask in groups.items():
                names.append((key, f"{metric} {group}".strip()))
                parts.append(value * mask)
                masks.append(mask)
    sums, numbers = by_unit(np.stack(parts, 1), unit), by_unit(np.stack(masks, 1).astype(np.float64), unit)
    drawn = resampled_means(sums, numbers, resamples=config.resamples, seed=config.seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        point = np.concatenate([(sums.sum(0) / numbers.sum(0))[None], drawn])
    column = {name: point[:, i] for i, name in enumerate(names)}
    first = next(iter(ranks))[1]
    rows = []
    for protocol, name in ranks:
        row: dict[str, Any] = {"name": name, "kind": "model" if name == first else "baseline", "protocol": protocol}
        row |= {metric: cell(values) for (key, metric), values in column.items() if key == (protocol, name)}
        listened, skipped = (column[(protocol, name), f"hr@10 {group}"] for group in ("listened", "skipped"))
        rows.append(
            row
            | {group: row[f"hr@10 {group}"] for group in ("listened", "skipped")}
            | {"delta": cell(listened - skipped)}
        )
    differences = []
    for protocol, name in ranks:
        for metric in HEADLINES if name != first else ():
            change = cell(column[(protocol, first), metric] - column[(protocol, name), metric])
            found_ = dict(zip(("difference", "low", "high"), change, strict=True))
            differences.append({"protocol": protocol, "metric": metric, "baseline": name, **found_})
    return rows, differences


def cell(values: NDArray[np.float64]) -> list[float | None]:
    """Return [value, low, high] of a value followed by its resamples; None where undefined."""
    return [float(values[0]) if np.isfinite(values[0]) else None, *interval(values[1:])]

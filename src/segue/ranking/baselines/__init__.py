"""Baselines of every table, fitted to training rows only; each backs off to popularity."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from segue.batches.split import Split
from segue.progress import Progress, Step, silent
from segue.ranking.baselines.baseline import Baseline, flat_sessions, last_track
from segue.ranking.baselines.decayed_popularity import DecayedPopularity
from segue.ranking.baselines.factors import Als, Bpr
from segue.ranking.baselines.item_neighbours import ItemNeighbours
from segue.ranking.baselines.listen_rate import ListenRate
from segue.ranking.baselines.listener_neighbours import ListenerNeighbours
from segue.ranking.baselines.markov import Markov
from segue.ranking.baselines.ordered_neighbours import OrderedNeighbours
from segue.ranking.baselines.own_plays import OwnPlays
from segue.ranking.baselines.popularity import Popularity
from segue.ranking.baselines.recent_popularity import RecentPopularity
from segue.ranking.baselines.repeat_last import RepeatLast
from segue.ranking.baselines.sequential_rules import SequentialRules
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.baselines.tuning import ValidationTargets, tuned
from segue.ranking.baselines.tuning_record import Tuning
from segue.ranking.baselines.v_sknn import Vsknn
from segue.store import Store

BASELINES: Final[tuple[type[Baseline], ...]] = (
    Popularity,
    RecentPopularity,
    RepeatLast,
    Markov,
    SequentialRules,
    ItemNeighbours,
    Vsknn,
    OrderedNeighbours,
    OwnPlays,
    ListenRate,
)
DAY_BASELINES: Final[tuple[type[Baseline], ...]] = (*BASELINES, DecayedPopularity, ListenerNeighbours, Als, Bpr)
"""Baselines of a split by days: these further ones say what a listener plays, and not what comes next."""
BASELINE_NAMES: Final = tuple(kind.name for kind in BASELINES)
"""Names in tables."""
DAY_BASELINE_NAMES: Final = tuple(kind.name for kind in DAY_BASELINES)

__all__ = [
    "BASELINES",
    "BASELINE_NAMES",
    "DAY_BASELINES",
    "DAY_BASELINE_NAMES",
    "Baseline",
    "Markov",
    "Popularity",
    "TrainingRows",
    "Tuning",
    "chosen_options",
    "fit_baselines",
    "flat_sessions",
    "last_track",
]


def fit_baselines(
    store: Store, split: Split, max_len: int = 20, *, names: Collection[str] = (), progress: Progress = silent
) -> list[Baseline]:
    """Return every baseline that the store has the data for, fitted to the training rows of `split`.

    Options are chosen on validation targets; `Baseline.tuning` says how. `max_len`: most tracks of a context; `names`:
    the baselines that are wanted, none = all.
    """
    data = TrainingRows.of(store, split)
    targets = ValidationTargets(store, split, max_len)
    kinds = DAY_BASELINES if split.kind == "next-day" else BASELINES
    chosen = [kind for kind in kinds if kind.fits(data) and (not names or kind.name in names)]
    fitted = list[Baseline]()
    for kind in chosen:
        progress(Step(f"fit {kind.name}", len(fitted), len(chosen), "baselines"))
        fitted.append(tuned(kind, data, targets))
    progress(Step("fit baselines", len(fitted), len(chosen), "baselines"))
    return fitted


def chosen_options(scorers: Iterable[object]) -> dict[str, Any]:
    """Return how the options of each tuned baseline among `scorers` were chosen, by name."""
    tuned_ones = (one for one in scorers if isinstance(one, Baseline))
    return {one.name: one.tuning.to_json() for one in tuned_ones if one.tuning is not None}

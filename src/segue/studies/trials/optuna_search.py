"""A search by Optuna: TPE proposes, the median of earlier trials prunes, a journal remembers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, final

from segue.errors import FormatError, InputError
from segue.studies.trials.search import Search
from segue.studies.trials.space import Dimension
from segue.studies.trials.trial import Tried

NAME: Final = "segue"
"""Name of the study in the journal."""
RANDOM_TRIALS: Final = 10
"""Random points before TPE models the results (Optuna's default); the recipe's own point counts among them."""
JUDGES: Final = 5
"""Trials that must have finished before one is pruned."""
PATIENT_EPOCHS: Final = 3
"""Epochs of a trial that are never pruned: a low learning rate rises late."""
FEWEST: Final = 3
"""Finished trials that must have come as far as an epoch for their median to prune there."""
TOP: Final = 0.25
"""PED-ANOVA compares this share of the finished trials, the best, with all of them."""


def require_optuna() -> Any:
    """Return the package.

    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise InputError(
            "Optuna proposes such trials: install the extra 'tune' (pip install 'segue[tune]'); a grid needs none"
        ) from None
    return optuna


@final
class OptunaSearch(Search):
    """Points by the tree-structured Parzen estimator (Bergstra et al. 2011), one stream of random numbers a value.

    The study is stored as a journal of JSON lines, without pickles. Trial 0 is the recipe's own point. The proposal of
    trial n is a function of the seed, n and the trials that have ended: a killed search that trains one trial at a time
    goes on as if it had not been killed.
    """

    judges = True

    def __init__(self, journal: Path, space: Sequence[Dimension], seed: int, jobs: int = 1) -> None:
        """`jobs`: trials that train at a time; above 1, TPE takes running ones for bad, so that they differ.

        Raises:
            InputError: Optuna is not installed.
            FormatError: the journal is damaged.
        """
        self._optuna, self.space, self._seed, self._jobs = require_optuna(), space, seed, jobs
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        _mend(journal)
        self._study = self._opened(journal)

    def propose(self, number: int) -> dict[str, float]:
        """Return the point of trial `number`: the one it had when it was killed, or a new one."""
        self._study.sampler = self._sampler(number, 0)
        trials = self._trials()
        begun = number < len(trials) and trials[number].state != self._optuna.trial.TrialState.WAITING
        trial = self._trial_at(number) if begun else self._study.ask()
        assert trial.number == number
        point = {}
        for index, d in enumerate(self.space):  # a kill between two values must not move the second
            self._study.sampler = self._sampler(number, index)
            point[d.name] = trial.suggest_float(d.name, d.low, d.high, log=d.log)
        return point

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Return whether the trial's best so far is below the median of the finished trials at that epoch.

        An epoch trained again after a kill that was not the last one reported was not pruned before, and is not now.
        """
        begun = self._trials()[number]
        if begun.state.is_finished() or (begun.last_step is not None and epoch < begun.last_step):
            return False
        trial = self._trial_at(number)
        if epoch not in begun.intermediate_values:
            trial.report(value, epoch)
        return bool(trial.should_prune())

    def end(self, tried: Tried) -> None:
        """Report the end of a trial to the study, once."""
        states, ended = self._optuna.trial.TrialState, tried.outcome.state
        state = {"finished": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[ended]
        if not self._trials()[tried.number].state.is_finished():
            self._study.tell(tried.number, tried.value if ended == "finished" else None, state)

    def importance(self, tried: Collection[Tried]) -> dict[str, Any]:
        """Return PED-ANOVA of the finished trials (Watanabe et al. 2023), scaled to add up to 1.

        No values for fewer than two finished trials, or where all reach the same.
        """
        method = f"PED-ANOVA: what sets the best {TOP:.0%} of finished trials apart"
        values = {one.value for one in tried if one.outcome.state == "finished"}
        if len(values) < 2:
            return {"method": method, "values": {}}
        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few trials; the table has their number
            shares = self._optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {"method": method, "values": {name: float(share) for name, share in shares.items()}}

    def _opened(self, journal: Path) -> Any:
        """Return the study of the journal; a new one begins with the recipe's own point, where the ranges hold it."""
        optuna = self._optuna
        pruner = optuna.pruners.MedianPruner(JUDGES, PATIENT_EPOCHS, n_min_trials=FEWEST)
        try:
            storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
            study = optuna.create_study(
                storage=storage, sampler=self._sampler(0, 0), pruner=pruner, study_name=NAME, direction="maximize",
                load_if_exists=True,
            )  # fmt: skip
        except (ValueError, KeyError) as error:
            raise FormatError(f"{journal} is not an Optuna journal ({error}); search anew in another folder") from error
        if not study.trials:
            study.enqueue_trial({d.name: d.default for d in self.space if d.low <= d.default <= d.high})
        return study

    def _sampler(self, number: int, index: int) -> Any:
        """Return the sampler of value `index` of trial `number`."""
        seed = ((self._seed * 1_000_003 + number) * 1_009 + index) % 2**32
        return self._optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed, constant_liar=self._jobs > 1)

    def _trial_at(self, number: int) -> Any:
        return self._optuna.trial.Trial(self._study, self._trials()[number]._trial_id)

    def _trials(self) -> list[Any]:
        return list(self._study.get_trials(deepcopy=False))


def _mend(journal: Path) -> None:
    """Remove from a journal what a kill leaves behind: the lock, and a last line that is not whole.

    Only the process that has locked the search's folder may do this.
    """
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink(missing_ok=True)
    if journal.is_file():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)

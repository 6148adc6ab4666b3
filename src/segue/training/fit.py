"""Training a recipe on a store, from the first step or from where a run was interrupted."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from segue.batches.order import epoch_order
from segue.batches.split import Split, split_store
from segue.errors import InputError, Interrupted, NonFiniteError
from segue.model import Encoder
from segue.progress import Progress, Step, silent
from segue.recipes import Recipe
from segue.runs import RunFolder, describe_environment, differences
from segue.store import Store
from segue.training.board import Board
from segue.training.device import choose_device, choose_precision
from segue.training.interrupts import Interrupts
from segue.training.progressed import Progressed, plain_numbers
from segue.training.trainer import Place, Trainer

Validate = Callable[[Split, Encoder], Mapping[str, float]]
"""Validation metrics of an encoder (in eval mode); at least 'hr@10' where early stopping is wanted."""
Stop = Callable[[int, Mapping[str, float]], bool]
"""Told the epoch just closed (from 1) and its validation metrics; True ends training there."""
_LOOK_EVERY: Final = 20
"""Steps between two looks at the loss on a CPU."""
_LOOK_EVERY_S: Final = 2.0
"""Seconds between two looks at it elsewhere: each look waits for the device."""


@dataclass(frozen=True)
class FitOptions:
    """How to run, not what to train: none of it belongs to the recipe."""

    device: str = "auto"
    precision: str = "auto"
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class FitResult:
    """How training ended."""

    path: Path
    epochs: int
    """Epochs trained."""
    best_epoch: int
    stopped: Literal["patience", "cap", "pruned"]
    """No better epoch for long enough, the epoch cap, or `stop` said so."""
    metrics: dict[str, float | None]
    """Validation metrics of the best epoch."""

    @property
    def converged(self) -> bool:
        """False where the epoch cap or `stop` ended it: such a run carries no verdict (method, section 5)."""
        return self.stopped == "patience"

    def to_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        facts = {name: getattr(self, name) for name in ("epochs", "best_epoch", "stopped", "converged", "metrics")}
        return {"run": str(self.path), **facts}


def fit(
    store: Store,
    path: str | Path,
    recipe: Recipe,
    options: FitOptions | None = None,
    validate: Validate | None = None,
    progress: Progress = silent,
    stop: Stop | None = None,
) -> FitResult:
    """Train `recipe` on `store` into the run folder `path` and return how it ended.

    `stop` is asked after each epoch, before its checkpoint, which keeps the answer: a resumed run asks again only about
    epochs that it trains again.

    With `resume` a killed run goes on and reaches the bytes of an uninterrupted one (one machine, torch version and
    thread count); a finished one is left as it is. The global random state is as before afterwards.

    Raises:
        InputError: the folder is taken, the store or recipe is not the run's, nothing to train on, no disk.
        NonFiniteError: a loss became NaN or infinite.
        Interrupted: Ctrl-C; the state is saved.
    """
    options = options or FitOptions()
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    environment = describe_environment(store, device, precision, recipe.training.seed)
    if options.resume:
        run = _reopen(path, recipe, environment)
        if run.state()["status"] == "finished":
            run.drop_checkpoint()
            return _result(run)
        split = split_store(store, recipe.data)
    else:
        RunFolder.check_free(path, overwrite=options.overwrite)
        split = split_store(store, recipe.data)
        _check_sessions(store, split)
        run = RunFolder.create(path, recipe, split, store, environment=environment, overwrite=options.overwrite)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), Interrupts() as interrupts:
        trainer = Trainer(store, split, recipe, Place(device, precision == "bf16"))
        run.check_disk(trainer.weight_bytes())
        watch = _Watch(validate, stop, progress)
        return _Fitting(run, trainer, split, watch, interrupts).run_all()


@dataclass(frozen=True)
class _Watch:
    """What the caller of `fit` wants to be asked and told."""

    validate: Validate | None
    stop: Stop | None
    progress: Progress


class _Fitting:
    """One call of `fit`, epoch after epoch."""

    def __init__(self, run: RunFolder, trainer: Trainer, split: Split, watch: _Watch, interrupts: Interrupts) -> None:
        self.run, self.trainer, self.split = run, trainer, split
        self.watch, self.progress, self.interrupts = watch, watch.progress, interrupts
        self.config = trainer.recipe.training
        self.num_sessions = len(split.train_begin)
        self.best: dict[str, Tensor] | None = None
        self.busy = False
        self.at = self._restored()
        self.saved_at = self.looked_at = time.monotonic()

    def run_all(self) -> FitResult:
        """Train until patience or the cap ends it."""
        board = Board(self.run.path / "tensorboard", self.at.epoch + 1)
        self._note("running")
        try:
            while (stopped := self.at.stopped(self.config.epochs, self.config.patience)) is None:
                self._epoch(board)
        except KeyboardInterrupt:
            if not self.busy:
                self._checkpoint("interrupted")
            raise Interrupted(
                f"interrupted in epoch {self.at.epoch + 1}; {self.run.path} is saved: add --resume to go on"
            ) from None
        except NonFiniteError:
            self._note("failed")
            raise
        finally:
            board.close()
        self._finish(stopped)
        return _result(self.run)

    def _epoch(self, board: Board) -> None:
        begun = time.monotonic()
        self._train_epoch()
        trained = time.monotonic()
        losses = (self.trainer.sums / self._num_steps()).tolist()
        validation = self._validated()
        if self.at.close_epoch(validation):
            self.best = self.trainer.weights()
        epoch, named = self.at.epoch, dict(zip(self.trainer.names, losses, strict=True))
        self.trainer.sums.zero_()
        numbers = {**named, **{f"validation.{name}": value for name, value in plain_numbers(validation).items()}}
        self.run.append("metrics", {"epoch": epoch, **numbers})
        times = {"train_s": trained - begun, "validate_s": time.monotonic() - trained}
        self.run.append("timings", {"epoch": epoch, **{name: round(value, 3) for name, value in times.items()}})
        board.add({**numbers, **times}, epoch)
        self.at.pruned = self.watch.stop is not None and self.watch.stop(epoch, validation)
        if time.monotonic() - self.saved_at >= 60.0 * self.config.checkpoint_minutes:
            self._checkpoint("running")
        self._report(f"loss {named['loss']:.4f}, " + ", ".join(f"{k} {v:.4f}" for k, v in validation.items()))

    def _train_epoch(self) -> None:
        """Train what is left of the running epoch."""
        num_steps, size = self._num_steps(), self.config.batch_size
        order = torch.as_tensor(epoch_order(self.num_sessions, self.config.seed, self.at.epoch))
        order = self.trainer.begin(order, num_steps - self.at.step)
        for step in range(self.at.step, num_steps):
            self.interrupts.check()
            self.busy = True  # a second Ctrl-C may break a step: what it leaves behind is not saved
            self.trainer.step(order[step * size : (step + 1) * size])
            self.at.step, self.busy = step + 1, False
            note = f"epoch {self.at.epoch + 1}"
            if self._looks(num_steps):
                self._check_finite()
                note = f"{note}, loss {float(self.trainer.sums[0]) / self.at.step:.4f}"
            self.progress(
                Step("train", self.at.epoch * num_steps + step + 1, self.config.epochs * num_steps, "batches", note)
            )
        self.trainer.bring_up()

    def _looks(self, num_steps: int) -> bool:
        """Return whether to look at the loss now: a GPU is then waited for, so by the clock there."""
        if self.at.step == num_steps:
            return True
        if self.trainer.device.type == "cpu":
            return self.at.step % _LOOK_EVERY == 0
        due = time.monotonic() - self.looked_at >= _LOOK_EVERY_S
        self.looked_at = time.monotonic() if due else self.looked_at
        return due

    def _validated(self) -> dict[str, float]:
        if self.watch.validate is None:
            return {}
        encoder = self.trainer.encoder.eval()
        with torch.no_grad():
            return dict(self.watch.validate(self.split, encoder))

    def _check_finite(self) -> None:
        if not self.trainer.finite():
            raise NonFiniteError(
                f"the loss became NaN or infinite in epoch {self.at.epoch + 1}, by batch {self.at.step}; lower "
                "training.learning_rate or use --precision fp32 and train again (checkpoints before it are good)"
            )

    def _num_steps(self) -> int:
        return math.ceil(self.num_sessions / self.config.batch_size)

    def _restored(self) -> Progressed:
        """Return how far the run's checkpoint is, with the trainer set to it; metrics after it are cut off."""
        checkpoint = self.run.checkpoint()
        at = Progressed()
        if checkpoint is not None:
            tensors, document = checkpoint
            self.trainer.load(tensors, document["optimiser"])
            at = Progressed(**document["progressed"])
        self.run.keep_epochs(at.epoch)
        return at

    def _checkpoint(self, status: str) -> None:
        """Save all; best/ first, so that a checkpoint never names a best epoch that is not on disk."""
        if not self.trainer.finite():
            return
        self._save_best()
        tensors, numbers = self.trainer.state()
        self.run.save_checkpoint(tensors, {"progressed": self.at.to_json(), "optimiser": numbers})
        self._note(status)
        self.saved_at = time.monotonic()

    def _save_best(self) -> None:
        if self.best is not None:
            document = {"epoch": self.at.best_epoch, "validation": self.at.best_metrics}
            self.run.save_weights("best", self.best, document)
            self.best = None

    def _finish(self, stopped: str) -> None:
        self._save_best()
        self.run.save_weights("last", self.trainer.weights(), {"epoch": self.at.epoch})
        self._note("finished", stopped=stopped, converged=stopped == "patience")
        self.run.drop_checkpoint()

    def _note(self, status: str, **more: Any) -> None:
        self.run.save_state({"status": status, **self.at.to_json(), **more})

    def _report(self, note: str) -> None:
        self.progress(Step("epoch", self.at.epoch, self.config.epochs, "epochs", note))


def _reopen(path: str | Path, recipe: Recipe, environment: Mapping[str, Any]) -> RunFolder:
    """Return the run to resume, after comparing recipe, store and machine with what it was made with."""
    run = RunFolder.open(path)
    before = run.environment()
    if run.recipe() != recipe:
        raise InputError(f"{path} was made with another recipe; resume it with its own (leave --recipe and --set out)")
    if before["store"]["fingerprint"] != environment["store"]["fingerprint"]:
        raise InputError(f"{path} was trained on another store ({before['store']['name']}); name that one")
    changed = differences(before, environment)
    if changed:
        warnings.warn(f"resuming {path} elsewhere, so not to the same bytes: {'; '.join(changed)}", stacklevel=3)
    return run


def _check_sessions(store: Store, split: Split) -> None:
    if len(split.train_begin) == 0:
        raise InputError(
            f"{store.path}: no session has two tracks to train on (each gives its last two to validation and test); "
            "sessions of at least 4 tracks are needed"
        )


def _result(run: RunFolder) -> FitResult:
    state = run.state()
    return FitResult(run.path, state["epoch"], state["best_epoch"], state["stopped"], state["best_metrics"])

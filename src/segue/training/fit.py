"""Training a recipe on a store, from the first step or from the checkpoint of an interrupted run."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from segue.batches.split import Split, split_store
from segue.errors import InputError, Interrupted, NonFiniteError
from segue.model import Encoder
from segue.progress import Progress, Step, silent
from segue.recipes import Recipe
from segue.runs import RunFolder, describe_environment, differences
from segue.store import Store
from segue.training.device import choose_device, choose_precision
from segue.training.process import deferred_interrupts
from segue.training.run_progress import RunProgress, plain_numbers
from segue.training.trainer import Trainer

Validate = Callable[[Split, Encoder], Mapping[str, float]]
"""Returns the validation metrics of an encoder in eval mode. Early stopping needs 'ndcg@20' among them."""
Stop = Callable[[int, Mapping[str, float]], bool]
"""Called with the epoch that just ended (from 1) and its validation metrics; True ends training."""
_LOOK_EVERY_S: Final = 2.0
"""Seconds between two readings of the loss: each one waits for the device."""


@dataclass(frozen=True)
class FitOptions:
    """How to run a training. What to train is the recipe."""

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
    """patience: no better epoch for long enough; cap: the most epochs are done; pruned: `stop` said so."""
    metrics: dict[str, float | None]
    """Validation metrics of the best epoch."""

    @property
    def converged(self) -> bool:
        """Whether patience ended it. A study draws no conclusion from another run (method, section 5)."""
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

    `stop` is called after each epoch, before the checkpoint, which keeps the answer: a resumed run calls it only for
    epochs that it trains itself.

    With `resume`, a killed run continues and ends with the same bytes as an uninterrupted one (on the same machine,
    torch version and thread count); a finished run stays as it is. The global random state is restored at the end.

    Raises:
        InputError: the folder exists, the run has another store or recipe, nothing to train on, too little disk.
        NonFiniteError: a loss became NaN or infinite.
        Interrupted: Ctrl-C; the state is saved.
    """
    options = options or FitOptions()
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    environment = describe_environment(store, device, precision, recipe.training.seed)
    if not options.resume:
        RunFolder.check_free(path, overwrite=options.overwrite)
    split = split_store(store, recipe.data)
    recipe = recipe.resolved(split, device.type)
    if options.resume:
        run = _reopen(path, recipe, environment)
        if run.state()["status"] == "finished":
            run.drop_checkpoint()
            return _result(run)
    else:
        _check_sessions(store, split)
        run = RunFolder.create(path, recipe, split, store, environment=environment, overwrite=options.overwrite)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), deferred_interrupts() as check_interrupt:
        trainer = Trainer(store, split, recipe, device, bf16=precision == "bf16")
        run.check_disk(trainer.weight_bytes())
        return _Fitting(run, trainer, split, validate, stop, progress, check_interrupt).run_all()


@dataclass
class _Fitting:
    """One call of `fit`."""

    run: RunFolder
    trainer: Trainer
    split: Split
    validate: Validate | None
    stop: Stop | None
    progress: Progress
    check_interrupt: Callable[[], None]
    best: dict[str, Tensor] | None = None
    """Weights of the best epoch, until they are saved."""
    busy: bool = False
    """Whether a step is under way; its state is not to be saved."""
    loss_note: str = ""
    """The mean loss of the epoch when it was last read."""

    def __post_init__(self) -> None:
        self.config = self.trainer.recipe.training
        self.num_sessions = len(self.split.train_begin)
        self.num_steps = math.ceil(self.num_sessions / self.config.batch_size)
        self.at = self._restored()
        self.saved_at = self.looked_at = time.monotonic()
        self.board = _tensorboard(self.run.path / "tensorboard", self.at.epoch + 1)

    def run_all(self) -> FitResult:
        """Train until `RunProgress.stopped` says why to end."""
        self._save_state("running")
        try:
            while (stopped := self.at.stopped(self.config.epochs, self.config.patience)) is None:
                self._epoch()
        except KeyboardInterrupt:
            if not self.busy:
                self._checkpoint("interrupted")
            raise Interrupted(
                f"interrupted in epoch {self.at.epoch + 1}; {self.run.path} is saved: add --resume to go on"
            ) from None
        except NonFiniteError:
            self._save_state("failed")
            raise
        finally:
            if self.board is not None:
                self.board.close()
        self._save_best()
        self.run.save_weights("last", self.trainer.weights(), {"epoch": self.at.epoch})
        self._save_state("finished", stopped=stopped, converged=stopped == "patience")
        self.run.drop_checkpoint()
        return _result(self.run)

    def _epoch(self) -> None:
        begun = time.monotonic()
        self._train_epoch()
        trained = time.monotonic()
        losses = dict(zip(self.trainer.names, (self.trainer.sums / self.num_steps).tolist(), strict=True))
        with torch.no_grad(), self.trainer.mean.taken(self.at.epoch) as encoder:
            validation = {} if self.validate is None else dict(self.validate(self.split, encoder.eval()))
            if self.at.close_epoch(validation):
                self.best = self.trainer.weights()
        self.trainer.sums.zero_()  # not before: a run interrupted in validation reads them again
        epoch = self.at.epoch
        numbers = {**losses, **{f"validation.{name}": value for name, value in plain_numbers(validation).items()}}
        self.run.append("metrics", {"epoch": epoch, **numbers})
        times = {"train_s": trained - begun, "validate_s": time.monotonic() - trained}
        self.run.append("timings", {"epoch": epoch, **{name: round(value, 3) for name, value in times.items()}})
        self._show({**numbers, **times})
        self.at.pruned = self.stop is not None and self.stop(epoch, validation)
        if time.monotonic() - self.saved_at >= 60.0 * self.config.checkpoint_minutes:
            self._checkpoint("running")
        note = f"loss {losses['loss']:.4f}, " + ", ".join(f"{name} {value:.4f}" for name, value in validation.items())
        self.progress(Step("epoch", epoch, self.config.epochs, "epochs", note))

    def _train_epoch(self) -> None:
        """Train the remaining steps of the running epoch."""
        size, done = self.config.batch_size, self.at.epoch * self.num_steps
        order = self.trainer.order(self.at.epoch)
        order = self.trainer.begin(order, self.num_steps - self.at.step)
        self.loss_note = ""
        for step in range(self.at.step, self.num_steps):
            self.check_interrupt()
            self.busy = True  # a second Ctrl-C may interrupt a step, whose state is then not saved
            self.trainer.step(order[step * size : (step + 1) * size])
            self.at.step, self.busy = step + 1, False
            if self.at.step == self.num_steps or time.monotonic() - self.looked_at >= _LOOK_EVERY_S:
                self._look_at_loss()
            note = f"epoch {self.at.epoch + 1}{self.loss_note}"
            self.progress(Step("train", done + step + 1, self.config.epochs * self.num_steps, "batches", note))
        self.trainer.bring_up()

    def _look_at_loss(self) -> None:
        """Note the mean loss of the epoch so far; raise NonFiniteError if it is NaN or infinite."""
        if not self.trainer.finite():
            raise NonFiniteError(
                f"the loss became NaN or infinite in epoch {self.at.epoch + 1}, by batch {self.at.step}; lower "
                "training.learning_rate or use --precision fp32 and train again (checkpoints before it are good)"
            )
        self.loss_note = f", loss {float(self.trainer.sums[0]) / self.at.step:.4f}"
        self.looked_at = time.monotonic()

    def _show(self, values: Mapping[str, float | None]) -> None:
        """Write the values of the epoch that just ended for TensorBoard, where it is installed."""
        if self.board is not None:
            for name, value in values.items():
                if value is not None:
                    self.board.add_scalar(name, value, self.at.epoch)
            self.board.flush()

    def _restored(self) -> RunProgress:
        """Return how far the run's checkpoint is, after loading it; metrics of later epochs are removed."""
        checkpoint = self.run.checkpoint()
        at = RunProgress()
        if checkpoint is not None:
            tensors, document = checkpoint
            self.trainer.load(tensors, document["optimiser"])
            at = RunProgress(**document["progressed"])
        self.run.keep_epochs(at.epoch)
        return at

    def _checkpoint(self, status: str) -> None:
        """Save everything that `_restored` loads. best/ comes first: the epoch that a checkpoint names is on disk."""
        if not self.trainer.finite():
            return
        self._save_best()
        tensors, numbers = self.trainer.state()
        self.run.save_checkpoint(tensors, {"progressed": self.at.to_json(), "optimiser": numbers})
        self._save_state(status)
        self.saved_at = time.monotonic()

    def _save_best(self) -> None:
        if self.best is not None:
            document = {"epoch": self.at.best_epoch, "validation": self.at.best_metrics}
            self.run.save_weights("best", self.best, document)
            self.best = None

    def _save_state(self, status: str, **more: Any) -> None:
        self.run.save_state({"status": status, **self.at.to_json(), **more})


def _tensorboard(folder: Path, first_epoch: int) -> Any:
    """Return a writer of scalars to `folder`; None where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_epoch)


def _reopen(path: str | Path, recipe: Recipe, environment: Mapping[str, Any]) -> RunFolder:
    """Return the run to resume. Another recipe or store is an InputError, another machine a warning."""
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
    """Refuse a split without training sessions (InputError)."""
    if len(split.train_begin) == 0:
        raise InputError(
            f"{store.path}: no session has two tracks to train on (each gives its last two to validation and test); "
            "sessions of at least 4 tracks are needed"
        )


def _result(run: RunFolder) -> FitResult:
    state = run.state()
    return FitResult(run.path, state["epoch"], state["best_epoch"], state["stopped"], state["best_metrics"])

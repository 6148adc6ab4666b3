"""Everything that changes while a run trains: encoder, optimisers, generators and sums of losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.batches.counts import TrainingCounts, training_counts
from segue.batches.data import SessionData
from segue.batches.histories import load_histories
from segue.batches.later_plays import LaterPlays
from segue.batches.log_q import Rows, causal_target_counts, cloze_target_counts, expected_draws, log_q
from segue.batches.order import epoch_order
from segue.batches.split import Split, visible_strength
from segue.batches.track_features import track_features
from segue.errors import FormatError
from segue.model import Encoder, Facts, build_model
from segue.model.encoders.history_attention import flash_fits
from segue.model.encoders.transformer import TransformerEncoder
from segue.model.heads import load_heads
from segue.model.inputs import TrackValues, check_inputs, load_side
from segue.objectives.log_sum import HAS_TRITON, WIDEST_KERNEL
from segue.recipes import Recipe
from segue.store import NUM_SPECIALS, Store
from segue.training.optimisers import Optimisers
from segue.training.step import Training, TrainingStep, part_weights
from segue.training.weight_mean import WeightMean

STREAM: Final = 2**32
"""Seeds are below this. Initialisation, batches and dropout draw from seeds that differ by multiples of it."""
_MODEL: Final = "model."
_OPTIMISER: Final = "optimiser."
_MEAN: Final = "mean."


class Trainer:
    """Encoder, optimisers, generators and sums of losses of one run."""

    def __init__(self, store: Store, split: Split, recipe: Recipe, device: torch.device, bf16: bool) -> None:
        """Prepare to train `recipe` on the training parts of `split`.

        `bf16`: whether matrix products are rounded to bfloat16.

        Raises:
            InputError: the store lacks what an input of the recipe reads.
        """
        self.recipe, self.device = recipe, device
        check_inputs(recipe.inputs, store)
        seed = recipe.training.seed
        encoder = build_model(recipe.model, store_facts(store, split, recipe), torch.Generator().manual_seed(seed))
        self.encoder: Encoder = encoder.to(device)
        self.optimisers = Optimisers(self.encoder, recipe.training.learning_rate)
        self.generator = torch.Generator(device).manual_seed(seed + STREAM)
        torch.manual_seed(seed + 2 * STREAM)  # dropout draws from the global generators; `fit` restores them
        side = load_side(recipe.inputs, store, split, device) | load_heads(recipe.heads, store, split, device)
        self.data = SessionData.load(store, split, device, side)
        self.data = replace(self.data, histories=load_histories(store, split, recipe.data.history, device))
        if recipe.next_track.targets == "next_day":
            later = LaterPlays.load(store, split, recipe.data.next_day.gap_minutes, device)
            self.data = replace(self.data, later=later)
        self.mean = WeightMean(self.encoder, recipe.training.average)
        self.names = ["loss", *part_weights(recipe)]
        self.sums = torch.zeros(len(self.names), dtype=torch.float64, device=device)
        training = Training(
            self.encoder,
            recipe,
            self.data,
            torch.as_tensor(split.negatives.astype("int64"), device=device),
            self.optimisers,
            self.generator,
            self.sums,
            _corrections(self.encoder, recipe, store, split),
            bf16,
        )
        self._step = _step_of(training)

    def order(self, epoch: int) -> Int[Tensor, " n"]:
        """Return the training sessions in the order of `epoch`."""
        if self.data.histories is None:
            return torch.as_tensor(epoch_order(len(self.data.train_session), self.recipe.training.seed, epoch))
        return torch.as_tensor(self.data.histories.order(self.recipe.training.seed, epoch))

    def begin(self, order: Int[Tensor, " n"], num_steps: int) -> Int[Tensor, " n"]:
        """Return `order` on the device: the sessions (on the CPU) of the next `num_steps` steps."""
        self.encoder.train()
        return self._step.prepare(order, num_steps)

    def step(self, index: Int[Tensor, " B"]) -> None:
        """Train on sessions `index`, a slice of what `begin` returned, and add the losses to `sums`."""
        self._step.step(index)

    def bring_up(self) -> None:
        """Bring every row of the table up to date: call it before validation and `weights`."""
        self._step.table.hand_back()
        self.optimisers.bring_up()

    def finite(self) -> bool:
        """Return whether every loss since the epoch began was finite (waits for the device)."""
        return bool(torch.isfinite(self.sums).all())

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the encoder's state on the CPU."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.encoder.state_dict().items()}

    def weight_bytes(self) -> int:
        """Return the size of the weights in bytes."""
        return sum(value.nbytes for value in self.encoder.state_dict().values())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the full state of the training: named tensors, and numbers that are not tensors."""
        self._step.table.hand_back()
        optimiser, numbers = self.optimisers.state()
        tensors = {f"{_MODEL}{name}": value for name, value in self.encoder.state_dict().items()}
        tensors |= {f"{_OPTIMISER}{name}": value for name, value in optimiser.items()}
        tensors |= {f"{_MEAN}{name}": value for name, value in self.mean.state().items()}
        tensors |= {"sums": self.sums, "random.batches": self.generator.get_state()}
        tensors |= {"random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            FormatError: the tensors are those of another encoder.
        """
        try:
            self.encoder.load_state_dict(_under(tensors, _MODEL))
            self.optimisers.load(_under(tensors, _OPTIMISER), numbers)
            self.mean.load(_under(tensors, _MEAN))
            self.sums.copy_(tensors["sums"])
            self.generator.set_state(tensors["random.batches"])
            torch.set_rng_state(tensors["random.cpu"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise FormatError(f"the checkpoint does not fit its recipe ({error}); train again") from error
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)


def store_facts(store: Store, split: Split, recipe: Recipe) -> Facts:
    """Return what a model of `recipe` needs to know of a store: counts if heads read them, features of the tracks."""
    num_rows = store.num_tracks + NUM_SPECIALS
    counts = training_counts(store, split) if recipe.heads else TrainingCounts.nothing(num_rows)
    features = track_features(store)
    trained = torch.from_numpy(split.training_counts > 0)
    trained[:NUM_SPECIALS] = True
    values = None if features is None else TrackValues(torch.from_numpy(features), trained)
    return Facts(store.num_tracks, counts, values, ~trained if split.vocabulary == "catalogue" else None)


def _corrections(encoder: Encoder, recipe: Recipe, store: Store, split: Split) -> Float[Tensor, " R"] | None:
    """Return what logQ adds to the score of a negative, by table row, on the encoder's device; None without logQ.

    It depends on the split alone: only targets of training are counted.
    """
    config, max_len = recipe.next_track, recipe.data.max_len
    if not config.corrects:
        return None
    rows = Rows(np.asarray(store.tracks), visible_strength(store, split), config.targets, split.skip_at_least)
    if encoder.masked:
        counts = cloze_target_counts(rows, split, max_len, recipe.encoder.mask_share)
    else:
        counts = causal_target_counts(rows, split, max_len)
    expected = expected_draws((config.num_uniform, config.num_from_targets), len(split.negatives), counts)
    return torch.from_numpy(log_q(expected)).to(encoder.table.weight.device)


def _step_of(training: Training) -> TrainingStep:
    """Return the step of the device: `GraphStep` on CUDA with bf16, if the kernels take rows of this width."""
    device, encoder = training.candidates.device, training.encoder
    fits = encoder.width & (encoder.width - 1) == 0 and encoder.width <= WIDEST_KERNEL
    if training.data.histories is not None:  # padded attention waits for the host
        fits = fits and isinstance(encoder, TransformerEncoder) and flash_fits(encoder.width // encoder.config.heads)
    if not (device.type == "cuda" and training.bf16 and fits and HAS_TRITON):
        return TrainingStep(training)
    from segue.training.graph_step import GraphStep

    return GraphStep(training)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

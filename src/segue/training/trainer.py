"""Everything that changes while a run trains, and one step of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from segue.axes import Int
from segue.batches.counts import TrainingCounts, training_counts
from segue.batches.data import SessionData
from segue.batches.split import Split
from segue.batches.track_features import track_features
from segue.errors import FormatError
from segue.model import Encoder, Facts, build_model
from segue.model.inputs import TrackValues, check_inputs, load_side
from segue.recipes import Recipe
from segue.store import NUM_SPECIALS, Store
from segue.training.correction import corrections
from segue.training.optimisers import Optimisers
from segue.training.step import Training, TrainingStep, fits_graph, part_names

STREAM: Final = 2**32
"""Seeds lie below this; initialisation, batches and dropout draw from seeds of their own range."""
_MODEL: Final = "model."
_OPTIMISER: Final = "optimiser."


@dataclass(frozen=True)
class Place:
    """Where a run trains, and how exactly."""

    device: torch.device
    bf16: bool
    """Whether matrix products are rounded to bfloat16."""


class Trainer:
    """Encoder, optimisers, generators and running sums of one run."""

    def __init__(self, store: Store, split: Split, recipe: Recipe, computing: Place) -> None:
        """Prepare to train `recipe` on the training parts of `split`.

        Raises:
            InputError: the store lacks what an input of the recipe reads.
        """
        self.recipe, self.device = recipe, computing.device
        check_inputs(recipe.inputs, store)
        seed = recipe.training.seed
        encoder = build_model(recipe.model, store_facts(store, split, recipe), torch.Generator().manual_seed(seed))
        self.encoder: Encoder = encoder.to(computing.device)
        self.optimisers = Optimisers(self.encoder, recipe.training.learning_rate)
        self.generator = torch.Generator(computing.device).manual_seed(seed + STREAM)
        torch.manual_seed(seed + 2 * STREAM)  # dropout draws from the global generators, which `fit` forks
        self.data = SessionData.load(
            store, split, computing.device, load_side(recipe.inputs, store, split, computing.device)
        )
        self.names = ["loss", *part_names(recipe)]
        self.sums = torch.zeros(len(self.names), dtype=torch.float64, device=computing.device)
        candidates = torch.as_tensor(split.negatives.astype("int64"), device=computing.device)
        log_q = corrections(self.encoder, recipe, store, split)
        training = Training(
            self.encoder,
            recipe,
            self.data,
            candidates,
            self.optimisers,
            self.generator,
            self.sums,
            log_q,
            computing.bf16,
        )
        self._step = _step_for(training)

    def begin(self, order: Int[Tensor, " n"], num_steps: int) -> Int[Tensor, " n"]:
        """Return `order`, the sessions of the `num_steps` steps to come (on the CPU), where `step` reads it."""
        self.encoder.train()
        return self._step.prepare(order, num_steps)

    def step(self, index: Int[Tensor, " B"]) -> None:
        """Train on sessions `index`, a piece of what `begin` returned, and add the losses to `sums`."""
        self._step.step(index)

    def bring_up(self) -> None:
        """Bring the whole encoder up to date: validation and saved weights come after this."""
        self._step.hand_back()
        self.optimisers.bring_up()

    def finite(self) -> bool:
        """Return whether every loss since the epoch began was finite (waits for the device)."""
        return bool(torch.isfinite(self.sums).all())

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the encoder's state on the CPU."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.encoder.state_dict().items()}

    def weight_bytes(self) -> int:
        """Return the size of the weights in bytes."""
        tensors = itertools.chain(self.encoder.parameters(), self.encoder.buffers())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that continuing needs: named tensors, and numbers that are no tensors."""
        self._step.hand_back()
        optimiser, numbers = self.optimisers.state()
        tensors = {f"{_MODEL}{name}": value for name, value in self.encoder.state_dict().items()}
        tensors |= {f"{_OPTIMISER}{name}": value for name, value in optimiser.items()}
        tensors |= {"sums": self.sums, "random.batches": self.generator.get_state()}
        tensors |= {"random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Take back what `state` gave.

        Raises:
            FormatError: the tensors are those of another encoder.
        """
        try:
            self.encoder.load_state_dict(_under(tensors, _MODEL))
            self.optimisers.load(_under(tensors, _OPTIMISER), numbers)
            self.sums.copy_(tensors["sums"])
            self.generator.set_state(tensors["random.batches"])
            torch.set_rng_state(tensors["random.cpu"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise FormatError(f"the checkpoint does not fit its recipe ({error}); train again") from error
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)


def store_facts(store: Store, split: Split, recipe: Recipe) -> Facts:
    """Return what a model of `recipe` is told of a store: counts where heads read them, features of its tracks."""
    num_rows = store.num_tracks + NUM_SPECIALS
    counts = training_counts(store, split) if recipe.heads else TrainingCounts.nothing(num_rows)
    features = track_features(store)
    if features is None:
        return Facts(store.num_tracks, counts)
    trained = torch.from_numpy(split.training_counts > 0)
    trained[:NUM_SPECIALS] = True
    return Facts(store.num_tracks, counts, TrackValues(torch.from_numpy(features), trained))


def _step_for(training: Training) -> TrainingStep:
    """Return the step of the device: captured as a graph where that is possible."""
    if not fits_graph(training):
        return TrainingStep(training)
    from segue.training.graph_step import GraphStep

    return GraphStep(training)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

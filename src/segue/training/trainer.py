"""Everything that changes while a run trains, and one step of it."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from segue.batches.data import SessionData
from segue.batches.negatives import Drawn
from segue.batches.next_track import Full
from segue.batches.split import Split
from segue.columns import EARLIER_TRACKS
from segue.encoders import build_encoder
from segue.encoders.encoder import Encoder
from segue.errors import FormatError
from segue.recipes import Recipe
from segue.store import Store
from segue.training import cpu_step, packed_step
from segue.training.context import attach_context, attach_earlier
from segue.training.correction import corrections
from segue.training.features import attach_features, draw_key
from segue.training.heads import attach_heads
from segue.training.loss import loss_parts, make_example, part_names, total
from segue.training.next_track import draw_negatives, with_targets
from segue.training.optimisers import Optimisers
from segue.training.packed_step import PackedStep, Training
from segue.training.terms import TermDrawing, drawn_tracks

STREAM: Final = 2**32
"""Seeds lie below this; initialisation, batches and dropout draw from seeds of their own range."""
_MODEL: Final = "model."
_OPTIMISER: Final = "optimiser."


class Trainer:
    """Encoder, optimisers, generators and running sums of one run."""

    def __init__(
        self, store: Store, split: Split, recipe: Recipe, device: torch.device, *, bf16: bool, plain: bool = False
    ) -> None:
        """`plain`: take the reference path, which pads and goes step by step, where a fast one would do."""
        self.recipe, self.device, self._bf16 = recipe, device, bf16
        seed = recipe.training.seed
        sparse = not isinstance(recipe.next_track, Full)
        generator = torch.Generator().manual_seed(seed)
        encoder = build_encoder(
            recipe.encoder, store.num_tracks, recipe.data.max_len, sparse=sparse, generator=generator
        )
        attach_context(encoder, recipe, generator)
        attach_earlier(encoder, recipe, generator)
        attach_features(encoder, recipe, store, split, generator)
        attach_heads(encoder, recipe, store, split, generator)
        self.encoder: Encoder = encoder.to(device)
        self.optimisers = Optimisers(self.encoder, recipe.training.learning_rate)
        self.generator = torch.Generator(device).manual_seed(seed + STREAM)
        torch.manual_seed(seed + 2 * STREAM)  # dropout has no generator of its own; `fit` forks the global ones
        self.data = SessionData.load(store, split, device, recipe.data.context, recipe.data.earlier)
        self.candidates = torch.as_tensor(split.negatives.astype("int64"), device=device)
        self.log_q = corrections(self.encoder, recipe, store, split)
        """Added to the score of a negative, by table row, float32 [V + 3]; None = nothing."""
        self.names = ["loss", *part_names(recipe)]
        self.sums = torch.zeros(len(self.names), dtype=torch.float64, device=device)
        self._drawing = TermDrawing(recipe, self.data, masked=self.encoder.masked)
        self._fast = None if plain else self._packed_step()

    def begin(self, order: Tensor, num_steps: int) -> Tensor:
        """Return `order`, the sessions of the `num_steps` steps to come (int64, on the CPU), where `step` wants it."""
        self.encoder.train()
        return order if self._fast is None else self._fast.prepare(order, num_steps)

    def step(self, index: Tensor) -> None:
        """Train on sessions `index` (int64 [B], a piece of what `begin` returned) and add the losses to `sums`."""
        if self._fast is not None:
            self._fast.step(index)
        else:
            self._plain_step(index)

    def _packed_step(self) -> PackedStep | None:
        """Return the fast step of the device; None where there is none for this recipe, or Triton is missing."""
        training = Training(
            self.encoder, self.recipe, self.data, self.candidates, self.optimisers, self.generator, self.sums,
            self.log_q,
        )  # fmt: skip
        if self.device.type == "cpu":
            return cpu_step.CpuStep(training, bf16=self._bf16) if packed_step.fits(self.encoder, self.recipe) else None
        if not self._bf16 or importlib.util.find_spec("triton") is None:
            return None
        from segue.training import graph_step

        return graph_step.GraphStep(training) if graph_step.fits(self.encoder, self.recipe) else None

    def _plain_step(self, index: Tensor) -> None:
        length = self.recipe.data.max_len + (not self.encoder.masked)  # a causal window ends with a target
        window = self.data.training_window(index.to(self.device), length)
        negatives = draw_negatives(self.recipe, window, self.candidates, self.generator)
        example = make_example(self.encoder, self.recipe, window, self.generator)
        example = replace(example, drawn=self._drawing.draw(len(index), self.generator))
        negatives = with_targets(self.recipe, negatives, example, window, self.generator)
        if self.log_q is not None:
            negatives = Drawn(negatives.ids, self.log_q[negatives.ids])
        touched = [window.tracks.flatten(), negatives.ids.flatten(), *drawn_tracks(example.drawn)]
        if window.earlier:
            touched.append(window.earlier[EARLIER_TRACKS].flatten())
        features = self.encoder.features
        with self.optimisers.touching(torch.cat(touched)) as rows:
            if features is not None:
                features.key = draw_key(self.generator)
            parts = loss_parts(self.encoder, self.recipe, window, example, negatives, self._bf16)
        loss = total(parts)
        if features is not None:
            features.key = None
        self.optimisers.step(loss, self.recipe.training.clip, rows)
        self.sums += torch.stack([loss, *(value for _, value in parts.values())]).detach()

    def settle(self) -> None:
        """Bring the whole encoder up to date: validation and saved weights come after this."""
        if self._fast is not None:
            self._fast.hand_back()
        self.optimisers.settle()

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
        if self._fast is not None:
            self._fast.hand_back()
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


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""The training step as the sentences of the method say it: session by session, target by target, dense Adam.

`PlainStep` takes the same draws as the fast step of a device, and must reach the same losses and the same weights.
"""

from __future__ import annotations

import itertools
import math
from functools import reduce

import torch
from torch import Tensor

from segue import skips
from segue.batch import Batch, History
from segue.losses import Gbce
from segue.losses.next_track import GBCE_T
from segue.model.encoders.attention import AttentionConfig, PaddedAttention, visibility
from segue.model.encoders.lookback import LookbackEncoder
from segue.model.encoders.transformer import TransformerEncoder
from segue.model.heads import Predicted
from segue.objectives import Mixture
from segue.objectives.roles import Heard
from segue.objectives.softmax import LEAST_LEFT
from segue.objectives.variants import VARIANTS, VariantDraws, varied_skip_loss
from segue.training import step as step_module
from segue.training.step import BatchDraws, TrainingStep, part_weights
from segue.training.trainer import Trainer


class PlainStep(TrainingStep):
    """One training step after another; the track table is one dense parameter."""

    def __init__(self, fast: TrainingStep) -> None:
        super().__init__(fast.training)
        parameters = list(self.encoder.parameters())
        self.adam = torch.optim.Adam(parameters, lr=self.training.recipe.training.learning_rate)

    def train(self, index: Tensor, num_positions: int) -> None:
        drawn = self.draw(index, num_positions)
        with index.device:
            losses = self.plain_losses(drawn)
        weights = part_weights(self.training.recipe).values()
        loss = sum(weight * part for weight, part in zip(weights, losses, strict=True)) / sum(weights)
        self.adam.zero_grad()
        loss.backward()
        self.encoder.table.weight.grad[0] = 0.0
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), step_module.CLIP)
        self.adam.step()
        self.training.sums.add_(torch.stack([part.detach() for part in (loss, *losses)]))

    def row(self, drawn: BatchDraws, tracks: Tensor) -> Tensor:
        return self.encoder.track_rows(self.encoder.table.weight[tracks.long()], tracks, drawn.key)

    def plain_losses(self, drawn: BatchDraws) -> list[Tensor]:
        recipe, example = self.training.recipe, drawn.example
        states = torch.cat(
            [self.session_states(drawn, b) for b in range(example.batch.num_sessions)]
            + [torch.zeros(len(example.batch.tracks) - int(example.batch.offsets[-1]), self.encoder.width)]
        )
        at_least = recipe.data.skip_at_least
        listened, skipped = (f(example.target_feedback, at_least) for f in (skips.listened, skips.skipped))
        last = example.ids[: len(states)]
        rows = self.row(drawn, example.batch.tracks)
        predicted = Predicted(states, last, example.target, listened, skipped, example.batch, rows)
        heads = [self.encoder.heads[name] for name in recipe.heads]
        mixtures = [one for head in heads if (one := head.mixture(predicted)) is not None]
        mixture = reduce(Mixture.beside, mixtures) if mixtures else None
        losses = [self.next_track(drawn, states, mixture)]
        losses += [self.term(drawn, states, i) for i in range(len(recipe.terms))]
        losses += [head.loss(predicted, self.row(drawn, example.target)) for head in heads if head.has_loss]
        assert len(losses) == len(part_weights(recipe))
        return losses

    def history_states(self, drawn: BatchDraws, history: History) -> Tensor:
        """Return the states of all positions, sequence by sequence."""
        encoder, read, states = self.encoder, history.sequences, []
        assert isinstance(encoder, TransformerEncoder)
        for begin, end in itertools.pairwise(read.offsets.tolist()):
            if begin == end:
                continue
            side = {name: values[begin:end] for name, values in read.side.items()}
            parts = read.tracks[begin:end], read.feedback[begin:end], read.position[begin:end]
            alone = Batch(*parts, torch.tensor([0, end - begin]), end - begin, side)
            rows = encoder.with_inputs(alone, self.row(drawn, alone.tracks))
            states.append(encoder.encode(rows, alone.position, encoder.attention(alone)))
        return torch.cat(states)[history.place]

    def session_states(self, drawn: BatchDraws, b: int) -> Tensor:
        batch, encoder = drawn.example.batch, self.encoder
        begin, end = int(batch.offsets[b]), int(batch.offsets[b + 1])
        if batch.history is not None:
            return self.history_states(drawn, batch.history)[begin:end]
        alone = Batch(
            batch.tracks[begin:end],
            batch.feedback[begin:end],
            batch.position[begin:end],
            torch.tensor([0, end - begin]),
            end - begin,
            {name: values[begin:end] for name, values in batch.side.items()},
            {name: values[b : b + 1] for name, values in batch.session_side.items()},
        )
        if begin == end:
            return torch.zeros(0, encoder.width)
        rows = self.row(drawn, encoder.looked_up(alone))
        if isinstance(encoder, LookbackEncoder):
            return encoder.encode(rows[None])[0]
        assert isinstance(encoder, TransformerEncoder)
        if encoder.sees_padding:
            return encoder.padded_states(rows[None], alone.feedback[None], torch.ones(1, end - begin).bool())[0]
        everything = visibility(torch.ones(1, end - begin, dtype=torch.bool), causal=encoder.causal)
        attend = PaddedAttention(everything, AttentionConfig(encoder.config.heads, encoder.causal, 0.0))
        return encoder.encode(encoder.with_inputs(alone, rows)[None], alone.position[None], attend)[0]

    def next_track(self, drawn: BatchDraws, states: Tensor, mixture: Mixture | None) -> Tensor:
        losses, weights = [], []
        config, example = self.training.recipe.next_track, drawn.example
        for n, target in enumerate(example.target.tolist()):
            if target == 0:
                continue
            score = states[n] @ self.row(drawn, torch.tensor([target]))[0]
            tracks, scores = self.rival_scores(drawn, states, n)
            was_skipped = bool(skips.skipped(example.target_feedback[n], self.training.recipe.data.skip_at_least))
            if isinstance(config, Gbce):
                alpha = min(config.negatives / (self.encoder.num_tracks - 1), 1.0)
                beta = alpha * (GBCE_T * (1 - 1 / alpha) + 1 / alpha)
                wrong = sum(-torch.nn.functional.logsigmoid(-each) for each in scores)
                losses.append(wrong - beta * torch.nn.functional.logsigmoid(score))
            elif was_skipped and config.targets == "avoid_skipped":
                share = torch.softmax(torch.stack([score, *scores]), 0)[0]
                losses.append(-torch.log1p(-share))
            else:
                heard = self.heard_before(drawn, n) if mixture is not None and mixture.in_place else set()
                losses.append(softmax_loss(score, scores, mixture, n, [t in heard for t in [target, *tracks]]))
            weights.append(config.skipped_weight if was_skipped else 1.0)
        if not losses:
            return states.sum() * 0.0
        return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)

    def heard_before(self, drawn: BatchDraws, n: int) -> set[int]:
        """The tracks of the session up to position n, as the encoder reads them."""
        offsets = drawn.example.batch.offsets
        begin = int(offsets[int((offsets <= n).sum()) - 1])
        return {track for track in drawn.example.batch.tracks[begin : n + 1].tolist() if track >= 3}

    def rival_scores(self, drawn: BatchDraws, states: Tensor, n: int) -> tuple[list[int], list[Tensor]]:
        """The tracks that the target of position n is compared with, and their scores."""
        config, example, log_q = self.training.recipe.next_track, drawn.example, self.training.log_q
        target = int(example.target[n])
        session = int((example.batch.offsets <= n).sum()) - 1
        if config.reads_table:
            tracks = [t for t in range(3, self.encoder.num_tracks + 3) if t != target]
            log_q = None
        elif config.num_per_session:
            tracks = drawn.negatives[session].tolist()
        else:
            tracks = [t for t in drawn.negatives.tolist() if t != target]
        scores = self.row(drawn, torch.tensor(tracks)) @ states[n]
        if log_q is not None and not config.reads_table:
            scores = scores + log_q[torch.tensor(tracks)]
        scores = list(scores)
        if config.own_skips:
            window, at_least = example.window, self.training.recipe.data.skip_at_least
            pairs = list(zip(window.tracks[session].tolist(), window.feedback[session].tolist(), strict=True))
            also_listened = {t for t, code in pairs if t and code < at_least}
            skipped = [t for t, code in pairs if t and at_least <= code <= 3 and t not in also_listened and t != target]
            scores += [states[n] @ self.row(drawn, torch.tensor([t]))[0] for t in skipped]
            tracks = tracks + skipped
        return tracks, scores

    def term(self, drawn: BatchDraws, states: Tensor, i: int) -> Tensor:
        term, draws = self.training.recipe.terms[i], drawn.terms[i]
        window, at_least = drawn.example.window, self.training.recipe.data.skip_at_least
        rows = self.row(drawn, window.tracks)
        context = rows if term.context == "track" else self.window_states(drawn, states)
        valid = window.tracks > 0
        skipped = (window.feedback >= at_least) & (window.feedback <= 3) & valid
        heard = Heard(window.tracks, skipped, (window.feedback < at_least) & valid)
        random = VariantDraws(draws.keys, None if draws.tracks is None else self.row(drawn, draws.tracks))
        return varied_skip_loss(context, rows, heard, VARIANTS[term.variant], random, term.temperature)

    def window_states(self, drawn: BatchDraws, states: Tensor) -> Tensor:
        batch, window = drawn.example.batch, drawn.example.window
        result = []
        for b in range(len(window.tracks)):
            session = states[int(batch.offsets[b]) : int(batch.offsets[b + 1])]
            missing = window.tracks.shape[1] - len(session)
            result.append(torch.cat([session, torch.zeros(missing, states.shape[1])]))
        return torch.stack(result)


def softmax_loss(score: Tensor, scores: list[Tensor], mixture: Mixture | None, n: int, left_out: list[bool]) -> Tensor:
    """-log of the target's share; with a mixture, of the share that both distributions give it.

    `left_out`: which of target and rivals have the mixture's mass alone. At least LEAST_LEFT of the rivals counts. The
    encoder's own loss leaves such rivals out as well, but no target.
    """
    if mixture is None:
        return torch.logsumexp(torch.stack([score, *scores]), 0) - score
    gate, log_share = mixture.gate[n], mixture.log_share[n]
    rivals = torch.logsumexp(torch.stack(scores), 0)
    counted = [each for each, out in zip(scores, left_out[1:], strict=True) if not out]
    least = rivals + math.log(LEAST_LEFT)
    rivals = torch.maximum(torch.logsumexp(torch.stack(counted), 0), least) if counted else least
    target = [] if left_out[0] else [score]
    whole = torch.logsumexp(torch.stack([*target, rivals, gate]), 0)
    mixed = whole - torch.logsumexp(torch.stack([*target, gate + log_share]), 0)
    return mixed + mixture.own_weight * (torch.logaddexp(score, rivals) - score)


def assert_same_training(fast: Trainer, plain: Trainer) -> None:
    """Losses, weights and the state of the generator are the same.

    Adam makes a full step along a gradient that rounding alone decides, so that a few weights in a thousand may differ
    by part of a step.
    """
    torch.testing.assert_close(fast.sums, plain.sums, rtol=1e-5, atol=1e-6)
    assert fast.sums.isfinite().all()
    for name, value in plain.weights().items():
        if value.is_floating_point():
            difference = (fast.weights()[name] - value).abs()
            assert difference.max() < 1e-3, name
            assert (difference > 1e-4 + 1e-3 * value.abs()).float().mean() < 2e-3, name
    assert torch.equal(fast.generator.get_state(), plain.generator.get_state())


def taken_plainly(trainer: Trainer) -> Trainer:
    """Return the trainer with the plain step in place of its own."""
    trainer._step = PlainStep(trainer._step)
    return trainer


__all__ = ["PlainStep", "assert_same_training", "taken_plainly"]

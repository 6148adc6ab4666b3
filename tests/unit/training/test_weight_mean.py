"""The mean of weights over epochs: its formula, what it leaves alone, and its state."""

from __future__ import annotations

import pytest
import torch

from segue.model import Encoder
from segue.model.encoders.causal import CausalConfig
from segue.training.weight_mean import WeightMean
from support.small_models import encoder_of

SHARE = 0.6


@pytest.fixture
def encoder() -> Encoder:
    return encoder_of(CausalConfig(width=8, heads=2, ffn_width=8), 10, 6)


def moved(encoder: Encoder, epoch: int) -> dict[str, torch.Tensor]:
    """Return the weights of an epoch, which it sets."""
    generator = torch.Generator().manual_seed(epoch)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return {name: value.detach().clone() for name, value in encoder.named_parameters()}


def weights(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in encoder.named_parameters()}


def test_the_mean_follows_its_formula_and_the_encoder_keeps_its_own_weights(encoder: Encoder) -> None:
    mean, expected = WeightMean(encoder, SHARE), dict[str, torch.Tensor]()
    for epoch in range(6):
        own = moved(encoder, epoch)
        share = min(SHARE, epoch / (epoch + 1))  # 0, 1/2, then SHARE
        expected = {name: share * expected.get(name, value) + (1 - share) * value for name, value in own.items()}
        with mean.taken(epoch) as validated:
            torch.testing.assert_close(weights(validated), expected)
        assert all(torch.equal(value, own[name]) for name, value in weights(encoder).items())


def test_an_epoch_counts_once(encoder: Encoder) -> None:
    """A run that was interrupted while it validated validates again."""
    mean = WeightMean(encoder, SHARE)
    for epoch in (0, 1, 1, 1):
        moved(encoder, epoch)
        with mean.taken(epoch):
            found = weights(encoder)
    zero, one = moved(encoder, 0), moved(encoder, 1)
    torch.testing.assert_close(found, {name: (zero[name] + one[name]) / 2 for name in zero})


def test_weights_come_back_after_an_error(encoder: Encoder) -> None:
    mean = WeightMean(encoder, SHARE)
    with mean.taken(0):
        pass
    own = moved(encoder, 5)
    with pytest.raises(KeyboardInterrupt), mean.taken(1):
        raise KeyboardInterrupt
    assert all(torch.equal(value, own[name]) for name, value in weights(encoder).items())


def test_without_a_share_nothing_is_kept(encoder: Encoder) -> None:
    mean, own = WeightMean(encoder, 0.0), moved(encoder, 1)
    with mean.taken(0) as same:
        assert all(torch.equal(value, own[name]) for name, value in weights(same).items())
    assert mean.state() == {}


def test_a_loaded_mean_goes_on_as_the_saved_one(encoder: Encoder) -> None:
    mean = WeightMean(encoder, SHARE)
    for epoch in range(3):
        moved(encoder, epoch)
        with mean.taken(epoch):
            pass
    loaded = WeightMean(encoder, SHARE)
    loaded.load({name: value.clone() for name, value in mean.state().items()})
    moved(encoder, 3)
    found = []
    for each in (mean, loaded):
        with each.taken(3):
            found.append(weights(encoder))
    torch.testing.assert_close(found[0], found[1], rtol=0.0, atol=0.0)
    with pytest.raises(KeyError):
        loaded.load({})

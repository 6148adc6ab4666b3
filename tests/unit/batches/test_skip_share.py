"""A dose of skips: a random part of the training skips is read as unknown, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue import skips
from segue.batches.data import SessionData
from segue.batches.split import DataConfig, split_store
from support.stores import tiny_store


@pytest.mark.parametrize(("share", "at_least"), [(0.15, 2), (0.3, 2), (0.3, 1), (0.15, 3)])
def test_training_skips_are_thinned_to_the_share_and_no_other_row_is_touched(
    tmp_path: Path, share: float, at_least: int
) -> None:
    store, config = tiny_store(tmp_path / "store", sessions=300), DataConfig(skip_share=share, skip_at_least=at_least)
    whole, thinned = (split_store(store, each) for each in (replace(config, skip_share=0.0), config))
    before, after = (SessionData.load(store, split, "cpu").feedback.numpy() for split in (whole, thinned))
    rows = thinned.training_rows
    skipped, listened = skips.skipped(after[rows], at_least).sum(), skips.listened(after[rows], at_least).sum()
    assert share - 0.01 < skipped / (skipped + listened) <= share
    changed = np.flatnonzero(before != after)
    np.testing.assert_array_equal(changed, thinned.hidden)
    assert np.isin(changed, rows).all()
    assert skips.skipped(before[changed], at_least).all()
    assert (after[changed] == skips.FEEDBACK_UNKNOWN).all()
    again = split_store(store, config)
    np.testing.assert_array_equal(again.hidden, thinned.hidden)
    other = split_store(store, replace(config, sample_seed=1))
    assert not np.array_equal(other.hidden, thinned.hidden)


def test_a_share_above_the_data_hides_nothing(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    assert len(split_store(store, DataConfig(skip_share=0.99)).hidden) == 0
    assert len(split_store(store, DataConfig()).hidden) == 0


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="skip_share"):
        DataConfig(skip_share=share)

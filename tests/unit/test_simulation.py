"""The simulator: calibrated, repeatable, and its worlds are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from segue.api.prepare import prepare_mssd
from segue.columns import MSSD_FEATURES, MSSD_LOG, ORACLE_P_LISTEN, ORACLE_P_LISTEN_COMMON
from segue.errors import InputError
from segue.events.sinks.mssd import write_mssd
from segue.simulation import WORLDS, SimulatedLog, SimulationConfig, calibration, config_of, simulate, write_store
from segue.store import Store

SIZE = {"sessions": 10_000, "tracks": 50_704}


@pytest.fixture(scope="module")
def full() -> SimulatedLog:
    return simulate(SimulationConfig(**SIZE))


def test_top_tracks_cover_what_the_aggregates_say_at_scaled_ranks(full: SimulatedLog) -> None:
    plays = np.sort(np.bincount(full.track))[::-1].cumsum() / len(full.track)
    for share, rank in calibration.PLAYS_COVERED_BY_TOP:
        scaled = rank * SIZE["tracks"] / calibration.NUM_TRACKS
        if scaled >= 5:  # below, one track more or less is more than the tolerance
            assert abs(plays[round(scaled) - 1] - share) < 0.03, (share, rank)


def test_lengths_and_skip_rates_are_calibrated(full: SimulatedLog) -> None:
    lengths = np.bincount(np.diff(full.offsets), minlength=21)[10:] / SIZE["sessions"]
    expected = np.array(list(calibration.SESSION_LENGTH_COUNTS.values()), dtype=np.float64)
    assert np.abs(lengths - expected / expected.sum()).max() < 0.02
    rates = {k: float((full.strength == k).mean()) for k in (0, 1, 2, 3, 255)}
    assert abs(rates[2] + rates[3] - calibration.SKIP_2_RATE) < 0.03
    assert 0.01 < rates[255] < 0.03


def test_p_listen_is_calibrated_to_what_was_listened_to(full: SimulatedLog) -> None:
    truth, skipped = full.event[ORACLE_P_LISTEN], np.isin(full.strength, (2, 3))
    bins = np.digitize(truth, np.linspace(0.1, 0.9, 9))
    for b in range(10):
        inside = bins == b
        if inside.sum() > 2000:
            assert abs((~skipped[inside]).mean() - truth[inside].mean()) < 0.04


def test_features_explain_at_most_thirty_percent(full: SimulatedLog) -> None:
    assert 0.05 < full.catalogue.explained <= 0.30


def test_held_out_rows_alone_have_the_truth_of_the_common_context(full: SimulatedLog) -> None:
    known = np.flatnonzero(~np.isnan(full.event[ORACLE_P_LISTEN_COMMON]))
    last = full.offsets[1:] - 1
    assert np.array_equal(known, np.sort(np.concatenate([last - 1, last])))


def test_in_null_skips_depend_on_nothing() -> None:
    log = simulate(SimulationConfig(**SIZE, world="null"))
    truth = log.event[ORACLE_P_LISTEN]
    assert float(truth.max() - truth.min()) == 0.0


@pytest.mark.parametrize("world", ["null", "track", "state", "no-reaction"])
def test_where_skips_move_nothing_the_tracks_are_the_same(world: str) -> None:
    config = SimulationConfig(sessions=400, tracks=2000, world=world)
    other = SimulationConfig(sessions=400, tracks=2000, world="null")
    assert np.array_equal(simulate(config).track, simulate(other).track)


@pytest.mark.parametrize("world", ["full", "taste"])
def test_where_skips_move_the_session_the_tracks_differ(world: str) -> None:
    config = SimulationConfig(sessions=400, tracks=2000, world=world)
    null = SimulationConfig(sessions=400, tracks=2000, world="null")
    assert not np.array_equal(simulate(config).track, simulate(null).track)


def test_equal_configs_give_equal_logs_and_seeds_matter() -> None:
    config = SimulationConfig(sessions=300, tracks=2000)
    one, two = simulate(config), simulate(config)
    assert np.array_equal(one.track, two.track)
    assert np.array_equal(one.strength, two.strength)
    assert not np.array_equal(one.track, simulate(SimulationConfig(sessions=300, tracks=2000, seed=2)).track)


def test_the_store_of_a_log_equals_the_prepared_log(tmp_path: Path) -> None:
    log = simulate(SimulationConfig(sessions=300, tracks=2000))
    write_mssd(log, tmp_path / "log")
    write_store(log, tmp_path / "direct")
    prepare_mssd(tmp_path / "log", tmp_path / "prepared")
    direct, prepared = Store(tmp_path / "direct"), Store(tmp_path / "prepared")
    direct.verify()
    assert np.array_equal(direct.session_key, prepared.session_key)
    assert np.array_equal(direct.tracks, prepared.tracks)
    assert np.array_equal(direct.strength, prepared.strength)
    assert np.array_equal(direct.offsets, prepared.offsets)
    for column in direct.manifest.side:
        assert prepared.side_column(column.name) == column
        assert np.array_equal(direct.side(column.name), prepared.side(column.name), equal_nan=column.dtype == "float32")
    assert prepared.simulated
    assert prepared.manifest.source.simulated["config_hash"] == log.summary["config_hash"]


def test_the_log_has_the_official_columns_and_nested_flags(tmp_path: Path) -> None:
    write_mssd(simulate(SimulationConfig(sessions=200, tracks=2000)), tmp_path / "log")
    files = sorted((tmp_path / "log" / "training_set").iterdir())
    frame = pl.concat([pl.read_csv(file) for file in files])
    assert tuple(frame.columns) == MSSD_LOG
    assert frame.select((pl.col("skip_1") & ~pl.col("skip_2")).any()).item() is False
    assert frame.select((pl.col("skip_2") & ~pl.col("skip_3")).any()).item() is False
    assert frame.select((pl.col("skip_3") & pl.col("not_skipped")).any()).item() is False
    features = pl.read_csv(next((tmp_path / "log" / "track_features").iterdir()))
    assert tuple(features.columns) == MSSD_FEATURES


@pytest.mark.parametrize("wrong", [{"world": "nowhere"}, {"sessions": 0}, {"tracks": 10}, {"seed": -1}])
def test_a_wrong_size_or_world_is_refused_in_words(wrong: dict[str, object]) -> None:
    values = {"sessions": 10, "tracks": 2000, "seed": 1, "world": "full"} | wrong
    with pytest.raises(InputError, match="simulate"):
        config_of(**values)  # type: ignore[arg-type]


def test_every_world_has_a_description_and_runs() -> None:
    for world, text in WORLDS.items():
        assert len(text) > 10
        assert len(simulate(SimulationConfig(sessions=20, tracks=1000, world=world)).track) > 0

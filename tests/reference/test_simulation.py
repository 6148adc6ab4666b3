"""The simulator: calibrated, repeatable, and its worlds are what they say."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from segue.columns import MSSD_FEATURES, MSSD_LOG, ORACLE_P_LISTEN, ORACLE_P_LISTEN_COMMON
from segue.data.mssd_writer import write_mssd
from segue.errors import InputError
from segue.simulation import (
    SIMULATOR_VERSION,
    WORLDS,
    SimulatedLog,
    SimulationConfig,
    calibration,
    compare,
    config_of,
    listening,
    simulate,
    write_store,
)
from segue.simulation.behaviour import START_AFTER
from segue.simulation.listening import make_listeners
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare

SIZE = {"sessions": 10_000, "tracks": 50_704}


@pytest.fixture(scope="module")
def full() -> SimulatedLog:
    return simulate(SimulationConfig(**SIZE))


def test_the_full_world_is_within_every_tolerance_of_the_aggregates(full: SimulatedLog) -> None:
    compared = compare(full)
    assert [row for row in compared["rows"] if row["ok"] is False] == []
    assert sum(row["ok"] is True for row in compared["rows"]) == 11 + 5 + 6 + 6
    assert compared["ok"]


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_lengths_flags_and_popularity_are_calibrated_in_every_world(world: str) -> None:
    rows = compare(simulate(SimulationConfig(**SIZE, world=world, seed=2)))["rows"]
    assert [row for row in rows if row["ok"] is False] == []
    assert sum(row["ok"] is True for row in rows) >= 11 + 5 + 6


def test_a_log_that_is_not_calibrated_is_told(full: SimulatedLog) -> None:
    wrong = dataclasses.replace(full, strength=np.where(full.track % 2 == 0, 3, full.strength).astype(np.uint8))
    rows = {row["statistic"]: row for row in compare(wrong)["rows"]}
    assert not compare(wrong)["ok"]
    assert rows["skip_2"]["ok"] is False
    assert rows["SD of true skip rates"]["ok"] is False
    assert rows["sessions of 20"]["ok"] is True


def test_top_tracks_cover_what_the_aggregates_say_at_scaled_ranks(full: SimulatedLog) -> None:
    plays = np.sort(np.bincount(full.track))[::-1].cumsum() / len(full.track)
    for share, rank in calibration.PLAYS_COVERED_BY_TOP:
        scaled = rank * SIZE["tracks"] / calibration.NUM_TRACKS
        if scaled >= 5:  # below, one track more or less is more than the tolerance
            assert abs(plays[round(scaled) - 1] - share) < 0.03, (share, rank)


def test_the_shipped_skip_rates_are_those_that_the_histogram_implies() -> None:
    """Mixture of binomials, by expectation maximisation, with SciPy's probabilities."""
    seen = np.array(calibration.TRACKS_BY_SKIP_PERCENT) / calibration.NUM_TRACKS
    rates, few, often = np.arange(0.005, 1, 0.01), np.zeros((100, 101)), np.zeros((100, 101))
    for plays, share in _plays_of_tracks():
        skipped = np.arange(plays + 1)
        chance = binom.pmf(skipped[None], plays, rates[:, None])
        into = few if plays < 100 else often
        np.add.at(into.T, np.floor(100 * skipped / plays + 1e-9).astype(int), share * chance.T)
    below, above = np.full(100, 0.01), np.full(100, 0.01)
    for _ in range(1000):
        ratio = seen / (below @ few + above @ often)
        below, above = below * (few @ ratio) / few.sum(1), above * (often @ ratio) / often.sum(1)
        below, above = below / below.sum(), above / above.sum()
    assert np.abs(seen - below @ few - above @ often).sum() / 2 < 0.011
    assert np.allclose(above.reshape(20, 5).sum(1), calibration.TRACK_SKIP_RATE_MASS, atol=2e-5)


def _plays_of_tracks() -> list[tuple[int, float]]:
    """Return (plays, share of tracks), those of 200 plays or more on a grid."""
    exact = np.array(calibration.TRACKS_WITH_N_PLAYS) / calibration.NUM_TRACKS
    share, most = np.array(calibration.PLAYS_PER_TRACK_QUANTILES).T
    logs, shares = np.log(np.append(10.5, most + 0.5)), np.append(exact.sum(), share)
    grid = [*range(11, 200), *np.unique(np.geomspace(200, 3000, 40).round()).astype(int).tolist()]
    edges = np.append(np.interp(np.log(np.array(grid) - 0.5), logs, shares), 1.0)
    return [*enumerate(exact.tolist(), 1), *zip(grid, np.diff(edges).tolist(), strict=True)]


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


def test_in_no_reaction_what_is_played_and_what_is_liked_are_drawn_apart() -> None:
    catalogue = simulate(SimulationConfig(sessions=1, tracks=2000)).catalogue
    apart = make_listeners(20_000, catalogue, "no-reaction", np.random.default_rng(0))
    joined = make_listeners(20_000, catalogue, "full", np.random.default_rng(0))
    assert np.array_equal(apart.home, joined.home)
    assert np.array_equal(joined.home, joined.taste)
    chance = np.square(np.bincount(joined.home, minlength=64) / 20_000).sum()
    assert abs((apart.home == apart.taste).mean() - chance) < 0.01


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


def test_the_hash_tells_configs_and_constants_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {
        simulate(SimulationConfig(sessions=5, tracks=200, seed=seed)).summary["config_hash"] for seed in (1, 1, 2)
    }
    assert len(hashes) == 2
    monkeypatch.setattr(listening, "REPEAT", 0.05)
    assert simulate(SimulationConfig(sessions=5, tracks=200)).summary["config_hash"] not in hashes


def test_the_frozen_version_keeps_its_bytes() -> None:
    """Raise SIMULATOR_VERSION, and say what changed, where this fails: scores of models refer to these bytes."""
    log = simulate(SimulationConfig(sessions=300, tracks=2000))
    digest = hashlib.blake2b(log.track.tobytes() + log.strength.tobytes(), digest_size=8).hexdigest()
    assert (SIMULATOR_VERSION, digest, log.summary["config_hash"]) == (2, "8e2e40f13f949566", "9500912c60de9edd")


def test_the_store_of_a_log_equals_the_prepared_log(tmp_path: Path) -> None:
    log = simulate(SimulationConfig(sessions=300, tracks=2000))
    write_mssd(log, tmp_path / "log")
    write_store(log, tmp_path / "direct")
    prepare(tmp_path / "log", tmp_path / "prepared", PrepareOptions(source="mssd"))
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


def test_plays_begin_and_end_as_their_skips_and_neighbours_say(full: SimulatedLog) -> None:
    first = np.zeros(len(full.track), np.bool_)
    first[full.offsets[:-1]] = True
    done = full.behaviour(0, SIZE["sessions"])
    start, end = done["hist_user_behavior_reason_start"], done["hist_user_behavior_reason_end"]
    assert np.array_equal(end == "trackdone", np.isin(full.strength, (0, 255)))
    assert all(start[1:][i] == START_AFTER[end[i]] for i in np.flatnonzero(~first[1:])[:5000].tolist())
    for values, counts in ((start, calibration.REASON_START_COUNTS), (end, calibration.REASON_END_COUNTS)):
        for name, count in counts.items():
            assert abs((values == name).mean() - count / sum(counts.values())) < 0.02, name
    pauses = sum(done[f"{name}_pause_before_play"] for name in ("no", "short", "long"))
    assert (pauses == 1).all()
    assert 0.01 < done["hist_user_behavior_n_seekfwd"].mean() < 0.1
    assert 0 < done["context_switch"].mean() < 0.1


def test_what_listeners_did_repeats(full: SimulatedLog) -> None:
    one, two = full.behaviour(100, 200), full.behaviour(100, 200)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert len(one["context_switch"]) == full.offsets[200] - full.offsets[100]


@pytest.mark.parametrize("wrong", [{"world": "nowhere"}, {"sessions": 0}, {"tracks": 10}, {"seed": -1}])
def test_a_wrong_size_or_world_is_refused_in_words(wrong: dict[str, object]) -> None:
    values = {"sessions": 10, "tracks": 2000, "seed": 1, "world": "full"} | wrong
    with pytest.raises(InputError, match="simulate"):
        config_of(**values)  # type: ignore[arg-type]


def test_every_world_has_a_description_and_runs() -> None:
    for world, text in WORLDS.items():
        assert len(text) > 10
        assert len(simulate(SimulationConfig(sessions=20, tracks=1000, world=world)).track) > 0

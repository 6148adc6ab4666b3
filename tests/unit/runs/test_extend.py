"""A run takes in tracks that came after training; what it knew before stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.errors import FormatError, InputError
from segue.model.encoders.encoder import unit
from segue.model.heads import TransitionsHead
from segue.model.inputs.features import FeaturesInput
from segue.runs import LoadedRun, RunFolder, load_run
from segue.runs.extending import serving
from segue.store import Store, Vocabulary
from segue.training import fit
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.extend import ExtendOptions, extend
from segue.verbs.recommender import load
from support.small_recipes import small_recipe
from support.stores import tiny_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return tiny_store(tmp_path / "store", tracks=60, rich=True)


@pytest.fixture
def run(tmp_path: Path, store: Store) -> Path:
    recipe = small_recipe(
        "segue",
        inputs__features=True,
        heads__transitions=True,
        heads__listen=True,
        training__epochs=2,
        next_track__uniform=16,
        next_track__batch=16,
    )
    fit(store, tmp_path / "run", recipe)
    RunFolder.open(tmp_path / "run").save_ranking({"listen_weight": 0.0, "neighbours": {"mass": 30.0}})
    return tmp_path / "run"


def _table(path: Path, store: Store, like: list[int], names: list[str]) -> Path:
    """Write a table of tracks `names` with the features of tracks `like`."""
    values = store.track_array("features")
    assert values is not None
    header = ",".join(["track_id", "title", *store.manifest.feature_names])
    lines = [
        ",".join([f'"{name}"', f"New {name[:1]}", *("" if np.isnan(x) else repr(float(x)) for x in values[place])])
        for name, place in zip(names, like, strict=True)
    ]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def _scores(run: Path, session: list[str]) -> dict[str, float]:
    found = load(run).recommend(session, ["listened", "skip"], k=1000)
    return {str(entry["track"]): float(entry["score"]) for entry in found}


def test_known_tracks_keep_their_scores_and_new_ones_have_those_of_their_features(
    tmp_path: Path, store: Store, run: Path
) -> None:
    ids = store.vocabulary.texts(range(store.num_tracks))
    session, before = [ids[4], ids[5]], _scores(run, [ids[4], ids[5]])
    names = ["a first", "zz last", ids[7] + "x", "=1+1", "ein Lied, \u00fc"]
    found = extend(run, ExtendOptions(_table(tmp_path / "new.csv", store, [1, 1, 2, 3, 4], names)))
    assert (found.added, found.num_old, found.without_features, found.tracks) == (5, 0, 0, 65)
    after = _scores(run, session)
    assert set(after) == set(before) | set(names)
    assert {track: after[track] for track in before} == pytest.approx(before, abs=1e-12)
    assert after["a first"] == after["zz last"]
    assert after["a first"] != after["=1+1"]
    loaded, trained = load_run(serving(run)), load_run(run)
    row = loaded.vocabulary.row("a first")
    features = trained.encoder.inputs["features"]
    assert isinstance(features, FeaturesInput)
    projected = features.project(features.values[torch.tensor([1 + 3])])
    assert loaded.encoder.ranked_rows()[row].tolist() == pytest.approx(unit(projected[0]).tolist())
    assert loaded.training_counts[row] == 0
    assert loaded.training_counts.sum() == trained.training_counts.sum()


def test_a_run_of_listeners_keeps_its_scores_too(tmp_path: Path, store: Store) -> None:
    """One that reads histories and ranks tracks without a training row, after plays of some of these and new ones."""
    recipe = small_recipe(
        "segue",
        **{"inputs__features": True, "heads__repeats": True, "heads__listen": True, "training__epochs": 1},
        **{"data__split": "chronological", "data__vocabulary": "catalogue", "data__history": 12},
    )
    run = tmp_path / "run"
    fit(store, run, recipe)
    RunFolder.open(run).save_ranking({"listen_weight": 0.5, "listen": {"own_listens": 0.3, "own_skips": -0.4}})
    untrained = load_run(run).encoder.untrained
    assert untrained is not None
    assert bool(untrained[3:].any())
    ids, fresh = store.vocabulary.texts(range(store.num_tracks)), ["a first", "zz last"]
    earlier = [(ids[place], "skip" if place % 3 else "listened") for place in range(9, 30)]
    earlier.append((ids[int(torch.nonzero(untrained[3:])[0])], "listened"))

    def scores(plays: list[tuple[str, str]]) -> dict[str, float]:
        found = load(run).recommend(ids[4:6], ["listened", "skip"], k=1000, earlier=plays)
        return {str(entry["track"]): float(entry["score"]) for entry in found}

    before = scores(earlier)
    extend(run, ExtendOptions(_table(tmp_path / "new.csv", store, [1, 2], fresh)))
    after = scores(earlier)
    assert set(after) == set(before) | set(fresh)
    assert {track: after[track] for track in before} == pytest.approx(before, abs=1e-9)
    again = scores([*earlier, ("zz last", "listened")])
    assert again["zz last"] > after["zz last"]


def test_new_tracks_are_read_too(tmp_path: Path, store: Store, run: Path) -> None:
    extend(run, ExtendOptions(_table(tmp_path / "new.csv", store, [1, 9], ["new one", "new two"])))
    recommender = load(run)
    assert recommender.unknown(["new one", "other"]) == ["other"]
    lists = [recommender.recommend([track], k=5) for track in ("new one", "new two")]
    assert [x["score"] for x in lists[0]] != [x["score"] for x in lists[1]]


def test_a_run_is_extended_again_and_measured_as_it_was_trained(tmp_path: Path, store: Store, run: Path) -> None:
    measured = evaluate(run, store, EvaluateOptions(model_only=True)).to_json()
    extend(run, ExtendOptions(_table(tmp_path / "new.csv", store, [1], ["new one"])))
    second = extend(
        run, ExtendOptions(_table(tmp_path / "more.csv", store, [1, 2, 3], ["new two", "a new three", "new one"]))
    )
    assert (second.added, second.num_old, second.tracks) == (2, 1, 63)
    scores = _scores(run, store.vocabulary.texts([4, 5]))
    assert scores["new one"] == scores["new two"]
    assert evaluate(run, store, EvaluateOptions(model_only=True)).to_json() == measured
    assert load(run)._run.environment["extended"] == {"tracks": 3}
    with pytest.raises(InputError, match="the run that it extends"):
        evaluate(run / "extended", store)
    titles = load(run)._run.titles
    assert titles is None or len(titles) == 63


def test_transitions_go_with_their_tracks(tmp_path: Path, store: Store, run: Path) -> None:
    before = load_run(run)
    extend(run, ExtendOptions(_table(tmp_path / "new.csv", store, [1, 2], ["a", "t0020x"])))
    after = load_run(serving(run))

    def named(loaded: LoadedRun, vocabulary: Vocabulary) -> set[tuple[str, str, int]]:
        head = loaded.encoder.heads["transitions"]
        assert isinstance(head, TransitionsHead)
        rows, names = len(head.followed), vocabulary.track_id
        return {
            (names(int(pair) // rows), names(int(pair) % rows), int(times))
            for pair, times in zip(head.pairs, head.times, strict=True)
        }

    assert named(after, after.vocabulary) == named(before, before.vocabulary)


def test_sessions_of_tracks_that_the_vocabulary_lacks_are_refused(tmp_path: Path, store: Store, run: Path) -> None:
    folder = RunFolder.open(run)
    weights, document = folder.weights("best")
    weights["heads.neighbours.tracks"][0] = 10**6
    folder.save_weights("best", weights, document)
    with pytest.raises(FormatError, match="do not fit its vocabulary"):
        extend(run, ExtendOptions(_table(tmp_path / "new.csv", store, [1], ["new"])))


def test_what_cannot_be_extended_is_told(tmp_path: Path, store: Store, run: Path) -> None:
    plain = tmp_path / "plain"
    fit(tiny_store(tmp_path / "bare", tracks=60), plain, small_recipe("segue", training__epochs=1))
    table = _table(tmp_path / "new.csv", store, [1], ["new"])
    with pytest.raises(InputError, match="without features"):
        extend(plain, ExtendOptions(table))
    with pytest.raises(FormatError, match="not a run"):
        extend(tmp_path, ExtendOptions(table))
    (tmp_path / "other.csv").write_text("track_id,colour\nnew,blue\n", encoding="utf-8")
    with pytest.raises(InputError, match="none of the features"):
        extend(run, ExtendOptions(tmp_path / "other.csv"))
    (tmp_path / "nameless.csv").write_text("colour\nblue\n", encoding="utf-8")
    with pytest.raises(InputError, match="no track id column"):
        extend(run, ExtendOptions(tmp_path / "nameless.csv"))
    with pytest.raises(InputError, match="does not exist"):
        extend(run, ExtendOptions(tmp_path / "missing.csv"))
    lacking = tmp_path / "lacking.csv"
    lacking.write_text(f"track_id,{store.manifest.feature_names[0]}\nnew,\nother,1.5\n", encoding="utf-8")
    found = extend(run, ExtendOptions(lacking))
    assert (found.added, found.without_features) == (1, 1)
    (run / "features.json").write_text('{"names": ["a"], "mean": [], "spread": []}', encoding="utf-8")
    (run / "extended" / "features.json").unlink()
    with pytest.raises(InputError, match="train it again"):
        extend(run, ExtendOptions(table))

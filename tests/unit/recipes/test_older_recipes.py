"""Recipes of older versions are read, or refused with what replaces a key or the commit that has it."""

from __future__ import annotations

import pytest

from segue.config import dump_toml, parse_toml
from segue.errors import InputError
from segue.model.inputs.context import ContextConfig
from segue.model.inputs.features import FeaturesConfig
from segue.model.inputs.feedback_codes import FeedbackConfig
from segue.recipes import load_recipe, recipe_from_tables
from segue.recipes.older import MERGED, REMOVED


def old_file(path, version, **sections):
    """Write a recipe of an older version: the lines of its sections by name."""
    parts = {"encoder": 'kind = "causal"', "next_track": 'kind = "shared"'}
    for name, lines in sections.items():
        parts[name] = parts.get(name, "") + f"\n{lines}"
    terms = parts.pop("terms", None)
    text = "".join(f"[{name.replace('__', '.')}]\n{lines}\n" for name, lines in parts.items())
    text += f'[[terms]]\nkind = "skip_contrastive"{terms}\n' if terms else ""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"recipe_version = {version}\n{text}")
    return path


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_key_is_read_where_it_changes_nothing_and_refused_with_the_commit_that_has_it(tmp_path, key):
    section, name = key.rsplit(".", 1)
    commit, constant = REMOVED[key]
    line = dump_toml({name: 128 if name == "hidden" else constant}).strip()
    section = section.replace(".", "__")
    version = {"076bca47e": 1, "d70ce6c": 2}.get(commit, 3)
    corrected = {"next_track": "log_q = true"} if "transitions" in section else {}
    path = old_file(tmp_path / "mine.toml", version, **{section: line}, **corrected)
    without = {section: ""} | corrected if section.startswith(("terms", "heads")) else {}
    assert load_recipe(path) == load_recipe(old_file(tmp_path / "other" / "mine.toml", version, **without))
    other = str(not constant).lower() if isinstance(constant, bool) else '"other"'
    with pytest.raises(InputError, match=rf"{name} = .* no longer supported.*{commit}"):
        load_recipe(old_file(tmp_path / "mine.toml", version, **{section: f"{name} = {other}"}))
    place = key.replace("terms.", "terms.0.")
    with pytest.raises(InputError, match=rf"--set {place}: .*{commit}"):
        load_recipe("paper-causal-s-plus-track", {place: constant})


OF_VERSION_2 = [
    ("encoder", 'norm = "pre"\nactivation = "gelu"', {"encoder.block_type": "pre_norm"}),
    ("encoder", 'norm = "post"\nactivation = "relu"\ngated = false', {}),
    ("encoder", 'norm = "pre"\nactivation = "swiglu"\ngated = true', {"encoder.block_type": "gated"}),
    ("encoder", 'padding = "visible"', {"encoder.position": "padded"}),
    ("encoder", 'padding = "masked"\nposition = "literal"', {"encoder.position": "literal"}),
    ("next_track", 'skipped = "avoid"', {"next_track.targets": "avoid_skipped"}),
    (
        "next_track",
        'loss = "gbce"\nlog_q = false\nnegatives = 9',
        {"next_track.kind": "gbce", "next_track.negatives": 9},
    ),
    ("next_track", 'loss = "softmax"\nskipped = "predict"', {}),
    ("terms", 'ablation = "inverted"', {"terms.0.variant": "inverted"}),
    ("terms", 'anchors_of = "cross_session"', {"terms.0.variant": "cross_session_anchors"}),
    ("terms", 'anchors = "all"', {"terms.0.variant": "all_anchors"}),
    ("terms", "positive_in_denominator = false", {"terms.0.variant": "positive_not_in_denominator"}),
    ("terms", 'listened_negatives = true\nablation = "none"', {"terms.0.variant": "listened_negatives"}),
]
"""Section, lines of a file of version 2, and what they mean now."""


@pytest.mark.parametrize(("section", "lines", "meaning"), OF_VERSION_2)
def test_merged_keys_of_version_2_are_read_in_a_file(tmp_path, section, lines, meaning):
    bare = old_file(tmp_path / "other" / "mine.toml", 3, **({"terms": ""} if section == "terms" else {}))
    assert load_recipe(old_file(tmp_path / "mine.toml", 2, **{section: lines})) == load_recipe(bare, meaning)


@pytest.mark.parametrize(
    ("section", "lines", "said"),
    [
        ("encoder", 'norm = "pre"', "block_type"),
        ("encoder", "gated = true", "block_type"),
        ("encoder", 'norm = ["pre"]', "block_type"),
        ("terms", 'anchors = "all"\nlistened_negatives = true', "listened_negatives and anchors .*variant"),
        ("terms", 'ablation = "inverted"\npositive_in_denominator = false', "variant"),
        ("terms", 'ablation = "invertd"', "inverted"),
        ("next_track", 'targets = "listened"\nskipped = "avoidd"\nskiped = 1', "skiped"),
    ],
)
def test_combinations_of_version_2_that_no_value_stands_for_are_refused(tmp_path, section, lines, said):
    with pytest.raises(InputError, match=said):
        load_recipe(old_file(tmp_path / "old.toml", 2, **{section: lines}))


def test_a_recipe_of_version_2_that_extends_another_has_all_keys_of_its_blocks_or_none(tmp_path):
    path, head = tmp_path / "old.toml", 'recipe_version = 2\nextends = "segue"\n[encoder]\n'
    path.write_text(head + "width = 64\n")
    assert load_recipe(path).encoder == load_recipe("segue", {"encoder.width": 64}).encoder
    path.write_text(head + 'norm = "pre"\nactivation = "swiglu"\ngated = true\n')
    assert load_recipe(path).encoder == load_recipe("segue", {"encoder.block_type": "gated"}).encoder
    path.write_text(head + "gated = true\n")
    with pytest.raises(InputError, match="set block_type"):
        load_recipe(path)


@pytest.mark.parametrize("key", MERGED)
def test_an_override_of_a_merged_key_is_refused_with_the_new_key(key):
    place, new = (text.replace("terms.", "terms.0.") for text in (key, MERGED[key]))
    with pytest.raises(InputError, match=rf"--set {place}: .* {new};"):
        load_recipe("paper-causal-s-plus-track", {place: True})


MOVED = {
    "feedback": ("[encoder]", "feedback = true", {"encoder.feedback": True}, FeedbackConfig()),
    "context": (
        "[data]",
        'context = ["hour", "gap"]',
        {"data.context": ["hour", "gap"]},
        ContextConfig(("hour", "gap")),
    ),
    "features": ("[features]", "drop = 0.3", {"features.drop": 0.3}, FeaturesConfig(0.3)),
}
"""Inputs of version 1: section and line of a file, the override, and what it means now."""


@pytest.mark.parametrize("name", MOVED)
def test_an_input_of_version_1_is_read_in_a_file_and_as_an_override(tmp_path, name):
    section, line, override, config = MOVED[name]
    path = tmp_path / "old.toml"
    parts = {"[encoder]": 'kind = "causal"', "[next_track]": 'kind = "shared"'}
    parts[section] = parts.get(section, "") + f"\n{line}"
    path.write_text("recipe_version = 1\n" + "".join(f"{key}\n{value}\n" for key, value in parts.items()))
    assert load_recipe(path).inputs == {name: config}
    assert load_recipe(path).recipe_version == 3
    bare = tmp_path / "new.toml"
    bare.write_text('recipe_version = 3\n[encoder]\nkind = "causal"\n[next_track]\nkind = "shared"\n')
    recipe = load_recipe(bare, override)
    assert recipe.inputs == {name: config}
    assert recipe_from_tables(parse_toml(dump_toml(recipe.to_tables()), "copy"), "copy") == recipe


@pytest.mark.parametrize(
    ("section", "line"),
    [("[encoder]", "feedback = false"), ("[data]", "context = []"), ("[data]", "earlier = 0")],
)
def test_an_input_that_version_1_leaves_out_is_left_out(tmp_path, section, line):
    path = tmp_path / "old.toml"
    parts = {"[encoder]": 'kind = "causal"', "[next_track]": 'kind = "shared"'}
    parts[section] = parts.get(section, "") + f"\n{line}"
    path.write_text("recipe_version = 1\n" + "".join(f"{key}\n{value}\n" for key, value in parts.items()))
    assert load_recipe(path).inputs == {}


def test_earlier_tracks_are_refused_with_the_last_commit_that_reads_them(tmp_path):
    path = tmp_path / "old.toml"
    encoder = 'recipe_version = 1\n[encoder]\nkind = "causal"\n[next_track]\nkind = "shared"\n'
    path.write_text(f"{encoder}[data]\nearlier = 7\n")
    with pytest.raises(InputError, match=r"inputs.earlier = .* no longer supported.* commit f8c2d33"):
        load_recipe(path)
    for override in ({"data.earlier": 7}, {"inputs.earlier.tracks": 7}, {"inputs.earlier": {"tracks": 7}}):
        with pytest.raises(InputError, match=r"earlier"):
            load_recipe("segue", override)


def test_overrides_of_version_1_are_renamed_or_refused_with_the_last_commit_that_has_them() -> None:
    recipe = load_recipe("segue", {"heads.transitions.own": 0.5, "inputs.features": True, "inputs.features.drop": 0.1})
    assert recipe.heads["transitions"].own_weight == 0.5
    assert recipe.inputs["features"].drop == 0.1

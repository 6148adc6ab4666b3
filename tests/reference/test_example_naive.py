"""Examples hold what a loop over sessions, positions and rules puts there; every target has a place of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from segue.batches.data import SessionData
from segue.batches.example import Example, ExampleConfig, ExampleDraws, draw_example, make_example, with_rule

MAX_LEN = 6
LENGTHS = torch.tensor([2, 5, 9, 3, 7])
SPARE = 4
INDEX = torch.tensor([4, 2, -1, 0, 1, 3])


def data_of() -> SessionData:
    generator = torch.Generator().manual_seed(0)
    end = LENGTHS.cumsum(0)
    rows = int(end[-1])
    return SessionData(
        torch.randint(3, 9, (rows,), generator=generator, dtype=torch.int32),
        torch.randint(0, 5, (rows,), generator=generator, dtype=torch.uint8),
        torch.arange(20, dtype=torch.int32),
        end - LENGTHS,
        end,
        torch.arange(len(LENGTHS)),
    )


def config_of(masked: bool, **changes: Any) -> ExampleConfig:
    width = MAX_LEN + (not masked)
    return ExampleConfig(**({"masked": masked, "max_len": MAX_LEN, "width": width, "replaced_share": 0.4,
                             "shifted": True} | changes))  # fmt: skip


def made(masked: bool, rule: str = "next") -> tuple[Example, ExampleDraws, int]:
    data, config = data_of(), config_of(masked)
    windows = [min(int(LENGTHS[i]), config.width) if i >= 0 else 0 for i in INDEX.tolist()]
    size = sum(windows if masked else [max(length - 1, 0) for length in windows]) + SPARE
    draws = draw_example(config, data, (len(INDEX), size), torch.Generator().manual_seed(1))
    return with_rule(make_example(config, data, INDEX, size, draws), rule, 2), draws, size


def naive(masked: bool, draws: ExampleDraws, rule: str = "next") -> dict[str, list[int]]:
    """The example of the same draws, a position at a time."""
    data, config = data_of(), config_of(masked)
    result: dict[str, list[int]] = {name: [] for name in ("tracks", "feedback", "position", "target", "heard")}
    offsets = [0]
    for b, i in enumerate(INDEX.tolist()):
        begin, end = (int(data.train_begin[i]), int(data.train_end[i])) if i >= 0 else (0, 0)
        begin = max(begin, end - config.width)
        tracks, codes = data.tracks[begin:end].tolist(), data.feedback[begin:end].tolist()
        inputs = len(tracks) if masked else max(len(tracks) - 1, 0)
        offset = int(float(draws.offset[b]) * (MAX_LEN - inputs + 1))
        for place in range(inputs):
            n = offsets[-1] + place
            replaced = bool(draws.replaced[n] < 0.4) or (masked and place == inputs - 1)
            special = 2 if masked else 1
            aim = place if masked else place + 1
            if rule == "next_listened":
                aim = next((j for j in range(place + 1, len(tracks)) if codes[j] < 2), None)
            is_target = aim is not None and (replaced if masked else True)
            is_target = is_target and not (rule == "listened" and 2 <= codes[aim] <= 3)
            result["tracks"].append(special if replaced else tracks[place])
            result["feedback"].append(5 if replaced and masked else codes[place])
            result["position"].append(place + offset)
            result["target"].append(tracks[aim] if is_target else 0)
            result["heard"].append(codes[aim] if is_target else 5)
        offsets.append(offsets[-1] + inputs)
    return result | {"offsets": offsets}


@pytest.mark.parametrize(
    ("masked", "rule"),
    [(True, "next"), (True, "listened"), (False, "next"), (False, "listened"), (False, "next_listened")],
)
def test_an_example_is_that_of_the_loop(masked: bool, rule: str) -> None:
    example, draws, size = made(masked, rule)
    batch, wanted = example.batch, naive(masked, draws, rule)
    num = wanted["offsets"][-1]
    assert (num, len(batch.tracks)) == (size - SPARE, size)
    assert batch.offsets.tolist() == wanted["offsets"]
    for values, name in (
        (batch.tracks, "tracks"),
        (batch.feedback, "feedback"),
        (batch.position, "position"),
        (example.target, "target"),
    ):
        assert values[:num].tolist() == wanted[name], name
    heard = example.target_feedback[:num]
    assert heard[example.target[:num] > 0].tolist() == [code for code in wanted["heard"] if code != 5]
    assert not batch.tracks[num:].any()
    assert not example.target[num:].any()


@pytest.mark.parametrize(
    ("masked", "rule"), [(True, "next"), (False, "next"), (False, "listened"), (False, "next_listened")]
)
def test_every_target_and_window_position_has_a_place_of_its_own_with_its_row(masked: bool, rule: str) -> None:
    example, _, _ = made(masked, rule)
    real = example.target > 0
    places = example.target_place[real]
    assert torch.equal(example.ids[places], example.target[real])
    assert len(places.unique()) == int(real.sum()) > 0
    window = example.window
    inside = window.valid
    assert inside.sum(1).tolist() == [min(int(LENGTHS[i]), MAX_LEN + (not masked)) if i >= 0 else 0 for i in INDEX]
    assert torch.equal(example.ids[window.id_index[inside]], window.tracks[inside])
    assert len(window.id_index[inside].unique()) == int(inside.sum())
    assert (window.feedback[~inside] == 5).all()
    assert (window.feedback[inside] < 5).all()


def test_offsets_reach_every_position_and_no_other() -> None:
    config, data = config_of(False), data_of()
    seen = set()
    for seed in range(60):
        draws = draw_example(config, data, (1, 1), torch.Generator().manual_seed(seed))
        seen.add(int(make_example(config, data, torch.tensor([0]), 1, draws).batch.position[0]))
    assert seen == set(range(MAX_LEN))
    literal = config_of(False, shifted=False)
    draws = draw_example(literal, data, (1, 1), torch.Generator())
    assert draws.offset is None
    assert int(make_example(literal, data, torch.tensor([0]), 1, draws).batch.position[0]) == 0

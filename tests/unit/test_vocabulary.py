"""Ids by row and rows by id, against a list that is searched from its beginning."""

from __future__ import annotations

import random

import numpy as np
import pytest

from segue.store import vocabulary
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN, Vocabulary


@pytest.mark.parametrize("landmarks", [1, 2, 7, 1000])
@pytest.mark.parametrize("num", [0, 1, 2, 8, 100])
def test_every_id_has_its_row_and_no_other_has_one(landmarks: int, num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_LANDMARKS", landmarks)
    draw = random.Random(num)
    texts = {"".join(draw.choices("aAzü😀\x00 ", k=draw.randint(0, 4))) for _ in range(3 * num)}
    ids = sorted(texts, key=str.encode)[:num]
    made = Vocabulary.from_texts(ids)
    assert isinstance(made, Vocabulary)
    assert len(made._landmarks) <= max(landmarks, 1)
    assert made.rows(ids) == list(range(NUM_SPECIALS, NUM_SPECIALS + len(ids)))
    assert [made.track_id(row) for row in made.rows(ids)] == ids
    others = [text for text in ("", "a", "aa", "zz", "\U0010ffff", *(each + "x" for each in ids)) if text not in ids]
    assert set(made.rows(others)) <= {UNKNOWN}
    wanted = [sum(each.encode() < other.encode() for each in ids) for other in (*ids, *others)]
    np.testing.assert_array_equal(made.places([*ids, *others]), np.array(wanted, np.int64))

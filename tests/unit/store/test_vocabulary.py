"""Ids by row and rows by id, against a list that is searched from its beginning."""

from __future__ import annotations

import random

import numpy as np
import pytest

from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN, Vocabulary


@pytest.mark.parametrize("shared", ["", "track:", "track:\x00😀"])
@pytest.mark.parametrize("longest", [4, 20])
@pytest.mark.parametrize("num", [0, 1, 2, 8, 100])
def test_every_id_has_its_row_and_no_other_has_one(shared: str, longest: int, num: int) -> None:
    """Ids that begin alike, that differ first behind eight bytes more, and with bytes of zero at their end."""
    draw = random.Random(num)
    texts = {shared + "".join(draw.choices("aüü\x00\x00 ", k=draw.randint(0, longest))) for _ in range(3 * num)}
    ids = sorted(texts, key=str.encode)[:num]
    made = Vocabulary.from_texts(ids)
    assert isinstance(made, Vocabulary)
    assert made.rows(ids) == list(range(NUM_SPECIALS, NUM_SPECIALS + len(ids)))
    assert [made.track_id(row) for row in made.rows(ids)] == ids
    longer = [text + more for text in ids for more in ("x", "\x00")]
    others = [text for text in ("", "a", "aa", shared, "\U0010ffff", *longer) if text not in ids]
    assert set(made.rows(others)) <= {UNKNOWN}
    wanted = [sum(each.encode() < other.encode() for each in ids) for other in (*ids, *others)]
    np.testing.assert_array_equal(made.places([*ids, *others]), np.array(wanted, np.int64))

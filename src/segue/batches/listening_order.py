"""The sessions of each listener in the order of listening."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.store import Store

SECONDS_OF_A_DAY: Final = 86_400


def session_begins(store: Store) -> NDArray[np.int64] | None:
    """Return when each session of `store` began, UTC seconds, from times or else dates; None if it has neither."""
    if store.side_column(columns.AT) is not None:
        return np.asarray(store.side(columns.AT))[np.asarray(store.offsets)[:-1]].astype(np.int64)
    if store.side_column(columns.DATE) is not None:
        return np.asarray(store.side(columns.DATE)).astype(np.int64) * SECONDS_OF_A_DAY
    return None


def session_days(store: Store) -> NDArray[np.int64] | None:
    """Return the day of each session, days since 1970-01-01: its date, or that of its first event; None as above."""
    if store.side_column(columns.DATE) is not None:
        return np.asarray(store.side(columns.DATE)).astype(np.int64)
    begins = session_begins(store)
    return None if begins is None else begins // SECONDS_OF_A_DAY


def listening_order(user: NDArray[np.integer[Any]], begins: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return the sessions listener after listener, each in the order in which they began, then in that of the store.

    Args:
        user: listener of each session.
        begins: when each began; None = in the order of the store.
    """
    return np.argsort(user, kind="stable") if begins is None else np.lexsort((begins, user))

"""The order of an epoch: a pure function of seed, epoch, rank and world size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def epoch_order(num: int, seed: int, epoch: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    """Return the indices 0..num - 1 that process `rank` of `world` visits in `epoch`, shuffled.

    Together the processes visit each index once; where `num` is no multiple of `world`, the first ranks have one
    index more.
    """
    order = np.random.default_rng([seed, epoch, 0x0DE]).permutation(num)
    return order[rank::world].astype(np.int64)

"""What an input reads of a store beside tracks and feedback: values by row or by session, on a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from segue.axes import Float, Int


class SideData(ABC):
    """The values of one input for a whole store. An input that needs some subclasses this beside its module."""

    per_session: ClassVar[bool]
    """Whether there is a value for each session; otherwise for each row."""
    num_draws: int
    """Uniform numbers that `hidden` takes for each session."""

    @abstractmethod
    def gather(self, index: Int[Tensor, " n"]) -> Tensor:
        """Return the values of rows (or sessions) `index` of the store, [n, ...]."""

    @abstractmethod
    def hidden(self, values: Tensor, uniform: Float[Tensor, "n K"]) -> Tensor:
        """Return `values` with some replaced by the value that stands for unknown, as training does.

        `uniform`: numbers in [0, 1), K = `num_draws`, equal for all positions of a session.
        """

"""Whole numbers; cyclopts would round 1.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token


def whole_number(_kind: Any, tokens: Sequence[Token]) -> int:
    """Return the integer of one token in decimal digits.

    Raises:
        ValueError: the text is not an integer.
    """
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


Whole = Annotated[int, Parameter(converter=whole_number)]
WholeOrNone = Annotated[int | None, Parameter(converter=whole_number)]

"""Types of the fields of options records: what the command line needs to parse them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from segue.config import parse_override


def whole_number(_kind: Any, tokens: Sequence[Token]) -> int:
    """Return the integer of one token in decimal digits; cyclopts would round 1.5.

    Raises:
        ValueError: the text is not an integer.
    """
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _overrides(_kind: Any, tokens: Sequence[Token]) -> dict[str, Any]:
    return dict(parse_override(token.value) for token in tokens)


def _text(_kind: Any, tokens: Sequence[Token]) -> str:
    return tokens[0].value


Whole = Annotated[int, Parameter(converter=whole_number)]
WholeOrNone = Annotated[int | None, Parameter(converter=whole_number)]
Overrides = Annotated[
    Mapping[str, Any],
    Parameter(
        name="--set",
        converter=_overrides,
        accepts_keys=False,
        n_tokens=-1,
        consume_multiple=False,
        show_default=False,
        metavar="KEY=VALUE",
    ),
]
"""Dotted recipe keys and their values, {"training.epochs": 3}; on the command line --set KEY=VALUE, repeated."""
RecipeChoice = Annotated[object, Parameter(converter=_text, metavar="NAME|FILE")]
"""Name of a recipe, a TOML file, or a `segue.recipes.Recipe`."""
PathOrNone = Annotated[str | Path | None, Parameter(metavar="FILE")]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
Split = Literal["test", "validation"]
Flat = Parameter(name="*")
"""The fields of a record become options of the verb."""
NotParsed = Parameter(parse=False)
"""No option of the command line."""

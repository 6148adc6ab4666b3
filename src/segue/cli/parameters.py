"""Annotations of arguments that verbs share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from segue.cli.terminal import Terminal

Shown = Annotated[Terminal, Parameter(parse=False)]
"""The terminal, passed in by the application; not an option."""
Flat = Parameter(name="*")
"""The fields of a dataclass become options of the verb."""

"""How the arguments that verbs share are declared."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from segue.cli.terminal import Terminal

Shown = Annotated[Terminal, Parameter(parse=False)]
"""The terminal, which the application hands in: no option."""
Flat = Parameter(name="*")
"""The fields of a dataclass become options of the verb itself."""

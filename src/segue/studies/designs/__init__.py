"""The studies that come with Segue, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from segue.studies.design import Design
from segue.studies.designs.paper import PAPER_STUDIES
from segue.studies.designs.segue import RETURNING, SEGUE

DESIGNS: Final[Mapping[str, Design]] = {design.name: design for design in (*PAPER_STUDIES, SEGUE, RETURNING)}
"""`--recipe` to the study."""

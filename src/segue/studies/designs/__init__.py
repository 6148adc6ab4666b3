"""The studies that come with Segue, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from segue.studies.design import Design
from segue.studies.designs.ablations import ABLATIONS
from segue.studies.designs.architectures import ARCHITECTURES
from segue.studies.designs.cloze_setup import CLOZE_SETUP
from segue.studies.designs.departures import DEPARTURES
from segue.studies.designs.dose import DOSE
from segue.studies.designs.returning import RETURNING
from segue.studies.designs.segue import SEGUE
from segue.studies.designs.shared_negatives import SHARED_NEGATIVES
from segue.studies.designs.table1 import TABLE_1

DESIGNS: Final[Mapping[str, Design]] = {
    design.name: design
    for design in (
        TABLE_1,
        ABLATIONS,
        DOSE,
        CLOZE_SETUP,
        DEPARTURES,
        ARCHITECTURES,
        SHARED_NEGATIVES,
        SEGUE,
        RETURNING,
    )
}
"""`--recipe` to the study."""

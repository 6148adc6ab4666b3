"""What earlier sessions of a listener bring to the next one, on a store that says who listened."""

from __future__ import annotations

from typing import Final

from segue.studies.design import Arm, Compared, Design
from segue.studies.designs.shared import FEWER_RATES

_WHOLE: Final = "segue"

RETURNING: Final = Design(
    name="returning",
    title="Does it help to know a listener from before?",
    question=(
        "What does a model gain that reads the listener's earlier sessions, over the same model that knows this "
        "session alone?"
    ),
    arms=(
        Arm("segue", "segue", "segue"),
        Arm("earlier-20", "with the last 20 tracks before", "segue", {"inputs.earlier": {"tracks": 20}}, _WHOLE),
        Arm("earlier-100", "with the last 100 tracks before", "segue", {"inputs.earlier": {"tracks": 100}}, _WHOLE),
    ),
    compared=(
        Compared("earlier-20", _WHOLE, "option"),
        Compared("earlier-100", _WHOLE, "option", primary=True),
        *(Compared("earlier-100", name, "baseline") for name in ("popularity", "markov", "v-sknn")),
    ),
    tuned=FEWER_RATES,
)

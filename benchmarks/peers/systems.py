"""The systems compared: whose Python runs which script with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class System:
    """One line of the table."""

    script: str
    """In benchmarks/peers/."""
    environment: str | None = None
    """Name of its pins (benchmarks/peers/<name>.txt); None = the project's own Python."""
    arguments: tuple[str, ...] = ()
    usual: bool = False
    """Run where --peers names none."""


SYSTEMS: Final[Mapping[str, System]] = {
    "segue": System("run_segue.py", usual=True),
    "segue-recipe": System("run_segue.py", arguments=("--recipe", "segue")),
    "segue-fp32": System("run_segue.py", arguments=("--precision", "fp32")),
    "segue-history": System("run_segue.py", arguments=("--history",)),
    "segue-history-softmax": System("run_segue.py", arguments=("--history", "--softmax")),
    "replay": System("run_replay.py", "replay", usual=True),
    "replay-tuned": System("run_replay.py", "replay", ("--precision", "bf16-mixed", "--trim"), usual=True),
    "torch": System("run_torch.py", usual=True),
    "torch-fused": System("run_torch.py", arguments=("--optimiser", "fused")),
    "torch-sparse": System("run_torch.py", arguments=("--optimiser", "sparse"), usual=True),
    "rectools": System("run_rectools.py", "rectools", ("--loss", "sampled_softmax"), usual=True),
    "rectools-softmax": System("run_rectools.py", "rectools"),
    "rectools-flat": System("run_rectools_flat.py", "rectools"),
    "recbole": System("run_recbole.py", "recbole", usual=True),
    "recbole-bert4rec": System("run_recbole.py", "recbole", ("--model", "bert4rec")),
}
"""Name to system; figure and table keep this order."""

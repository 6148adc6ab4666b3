"""The simulator: listening logs with known truth (NumPy only)."""

from segue.simulation.comparison import compare
from segue.simulation.config import SIMULATOR_VERSION, WORLDS, SimulationConfig
from segue.simulation.log import SimulatedLog, config_of, simulate
from segue.simulation.store_writer import write_store

__all__ = [
    "SIMULATOR_VERSION",
    "WORLDS",
    "SimulatedLog",
    "SimulationConfig",
    "compare",
    "config_of",
    "simulate",
    "write_store",
]

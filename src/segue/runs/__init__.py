"""A run on disk: what training writes and every later verb reads."""

from segue.runs.environment import describe_environment, differences
from segue.runs.loaded_run import LoadedRun, load_run
from segue.runs.run_folder import MARKER, RUN_VERSION, RunFolder

__all__ = ["MARKER", "RUN_VERSION", "LoadedRun", "RunFolder", "describe_environment", "differences", "load_run"]

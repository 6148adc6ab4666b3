"""The verb `serve`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from segue.errors import FormatError, InputError, SegueError
from segue.files import read_json_object
from segue.serving.options import ServeOptions, check_reach, given_token

Tell = Callable[[str], None]
RUN_MARKER: Final = "run.json"
"""The file by which a run is recognised; `segue.runs` has it too, but importing that would import torch."""
SERVED: Final = "served"
"""Folder of a run that holds its export."""


def serve(paths: Sequence[str | Path], options: ServeOptions = ServeOptions(), *, tell: Tell = print) -> None:
    """Serve the next track over HTTP on this machine, from runs or exports; the first is the default.

    A run is first exported to its folder `served`, by another process, so that the service never imports torch. Ctrl-C
    ends the service. After SIGHUP, or when a new export replaces an old one, it reloads its exports without losing a
    request. Schema: /schema/openapi.json.

    Args:
        paths: runs or exports.

    Raises:
        InputError: nothing to serve, a wrong option, or the packages of the extra `serve` are missing.
        FormatError: a path is neither a run nor an export, or damaged.
    """
    try:
        from segue.serving import server
    except ImportError as error:
        raise InputError(
            f"segue serve needs the packages of its extra: pip install 'segue[serve]' ({error.name} is missing)"
        ) from error
    check_reach(options, given_token(options.token_file))
    server.serve([exported(Path(path), tell) for path in paths], options, tell)


def exported(path: Path, tell: Tell) -> Path:
    """Return the export of a run, made if it is missing or older than the run; return an export as it is.

    Raises:
        SegueError: it cannot be exported.
    """
    if not (path / RUN_MARKER).is_file():
        return path
    from segue.exported.manifest import MANIFEST

    served = path / SERVED
    if _newest(path) > _written(served / MANIFEST) or not _is_read(served):
        tell(f"exporting {path} (once)")
        command = [sys.executable, "-P", "-m", "segue", "export", str(path), str(served), "--overwrite", "--quiet"]
        process = subprocess.run(
            [*command, "--name", _plain(path.absolute().name.removeprefix("run-"))], capture_output=True, text=True
        )
        if process.returncode:
            lines = process.stderr.strip().splitlines()
            raise SegueError(f"{path} cannot be exported: {lines[-1] if lines else 'no reason was given'}")
    return served


def _is_read(served: Path) -> bool:
    """Return whether this version of Segue reads the export; True for a damaged one, which is refused when opened."""
    from segue.exported.manifest import EXPORT_VERSION, MANIFEST

    try:
        return read_json_object(served / MANIFEST).get("export_version") == EXPORT_VERSION
    except FormatError:
        return True


def _newest(run: Path) -> float:
    names = ("run.json", "ranking.json", "best/weights.safetensors", "extended/run.json", "extended/candidates.npy")
    return max(_written(run / name) for name in names)


def _written(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def _plain(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name).strip(".-") or "model"

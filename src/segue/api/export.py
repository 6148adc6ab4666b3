"""The verb `export`: writes a run as files that are served without torch."""

from __future__ import annotations

from pathlib import Path

from segue.export import ExportOptions, write_export
from segue.exported import ExportManifest
from segue.progress import Progress, silent
from segue.runs.extending import load_serving


def export(
    run: str | Path,
    out: str | Path,
    *,
    name: str = "",
    overwrite: bool = False,
    index: bool = False,
    progress: Progress = silent,
) -> ExportManifest:
    """Return the manifest of an export of a trained run, written to the folder `out`, including added tracks.

    `name`: name of the model in the service (default: the recipe's). `index`: also compute cells of the track space,
    for `segue serve --index`.

    Raises:
        FormatError: not a run, damaged, or without weights. NonFiniteError: NaN or infinite weights. InputError: `out`
            exists and may not be replaced, the name is not plain, or packages of the extra `export` are missing.
    """
    return write_export(load_serving(run), out, ExportOptions(name, overwrite, index), progress)

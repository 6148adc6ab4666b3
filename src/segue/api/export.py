"""The verb `export`: a run as files that are served without torch."""

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
    """Write a trained run, with the tracks that it was extended by, to the folder `out`; return its manifest.

    `name`: what the model is called where it is served; the recipe's name unless given. `index`: make cells of the
    track space too, for `segue serve --index`.

    Raises:
        FormatError: no run, damaged, or without weights. NonFiniteError: weights that are no numbers. InputError: `out`
            exists and may not be replaced, the name is no plain one, or the packages of the extra `export` are missing.
    """
    return write_export(load_serving(run), out, ExportOptions(name, overwrite, index), progress)

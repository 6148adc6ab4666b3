"""The verb `export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.progress import Progress, silent

if TYPE_CHECKING:
    from segue.exported import ExportManifest


@dataclass(frozen=True)
class Exported:
    """Result of `export`."""

    out: Path
    manifest: ExportManifest

    def to_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        facts = self.manifest.facts
        return {
            "out": str(self.out),
            "name": self.manifest.name,
            "tracks": facts.num_tracks,
            "candidates": facts.num_candidates,
            "bytes": sum(each.bytes for each in self.manifest.files.values()),
        }


@dataclass(frozen=True)
class ExportOptions:
    """Options of `export`."""

    name: str = ""
    """Name of the model in the service; default: the recipe's."""
    overwrite: bool = False
    """Replace an existing export."""
    index: bool = False
    """Also compute cells of the track space, for segue serve --index; useful from a million tracks on."""


def export(
    run: str | Path, out: str | Path, options: ExportOptions = ExportOptions(), *, progress: Progress = silent
) -> Exported:
    """Export a run to files that are served without torch: ONNX graphs, arrays, texts, and a manifest of hashes.

    Tracks that `extend` added are exported, too.

    Args:
        run: a trained run.
        out: folder to write.

    Raises:
        FormatError: not a run, damaged, or without weights. NonFiniteError: NaN or infinite weights. InputError: `out`
            exists and may not be replaced, the name is not plain, or packages of the extra `export` are missing.
    """
    from segue.export import write_export
    from segue.runs.extending import load_serving

    manifest = write_export(load_serving(run), out, **vars(options), progress=progress)
    return Exported(Path(out), manifest)

"""The format of an export: names, manifest, verification. NumPy only; written by `export`, read by `serving`."""

from segue.exported.folder import ExportFolder, open_export
from segue.exported.manifest import EXPORT_VERSION, MANIFEST, ExportManifest, ModelFacts

__all__ = ["EXPORT_VERSION", "MANIFEST", "ExportFolder", "ExportManifest", "ModelFacts", "open_export"]

"""A trained run as files that need no torch: ONNX graphs, arrays, and a manifest of their hashes."""

from segue.export.writing import write_export

__all__ = ["write_export"]

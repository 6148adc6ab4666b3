"""Next tracks for sessions as they happen, from exports: NumPy and ONNX Runtime, no torch."""

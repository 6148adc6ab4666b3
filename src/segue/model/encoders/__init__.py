"""Encoders: sessions in, states out. To add one: a file, a line in `ENCODER_CONFIGS`, a conformance case."""

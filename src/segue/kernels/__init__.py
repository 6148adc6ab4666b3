"""Triton kernels of the GPU path. Each module needs triton at import: only code that runs on CUDA imports them."""

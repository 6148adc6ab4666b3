"""Triton kernels for CUDA devices. Importing a module of this package needs triton, so only the GPU path imports it."""

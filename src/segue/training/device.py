"""The device that a command computes on, and the precision of its matrix products."""

from __future__ import annotations

from typing import Final

import torch

from segue.config import nearest
from segue.errors import InputError

DEVICES: Final = ("auto", "cpu", "cuda")
PRECISIONS: Final = ("auto", "fp32", "bf16")


def choose_device(name: str) -> torch.device:
    """Return the device of `name`: auto (cuda if there is one, else cpu), cpu or cuda.

    Raises:
        InputError: an unknown device, a missing one, or mps.
    """
    if name == "mps":
        raise InputError("device 'mps' has no sparse gradients, which the track table needs; use --device cpu")
    if name not in DEVICES:
        raise InputError(f"device {name!r}{nearest(name, DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda': torch sees no CUDA device here; use --device cpu, or install a CUDA build")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def choose_precision(name: str, device: torch.device) -> str:
    """Return 'fp32' or 'bf16'. auto is bf16 on CUDA and on a CPU with bf16 instructions, else fp32.

    bf16 applies to matrix products only; the track table, losses and sums are float32.

    Raises:
        InputError: an unknown precision.
    """
    if name not in PRECISIONS:
        raise InputError(f"precision {name!r}{nearest(name, PRECISIONS)}")
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" or _cpu_multiplies_bf16() else "fp32"


def _cpu_multiplies_bf16() -> bool:
    """Return whether the processor has AMX or AVX512-BF16 (elsewhere bf16 is emulated, and slower)."""
    cpu = torch.cpu
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())

"""Named tensors in one safetensors file, with a JSON document in its header: whole or absent, never pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from segue.errors import FormatError
from segue.files import replaced_file

_DOCUMENT: Final = "segue"
"""Key of the JSON document in the safetensors header (the header maps text to text)."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write `tensors` and the JSON `document` to `path` in one renamed file.

    Equal input gives equal bytes: the document's keys are sorted, tensors are laid out by safetensors.
    """
    header = {_DOCUMENT: json.dumps(document, sort_keys=True, allow_nan=False)}
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replaced_file(path) as temporary:
        save_file(saved, temporary, metadata=header)


def read_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the document of a file that `write_tensors` wrote.

    Raises:
        FormatError: missing, damaged, or not written by Segue.
    """
    if not path.is_file():
        raise FormatError(f"{path} is missing; the run has not come so far, or is damaged")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            document = json.loads((file.metadata() or {})[_DOCUMENT])
            return {name: file.get_tensor(name) for name in file.keys()}, document  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise FormatError(f"{path} is damaged ({error}); train again") from error

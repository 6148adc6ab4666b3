"""What a run was made with: versions, machine, threads, seed, data."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from segue.store import Store

DECIDES_BYTES: Final = ("torch", "numpy", "processor", "device", "device_name", "precision", "threads")
"""What must be equal for a resumed run to reach the same bytes."""


def describe_environment(store: Store, device: torch.device, precision: str, seed: int) -> dict[str, Any]:
    """Return the JSON document of `environment.json`."""
    return {
        "segue": installed("segue"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": precision,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "seed": seed,
        "store": {
            "name": store.path.name,
            "fingerprint": store.manifest.fingerprint,
            "num_sessions": store.num_sessions,
            "num_rows": store.num_rows,
            "num_tracks": store.num_tracks,
            "source": {key: part for key, part in asdict(store.manifest.source).items() if key in ("kind", "name")},
        },
        "simulated": dict(store.manifest.source.simulated),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return 'name: before -> now' for each thing that decides bytes and differs."""
    return [f"{name}: {before.get(name)} -> {now[name]}" for name in DECIDES_BYTES if before.get(name) != now[name]]


def installed(package: str) -> str:
    """Return the version of a package, 'unknown' where it has none."""
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree
        return str(getattr(sys.modules.get("segue"), "__version__", "unknown"))


def _processor() -> str:
    """Return the processor's model name, or what the platform calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str | None:
    """Return the commit of the source tree that this file belongs to, or None where it is in none.

    '+changes' follows where a tracked file differs from that commit.
    """
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, timeout=10, text=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes")
    except (OSError, subprocess.SubprocessError):
        return None

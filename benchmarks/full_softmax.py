"""The exact softmax over all tracks on a CPU: seconds and memory of loss and gradients, a block of scores at a time.

    python benchmarks/full_softmax.py [--positions 3400] [--tracks 1000000] > full.json

3,400 positions are what a batch of 256 sessions predicts. Memory is what the process grows by beyond the table and the
states: the gradient of the table (512 MB at a million tracks), its bf16 copy, and the blocks. The floor is the
arithmetic of forward and backward (three products) at the rate of a large product measured in this run. Prints one
JSON document; states and table are random.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time

import torch

from segue.objectives import full_softmax_loss
from segue.training.device import choose_precision
from segue.training.process import keep_freed_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=3_400)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    keep_freed_memory()
    bf16 = choose_precision("auto", torch.device("cpu")) == "bf16"
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(given.positions, 128, generator=generator)
    table = torch.randn(given.tracks + 3, 128, generator=generator).mul_(0.2)
    states.requires_grad_(), table.requires_grad_()
    target = torch.randint(3, given.tracks + 3, (given.positions,), generator=generator)
    square = torch.randn(2048, 2048).to(torch.bfloat16 if bf16 else torch.float32)
    square @ square
    begun = time.perf_counter()
    square @ square
    rate = 2 * 2048**3 / (time.perf_counter() - begun)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(given.repeats):
        begun = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = full_softmax_loss(states, target, table)
        torch.autograd.grad(loss, (states, table))
        seconds.append(round(time.perf_counter() - begun, 2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "positions": given.positions,
        "tracks": given.tracks,
        "precision": "bf16" if bf16 else "fp32",
        "threads": torch.get_num_threads(),
        "seconds": {"median": statistics.median(seconds), "all": seconds},
        "machine_gflop_per_s": round(rate / 1e9),
        "floor_s": round(3 * 2 * given.positions * given.tracks * 128 / rate, 2),
        "grown_by_gb": round((peak - before) / 1e6, 2),
        "process_gb": round(peak / 1e6, 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

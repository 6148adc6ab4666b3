"""Seconds of an epoch on one GPU at the paper's scale, how far that is from the floor, and the exact full softmax.

    python benchmarks/gpu_training.py [--sessions 450000] [--tracks 1000000] [--negatives 1000 8192] [--full]
    python benchmarks/gpu_training.py --softmax-only

Needs a CUDA device, torch and Triton; nothing else is fetched, the log is simulated in place. Trains
`paper-causal-s-plus-track` (S+ with the track context, batch 1024) with shared negatives. The first epoch compiles and
is given apart. The softmax part compares the fused kernel with
cut-cross-entropy where that package can be imported (the version is printed) on random states and rows: 6,900
positions, 1,000,000 tracks, width 128.

The floor of a step counts arithmetic at the rate of a large bf16 product measured in this run, and bytes at that of a
large copy: every touched row and its two moments read once and written once. Activations could stay on the chip, so
they are not in it. Prints one JSON document; the data is simulated.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from segue.batches.order import epoch_order
from segue.batches.split import split_store
from segue.objectives import full_softmax_loss
from segue.recipes import Recipe, load_recipe
from segue.simulation import config_of, simulate, write_store
from segue.store import Store
from segue.training.trainer import Trainer

BATCH = 1024


def milliseconds(work: Callable[[], object], repeats: int = 7) -> dict[str, float]:
    """Return median, least and most milliseconds of `work` on the device, after two runs that do not count."""
    times = []
    for turn in range(repeats + 2):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if turn >= 2:
            times.append(begin.elapsed_time(end))
    return {"median": round(statistics.median(times), 3), "min": round(min(times), 3), "max": round(max(times), 3)}


def ceilings() -> dict[str, float]:
    """Return the device's rates: bf16 products in TFLOP/s, copies in TB/s (bytes read and written)."""
    square = torch.randn(8192, 8192, device="cuda").bfloat16()
    product = milliseconds(lambda: square @ square)["median"]
    source = torch.randn(1 << 29, device="cuda")
    target = torch.empty_like(source)
    copied = milliseconds(lambda: target.copy_(source))["median"]
    return {
        "bf16_tflops": round(2 * 8192**3 / product / 1e9, 1),
        "copy_tb_s": round(2 * source.nbytes / copied / 1e9, 2),
    }


def recipe_of(negatives: int) -> Recipe:
    """Return the recipe with so many shared negatives; 0 = the full softmax."""
    kind = (
        {"next_track.kind": "shared", "next_track.negatives": negatives} if negatives else {"next_track.kind": "full"}
    )
    more = {"training.batch_size": BATCH, "training.learning_rate": 0.001}
    return load_recipe("paper-causal-s-plus-track", {**kind, **more})


def floor(trainer: Trainer, negatives: int, rates: dict[str, float]) -> dict[str, float]:
    """Return operations and bytes of a mean step, and the milliseconds that they take at the device's rates."""
    data, width = trainer.data, trainer.encoder.width
    lengths = (data.train_end - data.train_begin).clamp(max=trainer.recipe.data.max_len + 1)
    inputs = float((lengths - 1).float().mean()) * BATCH
    compared = negatives or trainer.encoder.num_tracks
    layers = 2 * (3 + 1 + 2) * width**2 + width**2
    operations = (
        3 * 2 * inputs * (layers + compared * width) + 3 * 2 * BATCH * float(lengths.float().square().mean()) * width
    )
    rows = torch.arange(int(data.train_begin[0]), int(data.train_end[BATCH - 1]), device="cuda")
    in_windows = data.tracks[rows].unique().numel()
    touched = in_windows + compared if negatives else compared
    moved = touched * width * 4 * 6
    times = operations / rates["bf16_tflops"] / 1e9, moved / rates["copy_tb_s"] / 1e9
    return {
        "inputs": round(inputs),
        "gflop": round(operations / 1e9, 1),
        "mb": round(moved / 1e6, 1),
        "arithmetic_ms": round(times[0], 3),
        "bytes_ms": round(times[1], 3),
        "ms": round(max(times), 3),
    }


def epochs(store: Store, negatives: int, count: int, rates: dict[str, float]) -> dict[str, Any]:
    """Return seconds of each epoch of one training, its losses and its distance to the floor."""
    recipe = recipe_of(negatives)
    split = split_store(store, recipe.data)
    torch.cuda.reset_peak_memory_stats()
    trainer = Trainer(store, split, recipe, torch.device("cuda", 0), bf16=True)
    num = len(split.train_begin)
    steps = -(-num // BATCH)
    seconds, losses = [], []
    for epoch in range(count):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        order = trainer.begin(torch.as_tensor(epoch_order(num, recipe.training.seed, epoch)), steps)
        for step in range(steps):
            trainer.step(order[step * BATCH : (step + 1) * BATCH])
        trainer.bring_up()
        torch.cuda.synchronize()
        seconds.append(round(time.perf_counter() - begun, 3))
        losses.append(round(float(trainer.sums[0]) / steps, 4))
        trainer.sums.zero_()
    steady = statistics.median(seconds[1:])
    least = floor(trainer, negatives, rates)
    return {
        "negatives": negatives or "all",
        "first_epoch_s": seconds[0],
        "epochs_s": seconds[1:],
        "epoch_s": steady,
        "sessions_per_s": round(num / steady),
        "step_ms": round(1e3 * steady / steps, 3),
        "floor": least,
        "times_the_floor": round(1e3 * steady / steps / least["ms"], 1),
        "losses": losses,
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2),
    }


def full_softmax(positions: int, tracks: int, rates: dict[str, float]) -> dict[str, Any]:
    """Return milliseconds of loss and gradients over all tracks, ours and cut-cross-entropy's, and our errors."""
    generator = torch.Generator("cuda").manual_seed(0)
    states = torch.randn(positions, 128, device="cuda", generator=generator)
    table = torch.randn(tracks + 3, 128, device="cuda", generator=generator) * 0.2
    target = torch.randint(3, tracks + 3, (positions,), device="cuda", generator=generator)
    states.requires_grad_(), table.requires_grad_()
    result: dict[str, Any] = {"positions": positions, "tracks": tracks, "data": "random normal"}

    def ours() -> tuple[torch.Tensor, ...]:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = full_softmax_loss(states, target, table)
        return loss.detach(), *torch.autograd.grad(loss, (states, table))

    result["ours_ms"] = milliseconds(ours)
    with torch.no_grad():
        loss, of_states, of_table = ours_once(ours)
        result["ours_errors"] = errors((loss, of_states, of_table[3:]), states, table, target)
    operations = 3 * 2 * positions * tracks * 128
    result["floor_ms"] = round(operations / rates["bf16_tflops"] / 1e9, 2)
    try:
        from cut_cross_entropy import linear_cross_entropy
    except ImportError:
        result["cut_cross_entropy"] = "not installed"
        return result
    x, w = (part.detach().bfloat16().requires_grad_() for part in (states, table[3:]))

    def theirs() -> None:
        x.grad = w.grad = None
        linear_cross_entropy(x, w, target - 3).backward()

    result["cut_cross_entropy"] = importlib.metadata.version("cut-cross-entropy")
    result["cut_cross_entropy_ms"] = milliseconds(theirs)
    return result


def ours_once(ours: Callable[[], tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    """Return loss and gradients."""
    with torch.enable_grad():
        return ours()


def errors(
    found: tuple[torch.Tensor, ...], states: torch.Tensor, table: torch.Tensor, target: torch.Tensor
) -> dict[str, float]:
    """Return how far loss and gradients are from float32 ones of the same inputs, relative to their norm."""
    loss, of_states, of_rows = found
    rows, expected, total = table[3:], torch.zeros_like(table[3:]), 0.0
    difference = norm = 0.0
    for begin in range(0, len(states), 256):
        piece, own = states[begin : begin + 256], target[begin : begin + 256] - 3
        scores = piece @ rows.T
        total += float((scores.logsumexp(1) - scores.gather(1, own[:, None])[:, 0]).sum())
        scores = scores.softmax(1)
        scores[torch.arange(len(piece)), own] -= 1.0
        expected += scores.T @ piece / len(states)
        mine = scores @ rows / len(states)
        difference += float((of_states[begin : begin + 256] - mine).square().sum())
        norm += float(mine.square().sum())
    return {
        "loss": abs(float(loss) / (total / len(states)) - 1.0),
        "states": (difference / norm) ** 0.5,
        "rows": float((of_rows - expected).norm() / expected.norm()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=450_000)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--negatives", type=int, nargs="*", default=[1000, 8192])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--full", action="store_true", help="two epochs of the full softmax as well")
    parser.add_argument("--softmax-only", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu_training.py needs a CUDA device, and torch sees none")
    rates = ceilings()
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "rates": rates,
        "full_softmax": full_softmax(6_900, 1_000_000, rates),
    }
    if not given.softmax_only:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "store"
            write_store(simulate(config_of(given.sessions, given.tracks, 1, "full")), path)
            store = Store(path)
            result["simulated"] = {"sessions": store.num_sessions, "tracks": store.num_tracks, "rows": store.num_rows}
            result["trained"] = [epochs(store, num, given.epochs, rates) for num in given.negatives]
            if given.full:
                result["trained"].append(epochs(store, 0, 2, rates))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

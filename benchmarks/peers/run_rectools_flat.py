"""RecTools' fast transformer, FlatSASRecNet, in a plain training loop; run by the Python of .peers/rectools."""

from __future__ import annotations

from measured import BLOCKS, DROPOUT, HEADS, LEARNING_RATE, WIDTH, Log, Stamps, begin, report, runner_parser

GIVEN = runner_parser(__doc__ or "").parse_args()
begin(GIVEN)

import torch  # noqa: E402  (after the number of threads is set)
from rectools.fast_transformers import FlatSASRecNet  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402


def main() -> None:
    torch.set_num_threads(GIVEN.threads)
    torch.manual_seed(0)
    windows = torch.from_numpy(Log.read(GIVEN).padded(GIVEN.length + 1, 0, shift=1))
    model = FlatSASRecNet(GIVEN.tracks, WIDTH, BLOCKS, HEADS, GIVEN.length, DROPOUT).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    stamps, going = Stamps(GIVEN), True
    while going:
        for window in windows[torch.randperm(len(windows))].split(GIVEN.batch):
            optimiser.zero_grad()
            target = window[:, 1:]
            logits = model({"x": window[:, :-1], "y": target})
            real = target > 0
            cross_entropy(logits[real], target[real] - 1).backward()
            optimiser.step()
            if not (going := stamps.mark()):
                break
    computes = (
        "causal pre-norm SASRec (feed-forward layers four times as wide), softmax of every next track against all "
        "tracks; torch.optim.Adam on everything, the table's gradient dense; float32; sequences padded to the length"
    )
    report(stamps, computes, ("rectools", "torch", "numpy"))


if __name__ == "__main__":
    main()

"""A plain eager PyTorch SASRec: what one writes in an afternoon; run by the project's own Python."""

from __future__ import annotations

from measured import BLOCKS, DROPOUT, HEADS, LEARNING_RATE, NEGATIVES, WIDTH, Log, Stamps, begin, report
from measured import runner_parser as parser

given_parser = parser(__doc__ or "")
given_parser.add_argument("--optimiser", choices=("adam", "fused", "sparse"), default="adam")
GIVEN = given_parser.parse_args()
begin(GIVEN)

import torch  # noqa: E402  (after the number of threads is set)
from torch import Tensor, nn  # noqa: E402

OPTIMISERS = {
    "adam": "torch.optim.Adam on everything, the table's gradient dense",
    "fused": "torch.optim.Adam(fused=True) on everything, the table's gradient dense",
    "sparse": "torch.optim.SparseAdam on the table (rows outside the batch stay still: another update), Adam elsewhere",
}


class Plain(nn.Module):
    """Track table, positions, causal post-norm blocks; row V pads."""

    def __init__(self, num_tracks: int, *, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(num_tracks + 1, WIDTH, padding_idx=num_tracks, sparse=sparse)
        nn.init.normal_(self.table.weight, std=0.02)
        self.place = nn.Embedding(GIVEN.length, WIDTH)
        block = nn.TransformerEncoderLayer(WIDTH, HEADS, WIDTH, DROPOUT, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, BLOCKS, enable_nested_tensor=False)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tracks: Tensor) -> Tensor:
        """Return the state after each track, [B, L, D]."""
        states = self.dropout(self.table(tracks) + self.place.weight)
        mask = nn.Transformer.generate_square_subsequent_mask(tracks.shape[1])
        result: Tensor = self.blocks(states, mask=mask, is_causal=True)
        return result


def loss_of(model: Plain, window: Tensor, pad: int) -> Tensor:
    """Return the sampled softmax loss of next tracks [B, L + 1], negatives shared by the batch."""
    target = window[:, 1:]
    negatives = torch.randint(pad, (NEGATIVES,))
    states = model(window[:, :-1])
    own = (states * model.table(target)).sum(dim=2, keepdim=True)
    others = states @ model.table(negatives).T
    others = others.masked_fill(target[:, :, None] == negatives, -1e9)
    logits = torch.cat([own, others], dim=2)[target != pad]
    return nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


def optimisers_of(model: Plain) -> list[torch.optim.Optimizer]:
    if GIVEN.optimiser != "sparse":
        return [torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=GIVEN.optimiser == "fused" or None)]
    others = [value for name, value in model.named_parameters() if not name.startswith("table")]
    table = torch.optim.SparseAdam(model.table.parameters(), lr=LEARNING_RATE)
    return [table, torch.optim.Adam(others, lr=LEARNING_RATE)]


def main() -> None:
    torch.set_num_threads(GIVEN.threads)
    torch.manual_seed(0)
    windows = torch.from_numpy(Log.read(GIVEN).padded(GIVEN.length + 1, GIVEN.tracks))
    model = Plain(GIVEN.tracks, sparse=GIVEN.optimiser == "sparse").train()
    optimisers, stamps, going = optimisers_of(model), Stamps(GIVEN), True
    while going:
        for index in torch.randperm(len(windows)).split(GIVEN.batch):
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss_of(model, windows[index], GIVEN.tracks).backward()
            for optimiser in optimisers:
                optimiser.step()
            if not (going := stamps.mark()):
                break
    computes = (
        "causal SASRec, softmax of every next track against 1000 uniform negatives shared by the batch; "
        f"{OPTIMISERS[GIVEN.optimiser]}; float32; sessions right-padded to 20, batches gathered from memory"
    )
    report(stamps, computes, ("torch", "numpy"))


if __name__ == "__main__":
    main()

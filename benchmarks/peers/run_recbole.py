"""RecBole's SASRec or BERT4Rec, calculate_loss and Adam on batches made here; run by the Python of .peers/recbole.

Its data pipeline is left out: it holds every prefix of every session in memory, and is not what is compared.
"""

from __future__ import annotations

from measured import BLOCKS, DROPOUT, HEADS, LEARNING_RATE, WIDTH, Log, Stamps, begin, report
from measured import runner_parser as parser

given_parser = parser(__doc__ or "")
given_parser.add_argument("--model", choices=("sasrec", "bert4rec"), default="sasrec")
GIVEN = given_parser.parse_args()
begin(GIVEN)

from collections.abc import Callable  # noqa: E402  (after the number of threads is set)
from dataclasses import dataclass  # noqa: E402

import torch  # noqa: E402
from recbole.model.sequential_recommender.bert4rec import BERT4Rec  # noqa: E402
from recbole.model.sequential_recommender.sasrec import SASRec  # noqa: E402
from torch import Tensor  # noqa: E402

MASK_RATIO = 0.2  # RecBole's default
CONFIG = {
    "USER_ID_FIELD": "session",
    "ITEM_ID_FIELD": "track",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": GIVEN.length,
    "MASK_ITEM_SEQ": "masked",
    "POS_ITEMS": "targets",
    "NEG_ITEMS": "others",
    "MASK_INDEX": "places",
    "mask_ratio": MASK_RATIO,
    "device": torch.device("cpu"),
    "n_layers": BLOCKS,
    "n_heads": HEADS,
    "hidden_size": WIDTH,
    "inner_size": WIDTH,
    "hidden_dropout_prob": DROPOUT,
    "attn_dropout_prob": DROPOUT,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "loss_type": "CE",
}
MODELS = {
    "sasrec": (
        "causal SASRec, softmax over all tracks at the last position alone: a row is one prefix with one target, "
        "so an epoch has targets_per_session times as many rows as sessions; a row is counted as a session here"
    ),
    "bert4rec": "BERT4Rec, softmax over all tracks at 4 places of each session (a fifth of 20, those not masked idle)",
}


@dataclass(frozen=True)
class Sizes:
    """What a RecBole model asks its dataset for; row 0 pads."""

    tracks: int

    def num(self, field: str) -> int:
        return self.tracks + 1 if field == "track" else 2


def prefixes(windows: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Return a random prefix of each session, and the track after it."""
    cut = 1 + (torch.rand(len(windows)) * (lengths - 1)).long()
    inputs = windows.masked_fill(torch.arange(GIVEN.length) >= cut[:, None], 0)
    return {"track_list": inputs, "length": cut, "track": windows.gather(1, cut[:, None])[:, 0]}


def masked(windows: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Return sessions with about a fifth of their tracks masked, 4 places each (0 where fewer are masked)."""
    most = int(MASK_RATIO * GIVEN.length)
    draw = torch.rand(windows.shape).masked_fill(torch.arange(GIVEN.length) >= lengths[:, None], 2.0)
    chosen = draw.topk(most, dim=1, largest=False)
    hidden = (chosen.values < MASK_RATIO) & (chosen.indices > 0)  # RecBole counts place 0 as padding
    places = chosen.indices.masked_fill(~hidden, 0)
    targets = windows.gather(1, places).masked_fill(~hidden, 0)
    inputs = windows.scatter(1, places, torch.where(hidden, GIVEN.tracks + 1, windows[:, :1]))
    return {"masked": inputs, "targets": targets, "others": targets, "places": places}


def main() -> None:
    torch.set_num_threads(GIVEN.threads)
    torch.manual_seed(0)
    log = Log.read(GIVEN)
    windows, lengths = torch.from_numpy(log.padded(GIVEN.length, 0, shift=1)), torch.from_numpy(log.lengths)
    make: Callable[[Tensor, Tensor], dict[str, Tensor]] = prefixes if GIVEN.model == "sasrec" else masked
    model = (SASRec if GIVEN.model == "sasrec" else BERT4Rec)(CONFIG, Sizes(GIVEN.tracks)).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    stamps, going = Stamps(GIVEN), True
    while going:
        for index in torch.randperm(len(windows)).split(GIVEN.batch):
            optimiser.zero_grad()
            model.calculate_loss(make(windows[index], lengths[index])).backward()
            optimiser.step()
            if not (going := stamps.mark()):
                break
    computes = (
        f"{MODELS[GIVEN.model]}; torch.optim.Adam on everything, the table's gradient dense; float32; "
        "right-padded to 20, batches gathered from memory (its data pipeline left out)"
    )
    share = round(float(log.lengths.mean()) - 1, 2)
    report(stamps, computes, ("recbole", "torch", "numpy"), targets_per_session=share)


if __name__ == "__main__":
    main()

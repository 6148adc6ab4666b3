"""RecTools' SASRecModel, fitted through its own fit(); run by the Python of .peers/rectools."""

from __future__ import annotations

from measured import BLOCKS, DROPOUT, HEADS, LEARNING_RATE, NEGATIVES, WIDTH, Log, Stamps, begin, report
from measured import runner_parser as parser

given_parser = parser(__doc__ or "")
given_parser.add_argument("--loss", choices=("softmax", "sampled_softmax"), default="softmax")
GIVEN = given_parser.parse_args()
begin(GIVEN)

import warnings  # noqa: E402  (after the number of threads is set)
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytorch_lightning as lightning  # noqa: E402
import torch  # noqa: E402
from rectools import Columns  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402
from rectools.models.nn.item_net import IdEmbeddingsItemNet  # noqa: E402
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator  # noqa: E402

STAMPS = Stamps(GIVEN)  # its trainer copies callbacks deeply, so they share this one
LOSSES = {
    "softmax": "softmax over all tracks at every position (its default loss)",
    "sampled_softmax": "softmax of every next track against 1000 uniform negatives of its own (it shares none)",
}


class Marking(lightning.Callback):
    """Stamps each step and ends training when enough are timed."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if not STAMPS.mark():
            trainer.should_stop = True


class WholeCatalogue(SASRecDataPreparator):
    """Gives the table all V rows: it holds only tracks of the log otherwise."""

    def process_dataset_train(self, dataset: Dataset) -> None:
        super().process_dataset_train(dataset)
        trained = self.train_dataset
        self.item_id_map = trained.item_id_map.add_ids(np.arange(GIVEN.tracks))
        self.train_dataset = Dataset(trained.user_id_map, self.item_id_map, trained.interactions)


def trainer_of() -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        max_steps=STAMPS.wanted,
        callbacks=[Marking()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def dataset_of(log: Log) -> Dataset:
    session, track = log.training_rows()
    start = np.datetime64("2024-01-01", "s")
    frame = pd.DataFrame(
        {
            Columns.User: session,
            Columns.Item: track.astype(np.int64),
            Columns.Weight: 1.0,
            Columns.Datetime: start + np.arange(len(session)).astype("timedelta64[s]"),
        }
    )
    return Dataset.construct(frame)


def main() -> None:
    torch.set_num_threads(GIVEN.threads)
    warnings.simplefilter("ignore")
    model = SASRecModel(
        n_blocks=BLOCKS,
        n_heads=HEADS,
        n_factors=WIDTH,
        dropout_rate=DROPOUT,
        session_max_len=GIVEN.length,
        loss=GIVEN.loss,
        n_negatives=NEGATIVES,
        lr=LEARNING_RATE,
        batch_size=GIVEN.batch,
        item_net_block_types=(IdEmbeddingsItemNet,),
        data_preparator_type=WholeCatalogue,
        get_trainer_func=trainer_of,
    )
    model.fit(dataset_of(Log.read(GIVEN)))
    computes = (
        f"causal SASRec, {LOSSES[GIVEN.loss]}; the table is copied whole in each step; torch.optim.Adam on all, "
        "the table's gradient dense; float32; sessions left-padded to 20; its loader and Lightning timed, logger off"
    )
    report(STAMPS, computes, ("rectools", "pytorch-lightning", "torch", "numpy"))


if __name__ == "__main__":
    main()

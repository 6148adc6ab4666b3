"""RePlay's SASRec with sampled cross-entropy, fed by its ParquetModule; run by the Python of .peers/replay."""

from __future__ import annotations

from measured import BLOCKS, DROPOUT, HEADS, LEARNING_RATE, NEGATIVES, WIDTH, Log, Stamps, begin, report
from measured import runner_parser as parser

given_parser = parser(__doc__ or "")
given_parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
given_parser.add_argument("--trim", action="store_true", help="cut padding that no session of a batch needs")
GIVEN = given_parser.parse_args()
begin(GIVEN)

import tempfile  # noqa: E402  (after the number of threads is set)
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import lightning  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import torch  # noqa: E402
from replay.data import FeatureHint, FeatureSource, FeatureType  # noqa: E402
from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema  # noqa: E402
from replay.data.nn.parquet.parquet_module import ParquetModule  # noqa: E402
from replay.nn.lightning import LightningModule  # noqa: E402
from replay.nn.lightning.optimizer import OptimizerFactory  # noqa: E402
from replay.nn.loss import CESampled  # noqa: E402
from replay.nn.sequential import SasRec  # noqa: E402
from replay.nn.transform import TargetAwareAdaptiveTrimTransform, UniformNegativeSamplingTransform  # noqa: E402
from replay.nn.transform.template import make_default_sasrec_transforms  # noqa: E402

ITEM = "item_id"


class Marking(lightning.Callback):
    """Stamps each step and ends training when enough are timed."""

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if not self._stamps.mark():
            trainer.should_stop = True


def schema_of(num_tracks: int) -> TensorSchema:
    feature = TensorFeatureInfo(
        ITEM,
        is_seq=True,
        feature_type=FeatureType.CATEGORICAL,
        embedding_dim=WIDTH,
        padding_value=num_tracks,
        cardinality=num_tracks,
        feature_hint=FeatureHint.ITEM_ID,
        feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, ITEM)],
    )
    return TensorSchema([feature])


def write_parquet(log: Log, path: Path) -> None:
    """Write one list of training tracks a session."""
    _, tracks = log.training_rows()
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), torch.from_numpy(log.lengths).cumsum(0)]).numpy()
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype("int32")), pa.array(tracks.astype("int64")))
    pq.write_table(pa.table({ITEM: lists}), path)


def module_of(schema: TensorSchema, path: Path) -> ParquetModule:
    train = make_default_sasrec_transforms(schema)["train"]
    if GIVEN.trim:  # once the masks are there, before labels get a third axis
        train.insert(2, TargetAwareAdaptiveTrimTransform([ITEM, "positive_labels"]))
    negatives = UniformNegativeSamplingTransform(cardinality=GIVEN.tracks, num_negative_samples=NEGATIVES)
    metadata = {"train": {ITEM: {"shape": GIVEN.length + 1, "padding": GIVEN.tracks}}}
    return ParquetModule(
        batch_size=GIVEN.batch,
        metadata=metadata,
        transforms={"train": [*train, negatives]},
        train_path=str(path),
    )


def model_of(schema: TensorSchema) -> LightningModule:
    model = SasRec.from_params(
        schema,
        embedding_dim=WIDTH,
        num_heads=HEADS,
        num_blocks=BLOCKS,
        max_sequence_length=GIVEN.length,
        dropout=DROPOUT,
        excluded_features=[],
    )
    model.loss = CESampled(ignore_index=GIVEN.tracks)
    model.loss.logits_callback = model.get_logits
    return LightningModule(model, optimizer_factory=OptimizerFactory(learning_rate=LEARNING_RATE))


def main() -> None:
    torch.set_num_threads(GIVEN.threads)
    warnings.simplefilter("ignore")
    wait = torch.cuda.synchronize if GIVEN.device == "cuda" else None
    stamps, schema = Stamps(GIVEN, wait), schema_of(GIVEN.tracks)
    trainer = lightning.Trainer(
        accelerator="gpu" if GIVEN.device == "cuda" else "cpu",
        devices=1,
        precision=GIVEN.precision,
        max_steps=stamps.wanted,
        callbacks=[Marking(stamps)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,  # without it, a validation set is asked for
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "sessions.parquet"
        write_parquet(Log.read(GIVEN), path)
        trainer.fit(model_of(schema), datamodule=module_of(schema, path))
    width = "the longest session of the batch" if GIVEN.trim else str(GIVEN.length)
    computes = (
        "causal SASRec, softmax of every next track (CESampled) against 1000 uniform negatives shared by the batch, "
        "drawn without replacement from all tracks; torch.optim.Adam on everything, the table's gradient dense; "
        f"{GIVEN.precision}; sessions left-padded to {width}; ParquetModule and Lightning timed, logger and bar off"
    )
    report(stamps, computes, ("replay-rec", "lightning", "torch", "numpy"))


if __name__ == "__main__":
    main()

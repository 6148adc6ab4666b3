"""The encoder and the head for P(listen) as ONNX graphs.

A graph holds no track table: the rows of a session's tracks are an input, so that the one table that the ranking reads
serves the encoder as well.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from segue import skips
from segue.errors import InputError
from segue.model import Encoder
from segue.model.encoders.causal import CausalEncoder
from segue.model.encoders.history_attention import ContinuedAttention
from segue.model.encoders.transformer import TransformerEncoder
from segue.model.heads import ListenHead
from segue.store import MASK

OPSET: Final = 23
INPUTS: Final = ("values", "tracks", "feedback", "valid")
HISTORY_INPUTS: Final = ("rows", "feedback", "position", "valid", "past", "length")


class LastState(nn.Module):
    """The state after each session's last track, of rows that are given."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, values: Tensor, tracks: Tensor, feedback: Tensor, valid: Tensor) -> Tensor:
        """Return the states, float32 [B, D].

        Args:
            values: float32 [U, D], rows as they are ranked: PAD, UNKNOWN, MASK, then those of the tracks.
            tracks: int64 [B, L], index in `values` of each track.
            feedback: int64 [B, L], codes.
            valid: bool [B, L], False on padding, which stands at the end.
        """
        return self.encoder.padded_next_state(values[tracks], feedback, valid, values[MASK])


class HistoryState(nn.Module):
    """The state after the last of some places of histories, after places whose keys and values are known."""

    def __init__(self, encoder: TransformerEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, rows: Tensor, feedback: Tensor, position: Tensor, valid: Tensor, past: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the states, float32 [B, D], and the keys and values of the L places, float32 [B, K, L, 2 D].

        Args:
            rows: float32 [B, L, D], the row of the track at each place, as it is ranked.
            feedback: int64 [B, L], codes.
            position: int64 [B, L], row of the learned positions.
            valid: bool [B, L], False on padding, which stands at the end.
            past: float32 [B, K, P, 2 D], what this gave for the places before.
            length: int64 [B], how many of those there are.
        """
        attend = ContinuedAttention(past, length, valid, self.encoder.config.heads)
        return self.encoder.continued_state(rows, feedback, position, attend)


class ListenQueries(nn.Module):
    """u [B, D] and c [B] of each state: logit P(listen) = u . row + c + offset of the track."""

    def __init__(self, head: ListenHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return u and c of each state."""
        query = self.head.query(state)
        return query.direction, query.level


def export_encoder(encoder: Encoder, path: Path) -> None:
    """Write the encoder's graph to `path`.

    Raises:
        InputError: the packages of the extra `export` are missing.
    """
    if encoder.reads_histories:
        assert isinstance(encoder, TransformerEncoder), "see the conflicts of a recipe"
        _export_histories(encoder, path)
        return
    sessions, length = torch.export.Dim("B"), encoder.max_len
    sizes: dict[str, dict[int, Any]] = {name: {0: sessions} for name in INPUTS} | {"values": {0: torch.export.Dim("U")}}
    if isinstance(encoder, CausalEncoder) and not encoder.sees_padding and length > 2:
        columns = torch.export.Dim("L", max=length)
        sizes |= {name: {0: sessions, 1: columns} for name in INPUTS[1:]}
    valid = torch.arange(length)[None, :] < torch.tensor([[length], [1], [2]])
    tracks = torch.where(valid, torch.arange(3 * length).view(3, length) + 3, 0)
    feedback = torch.where(valid, 0, skips.FEEDBACK_HIDDEN)
    values = torch.zeros(3 + 3 * length, encoder.width)
    _write(LastState(encoder), (values, tracks, feedback, valid), (INPUTS, ["state"], sizes), path)


def _export_histories(encoder: TransformerEncoder, path: Path) -> None:
    batch, blocks, width, places = 3, encoder.config.blocks, encoder.width, 5
    dims = {name: torch.export.Dim(name) for name in ("B", "L", "P")}
    shape: dict[int, Any] = {0: dims["B"], 1: dims["L"]}
    sizes: dict[str, Any] = dict.fromkeys(HISTORY_INPUTS, shape)
    sizes |= {"past": {0: dims["B"], 2: dims["P"]}, "length": {0: dims["B"]}}
    valid = torch.arange(places)[None, :] < torch.tensor([[places], [1], [2]])
    feedback = torch.zeros(batch, places, dtype=torch.int64)
    position = torch.arange(places).clamp(max=encoder.max_len - 1).repeat(batch, 1)
    rows, past = torch.zeros(batch, places, width), torch.zeros(batch, blocks, 7, 2 * width)
    length = torch.tensor([7, 0, 3])
    example = (rows, feedback, position, valid, past, length)
    _write(HistoryState(encoder), example, (HISTORY_INPUTS, ["state", "added"], sizes), path)


def export_listen(head: ListenHead, width: int, path: Path) -> None:
    """Write the graph of u and c, which give P(listen), to `path`."""
    _write(
        ListenQueries(head),
        (torch.zeros(3, width),),
        (["state"], ["direction", "level"], {"state": {0: torch.export.Dim("B")}}),
        path,
    )


def _write(
    module: nn.Module, example: tuple[Tensor, ...], names: tuple[Sequence[str], Sequence[str], Any], path: Path
) -> None:
    try:
        import onnxscript  # noqa: F401  (torch's exporter writes through it)
    except ImportError as error:
        raise InputError(
            "segue export needs the packages of its extra: pip install 'segue[export]' (onnxscript is missing)"
        ) from error
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            input_names=list(names[0]),
            output_names=list(names[1]),
            dynamic_shapes=names[2],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None, "dynamo gives a program"
    path.write_bytes(_bare(program.model_proto))


def _bare(model: Any) -> bytes:
    """Return the model without the exporter's notes, which contain paths of this machine."""
    del model.metadata_props[:]
    model.doc_string = ""
    del model.graph.value_info[:]
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings and logs from the user's screen."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)

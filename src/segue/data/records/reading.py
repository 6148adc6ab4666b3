"""Files of any format as samples and blocks; the format is detected from the first bytes, not from the name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from segue.data.records.block import RecordBlock
from segue.data.records.columnar import ARROW_MAGIC, PARQUET_MAGIC, columnar_blocks, columnar_sample
from segue.data.records.database import SQLITE_MAGIC, database_blocks, database_sample
from segue.data.records.delimited import delimited_blocks, delimited_sample
from segue.data.records.json_records import json_blocks, json_sample
from segue.data.records.member import Member
from segue.data.records.opened import opened
from segue.data.records.utf8_text import utf8_chunks
from segue.data.records.workbook import ZIP_MAGIC, workbook_blocks, workbook_sample
from segue.data.rejects import Rejects
from segue.data.sources.source import Kind, Sample
from segue.errors import InputError

_PROBED: Final = 1 << 12
_JSON: Final = re.compile(rb"\s*(\[\s*([\[{\]]|$)|\{\s*([\"}]|$))")
_FOREIGN: Final = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls); save it as .xlsx or CSV",
    b"%PDF": "a PDF document; export the log as CSV",
    b"FEA1": "a Feather file of version 1; write it as Parquet",
    b"Obj\x01": "an Avro file; write it as Parquet",
    b"\x93NUMPY": "a NumPy array; write it as CSV or Parquet",
}
_KINDS: Final[dict[bytes, Kind]] = {
    PARQUET_MAGIC: "parquet",
    ARROW_MAGIC: "parquet",
    ZIP_MAGIC: "xlsx",
    SQLITE_MAGIC: "sqlite",
}
"""Kind of a file by its first bytes."""
_SAMPLES: Final[dict[Kind, Callable[[Member], Sample]]] = {
    "delimited": delimited_sample,
    "json": json_sample,
    "parquet": columnar_sample,
    "xlsx": workbook_sample,
    "sqlite": database_sample,
}
_TAR_AT: Final = 257


def sample_of(member: Member) -> Sample:
    """Return the beginning of a file. `columns` is empty for an empty file, `first` for a file without records;
    `blocks_of` refuses both.

    Raises:
        InputError: a file that cannot be read, or is not a log.
    """
    return _SAMPLES[_kind(member)](member)


def blocks_of(
    member: Member, sample: Sample, wanted: Sequence[str], rejects: Rejects, values: Collection[str] = ()
) -> Iterator[RecordBlock]:
    """Yield the records of a file in file order, columns `wanted` only (empty = all); bad ones go to `rejects`.

    `values`: text columns that become numbers or flags if all their values are.

    Raises:
        InputError: a file that cannot be read, has no record, or lacks a column.
    """
    if sample.kind == "json":
        return json_blocks(member, sample, wanted)
    if sample.kind == "delimited":
        return delimited_blocks(member, wanted, rejects, values)
    blocks = {"parquet": columnar_blocks, "xlsx": workbook_blocks, "sqlite": database_blocks}[sample.kind]
    return blocks(member, wanted, rejects)


def _kind(member: Member) -> Kind:
    with opened(member) as handle:
        head = handle.read(_PROBED)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise InputError(f"{member.name} is {what}")
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        raise InputError(f"{member.name} is a tar archive, which is not supported; unpack it and name the folder")
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            return kind
    with opened(member) as handle:
        text = next(utf8_chunks(handle, member.name, _PROBED), b"")
    return "json" if _JSON.match(text) else "delimited"

"""The plays of a whole log, gathered block by block with every text kept once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.errors import InputError
from segue.events.table import coded_texts, shared_codes
from segue.store.writer import TrackTable

_TEXTS = ("listener", "session", "track")
_NAMES = ("title", "artist")


@dataclass(frozen=True)
class Plays:
    """All sound plays of a log in the order of its files, [N]; codes count from 0."""

    listener: NDArray[np.int32]
    session: NDArray[np.int32] | None
    """Code of the session that the log states; None where it states none."""
    track: NDArray[np.int32]
    at: NDArray[np.int64] | None
    """Microseconds UTC of the stamp."""
    place: NDArray[np.float64] | None
    length_s: NDArray[np.float64]
    played_s: NDArray[np.float64]
    share: NDArray[np.float64]
    told: NDArray[np.uint8]
    line: NDArray[np.int64]
    side: pl.DataFrame
    """Further columns, as the mapping has them."""

    def __len__(self) -> int:
        return len(self.track)

    def take(self, rows: NDArray[np.int64]) -> Plays:
        """Return the plays at `rows`."""
        own: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "side"}
        taken: dict[str, Any] = {name: None if value is None else value[rows] for name, value in own.items()}
        return Plays(**taken, side=self.side[rows] if self.side.width else self.side)


class Gathering:
    """Takes typed blocks and gives the plays of all."""

    def __init__(self) -> None:
        self._codes = {name: shared_codes(name) for name in _TEXTS}
        self._parts: list[pl.DataFrame] = []
        self._tracks: list[pl.DataFrame] = []
        self.listeners = pl.Series([], dtype=pl.String)
        """The listeners by the codes of `plays`."""

    def add(self, block: pl.DataFrame) -> None:
        """Take the plays of a block, as `typed` returns them."""
        present = [name for name in _TEXTS if name in block.columns]
        coded = block.with_columns(
            block[name].cast(self._codes[name].dtype).to_physical().alias(name) for name in present
        )
        names = [name for name in _NAMES if name in block.columns]
        known = coded.select("track", *names, "length_s").with_columns(pl.lit(None, pl.String).alias("missing"))
        self._tracks.append(known.unique("track", keep="first", maintain_order=True))
        self._parts.append(coded.drop(*(n for n in (*_NAMES, "album") if n in coded.columns)))

    def plays(self) -> Plays:
        """Return the plays of all blocks.

        Raises:
            InputError: there was none.
        """
        if not self._parts:
            raise InputError("the log holds no records; name a log with plays")
        whole = pl.concat(self._parts, how="diagonal_relaxed", rechunk=True)
        self._parts = []
        known = {*_TEXTS, "at", "place", "length_s", "played_s", "share", "told", "line"}

        def optional(name: str, dtype: type) -> Any:
            return whole[name].to_numpy().astype(dtype) if name in whole.columns else None

        listener = optional("listener", np.int32)
        return Plays(
            listener=np.zeros(whole.height, np.int32) if listener is None else self._ranked(listener),
            session=optional("session", np.int32),
            track=optional("track", np.int32),
            at=optional("at", np.int64),
            place=optional("place", np.float64),
            **{name: whole[name].to_numpy() for name in ("length_s", "played_s", "share", "told", "line")},
            side=whole.select(name for name in whole.columns if name not in known),
        )

    @property
    def track_ids(self) -> pl.Series:
        """The Categorical column whose dtype has given the codes of tracks."""
        return self._codes["track"]

    def _ranked(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the place of each listener among all in UTF-8 byte order, whatever the order of the files."""
        used = np.unique(codes)
        texts = coded_texts(used, self._codes["listener"])
        order = texts.arg_sort().to_numpy()
        self.listeners = texts.gather(order)
        rank = np.empty(len(used), np.int32)
        rank[order] = np.arange(len(used), dtype=np.int32)
        return np.asarray(rank[np.searchsorted(used, codes)])

    def tracks(self) -> pl.Series:
        """Return the ids of all tracks that were seen."""
        codes = np.unique(np.concatenate([part["track"].to_numpy() for part in self._tracks]))
        return coded_texts(codes.astype(np.int32), self._codes["track"])

    def session_texts(self, codes: NDArray[np.int32]) -> pl.Series:
        """Return the sessions of the codes, as the log has them."""
        return coded_texts(codes, self._codes["session"])

    def track_table(self, vocabulary: pl.Series) -> TrackTable:
        """Return what the log itself says of the tracks of `vocabulary`: titles, artists, lengths."""
        seen = pl.concat(self._tracks, how="diagonal_relaxed")
        texts = coded_texts(seen["track"].to_numpy().astype(np.int32), self._codes["track"]).alias("id")
        first = (
            seen.with_columns(texts, pl.col("length_s").fill_nan(None))
            .group_by("id", maintain_order=True)
            .agg(pl.col(name).drop_nulls().first() for name in seen.columns if name not in ("track", "missing"))
        )
        joined = pl.DataFrame({"id": vocabulary}).join(first, on="id", how="left", maintain_order="left")
        lengths = joined["length_s"]
        return TrackTable(
            title=joined["title"].fill_null("").to_list() if "title" in joined.columns else None,
            artist=joined["artist"].fill_null("").to_list() if "artist" in joined.columns else None,
            duration=None
            if lengths.null_count() == len(lengths)
            else lengths.fill_null(float("nan")).to_numpy().astype(np.float32),
        )

"""Which rows of a store train, which are held out, and which tracks a model knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue import columns, skips
from segue.batches.held_out import BY_TIME, SPLITS, Cases, SplitKind, SplitName, kind_for
from segue.batches.next_day import NextDay, next_day
from segue.batches.track_features import has_features
from segue.config import Config, CountOrNone, Limit, Seed, Share
from segue.errors import InputError
from segue.store import NUM_SPECIALS, UNKNOWN, Store

FEWEST_TRAINING: Final = 2
"""Training tracks below which a session has no training loss."""


Vocabulary = Literal["training", "catalogue", "transductive", "features"]


@dataclass(frozen=True)
class DataConfig(Config):
    """What of a store is used, and how it is split (method, section 2)."""

    split: Literal["auto", SplitKind] = "auto"
    """What is held out. leave-last-two-out: the last two tracks of each session. chronological: the last sessions of
    each listener. temporal: the last sessions by date. sessions: random sessions. next-day: the plays of the last day.
    auto: chronological where listeners come back, else leave-last-two-out."""
    vocabulary: Literal["auto", Vocabulary] = "training"
    """Tracks that may be ranked. training: those with a training row. catalogue: all of the sessions used; without a
    training row a track has no score of the encoder, only what heads add because this listener played it before.
    transductive: all of the sessions used, with untrained rows (the paper). features: those with a training row or a
    feature in the track table. auto: catalogue where earlier sessions of listeners are read, else training."""
    max_len: Annotated[int, Limit("at least 2", lambda number: number >= 2)] = 20
    """Most tracks an encoder reads."""
    history: Annotated[int, Limit("0 to 1024", range(1025).__contains__)] = 0
    """Most plays of the listener before a session that the encoder reads, where the store says who listened; 0 = it
    reads the session alone."""
    sample_sessions: CountOrNone = 0
    """Size of a uniform sample of sessions; 0 = all."""
    sample_seed: Seed = 0
    """Seed of that sample, and of the skips that `skip_share` hides."""
    skip_at_least: Annotated[int, Limit("1, 2 or 3", (1, 2, 3).__contains__)] = skips.SKIP_AT_LEAST
    """Smallest strength that counts as a skip."""
    skip_share: Share = 0.0
    """Most skips among training rows of known feedback: a random part of more is read as unknown; 0 = all skips."""
    next_day: NextDay = field(default_factory=NextDay)
    """Lengths of split = "next-day"."""


@dataclass(frozen=True)
class Split:
    """One split of one store."""

    kind: SplitKind
    """How it was made; never auto."""
    sessions: NDArray[np.int64]
    """Sessions used, as indices of the store, ascending."""
    train_begin: NDArray[np.int64]
    train_end: NDArray[np.int64]
    """Training parts with at least two tracks, as global rows."""
    cases: Mapping[SplitName, Cases]
    num_short: int
    """Sessions used that are too short to hold anything out."""
    training_counts: NDArray[np.int64]
    """Plays of each table row in training parts, [V + 3]."""
    candidates: NDArray[np.int32]
    """Table rows that may be ranked, ascending."""
    negatives: NDArray[np.int32]
    """Those of them that may be drawn as negatives. Tracks that only have features are left out: they are never a
    target, so that they would only learn to be far from every state."""
    input_row: NDArray[np.int32]
    """Row that stands in a batch for each table row: itself, or UNKNOWN, [V + 3]."""
    hidden: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Global rows of training parts whose feedback models read as unknown, ascending."""
    skip_at_least: int = skips.SKIP_AT_LEAST
    """Smallest strength that counts as a skip."""
    vocabulary: Vocabulary = "training"
    """Which tracks may be ranked; never auto."""
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]] = field(default_factory=lambda: (np.zeros(0, np.int64),) * 2)
    """First row of each of `sessions`, and one past its last."""
    has_listeners: bool = False
    """Whether the store says who listened."""
    past: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    """What may be read of each of them later, where that is not the whole session."""

    @property
    def readable(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bounds of what may be read as the past of a listener's later session, ascending.

        Whole sessions where later ones are held out: the listener has heard them by then. Else training parts alone.
        """
        if self.past is not None:
            return self.past
        return self.bounds if self.kind in BY_TIME else (self.train_begin, self.train_end)

    @property
    def training_rows(self) -> NDArray[np.int64]:
        """Global rows of the training parts, session after session."""
        return ranges(self.train_begin, self.train_end)


def split_store(store: Store, config: DataConfig) -> Split:
    """Return the split of `store` that `config` asks for; a pure function of both.

    Raises:
        InputError: nothing is left to train on, or the store lacks the dates or listeners to split by.
    """
    sessions = _sampled(store, config)
    offsets = np.asarray(store.offsets)
    bounds = offsets[sessions], offsets[sessions + 1]
    kind = kind_for(store) if config.split == "auto" else config.split
    by_day = next_day(store, sessions, bounds, config.next_day) if kind == "next-day" else None
    (begin, end), cases, num_short = (
        SPLITS[kind](store, sessions, bounds) if by_day is None else (by_day.train, by_day.cases, 0)
    )
    counts = np.bincount(store.tracks[ranges(begin, end)], minlength=store.num_tracks + NUM_SPECIALS).astype(np.int64)
    vocabulary, has_listeners = config.vocabulary, store.side_column(columns.USER) is not None
    if vocabulary == "auto":
        vocabulary = "catalogue" if kind in BY_TIME and has_listeners else "training"
    present = counts > 0
    may_be_negative = present
    if vocabulary in ("catalogue", "transductive"):
        present = np.zeros(len(counts), np.bool_)
        present[store.tracks[ranges(*(bounds if by_day is None else by_day.past))]] = True
    if vocabulary == "transductive":
        may_be_negative = present
    if vocabulary == "features":
        present = present | has_features(store)
    enough = end - begin >= FEWEST_TRAINING
    if not enough.any():
        raise InputError(f"{store.path} has no session with two tracks to train on; sessions of 4 and more are needed")
    begin, end = begin[enough], end[enough]
    input_row = np.where(present, np.arange(len(counts)), UNKNOWN).astype(np.int32)
    input_row[:NUM_SPECIALS] = np.arange(NUM_SPECIALS)
    return Split(
        kind=kind,
        sessions=sessions,
        train_begin=begin,
        train_end=end,
        cases=cases,
        num_short=num_short,
        training_counts=counts,
        candidates=np.flatnonzero(present).astype(np.int32),
        negatives=np.flatnonzero(may_be_negative).astype(np.int32),
        input_row=input_row,
        hidden=_hidden(store, ranges(begin, end), config),
        skip_at_least=config.skip_at_least,
        vocabulary=vocabulary,
        bounds=bounds,
        has_listeners=has_listeners,
        past=None if by_day is None else by_day.past,
    )


def visible_strength(store: Store, split: Split) -> NDArray[np.uint8]:
    """Return the strength of each row as models and baselines read it, [rows]: unknown where `split` hides it."""
    strength = np.array(store.strength)
    strength[split.hidden] = skips.UNKNOWN_STRENGTH
    return strength


def _hidden(store: Store, training: NDArray[np.int64], config: DataConfig) -> NDArray[np.int64]:
    """Return random skipped rows of `training`, so many that at most `skip_share` of the others are skips."""
    if config.skip_share == 0.0:
        return training[:0]
    strength = np.asarray(store.strength)[training]
    skipped = training[skips.skipped(strength, config.skip_at_least)]
    num_listened = int(skips.listened(strength, config.skip_at_least).sum())
    num_visible = int(config.skip_share / (1 - config.skip_share) * num_listened)
    generator = np.random.default_rng([config.sample_seed, 0xD05E])
    return np.sort(generator.permutation(skipped)[num_visible:])


def ranges(begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the concatenation of begin[i]..end[i]-1, without a loop over i."""
    lengths = np.maximum(end - begin, 0)
    shift = np.repeat(begin - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    return np.arange(int(lengths.sum()), dtype=np.int64) + shift


def _sampled(store: Store, config: DataConfig) -> NDArray[np.int64]:
    """Return the sessions that are used, ascending."""
    sessions = np.arange(store.num_sessions, dtype=np.int64)
    if 0 < config.sample_sessions < len(sessions):
        generator = np.random.default_rng([config.sample_seed, 0x5E550])
        sessions = np.sort(generator.choice(sessions, config.sample_sessions, replace=False))
    if len(sessions) == 0:
        raise InputError(f"{store.path}: the store holds no session; prepare a longer log")
    return sessions

"""The verb `recommend`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from segue import columns
from segue.errors import InputError
from segue.option_types import PathOrNone, WholeOrNone, whole_number
from segue.skips import LISTENED
from segue.store.vocabulary import NUM_SPECIALS
from segue.verbs.session_text import check_suffixes, parse_session, read_session_json


@dataclass(frozen=True)
class RecommendOptions:
    """Options of `recommend`."""

    session: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Tracks in order: "t_a,t_b:skip,t_c" (:skip, :brief, :mostly, :unknown)."""
    session_json: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The session as a JSON file, or - for stdin; ids may contain any character."""
    k: Annotated[int, Parameter(name=["-k", "--k"], converter=whole_number)] = 20
    """Number of tracks."""
    new_only: bool = False
    """Exclude tracks of the session."""
    listener: WholeOrNone = None
    """Listener of --store, by number; the session, which may be left out, follows their last play there."""
    store: PathOrNone = None
    """Store with the listener's plays."""
    discovery: float | None = None
    """How adventurous the list is: 0 = what was played before first, 1 = what is new first, 0.5 = as ranked."""


def recommend(run: str | Path, options: RecommendOptions = RecommendOptions()) -> dict[str, Any]:
    """Recommend the next tracks of a session.

    Returned are the session, its tracks that the run does not know, the recommended tracks, and warnings. In Python,
    `segue.load(run).recommend(...)` takes lists.

    Args:
        run: a trained run.

    Raises:
        InputError: not one of `session` and `session_json`, or a bad one. FormatError: not a run, or a damaged one.
    """
    if (options.listener is None) != (options.store is None):
        raise InputError("--listener and --store go together: the number of a listener, and the store with their plays")
    given = (options.session is not None) + (options.session_json is not None)
    if given > 1 or (given == 0 and options.listener is None):
        raise InputError("recommend needs one of --session and --session-json")
    if options.k < 1:
        raise InputError(f"-k is {options.k}, expected at least 1")
    tracks, feedback = list[str](), list[str]()
    if options.session is not None:
        tracks, feedback = parse_session(options.session)
    elif options.session_json is not None:
        tracks, feedback = read_session_json(options.session_json)
    earlier = [] if options.store is None else stored_plays(Path(options.store), int(options.listener or 0))
    from segue.verbs.recommender import load

    recommender = load(run)
    unknown = recommender.unknown(tracks)
    if options.session is not None:
        check_suffixes(unknown, recommender.unknown)
    warnings = []
    if unknown:
        warnings.append(f"ignored, not known to this run: {', '.join(unknown)}")
    if len(unknown) == len(tracks) and not earlier:
        warnings.append("no track of the session is known: the list is the same for every such session")
    if set(feedback) - {LISTENED} and not recommender.encoder.reads_feedback:
        warnings.append("this run's encoder does not read feedback: skips do not change the list")
    recommended = recommender.recommend(
        tracks, feedback, options.k, exclude_heard=options.new_only, earlier=earlier, discovery=options.discovery
    )
    return {
        "run": str(run),
        "tracks": tracks,
        "feedback": feedback,
        "unknown": unknown,
        "recommended": recommended,
        "warnings": warnings,
    }


def stored_plays(path: Path, listener: int) -> list[tuple[str, int, int]]:
    """Return track, strength and time (UTC seconds, 0 = unknown) of all plays of a listener, in the order of listening.

    Raises:
        InputError: the store has no listeners, or not this one.
    """
    from segue.batches.listening_order import listening_order, session_begins
    from segue.batches.split import ranges
    from segue.store import Store

    store = Store(path)
    if store.side_column(columns.USER) is None:
        raise InputError(f"{path} does not say who listened; leave --listener out")
    user = np.asarray(store.side(columns.USER))
    begins, offsets = session_begins(store), np.asarray(store.offsets)
    chosen = np.flatnonzero(user == listener)
    if len(chosen) == 0:
        raise InputError(f"{path} has no listener {listener}; name one of 0 to {int(user.max(initial=0))}")
    chosen = chosen[listening_order(user[chosen], None if begins is None else begins[chosen])]
    rows = ranges(offsets[chosen], offsets[chosen + 1])
    at = np.zeros(store.num_rows, np.int64) if begins is None else np.repeat(begins, np.diff(offsets))
    if store.side_column(columns.AT) is not None:
        at = np.asarray(store.side(columns.AT)).astype(np.int64)
    ids = store.vocabulary.texts(np.asarray(store.tracks)[rows].astype(np.int64) - NUM_SPECIALS)
    return [*zip(ids, np.asarray(store.strength)[rows].tolist(), at[rows].tolist(), strict=True)]

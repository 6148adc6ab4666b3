"""The verb `recommend`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segue.errors import InputError
from segue.option_types import whole_number
from segue.skips import LISTENED
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


def recommend(run: str | Path, options: RecommendOptions = RecommendOptions()) -> dict[str, Any]:
    """Recommend the next tracks of a session.

    Returned are the session, its tracks that the run does not know, the recommended tracks, and warnings. In Python,
    `segue.load(run).recommend(...)` takes lists.

    Args:
        run: a trained run.

    Raises:
        InputError: not one of `session` and `session_json`, or a bad one. FormatError: not a run, or a damaged one.
    """
    if (options.session is None) == (options.session_json is None):
        raise InputError("recommend needs one of --session and --session-json")
    if options.k < 1:
        raise InputError(f"-k is {options.k}, expected at least 1")
    if options.session is not None:
        tracks, feedback = parse_session(options.session)
    else:
        tracks, feedback = read_session_json(str(options.session_json))
    from segue.verbs.recommender import load

    recommender = load(run)
    unknown = recommender.unknown(tracks)
    if options.session is not None:
        check_suffixes(unknown, recommender.unknown)
    warnings = []
    if unknown:
        warnings.append(f"ignored, not known to this run: {', '.join(unknown)}")
    if len(unknown) == len(tracks):
        warnings.append("no track of the session is known: the list is the same for every such session")
    if set(feedback) - {LISTENED} and not recommender.encoder.reads_feedback:
        warnings.append("this run's encoder does not read feedback: skips do not change the list")
    recommended = recommender.recommend(tracks, feedback, k=options.k, exclude_heard=options.new_only)
    return {
        "run": str(run),
        "tracks": tracks,
        "feedback": feedback,
        "unknown": unknown,
        "recommended": recommended,
        "warnings": warnings,
    }

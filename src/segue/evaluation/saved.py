"""Saves and loads an evaluation without its model: JSON and compact .npy arrays, no pickle.

A folder: `evaluation.json` (counts, every metric with its interval), `targets/` (units, and members of groups and
strata as bits), `row-00/` ... (exact ranks of the targets). A loaded evaluation gives the same results as the saved
one, contrasts included. For 450,000 targets a row of the sampled protocol takes 2 to 8 MB, one among all tracks 20 MB,
the targets 10 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from segue.batches.held_out import SplitName
from segue.config import build
from segue.errors import FormatError, InputError
from segue.evaluation.answers import Answers, ListAnswers, PairAnswers
from segue.evaluation.bootstrap import Estimate
from segue.evaluation.records import FORMS, Evaluation, Kind, Protocol, Row
from segue.evaluation.targets import Member, PairTargets, Targets
from segue.files import read_json_object, replaced_folder, write_json
from segue.recipes import EvaluationConfig

FORMAT_VERSION: Final = 2
DOCUMENT: Final = "evaluation.json"
MISS: Final = 2**32 - 1
"""Code of rank infinity; any other rank r has code 2 r, since ranks are whole or half."""
NO_NUMBER: Final = 2**32 - 2
"""Code of a NaN rank."""
DTYPES: Final[Mapping[str, type[np.generic]]] = {
    **dict.fromkeys(("ranks", "flipped", "pair_ranks"), np.uint32),
    **dict.fromkeys(("repeats", "listed", "pair_better", "members", "pair_members"), np.uint8),
    **dict.fromkeys(("log_plays", "nearer"), np.float64),
    **dict.fromkeys(("unit", "pair_chosen"), np.int64),
}
"""Type of the numbers of each array on disk."""
Ranks = NDArray[np.float64]


def coded(ranks: Ranks) -> NDArray[np.uint32]:
    """Return ranks as uint32 codes, exact for whole and half ranks below 2**31 - 1.

    >>> coded(np.array([1.0, 2.5, np.inf])).tolist()
    [2, 5, 4294967295]
    """
    doubled = np.where(np.isnan(ranks) | np.isposinf(ranks), 0.0, 2 * ranks)
    if (doubled != np.rint(doubled)).any() or (doubled < 0).any() or (doubled >= NO_NUMBER).any():
        raise ValueError("a rank is neither whole nor half, or too large")
    codes = np.where(np.isnan(ranks), NO_NUMBER, np.where(np.isposinf(ranks), MISS, doubled))
    return np.asarray(codes, np.uint32)


def decoded(codes: NDArray[np.uint32]) -> Ranks:
    """Return the ranks of `coded`."""
    ranks = codes / 2.0
    ranks[codes == MISS] = np.inf
    ranks[codes == NO_NUMBER] = np.nan
    return np.asarray(ranks)


def save_evaluation(path: str | Path, evaluation: Evaluation, *, overwrite: bool = False) -> None:
    """Write `evaluation` to the folder `path`, whole or not at all.

    Raises:
        InputError: `path` exists and may not be replaced (`overwrite` replaces an evaluation only).
    """
    targets = evaluation.targets
    document = {
        "format_version": FORMAT_VERSION,
        "split": evaluation.split,
        "config": asdict(evaluation.config),
        "simulated": dict(evaluation.simulated),
        "counts": dict(evaluation.counts),
        "listening": [dict(row) for row in evaluation.listening],
        "skip_prediction": [dict(row) for row in evaluation.skip_prediction],
        "tuning": dict(evaluation.tuning),
        "targets": {
            "num": len(targets),
            "groups": list(targets.groups),
            "strata": list(targets.strata),
            "pairs": 0 if targets.pairs is None else len(targets.pairs.chosen),
        },
        "rows": [_row_head(row) for row in evaluation.rows],
    }
    with replaced_folder(Path(path), overwrite=overwrite, marker=DOCUMENT) as folder:
        _write(folder / "targets", _target_arrays(targets))
        for number, row in enumerate(evaluation.rows):
            _write(folder / f"row-{number:02d}", _answer_arrays(row.answers))
        write_json(folder / DOCUMENT, document)


def load_evaluation(path: str | Path) -> Evaluation:
    """Return the evaluation that `save_evaluation` wrote to `path`.

    Raises:
        FormatError: no such folder, damaged, or of another format version.
    """
    folder = Path(path)
    version = read_json_object(folder / DOCUMENT, "format_version")["format_version"]
    if version != FORMAT_VERSION:
        older = version in range(1, FORMAT_VERSION)
        help_ = "it has no ranks without heard tracks: evaluate again" if older else "update Segue or evaluate again"
        raise FormatError(f"{folder} has evaluation format {version!r}, this Segue reads {FORMAT_VERSION}; {help_}")
    keys = ("split", "config", "simulated", "counts", "listening", "targets", "rows")
    document = read_json_object(folder / DOCUMENT, *keys)
    try:
        targets = _targets(folder / "targets", document["targets"])
        rows = [_row(folder / f"row-{number:02d}", head, targets) for number, head in enumerate(document["rows"])]
        config = build(EvaluationConfig, document["config"], f"{folder / DOCUMENT}: config")
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise error if isinstance(error, FormatError) else FormatError(f"{folder} is damaged ({error})") from error
    split = _one_of(SplitName, document["split"], folder)
    counts, simulated, listening = document["counts"], document["simulated"], document["listening"]
    predicted, tuning = document.get("skip_prediction", []), document.get("tuning", {})
    return Evaluation(split, rows, targets, counts, simulated, config, listening, predicted, tuning)


def _row_head(row: Row) -> dict[str, Any]:
    head = {name: getattr(row, name) for name in ("name", "kind", "protocol", "num_nan")}
    return head | {
        "behind_all": row.answers.behind_all,
        "reads_feedback": row.answers.flipped is not None,
        "metrics": {name: estimate.to_json() for name, estimate in row.metrics.items()},
        "strata": {name: estimate.to_json() for name, estimate in row.strata.items()},
    }


def _row(folder: Path, head: Mapping[str, Any], targets: Targets) -> Row:
    num, flipped, pairs, lists = len(targets), None, None, None
    if head["reads_feedback"]:
        flipped = decoded(_read(folder, "flipped", num))
    if targets.pairs is not None:
        both = len(targets.pairs.chosen)
        pairs = PairAnswers(decoded(_read(folder, "pair_ranks", both, 2)), _read(folder, "pair_better", both) / 2.0)
    if head["protocol"] in FORMS:
        repeats, listed = (_read(folder, name, num).astype(np.int64) for name in ("repeats", "listed"))
        lists = ListAnswers(_read(folder, "log_plays", num), repeats, listed, _read(folder, "nearer", num))
    answers = Answers(decoded(_read(folder, "ranks", num)), float(head["behind_all"]), flipped, pairs, lists)
    kind, protocol = _one_of(Kind, head["kind"], folder), _one_of(Protocol, head["protocol"], folder)
    metrics, strata = ({name: _estimate(*each) for name, each in head[part].items()} for part in ("metrics", "strata"))
    return Row(str(head["name"]), kind, protocol, metrics, strata, answers, int(head["num_nan"]))


def _estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(*(np.nan if part is None else float(part) for part in (value, low, high)))


def _answer_arrays(answers: Answers) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"ranks": coded(answers.ranks)}
    if answers.flipped is not None:
        arrays["flipped"] = coded(answers.flipped)
    if answers.pairs is not None:
        arrays |= {"pair_ranks": coded(answers.pairs.ranks), "pair_better": 2 * answers.pairs.better}
    return arrays if answers.lists is None else arrays | vars(answers.lists)


def _target_arrays(targets: Targets) -> dict[str, NDArray[Any]]:
    members = [targets.known_last, *targets.groups.values(), *targets.strata.values()]
    arrays: dict[str, NDArray[Any]] = {"unit": targets.unit, "members": np.packbits(np.stack(members), axis=1)}
    if targets.pairs is not None:
        pairs = targets.pairs
        flags = np.stack([*pairs.listened.T, *pairs.skipped.T, pairs.reachable])
        arrays |= {"pair_chosen": pairs.chosen, "pair_members": np.packbits(flags, axis=1)}
    return arrays


def _targets(folder: Path, head: Mapping[str, Any]) -> Targets:
    num, groups, strata = int(head["num"]), head["groups"], head["strata"]
    known_last, *members = _bits(folder, "members", 1 + len(groups) + len(strata), num)
    in_groups, in_strata = members[: len(groups)], members[len(groups) :]
    pairs = _pair_targets(folder, int(head["pairs"]), num) if head["pairs"] else None
    named_groups, named_strata = dict(zip(groups, in_groups, strict=True)), dict(zip(strata, in_strata, strict=True))
    return Targets(_read(folder, "unit", num), named_groups, named_strata, known_last, pairs)


def _pair_targets(folder: Path, num: int, num_targets: int) -> PairTargets:
    chosen = _read(folder, "pair_chosen", num)
    if chosen.min() < 0 or chosen.max() >= num_targets:
        raise FormatError(f"{folder}/pair_chosen.npy has indices beyond the targets; the folder is damaged")
    *flags, reachable = _bits(folder, "pair_members", 5, num)
    return PairTargets(chosen, np.stack(flags[:2], axis=1), np.stack(flags[2:], axis=1), reachable)


def _bits(folder: Path, name: str, count: int, num: int) -> list[Member]:
    packed = _read(folder, name, count, (num + 7) // 8)
    return list(np.unpackbits(packed, axis=1, count=num).astype(np.bool_))


def _write(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array, dtype=DTYPES[name]), allow_pickle=False)


def _read(folder: Path, name: str, *shape: int) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FormatError(f"{path} cannot be read ({error}); the folder is damaged") from error
    if array.dtype != DTYPES[name] or array.shape != shape:
        raise FormatError(f"{path} is {array.dtype} {array.shape}, expected {np.dtype(DTYPES[name])} {shape}")
    return array


def _one_of(choices: Any, value: Any, where: Path) -> Any:
    if value not in get_args(choices):
        raise FormatError(f"{where} names {value!r}, expected one of {', '.join(get_args(choices))}")
    return value

"""Studies by days: some recipes trained with several seeds, beside every tuned baseline, on the same days.

Each training lies in OUT/runs, and one that is finished is not made again. The recipes' own settings are taken, and
test days are measured once for each recipe. `result.json` holds the document of `segue evaluate` for each recipe; the
baselines stand in the first. It is written after each recipe. While a study is made again, the result of before stays
until the new one has as many recipes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

from segue.config import nearest
from segue.errors import FormatError, InputError
from segue.files import check_parent, read_json_object, replaced_file, write_json
from segue.progress import Progress, silent
from segue.reports import html
from segue.studies.study_options import StudyOptions

SHOWN: Final = ("yambda-ndcg@10", "yambda-ndcg@100", "yambda-recall@100", "ndcg@10", "recall@100", "coverage@100")
"""Metrics of the report, in its columns."""
GROUPS: Final = ("", ".repeat", ".discovery")


@dataclass(frozen=True)
class DayArm:
    """One recipe of a study by days."""

    name: str
    title: str
    recipe: str
    """Name of a preset."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of it."""


DAY_STUDIES: Final[Mapping[str, Sequence[DayArm]]] = {
    "yambda-50m": (
        DayArm("segue", "segue", "yambda-50m"),
        DayArm(
            "sasrec",
            "SASRec over the last 200 plays",
            "paper-causal-s-minus",
            {"data.history": 200, "next_track.kind": "shared"},
        ),
    )
}
"""Studies by name; every arm has the days of the first one's recipe."""


def run_day_study(
    store: str | Path, out: str | Path, options: StudyOptions, progress: Progress = silent
) -> dict[str, Any]:
    """Return the result of a study by days; `out` holds it as result.json, report.md and report.html.

    Raises:
        InputError: options that such a study does not have, no such arm, or see `segue.verbs.train`.
    """
    from segue.recipes import load_recipe
    from segue.store import Store
    from segue.verbs.evaluator import Evaluator
    from segue.verbs.train import TrainOptions, train

    arms, opened, folder = _chosen(options), Store(Path(store)), Path(out)
    days = load_recipe(DAY_STUDIES[options.recipe][0].recipe).to_tables()["data"]["next_day"]
    shared = {"data.split": "next-day"} | {f"data.next_day.{key}": value for key, value in days.items()}
    evaluator = Evaluator(opened, device=options.device, day_baselines=options.baseline)
    documents, result, before = dict[str, Any](), dict[str, Any](), _num_arms(folder / "result.json")
    for arm in arms:
        changes, runs = {**shared, **arm.changes, **options.overrides}, list[Path]()
        for seed in range(options.seeds):
            runs.append(folder / "runs" / f"{arm.name}-{seed}")
            goes_on = runs[-1].is_dir() and not options.overwrite
            given = TrainOptions(
                arm.recipe, changes, seed, options.device, options.precision, goes_on, options.overwrite
            )
            train(opened, runs[-1], given, progress=progress)
        evaluation = evaluator.evaluate_seeds(runs, baselines=not documents, progress=progress)
        documents[arm.name] = {"title": arm.title, "recipe": arm.recipe, "changes": changes, **evaluation.to_json()}
        head = {"study": options.recipe, "seeds": options.seeds, "store": opened.manifest.fingerprint}
        result = head | {"arms": documents}
        if len(documents) >= min(before, len(arms)):
            write_day_study(result, folder)
    return result


def _num_arms(path: Path) -> int:
    """Return how many recipes the result of a study by days has; 0 for any other file."""
    arms = read_json_object(path).get("arms") if is_day_result(path) else None
    return len(arms) if isinstance(arms, dict) else 0


def is_day_result(path: str | Path) -> bool:
    """Return whether a file holds the result of a study by days; False for a file that cannot be read."""
    try:
        return read_json_object(Path(path)).get("study") in DAY_STUDIES
    except (FormatError, OSError):
        return False


def write_day_study(result: dict[str, Any], out: str | Path) -> dict[str, Any]:
    """Write a result and its reports into the folder `out`, and return it.

    Raises:
        FormatError: it is not a result of such a study.
    """
    folder = Path(out)
    try:
        reports = {"report.md": report_markdown(result), "report.html": report_html(result)}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration) as error:
        raise FormatError(f"this is not a result of segue study ({type(error).__name__}: {error})") from error
    check_parent(folder / "result.json")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "result.json", result)
    for name, text in reports.items():
        with replaced_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return result


def _chosen(options: StudyOptions) -> list[DayArm]:
    from segue.ranking.baselines import DAY_BASELINE_NAMES

    arms = DAY_STUDIES[options.recipe]
    if options.tuning_trials or options.tuning_epochs:
        raise InputError(
            f"the study {options.recipe} tunes every baseline and takes the recipes' own settings: leave "
            "--tuning-trials and --tuning-epochs out"
        )
    for name in options.baseline:
        if name not in DAY_BASELINE_NAMES:
            raise InputError(f"no baseline {name!r}{nearest(name, DAY_BASELINE_NAMES)}")
    if options.seeds < 1:
        raise InputError(f"seeds is {options.seeds}; at least one training of each recipe is needed")
    for name in options.arm:
        if name not in {arm.name for arm in arms}:
            raise InputError(
                f"study {options.recipe} has no arm {name!r}; it has {', '.join(arm.name for arm in arms)}"
            )
    return [arm for arm in arms if not options.arm or arm.name in options.arm]


def rows_of(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return title and metrics of each recipe, then of each baseline, then the published numbers."""
    documents = list(result["arms"].values())
    rows = [(str(each["title"]), row) for each in documents for row in each["rows"] if row["name"] == "model"]
    rows += [(str(row["name"]), row) for row in documents[0]["rows"] if row["kind"] == "baseline"]
    published = documents[0]["published"]
    for name, values in published.items():
        rows.append((f"{name}, published", {metric: [value, None, None] for metric, value in values.items()}))
    return rows


def _cells(row: Mapping[str, Any], group: str) -> list[str]:
    values = (row.get(f"{metric}{group}") for metric in SHOWN)
    return ["" if value is None or value[0] is None else f"{value[0]:.4f}" for value in values]


def _tables(result: Mapping[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """Return caption and rows of the table of each group."""
    captions = ("all targets", "targets that the listener played before", "targets that are new to the listener")
    rows = rows_of(result)
    return [
        (caption, [[title, *_cells(row, group)] for title, row in rows if any(_cells(row, group))])
        for caption, group in zip(captions, GROUPS, strict=True)
    ]


def _opening(result: Mapping[str, Any]) -> str:
    first = next(iter(result["arms"].values()))
    counts, marked = first["counts"], "Simulated data. " if first["simulated"] else ""
    return (
        f"{marked}{counts['cases']:,} cases of {counts['listeners']:,} listeners with {counts['targets']:,} targets; "
        f"{counts['cold_listeners']:,} listeners are cold; {counts['candidates']:,} candidates; "
        f"{result['seeds']} seeds. Rows of recipes are means over seeds. Metrics: docs/benchmarks.md."
    )


def report_markdown(result: Mapping[str, Any]) -> str:
    """Return the report of a study by days."""
    parts = [f"# {result['study']}", _opening(result)]
    for caption, rows in _tables(result):
        lines = [["", *SHOWN], ["---"] * (len(SHOWN) + 1), *rows]
        parts += [f"## {caption.capitalize()}", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return "\n\n".join(parts) + "\n"


def report_html(result: Mapping[str, Any]) -> str:
    """Return the same as a page."""
    sections = [html.section("Cases", f"<p>{escape(_opening(result))}</p>")]
    for caption, rows in _tables(result):
        cells = [[escape(cell) for cell in row] for row in rows]
        sections.append(html.section(caption.capitalize(), html.table(escape(caption), ["", *SHOWN], cells)))
    return html.document(str(result["study"]), sections)

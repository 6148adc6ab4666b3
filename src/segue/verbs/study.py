"""The verbs `study` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.files import read_json_object
from segue.progress import Progress, silent
from segue.studies.study_options import StudyOptions
from segue.verbs.day_study import DAY_STUDIES, is_day_result, run_day_study, write_day_study


def study(
    store: str | Path, out: str | Path, options: StudyOptions = StudyOptions(), *, progress: Progress = silent
) -> dict[str, Any]:
    """Train, measure and compare all arms of a study; what is finished in OUT is not run again.

    Each arm is tuned with the same budget on validation targets, trained with each seed, and measured once on the test
    targets beside the baselines. A killed training resumes. The document of OUT/result.json is returned, and the path
    of its report.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        out: folder of result.json, report.md and report.html.

    Raises:
        InputError: no such study, arm or key, or `out` holds something else.
        SegueError: a training failed. Interrupted: Ctrl-C; the same call goes on.
    """
    from segue.studies.runner import run_study

    if options.recipe in DAY_STUDIES:
        return _with_report(run_day_study(store, out, options, progress), out)
    return _with_report(run_study(store, out, options, progress), out)


def report(result: str | Path, out: str | Path) -> dict[str, Any]:
    """Write a study's report.md and report.html anew from its result.json; the verdict is computed again.

    Args:
        result: a result.json that segue study wrote, on this machine or another.
        out: folder of the reports; it may be the study's own.

    Raises:
        InputError: no such file or folder. FormatError: it is not a result of a study.
    """
    from segue.studies.runner import report_study

    if is_day_result(result):
        return _with_report(write_day_study(read_json_object(Path(result)), out), out)
    return _with_report(report_study(result, out), out)


def _with_report(result: dict[str, Any], out: str | Path) -> dict[str, Any]:
    return {**result, "report": str(Path(out) / "report.html")}

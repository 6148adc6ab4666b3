"""Runs a whole study: trials, analysis, reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from segue.config import nearest
from segue.errors import FormatError, InputError
from segue.files import check_parent, replaced_file
from segue.model.inputs import check_inputs
from segue.progress import Progress, silent
from segue.ranking import BASELINE_NAMES
from segue.store import Store
from segue.studies.analysis import analysed
from segue.studies.design import TUNING_SEED, Design
from segue.studies.designs import DESIGNS
from segue.studies.report import report_html, report_markdown
from segue.studies.result_file import read_result, write_result
from segue.studies.study_options import StudyOptions
from segue.studies.study_schedule import BASELINES, StudySchedule
from segue.studies.trials.optuna_search import require_optuna
from segue.studies.trials.pool import Devices, Pool
from segue.studies.trials.trial_folder import TrialFolder, marker_of


def run_study(store: str | Path, out: str | Path, options: StudyOptions, progress: Progress = silent) -> dict[str, Any]:
    """Return the result of a study on a store; `out` holds it as result.json, report.md and report.html.

    A study in `out` is continued: trials that have ended are not made again, interrupted ones resume.

    Raises:
        InputError: no such study, arm or key; a named arm needs what the store lacks; `out` holds something else.
        SegueError: a trial failed. Interrupted: Ctrl-C.
    """
    opened = Store(Path(store))
    # a bad key, or an input that the store lacks, is refused before anything is trained
    design, left_out = suited(chosen_design(options), opened, options.overrides, options.arm)
    devices = Devices.choose(options.device, options.precision, options.jobs, each=2)
    folder = _folder(out, _settings(design, opened, options), overwrite=options.overwrite)
    with folder.locked() as lock:
        folder.sweep()
        schedule = StudySchedule(folder, design, options, jobs=devices.jobs, baselines_first=devices.count > 0)
        ended, total = schedule.counts
        if ended < total:
            if devices.count and not folder.ended(BASELINES):
                devices = replace(devices, jobs=devices.jobs + 1)  # one more for the baselines
            with Pool(devices, folder.path, opened.path, lock) as pool:
                pool.make(schedule, progress)
        result = analysed(schedule, opened) | {"left_out": left_out}
        _write(folder.path, result, _reports(result))
    return result


def report_study(result: str | Path, out: str | Path) -> dict[str, Any]:
    """Return a study's result with its verdict computed anew, and write it with both reports into the folder `out`.

    `result` is a result.json, for instance one from another machine: neither the store nor the trials are needed.

    Raises:
        InputError: there is no such file, or `out` is not a folder. FormatError: it is not a result of a study.
    """
    document = read_result(Path(result))
    try:
        reports = _reports(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"{result} is not a result of segue study ({type(error).__name__}: {error})") from error
    check_parent(Path(out) / "result.json")
    Path(out).mkdir(parents=True, exist_ok=True)
    _write(Path(out), document, reports)
    return document


def _reports(result: Mapping[str, Any]) -> dict[str, str]:
    return {"report.md": report_markdown(result), "report.html": report_html(result)}


def _write(folder: Path, result: Mapping[str, Any], reports: Mapping[str, str]) -> None:
    write_result(folder / "result.json", result)
    for file, text in reports.items():
        with replaced_file(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def chosen_design(options: StudyOptions) -> Design:
    """Return the design of the study that the options name, cut to their arms.

    Raises:
        InputError: no such study, arm or baseline, or a number out of range.
    """
    name = options.recipe
    if name not in DESIGNS:
        raise InputError(f"no study {name!r}{nearest(name, DESIGNS)}")
    seeds, trials, design = options.seeds, options.tuning_trials, DESIGNS[name]
    if seeds < 1:
        raise InputError(f"seeds is {seeds}; at least one training of each arm is needed")
    if seeds > TUNING_SEED:
        raise InputError(f"seeds is {seeds}; seed {TUNING_SEED} chooses settings, so name at most {TUNING_SEED}")
    if options.tuning_epochs < 0:
        raise InputError(f"tuning_epochs is {options.tuning_epochs}; name a number of epochs, or 0 for the recipe's")
    if trials < 0 or (trials and options.no_tune):
        raise InputError(f"tuning_trials is {trials}; name a number of points, 0 where nothing is tuned")
    if trials:
        require_optuna()
    arms = {arm.name for arm in design.arms}
    for what, named, names in (
        ("no baseline", options.baseline, set(BASELINE_NAMES)),
        (f"study {name} has no arm", options.arm, arms),
    ):
        for unknown in (one for one in named if one not in names):
            raise InputError(f"{what} {unknown!r}{nearest(unknown, names)}")
    return design.cut(options.arm, tuned=not options.no_tune)


def suited(
    design: Design, store: Store, overrides: Mapping[str, Any], named: Collection[str]
) -> tuple[Design, dict[str, str]]:
    """Return the design without the arms whose inputs the store lacks, and the reason for each of them, by title.

    `named`: arms that the options name; the lack of such an arm's inputs is an error.

    Raises:
        InputError: a key or value is refused; a named arm, or every arm, needs what the store lacks.
    """
    left_out: dict[str, str] = {}
    names = []
    for arm in design.arms:
        recipe = arm.resolved(overrides)
        if recipe.data.split == "next-day":
            raise InputError(
                "this study compares next tracks; segue study --recipe yambda-50m, segue evaluate and "
                "studies/next_day.py compare days (docs/benchmarks.md)"
            )
        try:
            check_inputs(recipe.inputs, store)
            names.append(arm.name)
        except InputError as error:
            if arm.name in named:
                raise InputError(f"arm {arm.name}: {error}") from error
            left_out[arm.title] = str(error)
    if not names:
        raise InputError(f"study {design.name}: {next(iter(left_out.values()))}")
    return design.cut(names, tuned=True), left_out


def _folder(path: str | Path, document: Mapping[str, Any], *, overwrite: bool) -> TrialFolder:
    """Return the study's folder: a new one, or the one that is continued.

    Raises:
        InputError: the folder holds something else, or the study of other settings (and `overwrite` is not set).
    """
    if overwrite or not (Path(path) / marker_of("study")).is_file():
        return TrialFolder.create(path, document, "study", overwrite=overwrite)
    folder = TrialFolder.open(path, "study")
    there = folder.document
    changed = [
        f"{key}: {there.get(key)} there, {value} here" for key, value in document.items() if there.get(key) != value
    ]
    if changed:
        raise InputError(f"{path} holds another study ({'; '.join(changed)}); name another folder, or add --overwrite")
    return folder


def _settings(design: Design, store: Store, options: StudyOptions) -> dict[str, Any]:
    """Return the settings that may not change when a study is continued; seeds may be added, machines may change."""
    return {
        "study": design.name,
        "arms": [arm.name for arm in design.arms],
        "store": store.manifest.fingerprint,
        "overrides": dict(options.overrides),
        "baselines": list(options.baseline),
        "tuned": {key: list(values) for key, values in design.tuned.items()},
        "tuning_epochs": options.tuning_epochs,
        "tuning_trials": options.tuning_trials,
    }

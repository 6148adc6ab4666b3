"""A whole study: what is to be done, in which order, by how many; then the answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segue.config import nearest
from segue.errors import FormatError, InputError
from segue.files import check_parent, replaced_file
from segue.progress import Progress, Step, silent
from segue.ranking import BASELINE_NAMES
from segue.store import Store
from segue.studies.analysis import analysed
from segue.studies.cells import Task, recipe_of
from segue.studies.crew import Crew
from segue.studies.design import TUNING_SEED, Cell, Design, Plan
from segue.studies.designs import DESIGNS
from segue.studies.folder import StudyFolder
from segue.studies.report import report_html, report_markdown
from segue.studies.result_file import read_result, write_result
from segue.studies.suited import suited
from segue.training.device import choose_device


@dataclass(frozen=True)
class StudyOptions:
    """How a study is run."""

    seeds: int = 5
    """Trainings of each arm that are reported, with seeds 0, 1, ..."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys laid over every arm."""
    arms: tuple[str, ...] = ()
    """Names of the arms to run; none named = all."""
    tune: bool = True
    """Choose each arm's settings on validation targets first; False: the recipes' own."""
    tuning_epochs: int = 0
    """Epochs that a training which chooses settings may take, the same for all arms; 0 = the recipe's own cap."""
    jobs: int = 0
    """Trainings at a time; 0 = one on a CPU, two a CUDA device."""
    device: str = "auto"
    precision: str = "auto"
    baselines: tuple[str, ...] = ()
    keep_weights: bool = False
    overwrite: bool = False


def run_study(
    store: str | Path, out: str | Path, name: str, options: StudyOptions | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Return the result of study `name` on a store; `out` holds it as result.json, report.md and report.html.

    What stands in `out` from before is gone on with: finished cells are not run again, interrupted ones resume.

    Raises:
        InputError: no such study, arm or key; an arm asked for needs what the store lacks; `out` holds something else.
        SegueError: a cell failed. Interrupted: Ctrl-C.
    """
    options = options or StudyOptions()
    opened = Store(Path(store))
    # refuses a bad key, and what the store lacks, before anything is trained
    design, left_out = suited(chosen_design(name, options), opened, options.overrides, options.arms)
    folder = StudyFolder.begin(out, _settings(design, opened, options), overwrite=options.overwrite)
    _Running(folder, opened, design, options, progress).run_all()
    result = analysed(folder, opened, plan_of(folder, design, options)) | {"left_out": left_out}
    _write(folder.path, result)
    return result


def report_study(result: str | Path, out: str | Path) -> dict[str, Any]:
    """Return a study's result with its verdict computed anew, and write it with both reports into the folder `out`.

    `result` is a result.json, for instance one brought home from another machine: no store and no cells are needed.

    Raises:
        InputError: there is no such file, or `out` is none. FormatError: it is no result of a study.
    """
    found = read_result(Path(result))
    try:
        reports = _reports(found)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"{result} is no result of segue study ({type(error).__name__}: {error})") from error
    check_parent(Path(out) / "result.json")
    Path(out).mkdir(parents=True, exist_ok=True)
    _write(Path(out), found, reports)
    return found


def _reports(result: Mapping[str, Any]) -> dict[str, str]:
    return {"report.md": report_markdown(result), "report.html": report_html(result)}


def _write(folder: Path, result: Mapping[str, Any], reports: Mapping[str, str] | None = None) -> None:
    write_result(folder / "result.json", result)
    for file, text in (reports or _reports(result)).items():
        with replaced_file(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def chosen_design(name: str, options: StudyOptions) -> Design:
    """Return the study's design, cut to the arms asked for.

    Raises:
        InputError: no such study or arm, or no seed.
    """
    if name not in DESIGNS:
        raise InputError(f"no study {name!r}{nearest(name, DESIGNS)}")
    if options.seeds < 1:
        raise InputError(f"seeds is {options.seeds}; at least one training of each arm is needed")
    if options.seeds > TUNING_SEED:
        raise InputError(
            f"seeds is {options.seeds}; seed {TUNING_SEED} chooses settings, so name at most {TUNING_SEED}"
        )
    if options.tuning_epochs < 0:
        raise InputError(f"tuning_epochs is {options.tuning_epochs}; name a number of epochs, or 0 for the recipe's")
    if options.jobs < 0:
        raise InputError(f"jobs is {options.jobs}; name how many trainings run at a time, or 0 for as many as suit")
    for asked in options.baselines:
        if asked not in BASELINE_NAMES:
            raise InputError(f"no baseline {asked!r}{nearest(asked, BASELINE_NAMES)}")
    design = DESIGNS[name]
    known = {arm.name for arm in design.arms}
    for asked in options.arms:
        if asked not in known:
            raise InputError(f"study {name} has no arm {asked!r}{nearest(asked, known)}")
    return design.cut(options.arms, tuned=options.tune)


def plan_of(folder: StudyFolder, design: Design, options: StudyOptions) -> Plan:
    """Return the plan as far as it is known: of the settings tried, those with the best validation HR@10 are chosen."""
    chosen: dict[str, Mapping[str, Any]] = {}
    for arm in design.arms:
        cells = design.tuning_cells(arm)
        if not cells:
            chosen[arm.name] = {}
        elif all(folder.finished(cell) for cell in cells):
            scores = [folder.record(cell)["validation"].get("hr@10") or 0.0 for cell in cells]
            chosen[arm.name] = cells[scores.index(max(scores))].settings
    return Plan(design, options.seeds, options.overrides, chosen, options.tuning_epochs)


def _settings(design: Design, store: Store, options: StudyOptions) -> dict[str, Any]:
    """Return what makes this study this one: seeds may be added later, machines may change."""
    return {
        "study": design.name,
        "arms": [arm.name for arm in design.arms],
        "store": store.manifest.fingerprint,
        "overrides": dict(options.overrides),
        "baselines": list(options.baselines),
        "tuned": {key: list(values) for key, values in design.tuned.items()},
        "tuning_epochs": options.tuning_epochs,
    }


class _Running:
    """The cells of a study while they are run."""

    def __init__(
        self, folder: StudyFolder, store: Store, design: Design, options: StudyOptions, progress: Progress
    ) -> None:
        self._folder, self._store, self._design, self._options = folder, store, design, options
        self._progress = progress
        device = choose_device(options.device)
        self._device = device.type
        self._devices = torch.cuda.device_count() if device.type == "cuda" else 0
        self._jobs = options.jobs or max(2 * self._devices, 1)

    def run_all(self) -> None:
        """Run what is not finished."""
        if not any(True for _ in self._ready()):
            return
        jobs = self._jobs + (self._devices > 0 and not self._folder.has_baselines())  # one more for the baselines
        threads = max((os.cpu_count() or 1) // jobs, 1)
        with self._folder.locked() as held, Crew(jobs, self._devices, threads, held) as crew:
            crew.work(self._ready, self._heard)

    def _ready(self) -> Iterator[Task]:
        """Yield what can be begun now, longest first: tuning, then the arms that are tuned, then the baselines.

        Beside GPUs the baselines come first: V-SKNN takes long on the cores that wait there.
        """
        baselines = [] if self._folder.has_baselines() else [self._task(None)]
        yield from baselines[: self._devices]
        cells = plan_of(self._folder, self._design, self._options).cells()
        waiting = [cell for cell in cells if not self._folder.finished(cell)]
        for cell in sorted(waiting, key=self._length, reverse=True):
            yield self._task(cell)
        yield from baselines[self._devices :]

    def _length(self, cell: Cell) -> tuple[bool, int]:
        return cell.tuning, recipe_of(self._design.name, cell, self._options.overrides).training.epochs

    def _of_tuning(self, cell: Cell | None) -> dict[str, Any]:
        epochs = self._options.tuning_epochs if cell is not None and cell.tuning else 0
        return {"training.epochs": epochs} if epochs else {}

    def _task(self, cell: Cell | None) -> Task:
        options = self._options
        return Task(
            out=str(self._folder.path),
            store=str(self._store.path),
            study=self._design.name,
            overrides={**options.overrides, **self._of_tuning(cell)},
            cell=None if cell is None else dict(vars(cell)),
            device=self._device,
            precision=options.precision,
            keep_weights=options.keep_weights,
            baselines=options.baselines,
        )

    def _heard(self, task: str, line: Mapping[str, Any]) -> None:
        plan = plan_of(self._folder, self._design, self._options)
        done = sum(self._folder.finished(cell) for cell in plan.cells()) + self._folder.has_baselines()
        self._progress(Step("study", done, plan.total + 1, "cells", f"{task}: {line.get('note', 'finished')}"))

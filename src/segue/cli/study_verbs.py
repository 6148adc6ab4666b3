"""Verbs about many trainings: study, report, studies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App

from segue.cli.parameters import Flat, Shown
from segue.cli.whole import Whole
from segue.config import parse_override
from segue.output import json_text


@dataclass(frozen=True)
class StudyChoice:
    """Which study, and what is changed in it."""

    recipe: str = "table1"
    """Name of the study (see segue studies)."""
    seeds: Whole = 5
    """Trainings of each arm that are reported."""
    set: tuple[str, ...] = ()
    """section.key=value over every arm; repeat the option."""
    arm: tuple[str, ...] = ()
    """Run only this arm (see segue studies show NAME); repeat the option."""
    baseline: tuple[str, ...] = ()
    """Measure only this baseline; repeat the option. V-SKNN takes long on large stores."""
    no_tune: bool = False
    """Take the recipes' own settings instead of choosing each arm's on validation targets."""
    tuning_epochs: Whole = 0
    """Epochs that each training of the search may take, for all arms alike; 0 = as many as those reported."""

    tuning_trials: Whole = 0
    """Points that Optuna proposes for each arm in place of the study's grid; needs the extra 'tune'."""

    def overrides(self) -> dict[str, Any]:
        """Return the dotted keys that are replaced."""
        return dict(parse_override(text) for text in self.set)


@dataclass(frozen=True)
class StudyMachine:
    """Where and how the trainings compute."""

    jobs: Whole = 0
    """Trainings at a time; 0 = one on a CPU, two a CUDA device."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes all GPUs where there are any."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto is bf16 where the machine multiplies it fast, else fp32."""
    keep_weights: bool = False
    """Keep the run folder of every trial."""
    overwrite: bool = False
    """Begin anew where OUT holds a study; without it the study goes on."""
    json: bool = False
    """Print one JSON document."""


def add_to(app: App) -> None:
    """Add the verbs of this module to the command."""
    app.command(study)
    app.command(report)
    studies = App(name="studies", help="List the studies that come with Segue, or show one.")
    studies.default(list_studies)
    studies.command(show_study, name="show")
    app.command(studies)


def study(
    store: Path,
    out: Path,
    /,
    *,
    choice: Annotated[StudyChoice, Flat] = StudyChoice(),
    machine: Annotated[StudyMachine, Flat] = StudyMachine(),
    terminal: Shown,
) -> None:
    """Train, measure and compare all arms of a study; what is finished in OUT is not run again.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        out: folder of result.json, report.md and report.html.
    """
    from segue import api
    from segue.cli.study_tables import study_text

    result = api.study(
        store,
        out,
        recipe=choice.recipe,
        seeds=choice.seeds,
        overrides=choice.overrides(),
        arms=choice.arm,
        tune=not choice.no_tune,
        tuning_epochs=choice.tuning_epochs,
        tuning_trials=choice.tuning_trials,
        jobs=machine.jobs,
        device=machine.device,
        precision=machine.precision,
        baselines=choice.baseline,
        keep_weights=machine.keep_weights,
        overwrite=machine.overwrite,
        progress=terminal,
    )
    terminal.close()
    print(json_text(result) if machine.json else study_text(result, out / "report.html"))


def report(result: Path, out: Path, /, *, json: bool = False, terminal: Shown) -> None:
    """Write a study's report.md and report.html anew from its result.json.

    Args:
        result: a result.json that segue study wrote, on this machine or another.
        out: folder of the reports; it may be the study's own.
        json: print one JSON document.
    """
    from segue import api
    from segue.cli.study_tables import study_text

    document = api.report(result, out)
    terminal.close()
    print(json_text(document) if json else study_text(document, out / "report.html"))


def list_studies(*, json: bool = False, terminal: Shown) -> None:
    """List the studies that come with Segue.

    Args:
        json: print one JSON document.
    """
    from segue.cli.study_tables import studies_text
    from segue.studies.designs import DESIGNS

    print(json_text({"studies": list(DESIGNS)}) if json else studies_text(list(DESIGNS.values())))


def show_study(name: str, /, *, json: bool = False, terminal: Shown) -> None:
    """Show the arms of a study, what is tuned, and what is compared.

    Args:
        name: name of a study.
        json: print one JSON document.
    """
    from segue.cli.study_tables import design_text
    from segue.studies import StudyOptions
    from segue.studies.runner import chosen_design

    design = chosen_design(name, StudyOptions())
    print(json_text(design.to_json()) if json else design_text(design))

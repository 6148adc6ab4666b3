"""The commands of `segue`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from segue.cli import tables
from segue.cli.command import Json, Shown, command_of, show
from segue.config import dump_toml, nearest
from segue.data.sources import TITLES
from segue.errors import InputError, NonFiniteError
from segue.option_types import Flat, Overrides
from segue.output import json_text
from segue.serving.options import ServeOptions
from segue.studies.study_options import StudyOptions
from segue.verbs import day_study
from segue.verbs import prepare as preparing
from segue.verbs import serve as serving
from segue.verbs import train as training
from segue.verbs.demo import demo
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.export import export
from segue.verbs.extend import extend
from segue.verbs.inspect import inspect
from segue.verbs.prepare import PrepareOptions
from segue.verbs.recommend import recommend
from segue.verbs.replay import replay
from segue.verbs.served_log import export_log
from segue.verbs.simulate import simulate
from segue.verbs.study import report, study
from segue.verbs.train import TrainOptions
from segue.verbs.tune import tune


def add_to(app: App) -> None:
    """Add every verb to the command."""
    app.command(command_of(simulate))
    app.command(prepare)
    app.command(_group("sources", "List the sources of listening logs, or show one.", list_sources, show_source))
    app.command(command_of(inspect, tables.inspect_text))
    app.command(train)
    app.command(measure, name="evaluate")
    app.command(command_of(recommend, lambda result: tables.recommendation_text(result["recommended"])))
    app.command(command_of(extend))
    app.command(_group("recipes", "List the recipes, or show one.", list_recipes, show_recipe))
    app.command(command_of(demo, tables.demo_text))
    app.command(command_of(export))
    app.command(serve)
    app.command(command_of(replay))
    log = App(name="log", help="Sessions of the service.")
    log.command(command_of(export_log), name="export")
    app.command(log)
    app.command(command_of(study, _study_text))
    app.command(command_of(report, _study_text))
    app.command(_group("studies", "List the studies that come with Segue, or show one.", list_studies, show_study))
    app.command(command_of(tune, _tuning_text))


def _group(name: str, about: str, listing: Any, showing: Any) -> App:
    """Return the command that lists things, with `show` for one of them."""
    group = App(name=name, help=about)
    group.default(listing)
    group.command(showing, name="show")
    return group


def prepare(
    source: Annotated[str, Parameter(help=f"auto, ratings (one to five stars), {', '.join(TITLES)}.")],
    /,
    *paths: Path,
    options: Annotated[PrepareOptions, Flat] = PrepareOptions(),
    json: Json = False,
    terminal: Shown,
) -> None:
    """Turn a listening log into a store.

    segue prepare auto FILE... STORE recognises exports of players and
    services, public data sets and tables of plays by their columns. The
    options that end in -column are for segue prepare table.

    Args:
        paths: files, folders or archives of the log, then the store to write.
    """
    if len(paths) < 2:
        raise InputError("name the files of the log, then the store to write: segue prepare auto FILE... STORE")
    named = replace(options, source=source)
    show(preparing.prepare(list(paths[:-1]), paths[-1], named, progress=terminal), terminal, as_json=json)


def train(
    store: Path | None = None,
    run: Path | None = None,
    /,
    *,
    options: Annotated[TrainOptions, Flat] = TrainOptions(),
    print_config: bool = False,
    json: Json = False,
    terminal: Shown,
) -> None:
    """Train a recipe on a store; weights, metrics and the resolved recipe go to the run folder.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        run: folder to write.
        print_config: print the resolved recipe as TOML and exit.
    """
    if print_config:
        resolved = training.resolve_recipe(options.recipe, options.all_overrides())
        print(dump_toml(resolved.to_tables()), end="")
        return
    if store is None or run is None:
        raise InputError("train needs STORE and RUN; see segue train --help")
    show(training.train(store, run, options, progress=terminal), terminal, as_json=json)


def measure(
    run: Path,
    store: Path,
    /,
    *,
    options: Annotated[EvaluateOptions, Flat] = EvaluateOptions(),
    json: Json = False,
    terminal: Shown,
) -> None:
    """Measure a run and every baseline on held-out tracks, with intervals.

    Args:
        run: a trained run.
        store: the store it was trained on.
    """
    evaluation = evaluate(run, store, options, progress=terminal)
    show(evaluation, terminal, as_json=json, text=tables.evaluation_text)
    if evaluation.num_nan:
        raise NonFiniteError(f"{evaluation.num_nan} targets have a NaN score and rank last; train {run} again")


def serve(*paths: Path, options: Annotated[ServeOptions, Flat] = ServeOptions(), terminal: Shown) -> None:
    """Serve the next track over HTTP on this machine, from runs or exports; the first is the default.

    A run is first exported to its folder `served`. Ctrl-C ends the service.
    After SIGHUP, or when a new export replaces an old one, it reloads its
    exports without losing a request. Schema: /schema/openapi.json.

    Args:
        paths: runs or exports.
    """
    serving.serve(paths, options, tell=terminal.say)


def list_sources(*, json: Json = False) -> None:
    """List the sources of listening logs."""
    from segue.data.sources import all_sources

    rows = [{"name": one.name, "source": one.title, "feedback": one.feedback} for one in all_sources()]
    print(json_text({"sources": rows}) if json else tables.records_text(rows))


def show_source(name: str, /, *, json: Json = False) -> None:
    """Show a source: where to get it, its licence, its quirks, its feedback.

    Args:
        name: name of a source.
    """
    from segue.data.sources import source_of

    if name not in TITLES:
        raise InputError(f"unknown source {name!r}{nearest(name, TITLES)}; segue sources lists them")
    source = source_of(name)
    facts = {field: getattr(source, field) for field in ("name", "title", "where", "licence", "feedback", "refused")}
    facts |= {"files": list(source.files), "notes": list(source.notes)}
    if json:
        print(json_text(facts))
        return
    print(tables.facts_text({field: value for field, value in facts.items() if isinstance(value, str) and value}))
    print("files", *(f"  {pattern}" for pattern in source.files), sep="\n")
    print("notes", *(f"  {note}" for note in source.notes), sep="\n")


def list_recipes(*, json: Json = False) -> None:
    """List Segue's recipes."""
    from segue.recipes import list_recipes as recipes

    rows = [{"recipe": name} for name in recipes()]
    print(json_text({"recipes": [row["recipe"] for row in rows]}) if json else tables.records_text(rows))


def show_recipe(name: str, /, *, set: Overrides = {}) -> None:  # noqa: B006 - never changed
    """Print a recipe as TOML.

    Args:
        name: name of a recipe, or a TOML file.
        set: section.key=value replaces a value of the recipe; repeat the option.
    """
    print(dump_toml(training.resolve_recipe(name, set).to_tables()), end="")


def list_studies(*, json: Json = False) -> None:
    """List the studies that come with Segue."""
    from segue.cli.study_tables import studies_text
    from segue.studies.designs import DESIGNS

    by_days = f"by days: {', '.join(day_study.DAY_STUDIES)} (docs/benchmarks.md)"
    text = f"{studies_text(list(DESIGNS.values()))}\n{by_days}"
    print(json_text({"studies": [*DESIGNS, *day_study.DAY_STUDIES]}) if json else text)


def show_study(name: str, /, *, json: Json = False) -> None:
    """Show the arms of a study, what is tuned, and what is compared.

    Args:
        name: name of a study.
    """
    from segue.cli.study_tables import design_text
    from segue.studies.runner import chosen_design

    design = chosen_design(StudyOptions(recipe=name))
    print(json_text(design.to_json()) if json else design_text(design))


def _study_text(result: Mapping[str, Any]) -> str:
    if result.get("study") in day_study.DAY_STUDIES:
        return day_study.report_markdown(result)
    from segue.cli.study_tables import study_text

    return study_text(result)


def _tuning_text(result: Mapping[str, Any]) -> str:
    from segue.cli.tuning_text import tuning_text

    return tuning_text(result)

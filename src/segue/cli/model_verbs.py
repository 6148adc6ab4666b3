"""Verbs about models: train, evaluate, recommend, recipes, demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from segue.cli.parameters import Flat, Shown
from segue.cli.session_text import check_suffixes, parse_session, read_session_json
from segue.cli.tables import demo_text, evaluation_text, facts_text, recommendation_text
from segue.cli.terminal import table_text
from segue.cli.whole import Whole, WholeOrNone, whole_number
from segue.config import dump_toml, parse_override
from segue.errors import InputError, NonFiniteError
from segue.output import json_text
from segue.skips import LISTENED


@dataclass(frozen=True)
class RecipeChoice:
    """The recipe, and changes to it."""

    recipe: str | None = None
    """Name of a recipe (see segue recipes), or a TOML file; default paper-causal-s-plus-track."""
    set: tuple[str, ...] = ()
    """section.key=value replaces a value of the recipe; repeat the option."""
    seed: WholeOrNone = None
    """Seed of initialisation and order; short for --set training.seed=N."""
    print_config: bool = False
    """Print the resolved recipe as TOML and exit."""

    def overrides(self) -> dict[str, Any]:
        """Return the dotted keys that are replaced."""
        seed = {} if self.seed is None else {"training.seed": self.seed}
        return dict(parse_override(text) for text in self.set) | seed


@dataclass(frozen=True)
class Machine:
    """Where and how the run computes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto uses a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto is bf16 if the machine multiplies it fast, else fp32."""
    resume: bool = False
    """Continue an interrupted run."""
    overwrite: bool = False
    """Replace an existing run."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class SessionChoice:
    """The session to continue."""

    session: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Tracks in order: "t_a,t_b:skip,t_c" (:skip, :brief, :mostly, :unknown)."""
    session_json: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The session as a JSON file, or - for stdin; ids may contain any character."""


def add_to(app: App) -> None:
    """Add the verbs of this module to the command."""
    app.command(train)
    app.command(evaluate)
    app.command(recommend)
    app.command(extend)
    recipes = App(name="recipes", help="List the recipes, or show one.")
    recipes.default(list_all)
    recipes.command(show)
    app.command(recipes)
    app.command(demo)


def train(
    store: Path | None = None,
    run: Path | None = None,
    /,
    *,
    choice: Annotated[RecipeChoice, Flat] = RecipeChoice(),
    machine: Annotated[Machine, Flat] = Machine(),
    terminal: Shown,
) -> None:
    """Train a recipe on a store; weights, metrics and the resolved recipe go to the run folder.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        run: folder to write.
    """
    if choice.print_config:
        from segue.api.train import DEFAULT_RECIPE
        from segue.recipes import load_recipe

        print(dump_toml(load_recipe(choice.recipe or DEFAULT_RECIPE, choice.overrides()).to_tables()), end="")
        return
    if store is None or run is None:
        raise InputError("train needs STORE and RUN; see segue train --help")
    from segue import api

    result = api.train(
        store,
        run,
        recipe=choice.recipe,
        overrides=choice.overrides(),
        device=machine.device,
        precision=machine.precision,
        resume=machine.resume,
        overwrite=machine.overwrite,
        progress=terminal,
    )
    terminal.close()
    facts = {
        "run": str(run),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "stopped": result.stopped,
        "converged": result.converged,
        "metrics": dict(result.metrics),
    }
    print(json_text(facts) if machine.json else facts_text(facts))


def evaluate(
    run: Path,
    store: Path,
    /,
    *,
    protocol: Literal["sampled", "full", "both", "popularity"] = "both",
    split: Literal["test", "validation"] = "test",
    model_only: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    json: bool = False,
    terminal: Shown,
) -> None:
    """Measure a run and every baseline on held-out tracks, with intervals.

    Args:
        run: a trained run.
        store: the store it was trained on.
        protocol: rank targets among 1000 sampled tracks, among all, both, or among 1000 sampled by popularity.
        split: held-out tracks to rank.
        model_only: measure no baselines.
        device: auto uses a GPU if there is one.
        json: print one JSON document.
    """
    from segue import api

    evaluation = api.evaluate(
        run, store, protocol=protocol, split=split, device=device, baselines=not model_only, progress=terminal
    )
    document = evaluation.to_json()
    terminal.close()
    print(json_text(document) if json else evaluation_text(document))
    if evaluation.num_nan:
        raise NonFiniteError(f"{evaluation.num_nan} targets have a NaN score and rank last; train {run} again")


def recommend(
    run: Path,
    /,
    *,
    choice: Annotated[SessionChoice, Flat] = SessionChoice(),
    k: Annotated[int, Parameter(name=["-k", "--k"], converter=whole_number)] = 20,
    new_only: bool = False,
    json: bool = False,
    terminal: Shown,
) -> None:
    """Recommend the next tracks of a session.

    Args:
        run: a trained run.
        k: number of tracks.
        new_only: exclude tracks of the session.
        json: print one JSON document.
    """
    if (choice.session is None) == (choice.session_json is None):
        raise InputError("recommend needs one of --session and --session-json")
    if k < 1:
        raise InputError(f"-k is {k}, expected at least 1")
    if choice.session is not None:
        tracks, feedback = parse_session(choice.session)
    else:
        tracks, feedback = read_session_json(str(choice.session_json))
    from segue import api

    recommender = api.load(run)
    unknown = recommender.unknown(tracks)
    if choice.session is not None:
        check_suffixes(unknown, recommender.unknown)
    if unknown:
        terminal.say(f"ignored, not known to this run: {', '.join(unknown)}")
    if len(unknown) == len(tracks):
        terminal.say("no track of the session is known: the list is the same for every such session")
    if set(feedback) - {LISTENED} and not recommender.encoder.reads_feedback:
        terminal.say("this run's encoder does not read feedback: skips do not change the list")
    recommended = recommender.recommend(tracks, feedback, k=k, exclude_heard=new_only)
    terminal.close()
    document = {"run": str(run), "tracks": tracks, "feedback": feedback, "unknown": unknown, "recommended": recommended}
    print(json_text(document) if json else recommendation_text(recommended))


def extend(run: Path, /, *, tracks: Path, json: bool = False, terminal: Shown) -> None:
    """Add new tracks to a trained run by their features, without training again.

    The run must have been trained with features of tracks (--set features=true on a store prepared with --tracks).

    Args:
        run: a trained run.
        tracks: CSV or Parquet with an id column and the run's features, and optionally title and artist.
        json: print one JSON document.
    """
    from segue import api

    facts = api.extend(run, tracks).to_json()
    terminal.close()
    print(json_text(facts) if json else facts_text(facts))


def list_all(*, json: bool = False, terminal: Shown) -> None:
    """List Segue's recipes.

    Args:
        json: print one JSON document.
    """
    from segue.recipes import list_recipes

    names = list(list_recipes())
    print(json_text({"recipes": names}) if json else table_text(["recipe"], [[name] for name in names]))


def show(name: str, /, *, terminal: Shown) -> None:
    """Print a recipe as TOML.

    Args:
        name: name of a recipe, or a TOML file.
    """
    from segue.recipes import load_recipe

    print(dump_toml(load_recipe(name, {}).to_tables()), end="")


@dataclass(frozen=True)
class DemoSize:
    """Size of the demo."""

    sessions: Whole = 5_000
    """Number of simulated sessions."""
    tracks: Whole = 25_000
    """Size of the simulated catalogue."""
    seed: Whole = 1
    """Seed of the simulation and of both trainings."""


def demo(
    out: Path,
    /,
    *,
    size: Annotated[DemoSize, Flat] = DemoSize(),
    overwrite: bool = False,
    json: bool = False,
    terminal: Shown,
) -> None:
    """Simulate, prepare, train without and with skips, evaluate, recommend and report, in minutes.

    Args:
        out: folder to write.
        overwrite: replace an earlier demo.
        json: print one JSON document.
    """
    from segue import api

    result = api.demo(
        out, sessions=size.sessions, tracks=size.tracks, seed=size.seed, overwrite=overwrite, progress=terminal
    )
    terminal.close()
    print(json_text(result) if json else demo_text(result))

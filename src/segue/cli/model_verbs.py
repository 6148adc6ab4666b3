"""Verbs about models: train, evaluate, recommend, recipes, demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from segue.cli.parameters import Flat, Shown
from segue.cli.session_text import LISTENED, check_suffixes, parse_session, read_session_json
from segue.cli.tables import demo_text, evaluation_text, facts_text, recommendation_text
from segue.cli.terminal import table_text
from segue.cli.whole import Whole, WholeOrNone, whole_number
from segue.config import dump_toml, parse_override
from segue.errors import InputError, NonFiniteError
from segue.output import json_text


@dataclass(frozen=True)
class RecipeChoice:
    """Which recipe, and what is changed in it."""

    recipe: str | None = None
    """Name of a recipe (see segue recipes), or a TOML file; by default paper-causal-s-plus-track."""
    set: tuple[str, ...] = ()
    """section.key=value in place of the recipe's; repeat the option."""
    seed: WholeOrNone = None
    """Seed of initialisation and order; short for --set training.seed=N."""
    print_config: bool = False
    """Print the resolved recipe as TOML and do nothing."""

    def overrides(self) -> dict[str, Any]:
        """Return the dotted keys that are replaced."""
        seed = {} if self.seed is None else {"training.seed": self.seed}
        return dict(parse_override(text) for text in self.set) | seed


@dataclass(frozen=True)
class Machine:
    """Where and how the run computes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto is bf16 where the machine multiplies it fast, else fp32."""
    resume: bool = False
    """Continue an interrupted run."""
    overwrite: bool = False
    """Replace an existing run."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class Asked:
    """The session to continue."""

    session: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Tracks in order: "t_a,t_b:skip,t_c" (:skip, :brief, :mostly, :unknown)."""
    session_json: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The session as JSON in a file, or - for stdin; takes any id."""


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
    """Train a recipe on a store; the run folder keeps weights, metrics and the resolved recipe.

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
    """Measure a run on its held-out tracks, beside every baseline, with intervals.

    Args:
        run: a trained run.
        store: the store it was trained on.
        protocol: rank the target among 1000 sampled tracks, among all, both, or among 1000 sampled by popularity.
        split: which held-out tracks.
        model_only: leave the baselines out.
        device: auto is cuda where there is a GPU.
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
        raise NonFiniteError(
            f"{evaluation.num_nan} targets have a score that is no number; they rank last: train {run} again"
        )


def recommend(
    run: Path,
    /,
    *,
    asked: Annotated[Asked, Flat] = Asked(),
    k: Annotated[int, Parameter(name=["-k", "--k"], converter=whole_number)] = 20,
    new_only: bool = False,
    json: bool = False,
    terminal: Shown,
) -> None:
    """Recommend the next tracks of a session.

    Args:
        run: a trained run.
        k: how many.
        new_only: leave out tracks that the session holds already.
        json: print one JSON document.
    """
    if (asked.session is None) == (asked.session_json is None):
        raise InputError("recommend needs one of --session and --session-json")
    if k < 1:
        raise InputError(f"-k is {k}, expected at least 1")
    if asked.session is not None:
        tracks, feedback = parse_session(asked.session)
    else:
        tracks, feedback = read_session_json(str(asked.session_json))
    from segue import api

    recommender = api.load(run)
    unknown = recommender.unknown(tracks)
    if asked.session is not None:
        check_suffixes(unknown, recommender.unknown)
    if unknown:
        terminal.say(f"passed over, not known to this run: {', '.join(unknown)}")
    if len(unknown) == len(tracks):
        terminal.say("no track of the session is known: what follows is the same for every such session")
    if set(feedback) - {LISTENED} and not recommender.encoder.reads_feedback:
        terminal.say("this run's encoder reads tracks alone: what was skipped changes nothing in the list")
    found = recommender.recommend(tracks, feedback, k=k, exclude_heard=new_only)
    terminal.close()
    document = {"run": str(run), "tracks": tracks, "feedback": feedback, "unknown": unknown, "recommended": found}
    print(json_text(document) if json else recommendation_text(found))


def extend(run: Path, /, *, tracks: Path, json: bool = False, terminal: Shown) -> None:
    """Put new tracks into a trained run by their features, without training again.

    The run must have been trained with features of tracks (--set features=true on a store prepared with --tracks).

    Args:
        run: a trained run.
        tracks: CSV or Parquet with an id column and the run's features; title and artist where known.
        json: print one JSON document.
    """
    from segue import api

    facts = api.extend(run, tracks).to_json()
    terminal.close()
    print(json_text(facts) if json else facts_text(facts))


def list_all(*, json: bool = False, terminal: Shown) -> None:
    """List the recipes that come with Segue.

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
    """How large the demo is."""

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
    """Simulate, prepare, train without and with skips, evaluate, recommend, report: all of it in minutes.

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

"""Makes a command from a verb: arguments from its parameters, options from its record, help from their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from segue.cli.tables import facts_text
from segue.cli.terminal import Terminal
from segue.option_types import Flat
from segue.output import json_text

Json = Annotated[bool, Parameter(help="Print one JSON document.")]
Shown = Annotated[Terminal, Parameter(parse=False)]
"""The terminal, passed in by the application; not an option."""


def command_of(verb: Callable[..., Any], text: Callable[[Any], str] = facts_text) -> Callable[..., None]:
    """Return the command of a verb; `text` turns its result into what is printed without --json."""
    parameters = [*_parameters(verb), _option("json", Json, default=False), _option("terminal", Shown)]

    def command(*arguments: str, terminal: Terminal, json: bool = False, **options: Any) -> None:
        if "progress" in inspect.signature(verb).parameters:
            options["progress"] = terminal
        show(verb(*arguments, **options), terminal, as_json=json, text=text)

    about, arguments, after = inspect.cleandoc(verb.__doc__ or "").partition("Args:")
    paragraphs = [" ".join(paragraph.split()) for paragraph in about.split("\n\n")]
    command.__doc__ = "\n\n".join(paragraphs) + f"\n\n{arguments}{after}"  # cyclopts keeps the ends of lines
    command.__name__ = verb.__name__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _parameters(verb: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the positional arguments of a verb as text, and its options."""
    parameters = []
    for each in inspect.signature(verb).parameters.values():
        if each.name == "options":
            record: Any = inspect.unwrap(verb).__globals__[each.annotation]
            parameters.append(_option("options", Annotated[record, Flat], default=each.default))
        elif each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            parameters.append(inspect.Parameter(each.name, inspect.Parameter.POSITIONAL_ONLY, annotation=str))
    return parameters


def _option(name: str, annotation: Any, **default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, **default)


def show(result: Any, terminal: Terminal, *, as_json: bool, text: Callable[[Any], str] = facts_text) -> None:
    """Print the result of a verb on stdout, as text or as one JSON document; its warnings go to stderr."""
    document: Mapping[str, Any] = result if isinstance(result, Mapping) else result.to_json()
    for warning in document.get("warnings", ()):
        terminal.say(f"warning: {warning}")
    terminal.close()
    if as_json:
        print(json_text(document))
    else:
        print(text({key: value for key, value in document.items() if key != "warnings"}))

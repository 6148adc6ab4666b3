"""The `segue` command: parses arguments, calls one verb, turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

import segue
from segue.cli import commands
from segue.cli.terminal import Terminal
from segue.output import DONE, FAILED, USAGE, failure, speak_utf8

HELP = "Next-track music recommendation that learns from skips."
EPILOGUE = (
    "Results go to stdout, progress and messages to stderr. NO_COLOR is honoured. "
    "Exit codes: 0 done, 1 failed, 2 usage or bad input, 130 interrupted."
)


def make_app() -> App:
    """Return the command with all its verbs."""
    app = App(
        name="segue",
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=segue.__version__,
        default_parameter=Parameter(negative=()),
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    commands.add_to(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of `segue ARGV`: 0 done, 1 failed, 2 usage or bad input, 130 interrupted."""
    speak_utf8()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded: see benchmarks/beside.py
    terminal = Terminal()
    warnings.showwarning = lambda message, *_rest, **_more: terminal.say(f"segue: warning: {message}")
    try:
        _launch(list(sys.argv[1:] if argv is None else argv), terminal)
        sys.stdout.flush()
        return DONE
    except CycloptsError as error:
        return _failed(terminal, f"segue: {usage_text(error)}", USAGE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        message_and_code = failure(error)
        if message_and_code is None:
            raise
        message, code = message_and_code
        return _failed(terminal, f"segue: {message}", code, error)


def usage_text(error: CycloptsError) -> str:
    """Return what is wrong with the arguments, and which help to read."""
    verb = " ".join(["segue", *(error.command_chain or ())])
    if isinstance(error, UnusedCliTokensError):
        words = ", ".join(map(repr, error.unused_tokens or ()))
        return f"{verb} takes no further argument, but got {words}\nSee {verb} --help."
    return f"{error}\nSee {verb} --help."


def _launch(argv: list[str], terminal: Terminal) -> None:
    """Parse the global flags anywhere in `argv`, then run the verb."""
    app = make_app()

    @app.meta.default
    def verb(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        """Run a verb.

        Args:
            tokens: the verb and its arguments.
            quiet: print errors only, no progress or messages.
            verbose: print more messages, and tracebacks of errors.
        """
        terminal.quiet, terminal.verbose = quiet, verbose
        command, bound, ignored = app.parse_args(tokens, print_error=False, exit_on_error=False)
        given: dict[str, Any] = {"terminal": terminal} if "terminal" in ignored else {}
        try:
            command(*bound.args, **bound.kwargs, **given)
        finally:
            terminal.close()

    app.meta.suppress_keyboard_interrupt = False
    app.meta(argv, print_error=False, exit_on_error=False, result_action="return_value")


def _failed(terminal: Terminal, text: str, code: int, error: BaseException | None = None) -> int:
    """Print the failure (also with --quiet) and return `code`."""
    if terminal.verbose and error is not None:
        terminal.stream.write("".join(traceback.format_exception(error)))
    terminal.quiet = False
    terminal.say(text)
    return code

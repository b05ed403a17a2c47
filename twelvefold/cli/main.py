"""The entry of the `twelvefold` command: finds the command by name, runs it, and turns its end into an exit status.

Nothing but the list of commands is imported before it is known which one is wanted, so that help stays quick. What
an error looks like is the boundary's.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from .commands import overview

if TYPE_CHECKING:
    from typer.core import TyperGroup

EXIT_SIGINT = 130
EXIT_SIGTERM = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; never raises for what a user or the machine did."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminated)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    completing = "_TWELVEFOLD_COMPLETE" in os.environ
    try:
        if not completing and arguments in ([], ["--help"], ["-h"]):
            (sys.stdout if arguments else sys.stderr).write(overview())
            status = 0 if arguments else 2
        else:
            status = _invoke(arguments)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        status = 0
        _silence(sys.stdout)
    except KeyboardInterrupt:
        status = EXIT_SIGINT
    return status


def _invoke(arguments: list[str]) -> int:
    """Run the command behind the arguments, with every error shown."""
    from .boundary import shown_errors

    with shown_errors(arguments) as outcome:
        result = command_group().main(arguments, prog_name="twelvefold", standalone_mode=False)
        outcome.status = result if isinstance(result, int) else 0
    return outcome.status


def command_group() -> TyperGroup:
    """Build the typer group of all commands; each command's module is imported when it is asked for."""
    import typer

    from .group import LazyGroup

    if "_TWELVEFOLD_COMPLETE" in os.environ:
        # Without typer's own `--install-completion` its shells have to be made known by hand.
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    app = typer.Typer(cls=LazyGroup, name="twelvefold", rich_markup_mode=None, add_completion=False)

    @app.callback(context_settings={"help_option_names": ["-h", "--help"]})
    def twelvefold(
        debug: bool = typer.Option(False, "--debug", help="Show a traceback with an error."),
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    ) -> None:
        """Run AI agents as ordinary processes, with every step of theirs in one durable log."""

    group: Any = typer.main.get_command(app)
    return group  # type: ignore[no-any-return]


def _terminated(number: int, frame: FrameType | None) -> None:
    """End at SIGTERM as at an error, so that `finally` blocks run; long-running commands install their own."""
    raise SystemExit(EXIT_SIGTERM)


def _silence(stream: Any) -> None:
    """Point a stream whose reader has gone at nothing, so that the interpreter's last flush doesn't complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

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
    status = 0
    try:
        if "_TWELVEFOLD_COMPLETE" not in os.environ and arguments in ([], ["--help"], ["-h"]):
            status = _show_overview(arguments)
        else:
            status = _invoke(arguments)
    except KeyboardInterrupt:
        status = EXIT_SIGINT
    return status


def _show_overview(arguments: list[str]) -> int:
    """Write all commands, without importing any; the overview of nothing asked for is a usage error."""
    stream = sys.stdout if arguments else sys.stderr
    if stream is not None:
        try:
            stream.write(overview())
            stream.flush()
        except BrokenPipeError:
            from .output import silence

            silence(stream)
        except OSError:
            return _invoke(arguments)  # the slow way, which tells people what is wrong with their output
    return 0 if arguments else 2


def _invoke(arguments: list[str]) -> int:
    """Run the command behind the arguments, with every error shown."""
    from .boundary import shown_errors
    from .output import flush

    with shown_errors(arguments) as outcome:
        result = command_group().main(arguments, prog_name="twelvefold", standalone_mode=False)
        outcome.status = result if isinstance(result, int) else 0
        flush()
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

"""The boundary where every error of a command ends: shown on stderr in one shape, with a code, a reason and a help.

    error[E101]: stream demo.1 is at version 3, not at the expected 2
      why: A stream is not at the version that the writer expected: somebody else wrote to it first.
     help: twelvefold explain E101

No traceback leaves it unless `--debug` was given. What no one foresaw is E000, with the place in the code.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from ..access import opening_command
from ..errors import NotAccessible, OutputUnwritable, UsageInvalid
from ..eventstore.errors import TwelvefoldError
from .group import PipeClosed
from .output import Style, flush, harmless, silence

#: What is wrong with a path itself, whoever asks, and what to do then.
_NO_SUCH_WAY = {
    errno.ENOTDIR: "namei {path}    # shows which part of it is no folder; then choose another place",
    errno.ELOOP: "namei {path}    # shows the links that lead nowhere; then choose another place",
    errno.ENAMETOOLONG: "choose a place with a shorter name",
}


@dataclass
class Outcome:
    """How a command ended, as an exit status."""

    status: int = 0


@contextlib.contextmanager
def shown_errors(arguments: Sequence[str]) -> Iterator[Outcome]:
    """Run the block; show what it raises, and leave the exit status in the outcome."""
    outcome = Outcome()
    debug = "--debug" in list(arguments)[:2]
    try:
        yield outcome
    except (PipeClosed, BrokenPipeError):
        # Not an error; what the command had found out by then stays its exit status.
        if sys.stdout:
            silence(sys.stdout)
    except TwelvefoldError as error:
        outcome.status = error.exit_code
        _show(rendered(error), debug)
    except typer.TyperException as error:
        problem = usage_problem(error)
        outcome.status = problem.exit_code
        _show(rendered(problem), debug)
    except typer.Abort:
        outcome.status = 130
    except Exception as error:  # noqa: BLE001  the last resort: what was not foreseen is still told in words
        known = system_problem(error)
        outcome.status = known.exit_code if known else 1
        _show(rendered(known) if known else unforeseen(error, arguments), debug)


def rendered(error: TwelvefoldError) -> str:
    """Return an error as the user sees it on stderr, coloured where that is wanted."""
    style = Style(sys.stderr)
    lines = [style.bold(f"{style.red(f'error[{error.code}]')}: {harmless(error.message())}")]
    if not isinstance(error, UsageInvalid):
        lines.append(f"  {style.bold('why')}: {reason(type(error))}")
    cause = error.__cause__
    words = getattr(cause, "strerror", None) or str(cause)
    if cause is not None and not isinstance(cause, TwelvefoldError) and words.lower() not in error.message().lower():
        lines.append(f"  {style.bold('cause')}: {type(cause).__name__}: {harmless(str(cause))}")
    lines.append(f"{style.cyan('help')}: {harmless(error.help() or f'twelvefold explain {error.code}')}")
    return "\n".join(lines)


def reason(cls: type[TwelvefoldError]) -> str:
    """Return the first paragraph of an error class's docstring: what kind of thing happened."""
    text = inspect.getdoc(cls) or ""
    return " ".join(text.split("\n\n", 1)[0].split())


def usage_problem(error: typer.TyperException) -> UsageInvalid:
    """Turn typer's complaint about a command line into our error, with the command whose help explains it."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "twelvefold"
    # Typer has pydantic check values, whose words for an error of a value lead nowhere.
    return UsageInvalid(error.format_message().rstrip(".").replace("Value error, ", ""), command)


def system_problem(error: Exception) -> TwelvefoldError | None:
    """Return the error of ours for what the system refused: a closed file, a path that leads nowhere."""
    if isinstance(error, PermissionError) and isinstance(error.filename, str):
        return NotAccessible(error.filename, error.strerror or str(error), opening_command(Path(error.filename)))
    if isinstance(error, OSError) and error.errno in _NO_SUCH_WAY and isinstance(error.filename, str):
        remedy = _NO_SUCH_WAY[error.errno].format(path=shlex.quote(error.filename))
        return NotAccessible(error.filename, error.strerror or str(error), remedy)
    if isinstance(error, FileNotFoundError):
        try:
            Path.cwd()
        except FileNotFoundError:
            return NotAccessible("the current folder", "it has been removed", "cd ~")
    return None


def unforeseen(error: Exception, arguments: Sequence[str]) -> str:
    """Return the words for an error that nobody foresaw: what, where in the code, and how to see more."""
    style = Style(sys.stderr)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    again = shlex.join(["twelvefold", "--debug", *(a for a in arguments if a != "--debug")])
    return "\n".join(
        [
            style.bold(f"{style.red('error[E000]')}: {type(error).__name__}: {harmless(str(error))}"),
            f"  {style.bold('why')}: Nobody foresaw this, so it is a defect of Twelvefold or of the machine ({place}).",
            f"{style.cyan('help')}: {again}",
        ]
    )


def _show(text: str, debug: bool) -> None:
    """Write an error to stderr, after its traceback where that was asked for; a closed or full one hears nothing."""
    # What was printed before belongs before the error, which is told even where the output goes nowhere.
    with contextlib.suppress(BrokenPipeError, OutputUnwritable):
        flush()
    if sys.stderr:
        try:
            if debug:
                traceback.print_exc(file=sys.stderr)
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except OSError:
            silence(sys.stderr)

"""Asking before what can't be taken back: on a terminal a question, elsewhere `--yes`.

The preview is the command's, and comes first. The question goes to stderr, as stdout is for data.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class NotConfirmed(TwelvefoldError):
    """What was asked for can't be taken back, and there is no terminal on which somebody could be asked.

    Such commands show first what they would do, and ask. In scripts `--yes` is the answer.
    """

    code = "E573"
    exit_code = 2
    what: str
    command: str

    def message(self) -> str:
        """Say what was not done."""
        return f"{self.what} needs a confirmation, and there is no terminal to ask on; nothing was done"

    def help(self) -> str:
        """Name the option."""
        return f"look at what it would do, above; then say `{self.command} --yes`"


def confirmed(question: str, what: str, command: str, *, yes: bool) -> bool:
    """Tell whether to go on: `yes` was given, or a person at the terminal says so; raises NotConfirmed.

    `what` names what is to be done as the subject of a sentence, `command` is the command line without `--yes`.
    """
    if yes:
        return True
    if sys.stdin is None or sys.stderr is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmed(what, command)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")

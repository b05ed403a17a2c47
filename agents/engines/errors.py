"""Errors of the fixer's engines (E475 to E479)."""

from __future__ import annotations

from dataclasses import dataclass

from ...eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class UnknownEngine(TwelvefoldError):
    """The fixer was asked for an engine that there is not.

    `patch`, `model` and `command` are built in, `auto` tries them in this order; installed distributions may offer
    more by an entry point of the group `twelvefold.engines`.
    """

    code = "E475"
    exit_code = 2
    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        """Name the engine asked for, and those that exist."""
        return f"there is no engine {self.name!r}, only {', '.join(self.known)}"

    def help(self) -> str:
        """Show the usual choice."""
        return "--engine auto"


@dataclass(eq=False)
class EngineNotLoadable(TwelvefoldError):
    """An engine that an installed distribution offers can't be used: it fails on import, or is no engine."""

    code = "E476"
    name: str
    problem: str

    def message(self) -> str:
        """Name the engine and what is wrong with it."""
        return f"engine {self.name} can't be loaded: {self.problem}"

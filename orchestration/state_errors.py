"""The error of shared state (E380)."""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class StateNameInvalid(TwelvefoldError):
    """A namespace of shared state is one short word, a key any text.

    A namespace has 1 to 64 of `a-z`, `0-9`, `_` and `-` and doesn't begin with a hyphen; a key 1 to 1000 characters.
    """

    code = "E380"
    exit_code = 2
    what: str
    name: str
    wanted: str

    def message(self) -> str:
        """Name the text and what it should have been."""
        return f"{self.name!r} is no {self.what} of shared state, which is {self.wanted}"

    def help(self) -> str:
        """Show a namespace and a key."""
        return 'bus.state("release").put("cite/version", "1.4.0")'

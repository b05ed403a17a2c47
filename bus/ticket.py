"""A ticket: one request that is on its way, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Ticket:
    """Done once the bus has answered (`value`) or refused (`error`); `on_done` is called then, once."""

    __slots__ = ("done", "error", "given_up", "on_done", "resent", "value", "what")

    def __init__(self, what: str, on_done: Callable[[Ticket], None] | None = None) -> None:
        self.what = what
        self.done = False
        self.value: Any = None
        self.error: Exception | None = None
        #: The request may have reached the bus twice.
        self.resent = False
        #: Nobody waits for the answer any more; it is still taken in where it comes.
        self.given_up = False
        self.on_done = on_done

    def resolve(self, value: Any = None, error: Exception | None = None) -> None:
        """Note the outcome; a second one is ignored."""
        if self.done:
            return
        self.done, self.value, self.error = True, value, error
        if self.on_done is not None:
            self.on_done(self)

"""Old payload schemas, lifted step by step to the present one when they are read; what is stored stays.

Each step is a pure function from the data of one schema version to that of the next. A program gives its steps to what
it reads with: `LogReader`, or a client of the bus, which lifts pages, watched events and deliveries alike. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .errors import UpcastFailed
from .event import Event

Step = Callable[[Any], Any]
_encode = msgspec.json.Encoder().encode


class Upcasters:
    """A registry of steps by event type and schema version.

    >>> upcasters = Upcasters()
    >>> @upcasters.step("demo.happened", 1)
    ... def name_the_unit(data):
    ...     return {"timeout_s": data["timeout"]}
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Step] = {}
        self._types: set[str] = set()

    def step(self, type: str, schema: int) -> Callable[[Step], Step]:
        """Register a function from data of `schema` to data of the next one; ValueError where there is one already."""

        def register(function: Step) -> Step:
            if (type, schema) in self._steps:
                raise ValueError(f"{type} has a step from schema {schema} already")
            self._steps[type, schema] = function
            self._types.add(type)
            return function

        return register

    def lift(self, event: Event) -> Event:
        """Return the event with payload and schema lifted as far as steps go: itself where none applies.

        Hashes stay those of what is stored. A payload that was forgotten stays forgotten. Raises UpcastFailed.
        """
        if event.type not in self._types or event.payload is None or (event.type, event.schema) not in self._steps:
            return event
        data, schema = event.data, event.schema
        try:
            while (step := self._steps.get((event.type, schema))) is not None:
                data, schema = step(data), schema + 1
            payload = _encode(data).decode()
        except Exception as error:
            raise UpcastFailed(event.position, event.type, schema, f"{type(error).__name__}: {error}") from error
        return msgspec.structs.replace(event, payload=payload, schema=schema)

"""A process that owns a log and appends to it for ever: the victim of the crash tests.

Prints `<request number> <position>` of each acknowledged append; where the log fails, what it said, what it says to a
second try, and its head and the number of events that can still be read. Arguments: path, durability, events an append.
"""

from __future__ import annotations

import itertools
import os
import sys

from twelvefold.eventstore.errors import TwelvefoldError
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog


def main() -> None:
    """Append until killed."""
    log = SqliteLog(sys.argv[1], durability="relaxed" if sys.argv[2] == "relaxed" else "full")
    size = int(sys.argv[3])
    start = int(log.marks().get("next", "0"))
    for number in itertools.count(start):
        events = [
            NewEvent(type="demo.happened", payload=f'{{"n": {number}}}', stream=f"s.{n % 3}",
                     id=(number << 32 | n).to_bytes(16, "big"))
            for n in range(size)
        ]  # fmt: skip
        request = Append(events=events, marks={"next": str(number + 1)})
        try:
            appended = log.append(request)
        except TwelvefoldError as error:
            say(f"stopped {error.code} {error}")
            break
        say(f"{number} {appended.events[-1].position}")
    try:
        log.append(request)
    except TwelvefoldError as error:
        say(f"again {error.code} {error}")
    say(f"read {log.head} {len(log.read(limit=100_000))}")


def say(line: str) -> None:
    """Print a line in one write."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()

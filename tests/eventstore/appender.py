"""A process that owns a log and appends to it for ever: the victim of the crash tests.

Prints `<request number> <position>` of each acknowledged append. Arguments: path, durability, events an append.
"""

from __future__ import annotations

import itertools
import os
import sys

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
        appended = log.append(Append(events=events, marks={"next": str(number + 1)}))
        os.write(1, f"{number} {appended.events[-1].position}\n".encode())


if __name__ == "__main__":
    main()

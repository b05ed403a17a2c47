"""The floor of a saga: the smallest program that makes the same durable hops, with none of the features.

A writer owns the file and commits all that is waiting in one transaction, as the product's bus does; only then it
passes each message on. A decider asks for one step after the other and ends the saga, members do the steps, a starter
keeps so many sagas under way. A saga of three steps is eight commits where it runs alone. No dedup, watches, leases,
recorded inputs, versions, compensation or recovery.

    floor_saga.py writer FOLDER MEMBERS | decider FOLDER | member FOLDER N | starter FOLDER COUNT WINDOW
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import zmq
from floor import File, arrived, decode, encode, json_encode
from roles import say

STEPS = 3
#: Sagas of a starter that are not measured.
WARM = 50


def event(saga: str, type: str, **data: Any) -> tuple[bytes, str, str, str]:
    """One event of a saga as the file takes it."""
    stream = f"task.{saga}.0" if type.startswith("task.s") else f"run.{saga}"
    return os.urandom(16), stream, type, json_encode({"path": "0", "agent": "step", "value": "x", **data}).decode()


def connected(folder: Path, name: str) -> zmq.Socket[bytes]:
    """Connect to the writer under a name."""
    socket = zmq.Context().socket(zmq.DEALER)
    socket.identity = name.encode()
    socket.rcvhwm = socket.sndhwm = 0
    socket.connect(f"ipc://{folder}/in")
    return socket


def writer(folder: Path, members: int) -> None:
    """Commit what is waiting, then pass it on: requests to members in turn, all else to who comes next."""
    file = File(folder)
    ingress = zmq.Context().socket(zmq.ROUTER)
    ingress.rcvhwm = ingress.sndhwm = 0
    ingress.bind(f"ipc://{folder}/in")
    # What is sent to somebody who hasn't connected yet is lost.
    for _ in range(members + 1):
        ingress.recv_multipart()
    say("ready")
    turn = 0
    while True:
        out: dict[bytes, list[Any]] = {}
        events = []
        for _, message in arrived(ingress):
            for saga, step, kind, some in decode(message):
                events += some
                to = {"begin": b"decider", "done": b"decider", "end": b"starter"}.get(kind)
                if to is None:
                    turn = (turn + 1) % members
                    to = b"member-%d" % turn
                out.setdefault(to, []).append((saga, step))
        if events:
            file.commit(events)
        for to, some in out.items():
            ingress.send_multipart((to, encode(some)))


def decider(folder: Path) -> None:
    """Ask for the next step of each saga, or end it."""
    socket = connected(folder, "decider")
    socket.send(encode([]))
    while True:
        out = []
        for (message,) in arrived(socket):
            for saga, step in decode(message):
                if step == STEPS:
                    out.append((saga, step, "end", [event(saga, "run.succeeded")]))
                else:
                    first = [] if step else [event(saga, "run.started")]
                    out.append((saga, step, "ask", [*first, event(saga, "task.requested", step=step)]))
        if out:
            socket.send(encode(out))


def member(folder: Path, number: str) -> None:
    """Do steps; all that came in one message in one message."""
    socket = connected(folder, f"member-{number}")
    socket.send(encode([]))
    while True:
        asked = decode(socket.recv())
        out = [
            (saga, step + 1, "done", [event(saga, "task.started"), event(saga, "task.succeeded")])
            for saga, step in asked
        ]
        if out:
            socket.send(encode(out))


def starter(folder: Path, count: int, window: int) -> None:
    """Keep so many sagas under way until count have ended, beside some to warm up; report how many ended a second."""
    socket = connected(folder, "starter")
    begun = ended = 0
    start = 0.0
    while ended < WARM + count:
        room = min(window - (begun - ended), WARM + count - begun)
        if room:
            ids = [os.urandom(16).hex() for _ in range(room)]
            socket.send(encode([(saga, 0, "begin", [event(saga, "run.requested")]) for saga in ids]))
            begun += room
        ended += sum(len(decode(message)) for (message,) in arrived(socket))
        if not start and ended >= WARM:
            start, before = time.monotonic(), ended
    say("done", (ended - before) / (time.monotonic() - start))


if __name__ == "__main__":
    role, place, *rest = sys.argv[1:]
    if role == "decider":
        decider(Path(place))
    elif role == "member":
        member(Path(place), rest[0])
    else:
        {"writer": writer, "starter": starter}[role](Path(place), *map(int, rest))

"""What the two processes of a replay say to each other: a length, then one message.

One asks for tasks to be run again, the other one for files to be laid out meanwhile. Pure but for reading and writing
the pipes.
"""

from __future__ import annotations

import os
import struct

import msgspec

from .found import Rerun
from .record import TaskRecord


class Work(msgspec.Struct, tag=True):
    """A task to be run again, by the agent `target` as it is in `folder`. `home` is where its home was, `place` where
    its blobs and stores are now; `repositories` have the run's stores by the repositories that they were made for.
    """

    record: TaskRecord
    target: str
    folder: str
    home: str
    place: str
    repositories: dict[str, str]


class Done(msgspec.Struct, tag=True):
    """What came of a task."""

    rerun: Rerun


class LayOutFiles(msgspec.Struct, tag=True):
    """A commit of a recorded store to be laid out, for the task at a path; in `folder` where that was before."""

    store: str
    key: str
    commit: str
    folder: str


class LaidOut(msgspec.Struct, tag=True):
    """Where files were laid out, and the store beside them; or why they can't be."""

    folder: str = ""
    store: str = ""
    problem: str = ""


class Sealed(msgspec.Struct, tag=True):
    """Said once at the beginning: the process is sealed, or why it can't be."""

    problem: str = ""


ToChild = Work | LaidOut
FromChild = Done | LayOutFiles | Sealed

_HEAD = struct.Struct("!Q")
_encode = msgspec.msgpack.Encoder().encode
_to_child = msgspec.msgpack.Decoder(ToChild)
_from_child = msgspec.msgpack.Decoder(FromChild)


def send(pipe: int, message: ToChild | FromChild) -> None:
    """Write one message; raises BrokenPipeError where nobody is there to read it."""
    text = _encode(message)
    rest = memoryview(_HEAD.pack(len(text)) + text)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def size_of(head: bytes) -> int:
    """Return how long the message is that follows a head."""
    size: int = _HEAD.unpack(head)[0]
    return size


HEAD_SIZE = _HEAD.size


def receive(pipe: int) -> ToChild | None:
    """Read what the parent says next; None where it has closed the pipe."""
    head = _read(pipe, HEAD_SIZE)
    if head is None:
        return None
    text = _read(pipe, size_of(head))
    return None if text is None else _to_child.decode(text)


def from_child(text: bytes) -> FromChild:
    """Read a message of the child; raises msgspec.DecodeError."""
    found: FromChild = _from_child.decode(text)
    return found


def _read(pipe: int, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        part = os.read(pipe, min(size - len(found), 1 << 20))
        if not part:
            return None
        found += part
    return bytes(found)

"""The floor: the smallest program of Twelvefold's shape, with none of its features.

A writer process owns a SQLite file with the product's own schema, indexes, triggers and durability, takes lists of
events over an ipc ROUTER, hashes each twice, commits all that is waiting in one transaction, acknowledges and
publishes. A producer and a consumer with a durable position stand at its ends. Another writer hands a backlog out to
members, and commits their results with the positions that they settle. No dedup, watches, leases or recovery.

    floor.py writer|consumer|producer|giver|member FOLDER [COUNT BATCH WINDOW | COUNT CREDIT]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pysqlite3
import zmq
from roles import percentile, say
from workload import BATCH, ROUNDS_WARM, data, stream_of

from twelvefold.eventstore.sqlite_log import SqliteLog

COLUMNS = (
    *("position", "stream", "version", "id", "type", "schema", "to", "time", "source", "run", "cause", "trace", "seen"),
    *("data", "data_hash", "hash"),
)
DRAIN = 64
NO_CAUSE = bytearray()
encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
json_encode = msgspec.json.Encoder().encode


def open_database(path: Path) -> pysqlite3.Connection:
    """Open a file as the product does: WAL, synced at each commit."""
    db = pysqlite3.connect(str(path), isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


class File:
    """The log's file: chains, hashes and commits lists of (id, stream, type, text)."""

    def __init__(self, folder: Path) -> None:
        SqliteLog(folder / "log.db").close()  # the product's own schema
        self._db = open_database(folder / "log.db")
        names = ",".join(f'"{column}"' for column in COLUMNS)
        self._insert = f"INSERT INTO events({names}) VALUES({','.join('?' * len(COLUMNS))})"
        self._position, self._versions, self._chain = 0, {}, bytes(32)

    def commit(self, events: Iterable[Sequence[Any]], settled: Sequence[int] = ()) -> None:
        """Commit events, and with them one mark that names the positions settled by them."""
        rows, now = [], time.time_ns()
        position, versions, chain = self._position, self._versions, self._chain
        for id, stream, type, text in events:
            position += 1
            version = versions[stream] = versions.get(stream, 0) + 1
            digest = sha256(text.encode()).digest()
            # Blobs are bound as bytearrays: for others the module looks for an adapter, which takes ten times as long.
            header = (position, stream, version, bytearray(id), type, 1, "", now, "floor", "", NO_CAUSE, "", 0)
            chain = sha256(chain + encode(header) + digest).digest()
            rows.append((*header, text, bytearray(digest), bytearray(chain)))
        self._position, self._chain = position, chain
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(self._insert, rows)
        if settled:
            mark = (f"slot/{position % 1024}", " ".join(map(str, settled)))
            self._db.execute("INSERT OR REPLACE INTO marks VALUES(?, ?)", mark)
        self._db.execute("COMMIT")


def arrived(socket: zmq.Socket[bytes]) -> list[list[bytes]]:
    """Wait for a message, and take with it what else is there."""
    waiting = [socket.recv_multipart()]
    try:
        while len(waiting) < DRAIN:
            waiting.append(socket.recv_multipart(zmq.NOBLOCK))
    except zmq.Again:
        pass
    return waiting


def writer(folder: Path) -> None:
    """Own the file; commit all that is waiting, then acknowledge and publish it."""
    file = File(folder)
    context = zmq.Context()
    ingress, egress = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    ingress.rcvhwm = ingress.sndhwm = egress.sndhwm = 0
    ingress.bind(f"ipc://{folder}/in")
    egress.bind(f"ipc://{folder}/out")
    say("ready")
    while True:
        waiting = arrived(ingress)
        file.commit(event for _who, message in waiting for event in decode(message))
        for who, message in waiting:
            ingress.send_multipart((who, b""))
            egress.send(message)


def giver(folder: Path, count: int, credit: int) -> None:
    """Hand a backlog out to members, so many events at most to each; commit results with what they settle."""
    file = File(folder)
    backlog = [(os.urandom(16), stream_of(n), "bench.happened", json_encode(data(n)).decode()) for n in range(count)]
    for start in range(0, count, BATCH):
        file.commit(backlog[start : start + BATCH])
    ingress = zmq.Context().socket(zmq.ROUTER)
    ingress.rcvhwm = ingress.sndhwm = 0
    ingress.bind(f"ipc://{folder}/in")
    say("ready")
    next_up, held, begun, settled = 0, {}, 0, 0
    while settled < count:
        free: dict[bytes, int] = {}
        results, positions = [], []
        for who, message in arrived(ingress):
            if not message:
                free[who] = credit
            for position, result in decode(message) if message else ():
                if held.pop(position, None) == who:
                    results.append(result)
                    positions.append(position)
                    free[who] = free.get(who, 0) + 1
        if results:
            file.commit(results, positions)
            begun = begun or time.time_ns()
            settled += len(results)
        for who, room in free.items():
            handed = [(n + 1, backlog[n]) for n in range(next_up, min(count, next_up + room))]
            next_up += len(handed)
            held.update((position, who) for position, _ in handed)
            ingress.send_multipart((who, encode(handed)))
    say("done", begun, time.time_ns())


def member(folder: Path, name: str) -> None:
    """Answer each delivery with one result, until terminated; all that came in one message in one message."""
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(f"ipc://{folder}/in")
    say("ready")
    socket.send(b"")
    while True:
        results = []
        for position, _event in decode(socket.recv()):
            text = json_encode({"n": position}).decode()
            results.append((position, (os.urandom(16), f"handled.{name}", "bench.handled", text)))
        if results:
            socket.send(encode(results))


def consumer(folder: Path, total: int) -> None:
    """Take every event once, committing the position once a drain; report when all are here, and the latencies."""
    db = open_database(folder / "position.db")
    db.execute("CREATE TABLE p(name TEXT PRIMARY KEY, position INTEGER)")
    socket = zmq.Context().socket(zmq.SUB)
    socket.rcvhwm = 0
    socket.subscribe(b"")
    socket.connect(f"ipc://{folder}/out")
    say("ready")
    seen, latencies = 0, []
    while seen < total:
        for (message,) in arrived(socket):
            events = decode(message)
            seen += len(events)
            for _id, _stream, _type, text in events:
                latencies.append(time.time_ns() - msgspec.json.decode(text)["n"])
        db.execute("INSERT INTO p VALUES('c', ?) ON CONFLICT(name) DO UPDATE SET position=excluded.position", (seen,))
    say("done", time.time_ns(), percentile(latencies[ROUNDS_WARM:], 0.5) / 1000)


def producer(folder: Path, count: int, batch: int, window: int, stamp: bool) -> None:
    """Send count events in lists of batch, at most window unacknowledged; report the time and the median round."""
    socket = zmq.Context().socket(zmq.DEALER)
    socket.rcvhwm = socket.sndhwm = 0
    socket.connect(f"ipc://{folder}/in")
    say("ready")
    sys.stdin.readline()
    rounds, sent, acked, begun = [], 0, 0, time.time_ns()
    while acked < count:
        start = time.perf_counter_ns()
        while sent < count and sent - acked < window:
            now = time.time_ns() if stamp else None
            events = [
                (
                    n.to_bytes(8, "big") + os.urandom(8),
                    stream_of(n),
                    "bench.happened",
                    json_encode(data(n, now)).decode(),
                )
                for n in range(sent, sent + batch)
            ]
            socket.send(encode(events))
            sent += batch
        socket.recv()
        acked += batch
        rounds.append(time.perf_counter_ns() - start)
    say("done", begun, time.time_ns(), percentile(rounds[ROUNDS_WARM:] or rounds, 0.5) / 1000)


if __name__ == "__main__":
    role, place, *numbers = sys.argv[1:]
    if role == "producer":
        *sizes, stamp = map(int, numbers)
        producer(Path(place), *sizes, stamp=bool(stamp))
    elif role == "member":
        member(Path(place), *numbers)
    else:
        {"writer": writer, "consumer": consumer, "giver": giver}[role](Path(place), *map(int, numbers))

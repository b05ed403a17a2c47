"""The floor: the smallest program of Twelvefold's shape, with none of its features.

A writer process owns a SQLite file with the product's own schema, indexes, triggers and durability, takes lists of
events over an ipc ROUTER, hashes each twice, commits all that is waiting in one transaction, acknowledges and
publishes. A producer and a consumer with a durable position stand at its ends. No dedup, watches, groups or recovery.

    floor.py writer|consumer|producer FOLDER [COUNT BATCH WINDOW]
"""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from pathlib import Path

import msgspec
import pysqlite3
import zmq
from roles import percentile, say
from workload import ROUNDS_WARM, data, stream_of

from twelvefold.eventstore.sqlite_log import SqliteLog

COLUMNS = (
    *("position", "stream", "version", "id", "type", "schema", "to", "time", "source", "run", "cause", "trace", "seen"),
    *("data", "data_hash", "hash"),
)
DRAIN = 64
encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
json_encode = msgspec.json.Encoder().encode


def open_database(path: Path) -> pysqlite3.Connection:
    """Open a file as the product does: WAL, synced at each commit."""
    db = pysqlite3.connect(str(path), isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


def writer(folder: Path) -> None:
    """Own the file; commit all that is waiting, then acknowledge and publish it."""
    SqliteLog(folder / "log.db").close()  # the product's own schema
    db = open_database(folder / "log.db")
    names = ",".join(f'"{column}"' for column in COLUMNS)
    insert = f"INSERT INTO events({names}) VALUES({','.join('?' * len(COLUMNS))})"
    context = zmq.Context()
    ingress, egress = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    ingress.rcvhwm = ingress.sndhwm = egress.sndhwm = 0
    ingress.bind(f"ipc://{folder}/in")
    egress.bind(f"ipc://{folder}/out")
    say("ready")
    position, versions, chain = 0, {}, bytes(32)
    while True:
        waiting = [ingress.recv_multipart()]
        try:
            while len(waiting) < DRAIN:
                waiting.append(ingress.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            pass
        rows, now = [], time.time_ns()
        for _who, message in waiting:
            for id, stream, type, text in decode(message):
                position += 1
                version = versions[stream] = versions.get(stream, 0) + 1
                digest = sha256(text.encode()).digest()
                header = (position, stream, version, id, type, 1, "", now, "floor", "", b"", "", 0)
                chain = sha256(chain + encode(header) + digest).digest()
                rows.append((*header, text, digest, chain))
        db.execute("BEGIN IMMEDIATE")
        db.executemany(insert, rows)
        db.execute("COMMIT")
        for who, message in waiting:
            ingress.send_multipart((who, b""))
            egress.send(message)


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
        waiting = [socket.recv()]
        try:
            while len(waiting) < DRAIN:
                waiting.append(socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            pass
        for message in waiting:
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
    else:
        {"writer": writer, "consumer": consumer}[role](Path(place), *map(int, numbers))

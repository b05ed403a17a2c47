"""Benchmarks of log and bus: emit, pipeline, follow, groups, read, restart. Each returns figures of one measurement."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from product import connect
from roles import Role, stage
from workload import BATCH, ROUNDS_LATENCY, WINDOW, data, stream_of

from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.reader import LogReader

HERE = Path(__file__).parent
FLOOR, PRODUCT = str(HERE / "floor.py"), str(HERE / "product.py")
MEMBERS = 4
#: Deliveries that a member may hold at once.
CREDIT = 32

Figures = dict[str, float]
TARGETS: dict[str, dict[str, Callable[[Figures], bool]]] = {
    "emit": {"p50 at most 1.5 x floor": lambda f: f["ratio"] <= 1.5},
    "pipelined": {
        "at least 0.8 x floor": lambda f: f["ratio"] >= 0.8,
        "100,000/s where the floor is above 120,000/s": lambda f: f["floor_per_s"] <= 120_000 or f["per_s"] >= 100_000,
    },
    "follow": {"at least 0.8 x floor": lambda f: f["ratio"] >= 0.8},
    "latency": {"p50 at most 1.5 x floor": lambda f: f["ratio"] <= 1.5},
    "groups": {"at least 20,000/s": lambda f: f["per_s"] >= 20_000},
    "read": {"at least 500,000/s": lambda f: f["per_s"] >= 500_000},
    "restart": {"under 1 s": lambda f: max(f["ready_s"], f["ready_after_kill_s"]) < 1.0},
}


@contextlib.contextmanager
def bus(folder: Path) -> Iterator[Path]:
    """A real bus on a fresh home below a folder; yields the home."""
    home = folder / "home"
    home.mkdir()
    process = start_bus(home)
    try:
        yield home
    finally:
        process.terminate()
        process.wait(60)


def start_bus(home: Path) -> subprocess.Popen[str]:
    """Start the bus as a user does, and wait until a client is answered."""
    command = str(Path(sys.executable).with_name("twelvefold"))
    variables = {
        "TWELVEFOLD_HOME": str(home),
        "TWELVEFOLD_RUNTIME_DIR": str(home.parent / "r"),
        "PATH": "/usr/bin:/bin",
    }
    process = subprocess.Popen([command, "bus"], env=variables, stderr=subprocess.DEVNULL, text=True)
    with connect(home, "starter") as client:
        client.head()
    return process


def _rate(answer: list[str], count: int) -> float:
    begun, ended, _ = answer
    return count * 1e9 / (int(ended) - int(begun))


def _floor_producer(roles: list[Role], folder: Path, *sizes: int) -> Role:
    role = Role(FLOOR, "producer", str(folder), *map(str, sizes))
    roles.append(role)
    role.hear("ready")
    return role


def _floor_writer(roles: list[Role], folder: Path) -> None:
    role = Role(FLOOR, "writer", str(folder))
    roles.append(role)
    role.hear("ready")


def _produce(role: Role) -> list[str]:
    role.tell("go")
    return role.hear("done")


def emit(_: int) -> Figures:
    """One event at a time, each waited for: median microseconds from emit to ack."""
    with stage() as (folder, roles):
        _floor_writer(roles, folder)
        floor = float(_produce(_floor_producer(roles, folder, ROUNDS_LATENCY, 1, 1, 0))[2])
    with stage() as (folder, roles), bus(folder) as home:
        roles.append(role := Role(PRODUCT, "producer", str(home), str(ROUNDS_LATENCY), "1", "0"))
        role.hear("ready")
        ours = float(_produce(role)[2])
    return {"p50_us": ours, "floor_p50_us": floor, "ratio": ours / floor}


def pipelined(events: int) -> Figures:
    """One producer that doesn't wait for each event: events a second until all are acknowledged."""
    with stage() as (folder, roles):
        _floor_writer(roles, folder)
        floor = _rate(_produce(_floor_producer(roles, folder, events, BATCH, WINDOW, 0)), events)
    with stage() as (folder, roles), bus(folder) as home:
        roles.append(role := Role(PRODUCT, "producer", str(home), str(events), str(WINDOW), "0"))
        role.hear("ready")
        ours = _rate(_produce(role), events)
    return {"per_s": ours, "floor_per_s": floor, "ratio": ours / floor}


def follow(events: int) -> Figures:
    """Producer, log, and a consumer with a durable position: events a second from the first sent to the last seen."""
    events //= 4
    return _end_to_end(events, BATCH, WINDOW, lambda begun, seen, _: events * 1e9 / (seen - begun), "per_s")


def latency(_: int) -> Figures:
    """The same with one event in flight: median microseconds from before emit to the consumer's hands."""
    return _end_to_end(ROUNDS_LATENCY, 1, 1, lambda _begun, _seen, p50: p50, "p50_us")


def _end_to_end(events: int, batch: int, window: int, figure: Callable[[int, int, float], float], key: str) -> Figures:
    with stage() as (folder, roles):
        _floor_writer(roles, folder)
        roles.append(taker := Role(FLOOR, "consumer", str(folder), str(events)))
        taker.hear("ready")
        giver = _floor_producer(roles, folder, events, batch, window, 1)
        begun = int(_produce(giver)[0])
        seen, p50 = taker.hear("done")
        floor = figure(begun, int(seen), float(p50))
    with stage() as (folder, roles), bus(folder) as home:
        roles.append(taker := Role(PRODUCT, "consumer", str(home), str(events)))
        taker.hear("ready")
        roles.append(giver := Role(PRODUCT, "producer", str(home), str(events), str(window), "1"))
        giver.hear("ready")
        begun = int(_produce(giver)[0])
        seen, p50 = taker.hear("done")
        ours = figure(begun, int(seen), float(p50))
    return {key: ours, f"floor_{key}": floor, "ratio": ours / floor}


def groups(events: int) -> Figures:
    """Four members settle deliveries, each with one result: a second, from the first result in the log to the last."""
    events = min(events, 100_000)
    with stage() as (folder, roles):
        roles.append(giver := Role(FLOOR, "giver", str(folder), str(events), str(CREDIT)))
        giver.hear("ready")
        for n in range(MEMBERS):
            roles.append(role := Role(FLOOR, "member", str(folder), f"member-{n}"))
            role.hear("ready")
        begun, ended = map(int, giver.hear("done"))
        floor = events * 1e9 / (ended - begun)
    with stage() as (folder, roles), bus(folder) as home, connect(home, "setter") as client:
        _fill(client, events)
        for n in range(MEMBERS):
            roles.append(role := Role(PRODUCT, "member", str(home), f"member-{n}", str(CREDIT)))
            role.hear("ready")
        while client.head() < 2 * events:
            time.sleep(0.05)
        handled = list(client.read(after=events))
    assert sorted(event.data["n"] for event in handled) == list(range(1, events + 1)), "each was settled once"
    ours = events * 1e9 / (handled[-1].time - handled[0].time)
    return {"per_s": ours, "floor_per_s": floor, "ratio": ours / floor}


def read(events: int) -> Figures:
    """Read the whole log into Events, page by page."""
    with stage() as (folder, _), bus(folder) as home:
        with connect(home, "setter") as client:
            _fill(client, events)
        reader = LogReader(home / "log.db")
        begun, found, after = time.perf_counter(), 0, 0
        while page := reader.read(after=after, limit=1000):
            found, after = found + len(page), page[-1].position
        elapsed = time.perf_counter() - begun
        reader.close()
    assert found == events
    return {"per_s": found / elapsed}


def restart(events: int) -> Figures:
    """Seconds from starting the bus on a full log until it answers a client: after kill -9, and after a proper end."""
    found = []
    with stage() as (folder, _):
        home = folder / "home"
        home.mkdir()
        process = start_bus(home)
        with connect(home, "setter") as client:
            _fill(client, events)
        process.kill()
        for _ in range(2):
            process.wait(60)
            begun = time.perf_counter()
            process = start_bus(home)
            found.append(time.perf_counter() - begun)
            process.terminate()
        process.wait(60)
    return {"ready_s": found[1], "ready_after_kill_s": found[0]}


def _fill(client: object, events: int) -> None:
    for n in range(events):
        client.emit_soon(new_event("bench.happened", data(n), stream=stream_of(n)))  # type: ignore[attr-defined]
    client.flush(600.0)  # type: ignore[attr-defined]

"""What a bus must survive: garbage on its sockets, peers that don't read, a second bus, and no ack before its sync."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from twelvefold.bus import wire
from twelvefold.eventstore.event import new_event

pytestmark = pytest.mark.e2e


def test_garbage_on_every_socket_is_dropped_and_counted(bus_home: Any) -> None:
    """Random frames, half messages, wrong versions and 100 MB on both sockets leave the bus serving and counting."""
    random.seed(7)
    client = bus_home.client()
    client.emit("demo.happened")
    context = zmq.Context()
    try:
        dealer, sub = context.socket(zmq.DEALER), context.socket(zmq.XSUB)
        dealer.connect(bus_home.endpoints.ingress)
        sub.connect(bus_home.endpoints.egress)
        good = wire.encode(wire.Post([wire.Request(1, [new_event("demo.happened", "x" * 50, id=b"1" * 16)])]))
        for _ in range(2000):
            kind = random.randrange(5)
            if kind == 0:
                frames = [random.randbytes(random.randrange(1, 200))]
            elif kind == 1:
                frames = [good[: random.randrange(1, len(good))]]
            elif kind == 2:
                mutated = bytearray(good)
                mutated[random.randrange(len(mutated))] = random.randrange(256)
                frames = [bytes(mutated)]
            elif kind == 3:
                frames = [random.randbytes(5) for _ in range(random.randrange(2, 9))]
            else:
                frames = [wire.encode(wire.Hello(99, 0, "stranger", "client", "", 1, False))]
            dealer.send_multipart(frames)
            sub.send(random.randbytes(random.randrange(1, 100)))
        fat = context.socket(zmq.DEALER)
        fat.connect(bus_home.endpoints.ingress)
        fat.send(b"\0" * 100_000_000)
        stats = client.stats()
        while stats["dropped"]["garbage"] < 500 or stats["connections_closed"] < 1:
            stats = client.stats()
        assert client.emit("demo.happened").position == 2
        assert psutil.Process(bus_home.pid).memory_info().rss < 400_000_000
    finally:
        context.destroy(linger=0)


def test_another_major_version_is_refused_with_code_and_help(bus_home: Any) -> None:
    """A hello of another major version gets WireMismatch's code and facts."""
    context = zmq.Context()
    try:
        dealer = context.socket(zmq.DEALER)
        dealer.connect(bus_home.endpoints.ingress)
        dealer.send(wire.encode(wire.Hello(2, 0, "stranger", "client", "", 1, False)))
        answer = wire.decode_bus_message(dealer.recv())
        assert isinstance(answer, wire.Refusal)
        assert answer.code == "E203"
    finally:
        context.destroy(linger=0)


def test_a_stopped_watcher_costs_bounded_memory_and_catches_up(bus_home: Any) -> None:
    """With a watcher under SIGSTOP and 200 MB going past it, the bus stays small; the watcher then sees everything."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from twelvefold.bus.client import BusClient\nfrom twelvefold.bus.endpoints import endpoints\n"
        "client = BusClient(endpoints(Path(sys.argv[1]), Path(sys.argv[2])), timeout_s=60)\n"
        "watch = client.watch('flood.*', after=0)\nprint('watching', flush=True)\ncount = last = 0\n"
        "for event in watch:\n"
        "    assert event.data['n'] == count, (event.data['n'], count)\n    count += 1\n"
        "    if event.data['last']:\n        break\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(count, peak.split()[1], flush=True)\n"
    )
    watcher = subprocess.Popen(
        [sys.executable, "-c", code, str(bus_home.home), str(bus_home.runtime)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "watching\n"
        client = bus_home.client(timeout_s=120)
        os.kill(watcher.pid, signal.SIGSTOP)
        before = psutil.Process(bus_home.pid).memory_info().rss
        count = 20_000
        text = "x" * 10_000
        for n in range(count):
            client.emit_soon(new_event("flood.came", {"n": n, "last": n == count - 1, "text": text}))
        client.flush(120)
        grown = psutil.Process(bus_home.pid).memory_info().rss - before
        assert grown < 120_000_000, f"the bus grew by {grown} bytes"
        os.kill(watcher.pid, signal.SIGCONT)
        seen, rss_kb = map(int, watcher.stdout.readline().split())
        assert seen == count
        assert rss_kb < 150_000
    finally:
        watcher.kill()
        watcher.wait()
        if watcher.stdout is not None:
            watcher.stdout.close()


def test_a_second_bus_on_the_same_home_is_refused(bus_home: Any) -> None:
    """The second process says who has the home, and the first one's sockets go on working."""
    second = subprocess.run(bus_home.command(), capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode != 0
    assert "LogLocked" in second.stderr
    assert bus_home.client().emit("demo.happened").position == 1


def test_sigterm_ends_the_bus_gracefully(bus_home: Any) -> None:
    """After SIGTERM the status is 0 and what was acknowledged is there at the next start."""
    event = bus_home.client().emit("demo.happened")
    assert bus_home.kill(signal.SIGTERM) == 0
    bus_home.start()
    assert list(bus_home.client().read()) == [event]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_ack_leaves_before_the_sync_that_covers_it(bus_home_stopped: Any, tmp_path: Path) -> None:
    """Between the write of a commit and the ack's way out, the trace of system calls shows a finished fdatasync."""
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fdatasync,fsync,sendto"
    bus_home_stopped.start("strace", "-f", "-y", "-s", "256", "-o", str(trace), "-e", calls)
    client = bus_home_stopped.client(timeout_s=120)
    for n in range(20):
        client.emit("traced.happened", f"marker-{n}")
    strace = psutil.Process(bus_home_stopped.pid)
    for child in strace.children():
        child.send_signal(signal.SIGTERM)
    strace.wait(60)
    check_trace(trace.read_text())


def check_trace(text: str) -> None:
    """Walk the trace: no message with an event's name goes out while a write to the log isn't synced."""
    unsynced = False
    acks = 0
    # The log's own thread is the first; another thread's sync of the log's file covers no commit.
    syncing = re.compile(r"(?:fdatasync|fsync)\(\d+<[^>]*log\.db-wal>\) *= 0")
    for line in text.splitlines():
        if "pwrite64(" in line and "log.db-wal>" in line:
            unsynced = True
        elif syncing.search(line):
            unsynced = False
        elif "sendto(" in line and "traced." in line:
            acks += 1
            assert not unsynced, f"went out before its sync: {line}"
    assert acks >= 20

"""Fixtures for every package: a real bus process on a home of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import Endpoints, endpoints
from twelvefold.bus.keys import key_path

BUS = """
import sys
from pathlib import Path
from twelvefold.bus.broker import Options
from twelvefold.bus.endpoints import endpoints
from twelvefold.bus.process import main
home, runtime, durability, options = sys.argv[1:]
sys.exit(main(
    Path(home), endpoints(Path(home), Path(runtime)), durability, Options(**eval(options)),
    ready=lambda: print("ready", flush=True),
))
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that scripts/test passes on."""
    group = parser.getgroup("twelvefold")
    group.addoption("--long", action="store_true", help="run the tests marked `long` as well, and more schedules")
    group.addoption("--model", action="store_true", help="run the tests marked `model`, with a real one, and no others")
    group.addoption("--schedules", type=int, default=0, help="how many random schedules to play")
    group.addoption("--seed", type=int, default=1, help="the first of them")


def pytest_configure() -> None:
    """Hear Ctrl-C and hangups in what tests start, though the suite was started by nohup or in the background."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long or needs a real model, unless it is asked for."""
    if config.getoption("--model"):
        left_out = [item for item in items if not item.get_closest_marker("model")]
    else:
        slow = ("model",) if config.getoption("--long") else ("long", "model")
        left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in slow)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        dropped = set(left_out)
        items[:] = [item for item in items if item not in dropped]


def eventually(check: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Return the first true value of check(), polled until a deadline; fails the test after it."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {check}")
        time.sleep(0.005)


class BusHome:
    """A home with a bus process that can be killed and started again, and clients that are closed at the end."""

    def __init__(self, home: Path, runtime: Path) -> None:
        self.home = home
        self.runtime = runtime
        self.endpoints: Endpoints = endpoints(home, runtime)
        self.durability = "full"
        self.options: dict[str, Any] = {}
        self.process: subprocess.Popen[str] | None = None
        self._clients: list[BusClient] = []

    @property
    def pid(self) -> int:
        """The bus's process id."""
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        """The command line of the bus."""
        return [sys.executable, "-c", BUS, str(self.home), str(self.runtime), self.durability, repr(self.options)]

    def start(self, *before: str) -> None:
        """Start the bus (under a command that goes before it) and wait until clients can connect."""
        self.process = subprocess.Popen([*before, *self.command()], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "the bus did not start"

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End the bus by a signal and return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return status

    def restart(self) -> None:
        """kill -9 the bus and start it again."""
        self.kill()
        self.start()

    def client(self, **options: Any) -> BusClient:
        """Connect a client; roles get their secret."""
        if options.get("role") in ("orchestrator", "supervisor"):
            options.setdefault("secret", key_path(self.home, options["role"]))
        client = BusClient(self.endpoints, **options)
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close the clients and end the bus."""
        for client in self._clients:
            client.close()
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()


@pytest.fixture
def bus_home_stopped(tmp_path: Path) -> Iterator[BusHome]:
    """A home whose bus has not been started yet."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    # Paths of sockets are short; pytest's folders are not.
    runtime = Path(tempfile.mkdtemp(prefix="tf-", dir="/tmp"))
    bus = BusHome(home, runtime)
    try:
        yield bus
    finally:
        bus.close()
        shutil.rmtree(runtime)


@pytest.fixture
def bus_home(bus_home_stopped: BusHome) -> BusHome:
    """A home with a running bus."""
    bus_home_stopped.start()
    return bus_home_stopped


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Hold a process with SIGSTOP."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A folder for sockets whose path is short enough for them, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="tf-"))
    yield folder
    shutil.rmtree(folder)

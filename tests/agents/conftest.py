"""Fixtures for agents: a crew of real agent processes on a real bus, with a supervisor that buries the dead."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BusHome, eventually
from twelvefold.agents.journal import fresh_id
from twelvefold.bus.client import BusClient
from twelvefold.eventstore.event import Event

OUTCOMES = {"task.succeeded", "task.nothing_to_do", "task.failed", "task.needs_human"}

AGENTS = '''
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from twelvefold.agents.base import BaseAgent
from twelvefold.agents.response import Evidence, ToolResponse

HERE = Path(__file__).parent


class Echo(BaseAgent):
    def execute_task(self, task):
        return ToolResponse(True, data=task)


class AsyncEcho(BaseAgent):
    async def execute_task(self, task, context):
        import asyncio

        await asyncio.sleep(0)
        return ToolResponse(True, data=task)


class Worker(BaseAgent):
    """Does what its task names; meets the test at files in its folder."""

    def execute_task(self, task: dict, context):
        return getattr(self, "do_" + task["do"])(task, context) or ToolResponse(True, data=task["do"])

    def meet(self, context, until=lambda: (HERE / "go").exists()):
        (HERE / "waiting").touch()
        while not until():
            time.sleep(0.002)

    def append(self, line, context, effect="idempotent"):
        def do():
            with (HERE / "lines").open("a") as file:
                file.write(line + "\\n")

        context.effect("process", "append", {"line": line}, do, effect=effect)

    def do_nothing(self, task, context):
        pass

    def do_raise(self, task, context):
        1 / 0

    def do_exit(self, task, context):
        sys.exit(3)

    def do_interrupt(self, task, context):
        if not (HERE / "waiting").exists():
            (HERE / "waiting").touch()
            raise KeyboardInterrupt

    def do_lie(self, task, context):
        return ToolResponse(True, data=1, evidence=[Evidence("file", "/nonexistent")])

    def do_effects(self, task, context):
        context.progress(0.1, "start")
        context.effect("process", "look", {}, lambda: 1, effect="read")
        self.append("line", context)
        context.effect("process", "look", {}, lambda: 2, effect="read")

    def do_wait(self, task, context):
        if "progress" in task:
            context.progress(task["progress"])
        if "append" in task:
            self.append(task["append"], context)
        self.meet(context)

    def do_heed(self, task, context):
        self.meet(context, lambda: context.cancelled)
        context.log.info("heeded")

    def do_ignore(self, task, context):
        child = subprocess.Popen(["sleep", "600"])
        Path(task["child"]).write_text(str(child.pid))
        self.meet(context, lambda: False)

    def do_large(self, task, context):
        return ToolResponse(True, data="x" * task["size"])

    def do_measure(self, task, context):
        return ToolResponse(True, data=len(task["value"]))

    def do_count(self, task, context):
        for _ in range(task["times"]):
            self.telemetry.increment_counter("n")

    def do_modules(self, task, context):
        return ToolResponse(True, data=sorted(sys.modules))

    def do_steps(self, task, context):
        """Append three lines; the first holder meets the test inside the second effect, after it happened."""
        self.append("one", context, task["effect"])

        def second():
            with (HERE / "lines").open("a") as file:
                file.write("two\\n")
            if not (HERE / "waiting").exists():
                self.meet(context)

        context.effect("process", "append", {"line": "two"}, second, effect=task["effect"])
        self.append("three", context, task["effect"])
        return ToolResponse(True, data=os.getpid())

    def do_name(self, task, context):
        return ToolResponse(True, data=[type(self).__name__, context.asked_as])

    def do_backtrack(self, task, context):
        """Hold the GIL for ages in a regular expression, the first time."""
        if not (HERE / "waiting").exists():
            (HERE / "waiting").touch()
            re.match(r"(a|a)*b", "a" * 60)


class Lawyer(Worker):
    capabilities = ("proofread",)


class Poet(Worker):
    capabilities = ["proofread", "poet"]
'''

ENTRY = "import sys; from twelvefold.agents.process import main; sys.exit(main(sys.argv[1:]))"


@dataclass
class Member:
    """One agent process."""

    process: subprocess.Popen[bytes]
    instance: str
    output: Path

    def log(self) -> str:
        """What it has written so far."""
        return self.output.read_text()


class Crew:
    """Agents on a bus. Supervised ones are buried as a supervisor would; requests come from an orchestrator."""

    def __init__(self, bus: BusHome, folder: Path) -> None:
        self.bus = bus
        self.folder = folder
        self.members: list[Member] = []
        self.orchestrator: BusClient = bus.client(role="orchestrator", instance="orchestrator")
        self.supervisor: BusClient = bus.client(role="supervisor", instance="supervisor", living=self._living)
        self._serving = threading.Thread(target=self.supervisor.run, kwargs={"on_kill": self._kill}, daemon=True)
        self._serving.start()
        self.kills: list[str] = []
        (folder / "agents_at_work.py").write_text(AGENTS)

    def _living(self) -> list[str]:
        return [member.instance for member in self.members if member.process.poll() is None]

    def _kill(self, instance: str, pid: int, reason: str) -> None:
        for member in self.members:
            if member.instance == instance:
                self.kills.append(instance)
                os.killpg(member.process.pid, signal.SIGKILL)
                self.buried(member)

    def start(self, kind: str, *arguments: str, supervised: bool = True, ready: bool = True, **settings: Any) -> Member:
        """Start an agent, as `twelvefold agent` would, and wait until it is a member of its queue."""
        instance = f"{kind.lower()}-{len(self.members) + 1}"
        environ = {**os.environ, "TWELVEFOLD_HOME": str(self.bus.home), "TWELVEFOLD_RUNTIME_DIR": str(self.bus.runtime)}
        environ |= {f"TWELVEFOLD_{name.upper()}": str(value) for name, value in settings.items()}
        environ.setdefault("TWELVEFOLD_WRITABLE", str(self.folder))
        environ["TMPDIR"] = str(self.bus.runtime)  # no supervisor clears away what they had there
        environ.pop("TWELVEFOLD_INSTANCE", None)
        if supervised:
            environ["TWELVEFOLD_INSTANCE"] = instance
        output = self.folder / f"{instance}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", ENTRY, f"agents_at_work:{kind}", *arguments],
                cwd=self.folder,
                env=environ,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        member = Member(process, instance, output)
        self.members.append(member)
        if supervised:
            self.supervisor.started(instance)
        if ready:
            eventually(lambda: "takes tasks" in member.log() or process.poll() is not None)
            assert process.poll() is None, member.log()
            if not supervised:
                member.instance = member.log().split(" takes tasks")[0].split()[-1]
        return member

    def buried(self, member: Member) -> None:
        """Wait for a process that is ending and tell the bus so."""
        member.process.wait(20)
        self.supervisor.gone(member.instance)

    @staticmethod
    def queue(kind: str) -> str:
        """The queue of an agent class."""
        return {"Echo": "echo", "AsyncEcho": "async_echo", "Worker": "worker"}[kind]

    def request(self, queue: str, input: Any, *, trace: str = "") -> Event:
        """Request a task, in a run of its own."""
        run = fresh_id().hex()
        data = {"path": "0", "agent": queue, "input": input, "attempt": 1}
        return self.orchestrator.emit("task.requested", data, stream=f"run.{run}", run=run, to=queue, trace=trace)

    def events(self, request: Event) -> list[Event]:
        """All events of a task."""
        return list(self.orchestrator.read(stream=f"task.{request.run}.0"))

    def outcomes(self, request: Event) -> list[Event]:
        """The outcomes of a task: none yet, or one."""
        return [event for event in self.events(request) if event.type in OUTCOMES]

    def outcome(self, request: Event) -> Event:
        """Wait for a task's outcome."""
        (found,) = eventually(lambda: self.outcomes(request))
        assert isinstance(found, Event)
        return found

    def go(self) -> None:
        """Let handlers that wait go on."""
        (self.folder / "go").touch()

    def waiting(self) -> bool:
        """Tell whether a handler has come to where it waits."""
        return (self.folder / "waiting").exists()

    def lines(self) -> list[str]:
        """What handlers have done to the world."""
        return (self.folder / "lines").read_text().split()

    def close(self) -> None:
        """End every process."""
        self.supervisor.stop()
        self._serving.join(10)
        for member in self.members:
            # The whole group, as handlers start processes too. Once its leader has been waited for, a process of that
            # number is somebody else's: while a group has members its number is given to none.
            if member.process.poll() is None or not Path(f"/proc/{member.process.pid}").exists():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(member.process.pid, signal.SIGKILL)
            member.process.wait(20)


@pytest.fixture
def crew(bus_home_stopped: BusHome, tmp_path: Path) -> Iterator[Crew]:
    """Agents on a running bus whose lease is short."""
    bus_home_stopped.options = {"lease_s": 1.0, "attempts_max": 2, "backoff_s": 0.01}
    bus_home_stopped.start()
    folder = tmp_path / "project"
    folder.mkdir()
    members = Crew(bus_home_stopped, folder)
    try:
        yield members
    finally:
        members.close()

"""The table of processes and its rules: who may start, who is restarted when, who is stopped in which order. Pure.

Inputs are what happened (`spawned`, `ready`, `exited`) and what is wished (`start`, `stop`, `shut_down`), each with
the time as an argument; `step` returns what is to be done. It signals nobody and knows no clock; `supervisor` does.

Invariants: a process is spawned only while no earlier one of its place lives, and only when all that it comes after is
there; each one that was spawned is recorded as `started` and, once it is gone, as `exited`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from .command_line import runs_agent
from .limits import Limits
from .process_commands import Command, Record, Signal, Spawn, TellAll
from .procfile_options import Restart
from .renewal import RENEWAL

State = Literal["starting", "ready", "stopping", "stopped", "backoff", "crashed"]
#: Ranks order a shutdown: lower ones have ended before a higher one is asked to stop.
RANK_LINE, RANK_ORCHESTRATOR, RANK_BUS = 0, 1, 2
#: How long the bus may take, at its end, to take what is still to be told.
TELL_WITHIN_S = 10.0
#: What events of a process that was ended by a limit say of it.
_EXCESS = ("reason", "limit", "used")


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the formation: the number-th (from 1) process of a line, and how it is run."""

    name: str
    number: int
    command: str
    port: int | None = None
    restart: Restart = Restart()
    after: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_timeout_s: float = 5.0
    task: bool = False
    rank: int = RANK_LINE
    limits: Limits = Limits()
    sandbox: str | None = None
    writable: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The place's name, such as `fixer.1`."""
        return f"{self.name}.{self.number}"

    @property
    def stream(self) -> str:
        """The stream of its events."""
        return f"process.{self.name.lower()}.{self.number}"


@dataclass(slots=True)
class Entry:
    """What is known of one place. `since` and `started_at` are of the caller's clock."""

    spec: ProcessSpec
    state: State = "stopped"
    since: float = 0.0
    pid: int | None = None
    instance: str = ""
    started_at: float = 0.0
    restarts: int = 0
    attempts: int = 0
    exit: int | None = None
    #: Which limit ended its last process, how much it was and how much was used; nothing where none did.
    excess: dict[str, Any] = field(default_factory=dict)
    #: Whether its agent shall take no tasks, and what the process that lives was told of that.
    paused: bool = False
    told_paused: bool = False
    succeeded: bool = False
    spawning: bool = False
    #: It has given a sign of life, although its birth has not been told yet.
    heard: bool = False
    then: Literal["stay", "start", "remove"] = "stay"
    due: float | None = None

    @property
    def alive(self) -> bool:
        """Whether a process exists, or is being made."""
        return self.pid is not None or self.spawning


class ProcessTable:
    """All places by key; see the module."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.shutting_down = False
        self._waiting: dict[str, None] = {}  # places that shall start as soon as they may; a dict keeps their order
        self._to_stop: dict[str, None] = {}  # places that a shutdown hasn't asked to stop yet
        self._timers: dict[str, float] = {}
        self._commands: list[Command] = []

    def add(self, spec: ProcessSpec, now: float) -> None:
        """Take in a place, stopped."""
        self.entries[spec.key] = Entry(spec, since=now)

    def named(self, name: str) -> list[Entry]:
        """Return the places of a line, in order of their numbers; capitals don't matter."""
        found = [entry for entry in self.entries.values() if entry.spec.name.lower() == name.lower()]
        return sorted(found, key=lambda entry: entry.spec.number)

    def due(self) -> float | None:
        """Return when `step` must be called at the latest, or None."""
        return min(self._timers.values(), default=None)

    def settled(self) -> bool:
        """Tell whether no process is left and none will be started."""
        return not any(entry.alive or entry.state in ("starting", "backoff") for entry in self.entries.values())

    def start(self, key: str, now: float) -> None:
        """Wish a place up: a given-up or stopped one gets a new row of attempts; one that is up stays as it is."""
        entry = self.entries[key]
        if self.shutting_down:
            return
        if entry.alive:
            if entry.state == "stopping":
                entry.then = "start"
            return
        entry.attempts = 0
        self._enqueue(entry, now)

    def stop(self, key: str, now: float, then: Literal["stay", "start", "remove"] = "stay") -> None:
        """Wish a place down, and say what shall follow once it is: nothing, a new start, or its removal."""
        entry = self.entries[key]
        entry.then = then
        self._to_stop.pop(key, None)
        if entry.state == "stopping":
            return
        self._waiting.pop(key, None)
        self._timers.pop(key, None)
        if not entry.alive:
            self._stopped(entry, now)
            return
        self._become(entry, "stopping", now)
        if entry.pid is not None:
            self._ask_to_stop(entry, now)

    def shut_down(self, now: float) -> None:
        """Wish everything down: lines first, what others come after later, the orchestrator and the bus last."""
        self.shutting_down = True
        for entry in list(self.entries.values()):
            if entry.alive:
                entry.then = "stay"
                self._to_stop[entry.spec.key] = None
            else:
                self.stop(entry.spec.key, now)

    def kill_all(self, now: float) -> None:
        """Wish everything down at once, without grace."""
        self.shut_down(now)
        for entry in self.entries.values():
            if entry.alive:
                self.stop(entry.spec.key, now)
                if entry.pid is not None:
                    self._commands.append(Signal(entry.spec.key, "SIGKILL"))
                    self._timers.pop(entry.spec.key, None)

    def spawned(self, key: str, pid: int, instance: str, now: float) -> None:
        """Take note that a Spawn was carried out."""
        entry = self.entries[key]
        entry.pid, entry.instance, entry.spawning, entry.started_at = pid, instance, False, now
        heard, entry.heard = entry.heard, False
        self._record(entry, "process.started", {"pid": pid, "instance": instance, "command": entry.spec.command})
        if entry.restarts:
            self._record(entry, "process.restarted", {"pid": pid, "instance": instance, "restarts": entry.restarts})
        if entry.state == "stopping":
            self._ask_to_stop(entry, now)
        elif heard:
            self.ready(key, now)

    def unborn(self, key: str, now: float) -> None:
        """Take note that a Spawn came to nothing through no fault of its own: it is repeated, if still wished."""
        entry = self.entries[key]
        entry.spawning = entry.heard = False
        if entry.state == "stopping" or self.shutting_down:
            self._to_stop.pop(key, None)
            self._stopped(entry, now)
        else:
            self._enqueue(entry, now)

    def ready(self, key: str, now: float) -> None:
        """Take note that a process says, by its first sign of life, that it works."""
        entry = self.entries[key]
        if entry.spawning:
            entry.heard = True  # the bus may tell of a process before whoever bore it does
        elif entry.state == "starting" and entry.pid is not None:
            self._become(entry, "ready", now)
            seconds = round(now - entry.started_at, 6)
            self._record(entry, "process.ready", {"pid": entry.pid, "instance": entry.instance, "after_s": seconds})

    def exited(self, key: str, exit: int, now: float, facts: dict[str, Any] | None = None) -> None:
        """Take note that a process is gone; exit is its code, or minus the number of the signal that ended it."""
        entry = self.entries[key]
        stopping, pid, ran_s = entry.state == "stopping", entry.pid, now - entry.started_at
        renews = exit == RENEWAL and entry.state == "ready" and runs_agent(entry.spec.command)
        data: dict[str, Any] = {"pid": pid, "instance": entry.instance, "exit": None if exit < 0 else exit}
        data |= {"signal": -exit if exit < 0 else None, "expected": stopping, "ran_s": round(ran_s, 6)}
        self._record(entry, "process.exited", data | (facts or {}))
        entry.pid, entry.spawning, entry.heard, entry.exit = None, False, False, exit
        entry.excess = {name: facts[name] for name in _EXCESS if name in facts} if facts else {}
        self._timers.pop(key, None)
        self._to_stop.pop(key, None)
        if stopping or self.shutting_down:
            self._stopped(entry, now)
            return
        entry.succeeded = exit == 0
        policy = entry.spec.restart
        if renews:  # nothing is wrong with it, so it is no try that failed
            self._become(entry, "backoff", now)
            self._timers[key] = now
            return
        if policy.policy == "never" or (policy.policy == "on-failure" and exit == 0):
            self._end(entry, exit == 0, now)
            return
        entry.attempts = 1 if ran_s >= policy.steady_s else entry.attempts + 1
        if entry.attempts > policy.attempts_max:
            self._end(entry, False, now)
            return
        self._become(entry, "backoff", now)
        self._timers[key] = now + policy.delay(entry.attempts)

    def told(self, key: str, now: float) -> None:
        """Take note that the bus has taken what the others did, and may go."""
        if self.entries[key].state not in ("stopping", "backoff") and key in self._timers:
            self._timers[key] = now

    def give_up(self, key: str, now: float) -> None:
        """Don't restart a process that waits for its restart: trying again cannot help."""
        if self.entries[key].state == "backoff":
            self._timers.pop(key, None)
            self._end(self.entries[key], False, now)

    def step(self, now: float) -> list[Command]:
        """Return what is to be done now, each thing once."""
        for key in [key for key, due in self._timers.items() if due <= now]:
            del self._timers[key]
            entry = self.entries[key]
            if entry.state == "stopping":
                self._commands.append(Signal(key, "SIGKILL"))
            elif entry.state == "backoff":
                entry.restarts += 1
                self._enqueue(entry, now)
            else:
                self.stop(key, now)  # the bus, told or not
        for key in [key for key in self._waiting if self._may_start(self.entries[key])]:
            del self._waiting[key]
            self.entries[key].spawning = True
            self._commands.append(Spawn(key))
        for key in self._may_stop() if self._to_stop else ():
            if self.entries[key].spec.rank == RANK_BUS and self.entries[key].pid is not None:
                del self._to_stop[key]
                self._timers[key] = now + TELL_WITHIN_S
                self._commands.append(TellAll(key))
            else:
                self.stop(key, now)
        commands, self._commands = self._commands, []
        return commands

    def waits_for(self, entry: Entry) -> str:
        """Return the name of the process whose absence keeps a place from starting, or ""."""
        if entry.spec.key not in self._waiting:
            return ""
        return next((name for name in entry.spec.after if not self._is_there(name)), "")

    def _may_start(self, entry: Entry) -> bool:
        return all(self._is_there(name) for name in entry.spec.after)

    def _is_there(self, name: str) -> bool:
        """A service must be ready, a task have succeeded; what isn't part of the formation is not waited for."""
        return all(
            entry.succeeded if entry.spec.task else entry.state == "ready"
            for entry in self._instances(name)
            if entry.then != "remove"
        )

    def _instances(self, name: str) -> Iterator[Entry]:
        number = 1
        while entry := self.entries.get(f"{name}.{number}"):
            yield entry
            number += 1

    def _may_stop(self) -> list[str]:
        """In a shutdown: those of the lowest rank that lives, once all that come after them are gone."""
        alive = [entry.spec for entry in self.entries.values() if entry.alive]
        lowest = min((spec.rank for spec in alive), default=RANK_LINE)
        needed = {name for spec in alive for name in spec.after}
        waiting = (self.entries[key].spec for key in self._to_stop)
        return [spec.key for spec in waiting if spec.rank <= lowest and spec.name not in needed]

    def _enqueue(self, entry: Entry, now: float) -> None:
        entry.then, entry.succeeded = "stay", False
        self._timers.pop(entry.spec.key, None)
        self._become(entry, "starting", now)
        self._waiting[entry.spec.key] = None

    def _ask_to_stop(self, entry: Entry, now: float) -> None:
        self._commands.append(Signal(entry.spec.key, entry.spec.stop_signal))
        self._timers[entry.spec.key] = now + entry.spec.stop_timeout_s

    def _stopped(self, entry: Entry, now: float) -> None:
        if entry.then == "remove":
            del self.entries[entry.spec.key]
            return
        again = entry.then == "start" and not self.shutting_down
        if entry.state != "crashed" or again or not self.shutting_down:
            self._become(entry, "stopped", now)
        if again:
            entry.restarts += 1
            entry.attempts = 0
            self._enqueue(entry, now)

    def _end(self, entry: Entry, well: bool, now: float) -> None:
        """A process ended and is not started again: well, or given up."""
        self._become(entry, "stopped" if well else "crashed", now)
        if not well:
            exit = entry.exit or 0
            data: dict[str, Any] = {"exit": None if exit < 0 else exit, "signal": -exit if exit < 0 else None}
            data |= {"attempts": entry.attempts, "instance": entry.instance}
            self._record(entry, "process.crashed", data | entry.excess)

    def _become(self, entry: Entry, state: State, now: float) -> None:
        entry.state, entry.since = state, now

    def _record(self, entry: Entry, type: str, data: dict[str, Any]) -> None:
        self._commands.append(Record(entry.spec.key, entry.spec.stream, type, {"process": entry.spec.key, **data}))

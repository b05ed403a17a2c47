"""What commands ask of a running supervisor, carried out: `ps`, `stop`, `restart`, `scale`, `down`, waiting for ready.

An answer comes when what was asked for has happened, so that a script may go on at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ..eventstore.errors import TwelvefoldError
from .command_line import speaks_to_bus
from .confined_callers import refuse_confined
from .control import ControlRequest, ControlServer, ProcessStatus
from .errors import SupervisorRefused, UnknownProcess
from .process_table import Entry
from .supervisor_plan import one_of_each, scaled, specs_named, with_lines

if TYPE_CHECKING:
    from .supervisor import Supervisor


@dataclass
class _Wait:
    """An answer that is due when `done` says so."""

    address: bytes
    done: Callable[[], bool]
    value: Callable[[], Any]


class Requests:
    """The supervisor's open requests."""

    def __init__(self, supervisor: Supervisor, server: ControlServer) -> None:
        self.server = server
        self._supervisor = supervisor
        self._table = supervisor.table
        self._waits: list[_Wait] = []

    def serve(self) -> None:
        """Begin with every request that has come."""
        for address, request, peer in self.server.requests():
            try:
                refuse_confined(request, peer)
                self._begin(address, request)
            except TwelvefoldError as error:
                self.server.refuse(address, error)

    def settle_waits(self) -> None:
        """Answer those whose wish has come true."""
        for wait in [wait for wait in self._waits if wait.done()]:
            self._waits.remove(wait)
            self.server.answer(wait.address, wait.value())

    def close(self) -> None:
        """Answer those who still wait, as far as it went, and close."""
        for wait in self._waits:
            self.server.answer(wait.address, wait.value())
        self.server.close()

    def _begin(self, address: bytes, request: ControlRequest) -> None:
        now = time.monotonic()
        match request.op:
            case "ps":
                self._supervisor.notice_changes()
                self.server.answer(address, self._statuses(self._chosen(request.names)))
            case "down":
                self._supervisor.shut_down(0)
                self.server.answer(address, os.getpid())
            case "join":
                if self._table.shutting_down:
                    raise SupervisorRefused("the supervisor is about to end")
                self._supervisor.keep_awake()
                self.server.answer(address, os.getpid())
            case "wait":
                self._await_ready(address, [entry.spec.key for entry in self._chosen(request.names)])
            case "start" | "restart":
                chosen = self._chosen(request.names, some=True)
                for entry in chosen:
                    if request.op == "restart" and entry.alive:
                        self._table.stop(entry.spec.key, now, then="start")
                    else:
                        entry.restarts += 1 if request.op == "restart" else 0
                        self._table.start(entry.spec.key, now)
                self._wait(address, [entry.spec.key for entry in chosen], self._arrived)
            case "stop":
                chosen = self._chosen(request.names)
                for entry in chosen:
                    self._table.stop(entry.spec.key, now)
                self._wait(address, [entry.spec.key for entry in chosen], lambda entry: not entry.alive)
            case "add":
                self._add(address, request, now)
            case "scale":
                self._scale(address, request, now)
            case "spawn":
                if self._table.shutting_down or request.agent is None:
                    raise SupervisorRefused("the supervisor is about to end")
                spec = self._supervisor.background.begin(request.agent)
                self._wait(address, [spec.key], self._begun)
            case "remove":
                keys = [self._supervisor.background.end(name) for name in request.names]
                self._wait(address, keys, lambda entry: False)  # answered once they are no more
            case "pause" | "resume":
                chosen = self._chosen(request.names, some=True)
                self._supervisor.background.hold(chosen, paused=request.op == "pause")
                self.server.answer(address, self._statuses(chosen))

    def _scale(self, address: bytes, request: ControlRequest, now: float) -> None:
        """Start or stop the last places of a line, so that `count` are left."""
        plan = self._supervisor.plan
        known = {spec.name.lower(): spec.name for spec in one_of_each(plan)}
        name = known.get(request.names[0].lower(), "") if request.names else ""
        if not name:
            raise UnknownProcess(request.names[0] if request.names else "", tuple(known.values()))
        wanted = scaled(plan, name, request.count)
        if len(wanted) != request.count:
            raise SupervisorRefused(f"there is always exactly one {name}")
        keys = [spec.key for spec in wanted]
        for entry in self._table.named(name):
            if entry.spec.key not in keys:
                keys.append(entry.spec.key)
                self._table.stop(entry.spec.key, now, then="remove")
        for spec in wanted:
            known_place = self._table.entries.get(spec.key)
            if known_place is None:
                self._supervisor.place(spec, now)
            elif known_place.then == "remove" or not known_place.alive:
                self._table.start(spec.key, now)
        self._supervisor.plan = msgspec.structs.replace(plan, formation={**plan.formation, name: request.count})
        self._wait(address, keys, self._arrived)

    def _add(self, address: bytes, request: ControlRequest, now: float) -> None:
        """Take in lines that the plan lacks, and start as many of each as are asked for, if fewer are there."""
        plan = with_lines(self._supervisor.plan, request.lines, request.counts)
        wanted = [spec for line in request.lines for spec in specs_named(plan, line.name)]
        self._supervisor.plan = plan
        for spec in wanted:
            known_place = self._table.entries.get(spec.key)
            if known_place is None:
                self._supervisor.place(spec, now)
            elif known_place.then == "remove" or not known_place.alive:
                self._table.start(spec.key, now)
        # Not waited for: who needs them asks the bus, which knows who takes tasks.
        self.server.answer(address, self._statuses([self._table.entries[spec.key] for spec in wanted]))

    def _wait(self, address: bytes, keys: list[str], arrived: Callable[[Entry], bool]) -> None:
        """Answer with the state of the places once each has arrived or is removed."""

        def left() -> list[Entry]:
            return [self._table.entries[key] for key in keys if key in self._table.entries]

        wait = _Wait(address, lambda: all(arrived(entry) for entry in left()), lambda: self._statuses(left()))
        self._waits.append(wait)

    def _await_ready(self, address: bytes, keys: list[str]) -> None:
        """Answer once all of the places have arrived, or one is given up, as others may wait for it for ever."""

        def left() -> list[Entry]:
            return [self._table.entries[key] for key in keys if key in self._table.entries]

        def done() -> bool:
            return all(map(self._arrived, left())) or any(entry.state == "crashed" for entry in left())

        self._waits.append(_Wait(address, done, lambda: self._statuses(left())))

    @staticmethod
    def _arrived(entry: Entry) -> bool:
        """Tell whether a place is where it can stay: ready, ended, or given up."""
        return entry.state == "ready" or (entry.state in ("stopped", "crashed") and not entry.alive)

    @classmethod
    def _begun(cls, entry: Entry) -> bool:
        """Tell whether a place has shown how its first start went: it has arrived, or its process has ended already."""
        return cls._arrived(entry) or entry.state == "backoff"

    def _chosen(self, names: tuple[str, ...], *, some: bool = False) -> list[Entry]:
        """Return the places of NAME or NAME.N; all where nothing is named. `some` refuses a line that has none."""
        if not names:
            return list(self._table.entries.values())
        chosen: dict[str, Entry] = {}
        by_key = {key.lower(): entry for key, entry in self._table.entries.items()}
        known = {spec.name.lower(): spec.name for spec in one_of_each(self._supervisor.plan)}
        for name in names:
            place = by_key.get(name.lower())
            found = [place] if place is not None else self._table.named(name)
            if not found and name.lower() not in known:
                raise UnknownProcess(name, tuple(known.values()))
            if not found and some:
                raise SupervisorRefused(f"{name} is scaled to 0; to have one: twelvefold scale {name}=1")
            chosen.update((entry.spec.key, entry) for entry in found)
        return list(chosen.values())

    def _statuses(self, entries: list[Entry]) -> list[ProcessStatus]:
        offset = time.time() - time.monotonic()
        order = {spec.name: n for n, spec in enumerate(one_of_each(self._supervisor.plan))}
        return [
            ProcessStatus(
                name=entry.spec.key,
                pid=entry.pid,
                state=entry.state,
                since=entry.since + offset,
                restarts=entry.restarts,
                exit=entry.exit,
                instance=entry.instance if entry.pid is not None else "",
                waits_for=self._table.waits_for(entry),
                excess=entry.excess,
                paused=entry.paused,
                on_bus=speaks_to_bus(entry.spec.command),
            )
            for entry in sorted(entries, key=lambda entry: (order.get(entry.spec.name, len(order)), entry.spec.number))
        ]

"""The supervisor: one loop that waits for signals, exits, output, requests and the bus, and lets the table decide.

Owns the loop and the wiring; rules are `process_table`'s, processes `family`'s, output `output_pump`'s, the way to the
bus `bus_link`'s. It sleeps until something happens. Invariant: whatever happened is told to the table before the next
step, and when `run` returns no child of ours lives.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from ..bus.endpoints import endpoints
from ..bus.keys import KEYS_VARIABLE, fresh_keys, keys_text
from . import bus_link
from .background import Background
from .control import ControlServer
from .family import Birth, Family, describe_exit
from .framework_files import FrameworkFiles
from .idle_clock import IdleClock
from .limiter import Limiter
from .output_pump import OutputPump
from .private_folders import remove_all_private, remove_private
from .process_commands import Record, Signal, Spawn, TellAll
from .process_output import Console
from .process_table import RANK_BUS, Entry, ProcessTable
from .requests import Requests
from .spawning import raise_file_limit, signal_group
from .stragglers import kill_orphans
from .supervisor_plan import SupervisorPlan, places

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: A bus that ends so cannot be helped by starting it again: wrong usage, a corrupt log.
_HOPELESS_BUS_EXITS = (2, 6)
_LEFTOVERS_S = 5.0


class Supervisor:
    """Runs one plan to its end. `environ` is what all children share; the home's lock is held by the caller."""

    def __init__(
        self, plan: SupervisorPlan, incarnation: str, environ: dict[str, str], console: Console | None
    ) -> None:
        self.plan = plan
        self.table = ProcessTable()
        self.status = 0
        self.where = endpoints(Path(plan.home), Path(plan.runtime_dir) if plan.runtime_dir else None)
        self._incarnation = incarnation
        self._selector = selectors.DefaultSelector()
        self._console = console
        self.pump = OutputPump(self._selector, Path(plan.home) / "logs", console)
        keys = fresh_keys()
        told = {KEYS_VARIABLE: keys_text(keys)}
        self.family = Family(environ, plan.cwd, plan.agent_entry, self.pump.open, self.say, self._forget_zygote, told)
        self._limiter = Limiter(self.family.adopted, self.say)
        self._instances: dict[str, str] = {}
        self._bus_stream = ""
        self._zygote_fd = -1
        self._signals = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.background = Background(self, Path(plan.home))
        self.requests = Requests(self, ControlServer(self._context, self.where))
        self._inbox = bus_link.Inbox()
        self._link = bus_link.BusLink(self.where, keys["supervisor"], f"supervisor.{incarnation[-8:]}", self._inbox)
        self._idle = None if plan.idle_s is None else IdleClock(plan.idle_s, time.monotonic())
        self._files = FrameworkFiles(time.monotonic())

    def run(self) -> int:
        """Start everything and return the exit status once everything has ended."""
        raise_file_limit()
        wake = self._catch_signals()
        self._selector.register(self._inbox.fileno(), selectors.EVENT_READ, self._on_inbox)
        self._selector.register(self.requests.server.fileno(), selectors.EVENT_READ, lambda: None)
        for pid in kill_orphans(self.plan.home, self._incarnation):
            self.say(f"killed process {pid}, which an earlier `up` of this home had left behind")
        remove_all_private(Path(self.plan.home))
        try:
            self._begin()
            while not (self.table.shutting_down and self.table.settled()):
                self._turn()
        finally:
            self._end(wake)
        return self.status

    def say(self, text: str) -> None:
        """Tell what the supervisor does, in its log file and on the terminal."""
        self.pump.say(text)

    def notice_changes(self) -> None:
        """Say so if Twelvefold's own files have changed, as what runs is then older than what is there."""
        if name := self._files.changed(time.monotonic()):
            self.say(f"Twelvefold's own {name} has changed: a restart is due (`twelvefold down`, then `twelvefold up`)")

    def place(self, spec: Any, now: float) -> None:
        """Take a place in and start it."""
        self.table.add(spec, now)
        self.table.start(spec.key, now)
        if self._console is not None:
            self._console.widen([spec.key])
        if self.family.is_forkable(spec):
            self.family.start_zygote()

    def keep_awake(self) -> None:
        """Put off the end of a supervisor that ends by itself: somebody has come."""
        if self._idle is not None:
            self._idle.used(1, time.monotonic())

    def watch_run(self, run: str, after: int) -> None:
        """Have `background` told when a run ends whose first event comes after this position."""
        self._link.watch_run(run, after)

    def shut_down(self, status: int) -> None:
        """Begin to end, with this exit status in the end; the first status holds."""
        if not self.table.shutting_down:
            self.status = status
            self.table.shut_down(time.monotonic())

    def _begin(self) -> None:
        now = time.monotonic()
        self.background.restore()
        for spec in places(self.plan):
            if spec.rank == RANK_BUS:
                self._bus_stream = spec.stream
            self.place(spec, now)
        self._step()

    def _turn(self) -> None:
        """Wait for the next thing to happen, and see to it."""
        for key, _ in self._selector.select(self._timeout()):
            key.data()
        self.requests.serve()
        self._step()
        self.requests.settle_waits()
        self._watch_zygote()

    def _timeout(self) -> float | None:
        """Return for how long nothing needs to be done unless something happens."""
        idle_due = self._idle.due if self._idle is not None else None
        dues = (self.table.due(), idle_due, self.family.zygote_due(), self._limiter.due)
        soonest = min((due for due in dues if due is not None), default=None)
        return None if soonest is None else max(0.0, soonest - time.monotonic())

    def _step(self) -> None:
        """Let the table decide, and carry it out, until it wants nothing more for now."""
        self.family.check_zygote()
        for pid, excess in self._limiter.enforce(time.monotonic()):
            self.say(f"{self.family.pids.get(pid, 'a process')} (pid {pid}) is killed, as it is over {excess.words()}")
            signal_group(pid, signal.SIGKILL)
        if self._idle is not None and self._idle.is_due(time.monotonic()):
            self._link.ask_usage()
            if not Path(self.plan.home).exists():
                # Nobody can reach it any more, so nobody could end it either.
                self.shut_down(1)
        while commands := self.table.step(time.monotonic()):
            for command in commands:
                match command:
                    case Spawn(key):
                        self._spawn(key)
                    case Signal(key, name):
                        self._signal(self.table.entries[key], name)
                    case Record():
                        self._record(command)
                    case TellAll(key):
                        self._link.tell_all(key, in_vain=not Path(self.plan.home).exists())

    def _spawn(self, key: str) -> None:
        self.notice_changes()
        spec = self.table.entries[key].spec
        instance = f"{spec.name.lower()}.{spec.number}.{os.urandom(4).hex()}"
        self._instances[instance] = key
        self.background.begins(self.table.entries[key], instance)
        try:
            pid = self.family.begin(spec, instance, self._limiter.grant(instance, spec.limits))
        except OSError as error:
            self._stillborn(Birth(key, instance, error=error.strerror or str(error)))
            return
        if pid is not None:
            self._born(key, instance, pid)

    def _born(self, key: str, instance: str, pid: int) -> None:
        entry, now = self.table.entries[key], time.monotonic()
        self.table.spawned(key, pid, instance, now)
        self._link.started(instance)
        self._limiter.born(instance, pid, now)
        if entry.spec.rank != RANK_BUS and not bus_link.announces_itself(entry.spec):
            self.table.ready(key, now)
        self.background.tell(entry)

    def _stillborn(self, birth: Birth) -> None:
        """A process could not be made: treat it as one that ended at once."""
        self.say(f"{birth.key} could not be started: {birth.error}")
        self._instances.pop(birth.instance, None)
        self._limiter.ended(birth.instance)
        self.table.exited(birth.key, 127, time.monotonic(), {"error": birth.error})

    def _on_births(self, births: list[Birth]) -> None:
        for birth in births:
            if birth.pid:
                self._born(birth.key, birth.instance, birth.pid)
            elif birth.lost:
                self._instances.pop(birth.instance, None)
                self._limiter.ended(birth.instance)
                self.table.unborn(birth.key, time.monotonic())
            else:
                self._stillborn(birth)
        if self.family.sweep_is_due:
            self.family.sweep(self._instances)

    def _signal(self, entry: Entry, name: str) -> None:
        if entry.pid is None:
            return
        if name == "SIGKILL" and entry.state == "stopping":
            self.say(f"{entry.spec.key} (pid {entry.pid}) did not stop in time: killed")
        signal_group(entry.pid, signal.Signals[name])

    def _record(self, record: Record) -> None:
        data = record.data
        is_bus = record.stream == self._bus_stream
        # The bus is there when it has taken the news of its own start.
        if not (is_bus and self.table.shutting_down):  # there is no bus any more that could take it
            self._link.record(record, data["instance"] if is_bus and record.type == "process.started" else "")
        match record.type:
            case "process.started":
                self.say(f"{record.key} started (pid {data['pid']})")
            case "process.crashed":
                self.say(f"{record.key} is given up after {data['attempts']} tries: twelvefold restart {record.key}")
                if self.plan.exit_on_failure:
                    self.shut_down(1)

    def _reap(self) -> None:
        """See to children that have ended, and to what they left behind."""
        self._on_births(self.family.births())
        exits, lost = self.family.reap()
        for exit in exits:
            entry, now = self.table.entries[exit.key], time.monotonic()
            self.family.leave(exit.pid, entry.instance)
            self._instances.pop(entry.instance, None)
            self.background.ended(entry)
            excess = self._limiter.ended(entry.instance, exit.pid, exit.status, exit.cpu_s)
            facts = {"rss_bytes": exit.rss_bytes, **(excess.facts() if excess is not None else {})}
            self.table.exited(exit.key, exit.status, now, facts)
            if entry.spec.rank == RANK_BUS and exit.status in _HOPELESS_BUS_EXITS:
                self.table.give_up(exit.key, now)
            again = f", again in {entry.spec.restart.delay(entry.attempts):g} s" if entry.state == "backoff" else ""
            why = f", over {excess.words()}" if excess is not None else ""
            self.say(f"{exit.key} ended ({describe_exit(exit.status)}{why}){again}")
        self._on_births(lost)
        self.family.sweep(self._instances)
        for instance in self.family.gone():
            self._link.gone(instance)
            remove_private(Path(self.plan.home), instance)

    def _on_inbox(self) -> None:
        """Take what the bus link has to tell."""
        now = time.monotonic()
        for note in self._inbox.take():
            match note:
                case bus_link.Present(instance):
                    if instance in self._instances:
                        self.table.ready(self._instances[instance], now)
                        self.background.tell(self.table.entries[self._instances[instance]])
                case bus_link.KillWanted(instance, reason):
                    entry = self.table.entries.get(self._instances.get(instance, ""))
                    if entry is not None and entry.pid is not None:
                        self.say(f"{entry.spec.key} (pid {entry.pid}) is killed: {reason}")
                        signal_group(entry.pid, signal.SIGKILL)
                    elif not self.family.is_ending(instance):
                        self._link.gone(instance)
                case bus_link.Usage(count):
                    if self._idle is not None and self._idle.used(count, now) and not self.table.shutting_down:
                        self.say("no run is open and no client here: ending")
                        self.shut_down(0)
                case bus_link.Told(key):
                    self.table.told(key, now)
                case bus_link.RunEnded(run):
                    self.background.run_ended(run)
                case bus_link.Trouble(text):
                    self.say(text)

    def _watch_zygote(self) -> None:
        """Poll the zygote's socket, whichever it is now, for what it is wanted for now."""
        zygote = self.family.zygote
        if zygote is None:
            return
        fd = zygote.fileno()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if zygote.wants_to_write else 0)
        change: Callable[..., Any] = self._selector.modify if self._zygote_fd == fd else self._selector.register
        change(fd, events, self._on_zygote)
        self._zygote_fd = fd

    def _forget_zygote(self) -> None:
        if self._zygote_fd != -1:
            self._selector.unregister(self._zygote_fd)
            self._zygote_fd = -1

    def _on_zygote(self) -> None:
        if self.family.zygote is not None:
            self.family.zygote.flush()
            self._on_births(self.family.births())

    def _catch_signals(self) -> tuple[int, int]:
        """Let signals wake the selector; nothing is done inside a handler."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *_ENDING_SIGNALS):
            if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, lambda number, frame: None)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._on_signals(os.read(reader, 4096)))
        return reader, writer

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in _ENDING_SIGNALS:
                self._signals += 1
                if self._signals == 1 and not self.table.shutting_down:
                    self.say("stopping; once more kills")
                    self.shut_down(128 + number)
                else:
                    self.say("killing everything")
                    self.family.end_zygote()
                    self.table.kill_all(time.monotonic())
        self._reap()

    def _end(self, wake: tuple[int, int]) -> None:
        """Leave nothing behind: no process, no socket, no output unread."""
        self.family.end_zygote()
        deadline = time.monotonic() + _LEFTOVERS_S
        while self.family.leftovers() and time.monotonic() < deadline:
            for pid in self.family.pids:
                signal_group(pid, signal.SIGKILL)  # only after an error: otherwise all have ended
            self._reap()
            self._selector.select(0.02)
        remove_all_private(Path(self.plan.home))
        self.pump.drain(1.0)
        self.requests.close()
        self._limiter.close()
        self._link.close()
        self._inbox.close()
        self._context.term()
        signal.set_wakeup_fd(-1)
        for fd in wake:
            os.close(fd)
        self._selector.close()

"""The processes under a supervisor as the kernel sees them: forked, spawned, signalled, reaped, and never left behind.

Owns pids, the zygote and the table's way into the kernel; knows nothing of states and policies (`process_table`). Each
child leads a session and a process group of its own. Invariant: while a child's exit isn't reaped its group is killed
first, so no number that could belong to a stranger is ever signalled.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import prctl
from .command_line import agent_arguments, own_environment, sandbox_environment, shell_arguments
from .limiter import Grant
from .proc_files import children_of_self, parent_and_session
from .process_output import OutputPipe
from .process_table import RANK_BUS, RANK_ORCHESTRATOR, ProcessSpec
from .spawning import signal_group, spawn
from .stragglers import kill_adopted
from .zygote_client import ZygoteClient

_ZYGOTE_TRIES_MAX = 3
_ZYGOTE_READY_S = 20.0
#: A zygote that owes births and has answered none for so long is stuck; on a busy machine one takes milliseconds.
_BIRTH_S = 5.0


@dataclass(frozen=True)
class Exit:
    """A child that is gone; `status` is its code or minus its signal, `rss_bytes` the most memory it had.

    `cpu_s` is the processor time of it and of its own children.
    """

    pid: int
    key: str
    status: int
    rss_bytes: int
    cpu_s: float = 0.0


@dataclass
class Birth:
    """An answer of the zygote: the pid of a place's new agent, or why there is none; `instance` as it was asked for.

    `lost` says that there will be no answer, as the zygote has died.
    """

    key: str
    instance: str
    pid: int = 0
    error: str = ""
    lost: bool = False


@dataclass
class Family:
    """All children of this process. `open_output` makes the pipe that a place's new process prints into.

    `forget_zygote` is called before the zygote's descriptor is closed, as its number may be another's at once.
    """

    environ: Mapping[str, str]
    cwd: str
    agent_entry: str
    open_output: Callable[[str], OutputPipe]
    say: Callable[[str], None]
    forget_zygote: Callable[[], None]
    #: What the bus and the orchestrator are told, and no other child.
    secrets: Mapping[str, str]
    zygote: ZygoteClient | None = None
    pids: dict[int, str] = field(default_factory=dict)
    #: A sweep was put off, to be made up for when births are done.
    sweep_is_due: bool = False
    _forking: dict[str, str] = field(default_factory=dict)
    _unclaimed: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    _ending: dict[int, str] = field(default_factory=dict)
    _zygote_tries: int = 0
    _zygote_due: float | None = None
    _newborn: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Whoever called us by `exec` may have had children; they are not ours to end.
        self._foreign = children_of_self()
        self._may_fork = prctl.AVAILABLE and self._same_interpreter()
        prctl.adopt_orphans()

    def is_forkable(self, spec: ProcessSpec) -> bool:
        """Tell whether a place's processes are forked from the zygote."""
        return self._may_fork and agent_arguments(spec.command) is not None

    def start_zygote(self) -> None:
        """Start the zygote, if it doesn't run and there is hope for it."""
        if self.zygote is None and self._may_fork:
            self._zygote_tries += 1
            if self._zygote_tries > _ZYGOTE_TRIES_MAX:
                self._do_without_zygote("it ended again and again before it had borne an agent")
                return
            self._zygote_due = time.monotonic() + _ZYGOTE_READY_S
            pipe = self.open_output("zygote")
            try:
                self.zygote = ZygoteClient(self.agent_entry, self.environ, self.cwd, pipe.writer)
            except OSError as error:
                self._do_without_zygote(f"it could not be started: {error.strerror or error}")
            pipe.give_away()

    def zygote_due(self) -> float | None:
        """Return by when (monotonic) the zygote must have shown that it works, None where it owes nothing."""
        return None if self.zygote is None else self._zygote_due

    def check_zygote(self) -> None:
        """End a zygote that is stuck: before it was ready for good, as what is imported hangs; later to get another."""
        due = self.zygote_due()
        if self.zygote is None or due is None or due > time.monotonic():
            return
        if not self.zygote.ready:
            self._do_without_zygote(f"it was not ready within {_ZYGOTE_READY_S:g} s")
            self.end_zygote()
            return
        self._zygote_due = None
        if self._forking or self._unadopted():
            self.say(f"the zygote has borne no agent for {_BIRTH_S:g} s: killed")
            # Its whole group: what it forked to bear agents may be what is stuck. Agents are none of it.
            signal_group(self.zygote.pid, signal.SIGKILL)
        self._newborn.clear()

    def _unadopted(self) -> bool:
        """Tell whether an agent that was born still belongs to the process that bore it, and so cannot begin."""
        parents = {parent_and_session(pid)[0] for pid in self._newborn if pid in self.pids}
        return not parents <= {os.getpid(), 0}

    def _expect_birth(self) -> None:
        """Give the zygote its time for what it owes now; an agent that was born has yet to be adopted."""
        if self.zygote is not None and self.zygote.ready and (self._forking or self._newborn):
            self._zygote_due = time.monotonic() + _BIRTH_S

    def adopted(self) -> set[int]:
        """Return children that this process did not start: what descendants of ours left to it when they ended."""
        return children_of_self() - {*self.pids, *self._foreign, self.zygote.pid if self.zygote else 0}

    def begin(self, spec: ProcessSpec, instance: str, grant: Grant | None = None) -> int | None:
        """Start a place's process; return its pid, or None where the zygote will tell it (see `births`)."""
        own = own_environment(spec.key, instance, spec.port)
        own |= self.secrets if spec.rank in (RANK_BUS, RANK_ORCHESTRATOR) else {}
        own |= sandbox_environment(spec.sandbox, spec.writable, self.environ)
        limits, cgroup = (grant.limits, grant.cgroup) if grant is not None else (None, "")
        pipe = self.open_output(spec.key)
        arguments = agent_arguments(spec.command) if self.is_forkable(spec) else None
        if arguments is not None:
            self.start_zygote()
        if arguments is not None and self.zygote is not None:
            self._forking[spec.key] = instance
            output, pipe.writer = pipe.writer, -1
            title = f"twelvefold agent {spec.key} {' '.join(arguments)}"
            self.zygote.request(spec.key, arguments, own, self.cwd, title, output, limits, cgroup)
            if self._zygote_due is None:
                self._expect_birth()
            return None
        environ = {**self.environ, **own}
        pid = spawn(shell_arguments(spec.command), environ, self.cwd, pipe.writer, limits=limits, cgroup=cgroup)
        pipe.give_away()
        self.pids[pid] = spec.key
        return pid

    def births(self) -> list[Birth]:
        """Return what the zygote has answered."""
        if self.zygote is None or not (replies := self.zygote.replies()):
            return []
        found = []
        for key, reply in replies:
            if not key:
                self._zygote_due = None
                if reply.error:
                    self._do_without_zygote(reply.error)
                    self.end_zygote()
                continue
            if reply.pid:
                self.pids[reply.pid] = key
                self._newborn.append(reply.pid)
                self._zygote_tries = 0
            found.append(Birth(key, self._forking.pop(key), reply.pid, reply.error))
        self._expect_birth()
        return found

    def reap(self) -> tuple[list[Exit], list[Birth]]:
        """Wait for every child that has ended: exits of places, and births that an ended zygote never answered."""
        exits: list[Exit] = []
        lost: list[Birth] = []
        for pid, found in list(self._unclaimed.items()):
            if pid in self.pids:
                del self._unclaimed[pid]
                exits.append(Exit(pid, self.pids.pop(pid), *found))
        while (info := _ended_child()) is not None:
            pid = info
            ours = pid in self.pids
            if ours:
                signal_group(pid, signal.SIGKILL)
            _, raw, usage = os.wait4(pid, 0)
            status = os.waitstatus_to_exitcode(raw)
            facts = (status, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)
            if ours:
                exits.append(Exit(pid, self.pids.pop(pid), *facts))
            elif self.zygote is not None and pid == self.zygote.pid:
                lost = self._zygote_ended(status)
            elif self._forking:
                self._unclaimed[pid] = facts
        return exits, lost

    def leave(self, pid: int, instance: str) -> None:
        """Remember that an instance's process is gone, until its whole group is; see `gone`."""
        self._ending[pid] = instance

    def is_ending(self, instance: str) -> bool:
        """Tell whether an instance's process has ended, but maybe not all of its group."""
        return instance in self._ending.values()

    def gone(self) -> list[str]:
        """Return the instances of which no process is left, each once."""
        found = [pid for pid in self._ending if not _group_exists(pid)]
        return [self._ending.pop(pid) for pid in found]

    def sweep(self, living: Collection[str]) -> None:
        """Kill what agents that are gone have left behind; put off while an agent that is being born could be meant."""
        self.sweep_is_due = bool(self._forking)
        if not self._forking:
            self._unclaimed = {pid: exit for pid, exit in self._unclaimed.items() if pid in self.pids}
            for pid, key in kill_adopted(self.adopted(), {0, *self._ending}, living).items():
                self.say(f"killed process {pid}, which {key or 'a process'} had left behind")

    def end_zygote(self) -> None:
        """Kill the zygote for good; agents live on."""
        self._may_fork = False
        self._zygote_due = None
        if self.zygote is not None:
            signal_group(self.zygote.pid, signal.SIGKILL)

    def leftovers(self) -> set[int]:
        """Return the children that are still there, but for those that were there before us."""
        return children_of_self() - self._foreign

    def _zygote_ended(self, status: int) -> list[Birth]:
        """Take leave of a dead zygote: hand out what it had answered, and the rest as lost."""
        assert self.zygote is not None
        answered = self.births()
        self.forget_zygote()
        self.zygote.close()
        self.zygote = None
        self._newborn.clear()
        if self._may_fork:
            self.say(f"zygote ended ({describe_exit(status)}); agents are unhurt, it starts again when needed")
        lost = [Birth(key, instance, lost=True) for key, instance in self._forking.items()]
        self._forking.clear()
        return answered + lost

    def _do_without_zygote(self, reason: str) -> None:
        self._may_fork = False
        self.say(f"agents start without the zygote, which is slower: {reason}")

    def _same_interpreter(self) -> bool:
        """Tell whether `twelvefold`, as a shell would find it, runs in this interpreter."""
        script = shutil.which("twelvefold", path=self.environ.get("PATH"))
        if script is None or Path(script).parent == Path(sys.executable).parent:
            return True
        try:
            with Path(script).open("rb") as file:
                first = file.readline(512)
        except OSError:
            return False  # it may be run, but not read: a shell will know what it is
        return first.startswith(b"#!") and first[2:].strip() == os.fsencode(sys.executable)


def describe_exit(status: int) -> str:
    """Say how a process ended, in words."""
    if status >= 0:
        return f"exit {status}"
    names = {number.value: number.name for number in signal.Signals}
    return names.get(-status, f"signal {-status}")


def _ended_child() -> int | None:
    """Return the pid of a child that has ended and is not waited for yet, leaving it so."""
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return info.si_pid if info is not None else None


def _group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # the number has gone to another user's group; ours would have let us
    return True

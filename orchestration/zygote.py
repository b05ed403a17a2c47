"""The zygote: a process with framework and dependencies imported, from which each agent is forked, quick and small.

Owns the fork and what happens in the child up to the entry point (`module:function`, a string, as this package knows
nothing of agents). Agents are forked twice, so that the supervisor, a subreaper, adopts them: a killed zygote hurts
nobody. User code is imported after the fork only.

Invariant: before every fork it has exactly one thread and neither a ZeroMQ context nor an open log.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from .errors import ZygoteUnfit
from .limits import Limits
from .memory_layout import close_holes
from .prctl import die_with
from .spawning import SHARED_FD, attach_output, bind_or_end

MESSAGE_BYTES_MAX = 128 * 1024
#: Room for a process title: setproctitle writes over the arguments (and, told so, leaves the environment alone).
TITLE_ROOM = "." * 120
TITLE = "twelvefold zygote"
#: CPython 3.11 specialises code at its eighth run.
_REHEARSALS = 12
#: How many agents one process in between bears.
_BIRTHS_MAX = 8


class ForkRequest(msgspec.Struct, frozen=True):
    """The supervisor asks for an agent; its output's descriptor travels beside."""

    id: int
    arguments: list[str]
    environ: dict[str, str]
    cwd: str
    title: str
    limits: Limits | None = None
    cgroup: str = ""


class ForkReply(msgspec.Struct, frozen=True):
    """What became of a request: the agent's pid, or why there is none. `id` 0: the zygote is ready, or unfit."""

    id: int
    pid: int = 0
    error: str = ""


def main(arguments: list[str]) -> int:
    """Run the zygote: `SUPERVISOR_PID ENTRY STAGE`; the socket is SHARED_FD. An agent ends within.

    STAGE is the folder for temporary files until it is ready, which its supervisor removes, however it ends.
    """
    supervisor, entry = int(arguments[0]), arguments[1]
    channel = socket.socket(fileno=SHARED_FD)
    channel.set_inheritable(False)
    hooks = ForkHooks()
    try:
        with hooks:
            import tempfile

            tempfile.tempdir = arguments[2]
            function = preload(entry)
            tempfile.tempdir = None  # each agent finds its own, by its own TMPDIR
        _rehearse(supervisor)
        refuse_unfit()
    except Exception as error:  # noqa: BLE001  any module may fail in any way; the supervisor does without a zygote then
        _answer(channel, ForkReply(0, error=str(error) or type(error).__name__))
        return 1
    gc.collect()
    close_holes()
    gc.freeze()
    _answer(channel, ForkReply(0, pid=os.getpid()))
    agent = serve(channel, supervisor)
    if agent is not None:
        hooks.give_back()
        _run(function, agent)
    return 0


_INT = struct.Struct("@i")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ForkRequest).decode


class ForkHooks:
    """Keeps what modules register to run at forks while they are imported within this context.

    Such hooks mend locks that another thread may have held. The zygote has no other thread, and running them would
    copy 150 pages into each agent; an agent has threads, and gets them back for forks of its own.
    """

    def __init__(self) -> None:
        self._register = os.register_at_fork
        self._kept: list[dict[str, Callable[[], object]]] = []

    def __enter__(self) -> None:
        setattr(os, "register_at_fork", lambda **hooks: self._kept.append(hooks))  # noqa: B010  mypy knows it as final

    def __exit__(self, *_: object) -> None:
        setattr(os, "register_at_fork", self._register)  # noqa: B010

    def give_back(self) -> None:
        """Register them, in their order."""
        for hooks in self._kept:
            self._register(**hooks)


def preload(entry: str) -> Callable[[list[str]], Any]:
    """Import an entry point and all that it needs, and run its module's `warm_up()`, where it has one.

    `warm_up` goes through the code that an agent runs until it is ready, so that caches are filled once and shared.
    """
    import importlib.util
    import threading  # noqa: F401  every agent has a second thread

    import setproctitle

    setproctitle.setproctitle(TITLE)
    # It has told setproctitle to spare the environment, by which orphans are found, and has no other use.
    del os.environ["SPT_NOENV"]
    module_name, _, function_name = entry.partition(":")
    module = importlib.import_module(module_name)
    warm_up = getattr(module, "warm_up", None)
    if warm_up is not None:
        warm_up()
    # Agents import from the folder they start in: look there once, so that its finder is made and shared.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    importlib.util.find_spec("twelvefold_looks_around")
    function: Callable[[list[str]], Any] = getattr(module, function_name)
    return function


def refuse_unfit() -> None:
    """Raise ZygoteUnfit where this process holds what no fork may carry over."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise ZygoteUnfit(f"{threads} threads")
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = entry.readlink()
        except OSError:
            continue  # the descriptor that lists this folder
        if "[eventpoll]" in target.name or "[eventfd]" in target.name:
            raise ZygoteUnfit(f"an open {target.name}: a ZeroMQ context or an event loop")
        if target.name.endswith((".db", ".db-wal", ".db-shm")):
            raise ZygoteUnfit(f"an open {target}")


def serve(channel: socket.socket, supervisor: int) -> ForkRequest | None:
    """Fork at each request. Returns None in the zygote, once the supervisor is gone, and its request in an agent."""
    while taken := _taken(channel):
        request, output = taken
        try:
            between = os.fork()
        except OSError as error:
            _answer(channel, ForkReply(request.id, error=f"fork: {error.strerror}"))
            between = -1
        if not between:
            return _bear(channel, request, output, supervisor)
        os.close(output)
        if between > 0:
            os.waitpid(between, 0)
    return None


def _bear(channel: socket.socket, request: ForkRequest, output: int, supervisor: int) -> ForkRequest:
    """In the process in between: fork an agent for this request and for those that wait behind it, and end.

    Several at once, as its own fork costs as much as theirs; few, as they wait for its end. Returns in agents only.
    """
    ended, alive = os.pipe()
    for left in reversed(range(_BIRTHS_MAX)):
        try:
            pid = os.fork()
        except OSError as error:
            _answer(channel, ForkReply(request.id, error=f"fork: {error.strerror}"))
            pid = -1
        if not pid:
            os.close(alive)
            channel.close()
            os.setsid()
            _settle_in(request, output, ended, supervisor)
            return request
        if pid > 0:
            _answer(channel, ForkReply(request.id, pid=pid))
        os.close(output)
        try:
            taken = _taken(channel, socket.MSG_DONTWAIT) if left else None
        except BlockingIOError:
            taken = None
        if taken is None:
            break
        request, output = taken
    os._exit(0)


def _taken(channel: socket.socket, flags: int = 0) -> tuple[ForkRequest, int] | None:
    """Return the next request and the descriptor beside it; None where the supervisor is gone."""
    # Not `recv_fds`, which forgets its flags (CPython 3.11).
    message, ancillary, _, _ = channel.recvmsg(MESSAGE_BYTES_MAX, socket.CMSG_SPACE(_INT.size), flags)
    return (_decode(message), _INT.unpack(ancillary[0][2])[0]) if message else None


def _answer(channel: socket.socket, reply: ForkReply) -> None:
    channel.send(_encode(reply))


def _rehearse(supervisor: int) -> None:
    """Settle in where this process is already, so often that CPython has nothing left to note about it in each fork."""
    own = ForkRequest(0, [], {"PATH": os.environ.get("PATH", os.defpath)}, str(Path.cwd()), TITLE)
    encoded = _encode(own)
    for _ in range(_REHEARSALS):
        ended, alive = os.pipe()
        os.close(alive)
        _settle_in(_decode(encoded), os.dup(2), ended, supervisor)


def _settle_in(request: ForkRequest, output: int, ended: int, supervisor: int) -> None:
    """Take on what `spawn` would have given a new child: output, environment, arguments, folder and title.

    `ended` is a pipe whose other end the process in between holds until it has ended.
    """
    import setproctitle

    attach_output(output)
    os.close(output)
    _await_adoption(ended, supervisor)
    die_with(supervisor)
    if request.limits is not None:
        bind_or_end(request.limits, request.cgroup, execs=False)
    for name, value in request.environ.items():
        os.environ[name] = value  # `update` would go through classes that nothing else here touches
    sys.argv = ["twelvefold", *request.arguments]
    try:
        os.chdir(request.cwd)
    except OSError as error:
        sys.stderr.write(f"cannot start in {request.cwd}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)
    setproctitle.setproctitle(request.title)


def _await_adoption(ended: int, supervisor: int) -> None:
    """Wait until the process in between has ended: milliseconds, as it only forks a few more."""
    os.read(ended, 1)
    os.close(ended)
    while os.getppid() != supervisor:  # for a moment, as its files are closed before its children are given away
        if not Path(f"/proc/{supervisor}").exists():
            os._exit(1)
        time.sleep(0.0005)


def _be_oneself() -> None:
    """Give this agent what the zygote must not share with it: chance, and the number of its thread.

    What else draws lots sees to a fork by itself: `tempfile` by the pid, OpenSSL and libuuid by the kernel, and
    `secrets` and `uuid4` ask the kernel each time.
    """
    import random
    import threading

    random.seed()
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]


def _run(function: Callable[[list[str]], Any], request: ForkRequest) -> NoReturn:
    """Call the entry point and end with its return value as the exit status, as the interpreter would, but at once.

    Taking the interpreter apart would write to all that it shares with the zygote: 25 ms and 15 MB for each agent.
    """
    import atexit
    import threading

    gc.enable()
    _be_oneself()
    result = function(request.arguments)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that aren't daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

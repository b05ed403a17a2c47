"""Runs `twelvefold` command lines as processes that are forked from one which has the command's modules imported.

Each is a process of its own as ever, with its arguments, folder, environment and files; only the imports, most of what
a short command takes, are done once. Program and client in one: `CommandServer` starts this file and sends requests.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

REQUEST_BYTES_MAX = 100_000
#: An interpreter heeds these when it starts, so each set of them has a server of its own; few are worth one.
AT_START = ("PYTHON", "LANG", "LC_", "LD_", "TZ", "MALLOC")
SERVERS_MAX = 3

_servers: dict[frozenset[tuple[str, str]], CommandServer] = {}


def run_command(
    command: Path,
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdin: str = "",
    timeout_s: float = 240.0,
    errors: str = "strict",
) -> tuple[int, str, str]:
    """Run a command line to its end; return its status as `subprocess` does, its output and its error output.

    By a server of this process's, or, where none would do, as `subprocess` would. Raises subprocess.TimeoutExpired.
    """
    at_start = frozenset((name, value) for name, value in environment.items() if name.startswith(AT_START))
    is_small = sum(map(len, (*arguments, *environment.keys(), *environment.values()))) < REQUEST_BYTES_MAX / 4
    if is_small and (at_start in _servers or len(_servers) < SERVERS_MAX):
        if at_start not in _servers:
            _servers[at_start] = CommandServer(command, dict(at_start))
        status, out, err = _servers[at_start].run(arguments, cwd, environment, stdin.encode(), timeout_s)
        return status, out.decode(errors=errors), err.decode(errors=errors)
    done = subprocess.run(
        [command, *arguments], cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, errors=errors,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


class CommandServer:
    """A server for this process; it ends with it."""

    def __init__(self, command: Path, at_start: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, __file__, str(theirs.fileno()), str(command)]
            environment = {"PATH": os.environ["PATH"], **at_start}
            self._process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], env=environment)

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], stdin: bytes, timeout_s: float
    ) -> tuple[int, bytes, bytes]:
        """Run a command line to its end; return its status, its output and its error output."""
        request = json.dumps([list(arguments), str(cwd), dict(environment)]).encode()
        told, tells = os.pipe()
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            try:
                socket.send_fds(self._socket, [request], [given.fileno(), out.fileno(), err.fileno(), tells])
            finally:
                os.close(tells)
            with os.fdopen(told) as news:
                pid = int(news.readline())
                if not select.select([news], [], [], timeout_s)[0]:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(list(arguments), timeout_s)
                status = int(news.readline())
            out.seek(0)
            err.seek(0)
            return status, out.read(), err.read()


def serve(channel: socket.socket, command: str) -> int:
    """Fork for each request until the client is gone; returns the status of a command in what was forked for it."""
    import twelvefold.cli
    from twelvefold.cli.main import main

    for module in pkgutil.iter_modules(twelvefold.cli.__path__):
        importlib.import_module(f"twelvefold.cli.{module.name}")
    importlib.import_module("typer._adapters")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those in between
    while True:
        message, files, _, _ = socket.recv_fds(channel, REQUEST_BYTES_MAX, 4)
        if not message:
            return 0
        if not os.fork():
            break
        for file in files:
            os.close(file)
    channel.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, tells = files
    pid = os.fork()
    if pid:
        os.write(tells, f"{pid}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(tells, f"{status}\n".encode())
        os._exit(0)
    arguments, cwd, environment = json.loads(message)
    _become(standard, cwd, environment)
    os.close(tells)
    sys.argv = [command, *arguments]
    return main()


def _become(standard: list[int], cwd: str, environment: dict[str, str]) -> None:
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    # The three streams stay: what differs between those of files and those of pipes is nothing that a command sees.
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()


if __name__ == "__main__":
    # As for the installed command: its own folder first, and nothing of the tests'.
    sys.path[0] = str(Path(sys.argv[2]).parent)
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]))

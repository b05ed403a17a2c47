"""One command under limits: in a folder, with an environment, for a time, with bounded output and memory.

Owns the pipe from the guard (`guard`), which owns the processes. Keeps: when `run_guarded` returns or raises, no
process of the command is left, whatever it forked; output beyond the bounds is counted, not held.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from .tracing import traced

GUARD = Path(__file__).with_name("guard.py")
#: How often a withdrawn task is looked for while the tests say nothing.
_CANCEL_INTERVAL_S = 0.2
#: How long the guard may need to end the last process after it was told to.
_END_TIMEOUT_S = 30.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one run. Memory is that of each process, `file_bytes_max` that of each file it writes (0: any).

    Of the output, the last `tail_bytes_max` are kept for people and the first `output_bytes_max` for reading results.
    """

    timeout_s: float = 900.0
    memory_bytes_max: int = 4 << 30
    file_bytes_max: int = 0
    output_bytes_max: int = 64 << 20
    tail_bytes_max: int = 16 << 10


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended. `exit_code` is negative for a signal, None where it was stopped or never began.

    `stopped`: timeout, cancelled, lost or an empty text; `problem`: why it couldn't be started; `left_behind`:
    processes that were still there when it had ended, and were killed. `contained`: it could write in its own places
    only.
    """

    exit_code: int | None
    stopped: str = ""
    problem: str = ""
    elapsed_s: float = 0.0
    output_bytes: int = 0
    tail: str = ""
    left_behind: tuple[str, ...] = ()
    contained: bool = False


class _GuardReport(msgspec.Struct):
    exit_code: int | None
    stopped: str
    problem: str
    elapsed_s: float
    left_behind: tuple[str, ...] = ()


@contextmanager
def alone(name: str) -> Iterator[int]:
    """Hold a name that one process at a time can hold on this machine, waiting for it; yields its descriptor.

    It is free again when the last process that has the descriptor is gone: a guard that still ends the tests of a
    killed agent keeps the next holder of the task waiting. Raises TimeoutError.
    """
    deadline = time.monotonic() + _END_TIMEOUT_S
    with socket.socket(socket.AF_UNIX) as held:
        while sys.platform == "linux":  # elsewhere there are no names without a file
            try:
                held.bind(f"\0{name}")
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise TimeoutError(f"{name} is still held by a process that should have ended") from error
                time.sleep(0.02)
        yield held.fileno()


def run_guarded(
    argv: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    scratch: Path,
    limits: Limits,
    cancelled: Callable[[], bool] = lambda: False,
    leave: Sequence[Path] = (),
    held: Sequence[int] = (),
    writable: Sequence[Path] | None = None,
    stdin: Path | None = None,
) -> Execution:
    """Run a command to its end; its output (stdout and stderr as they come) is left in `scratch/output`.

    `TRACEPARENT` tells it where in the run's trace it is. One that can't be started is an Execution with a `problem`.
    `cancelled` is asked several times a second. Folders in `leave` are removed at the end, even where this process is
    killed meanwhile;
    descriptors in `held` stay open in the guard until then. Where `writable` is given, the command and all that it
    starts can write there only (files, or folders with all in them; each must be there, else FileNotFoundError), and
    read none of the user's secrets, unless the kernel can't keep such rules: see `contained`. `stdin` is a file for its
    input, which is empty without.
    """
    spec = scratch / "run.json"
    spec.touch(mode=0o600)  # it holds the environment
    most = {name: getattr(limits, name) for name in ("timeout_s", "memory_bytes_max", "file_bytes_max")}
    places = {"cwd": str(folder), "leave": [str(path) for path in leave], "stdin": str(stdin) if stdin else ""}
    task = {"argv": list(argv), "env": traced(env), **places, **most}
    with _rules(writable) as (rulesets, contained):
        spec.write_bytes(msgspec.json.encode({**task, "rulesets": rulesets}))
        guard, report_read = _start_guard(spec, [*held, *rulesets])
    with open(report_read, "rb") as report, guard, (scratch / "output").open("wb") as kept:  # noqa: PTH123 - a descriptor
        try:
            tail, count, stopped = _drain(guard, kept, limits, cancelled)
            guard.wait(_END_TIMEOUT_S)
        finally:
            if guard.stdin is not None:
                guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                guard.wait(_END_TIMEOUT_S)
        # A guard that was killed says nothing, and nobody else knows how the tests ended.
        said = report.read()
    facts = msgspec.json.decode(said, type=_GuardReport) if said else _GuardReport(None, "lost", "", 0.0)
    return Execution(
        exit_code=facts.exit_code,
        stopped=stopped or facts.stopped,
        problem=facts.problem,
        elapsed_s=facts.elapsed_s,
        output_bytes=count,
        tail=tail.decode("utf-8", "replace"),
        left_behind=facts.left_behind,
        contained=contained,
    )


@contextmanager
def _rules(writable: Sequence[Path] | None) -> Iterator[tuple[list[int], bool]]:
    """Yield descriptors of the rules for the command, and whether they contain it."""
    from .sandbox.confine import is_held, rulesets
    from .sandbox.rules import FileRules

    if writable is None:
        yield [], is_held()
        return
    made, possible = rulesets(FileRules(tuple(writable)))
    try:
        yield [ruleset.fd for ruleset in made], possible.contained
    finally:
        for ruleset in made:
            ruleset.close()


def _start_guard(spec: Path, passed: Sequence[int]) -> tuple[subprocess.Popen[bytes], int]:
    """Start the guard with these descriptors; return it, and where its report is to be read."""
    report_read, report_write = os.pipe()
    try:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), str(spec), str(report_write)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[report_write, *passed],
            start_new_session=True,
            env={},
            cwd="/",
        )
    except BaseException:
        os.close(report_read)
        raise
    finally:
        os.close(report_write)
    return guard, report_read


def _drain(
    guard: subprocess.Popen[bytes], kept: BinaryIO, limits: Limits, cancelled: Callable[[], bool]
) -> tuple[bytes, int, str]:
    """Read until all writers are gone; returns the end of the output, its length, and whether it was cancelled."""
    assert guard.stdout is not None and guard.stdin is not None
    tail, count, stopped = b"", 0, ""
    # The guard keeps the time; this is for a guard that is itself held up.
    deadline = time.monotonic() + limits.timeout_s + _END_TIMEOUT_S
    with selectors.DefaultSelector() as selector:
        selector.register(guard.stdout, selectors.EVENT_READ)
        while True:
            if not stopped and cancelled():
                stopped = "cancelled"
                guard.stdin.close()  # the guard's sign to end everything
            if time.monotonic() > deadline:
                guard.kill()
                return tail, count, "lost"
            if not selector.select(_CANCEL_INTERVAL_S):
                continue
            chunk = os.read(guard.stdout.fileno(), 1 << 16)
            if not chunk:
                return tail, count, stopped
            if count < limits.output_bytes_max:
                kept.write(chunk[: limits.output_bytes_max - count])
            count += len(chunk)
            tail = (tail + chunk)[-limits.tail_bytes_max :]

"""The process between an agent and a command it runs: sets limits, and leaves none of its processes behind.

Run as a program by its path (`python -I -S guard.py SPEC REPORT`), so that it costs little and has one thread;
imports nothing of ours but, where there are file rules, the two files that know the kernel's calls for them. Owns the
processes of one run: as their subreaper it inherits even those that made themselves daemons. Keeps: when it ends, all
of them have ended. It ends when the command does, when time is up, and when its caller is gone (its standard input
ends). What happened goes to the descriptor REPORT, as one JSON object; output goes where its own goes.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36


def _adopt_orphans() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def _become(spec: dict[str, Any], failed: int) -> None:
    """In the forked child: a session of its own, its input, limits and file rules, then the command. Never returns."""
    try:
        os.setsid()
        given = os.open(spec["stdin"] or os.devnull, os.O_RDONLY)
        os.dup2(given, 0)
        for number in map(int, os.listdir("/dev/fd")):  # noqa: PTH208
            if number not in (0, 1, 2, failed, *spec["rulesets"]):
                with contextlib.suppress(OSError):  # the listing's own
                    os.close(number)
        os.chdir(spec["cwd"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Not RLIMIT_AS: Node and Go reserve address space by the terabyte and never touch it.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if most := spec["file_bytes_max"]:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        most = spec["memory_bytes_max"]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _confine(spec["rulesets"])
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except BaseException as error:  # noqa: BLE001 - whatever it is goes to the parent, and this process must not return
        os.write(failed, str(error).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _know_rules() -> None:
    """Import what `_confine` needs; before the fork, as little as can be happens after it."""
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sandbox"))  # noqa: PTH100, PTH118, PTH120
    for name in ("landlock", "capabilities"):
        importlib.import_module(name)


def _confine(rulesets: list[int]) -> None:
    """Bind this process to file rules that the caller has made."""
    if rulesets:
        landlock, capabilities = sys.modules["landlock"], sys.modules["capabilities"]
        landlock.forbid_new_privileges()
        for ruleset in rulesets:
            landlock.restrict_self(ruleset)
            os.close(ruleset)
        capabilities.drop_all()


def _children() -> list[int]:
    """List the direct children, dead ones included; orphans become direct children as their parents are killed."""
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else []:  # noqa: PTH112, PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    found.append(int(entry))
    return found


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()[:200]
    return ""


def _end_all(group: int) -> list[str]:
    """Kill the group and every orphan until no child is left; return the command lines of those that lived.

    The group's leader has not been waited for yet: until it is, its number is given to no other group.
    """
    left: dict[int, str] = {}
    begun = False
    while True:
        children = _children()
        for pid in children:
            left[pid] = left.get(pid) or _command_line(pid)  # empty for a process that is dead already
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not begun:
            begun = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return [line for line in left.values() if line]


def _wait(child: int, wakeup: int, deadline: float) -> tuple[int | None, str]:
    """Wait for the command, the deadline or the caller's end; return its exit code, or None and why it stopped.

    The command is left to be waited for, as its number names its group.
    """
    while True:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return None, "lost"
            if ended is None:
                break
            if ended.si_pid == child:
                return (ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status), ""
            os.waitpid(ended.si_pid, 0)
        left = deadline - time.monotonic()
        if left <= 0:
            return None, "timeout"
        readable, _, _ = select.select([0, wakeup], [], [], left)
        if 0 in readable:
            return None, "abandoned"
        if wakeup in readable:
            os.read(wakeup, 4096)


def main() -> int:
    """Run the command that the file SPEC describes.

    It has argv, cwd, env, stdin, timeout_s, memory_bytes_max, file_bytes_max, leave, and rulesets (descriptors).
    """
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        spec = json.load(file)
    report_fd = int(sys.argv[2])
    if spec["rulesets"]:
        _know_rules()
    adopts = _adopt_orphans()
    wakeup, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    failed_read, failed_write = os.pipe2(os.O_CLOEXEC)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(spec, failed_write)
    os.close(failed_write)
    problem = os.read(failed_read, 4096).decode("utf-8", "replace")
    exit_code, stopped = _wait(child, wakeup, started + spec["timeout_s"])
    elapsed = time.monotonic() - started
    left = _end_all(child)
    for folder in spec["leave"]:
        shutil.rmtree(folder, ignore_errors=True)  # the caller removes the rest, if it still lives
    report = {
        "exit_code": exit_code,
        "stopped": stopped,
        "problem": problem,
        "elapsed_s": round(elapsed, 3),
        "left_behind": left if not stopped else [],
        "subreaper": adopts,
    }
    with contextlib.suppress(BrokenPipeError):  # the caller is gone; the processes are ended all the same
        os.write(report_fd, json.dumps(report).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

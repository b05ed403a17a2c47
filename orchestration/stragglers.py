"""Ends processes that outlived those who started them: grandchildren that left their group, and orphans of an old `up`.

A straggler is found as a child that this process has adopted (it is a subreaper) without having started it, or by
what its environment carries: TWELVEFOLD_HOME and TWELVEFOLD_INCARNATION, and TWELVEFOLD_INSTANCE of its agent.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Collection
from pathlib import Path

from .proc_files import all_pids, environment_of, group_of, parent_and_session


def kill_adopted(adopted: Collection[int], groups: Collection[int], living: Collection[str]) -> dict[int, str]:
    """Kill children that this process has `adopted`, but for those that carry one of the `living` instances.

    `groups` are process groups that have been killed already. Returns who was killed here, and which place's process
    had left it behind ("" where it doesn't carry that). Their own children are adopted in turn, so call it again after
    each exit.
    """
    keep = {instance.encode() for instance in living}
    killed = {}
    for pid in adopted:
        environ = environment_of(pid)
        if group_of(pid) in groups or environ.get(b"TWELVEFOLD_INSTANCE") in keep:
            continue
        if _kill(pid):
            killed[pid] = environ.get(b"TWELVEFOLD_PROCESS", b"").decode(errors="replace")
    return killed


def kill_orphans(home: str, incarnation: str, timeout_s: float = 10.0) -> list[int]:
    """Kill every process that an earlier supervisor of this home left behind, and wait until they are gone.

    Returns who was killed. This process and those above it are never among them.
    """
    deadline = time.monotonic() + timeout_s
    killed: list[int] = []
    spared = _ancestors()
    while True:
        found = [pid for pid in all_pids() if pid not in spared and _is_orphan(pid, home, incarnation)]
        if not found or time.monotonic() > deadline:
            return killed
        gone = [pid for pid in found if _kill_and_wait(pid, deadline)]
        if not gone:
            return killed
        killed += gone


def _is_orphan(pid: int, home: str, incarnation: str) -> bool:
    environ = environment_of(pid)
    theirs = environ.get(b"TWELVEFOLD_INCARNATION")
    return (
        theirs is not None
        and theirs != incarnation.encode()
        and _same_folder(environ.get(b"TWELVEFOLD_HOME", b""), os.fsencode(home))
    )


def _same_folder(one: bytes, other: bytes) -> bool:
    return one == other or (bool(one) and Path(os.fsdecode(one)).resolve() == Path(os.fsdecode(other)).resolve())


def _ancestors() -> set[int]:
    pid, found = os.getpid(), set()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = parent_and_session(pid)[0]
    return found


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _kill_and_wait(pid: int, deadline: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(handle)
    return True

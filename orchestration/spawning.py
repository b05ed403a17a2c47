"""Starting a plain process: a session of its own, output into a pipe, dead when its supervisor is.

Leaves what to run to `command_line`, and forks of agents to `zygote`. Called by the supervisor's main thread only, as
the kernel ties a child's death signal to the thread that made it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence

from .limiting import bind
from .limits import Limits
from .prctl import die_with

#: Python ignores these for itself, and ignored signals would stay so after exec.
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


#: The descriptor under which a child finds the one that `spawn` was told to share.
SHARED_FD = 3


def spawn(
    argv: Sequence[str],
    environ: Mapping[str, str],
    cwd: str,
    output: int,
    share: int | None = None,
    limits: Limits | None = None,
    cgroup: str = "",
) -> int:
    """Start a program (argv[0] is a path) with stdout and stderr in the file descriptor `output`; return its pid.

    `share` is passed on as SHARED_FD. What cannot be run, or not be limited so, says it in its output and exits with
    127.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        die_with(parent)
        attach_output(output)
        if share is not None:
            os.dup2(share, SHARED_FD)
            os.set_inheritable(SHARED_FD, True)  # dup2 leaves a descriptor alone that has this number already
        reset_signals()
        if limits is not None:
            bind_or_end(limits, cgroup, execs=True)
        os.chdir(cwd)
        os.execve(argv[0], list(argv), dict(environ))
    except OSError as error:
        os.write(2, f"cannot run {argv[0]} in {cwd}: {error.strerror}\n".encode(errors="replace"))
    finally:
        # Whatever went wrong, the copy of the supervisor must not go on as a second one.
        os._exit(127)


def bind_or_end(limits: Limits, cgroup: str, *, execs: bool) -> None:
    """Put limits on this new process; where that cannot be, say so in its output and end it."""
    try:
        bind(limits, cgroup, execs=execs)
    except OSError as error:
        os.write(2, f"cannot be limited as asked ({limits}): {error.strerror}\n".encode(errors="replace"))
        os._exit(127)


def attach_output(output: int) -> None:
    """Make stdin empty, and stdout and stderr the given descriptor."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(empty)


def reset_signals() -> None:
    """Give back the dispositions and the mask that a program expects at its start."""
    for number in _PYTHON_IGNORES:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def signal_group(pid: int, number: int) -> bool:
    """Send a signal to a process's group, and let a stopped one wake to take it; False where it is gone."""
    try:
        os.killpg(pid, number)
        if number != signal.SIGKILL:
            os.killpg(pid, signal.SIGCONT)
    except ProcessLookupError:
        return False
    except PermissionError:
        # The group's leader gave up our user (a setuid program); what cannot be signalled as a group may be, alone.
        return False
    return True


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this user have: two for each process."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

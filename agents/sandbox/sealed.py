"""A process seals itself: from then on it, and all that it starts, can change nothing and reach nobody.

Owns what a replay's process must not be able to do: write, create, remove or touch a file, open a socket, signal or
look into other processes, change the machine. Reading stays free, and so do pipes that were there before, memory, and
processes of its own. Leaves how rules are kept to `landlock` and `seccomp`. Keeps: sealed whole or an error, never half
of it. For a process with one thread that holds nothing open for writing but what it is to answer on.
"""

from __future__ import annotations

import os
import resource
import socket
from contextlib import suppress

from . import landlock, seccomp
from .capabilities import drop_all
from .confine import landlock_version
from .errors import NotSealed

#: Writing to these is no writing; programs open them as a matter of course.
_NOTHING = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
#: From this version on the kernel knows truncation, without which files could be emptied.
_ABI_NEEDED = 3
#: From this version on it keeps signals inside by itself, and processes of one's own can be stopped.
_ABI_WITH_SIGNALS = 6

_SOCKETS = ("socket", "connect", "accept", "accept4", "bind", "listen")
#: Half of a pair of these sends to any socket in the file system that takes datagrams, and needs no connection.
#: `SOCK_DGRAM`, and `SOCK_RAW`, which is the same here, have a bit that streams and packets in order have not.
_PAIRS = ("socketpair", 1, socket.SOCK_DGRAM)
#: Would take a process out of the group in which a replay ends all that it has started: done as if they had.
_GROUPS = ("setsid", "setpgid")
#: Change what a file is marked as, by what is open for reading only: FS_IOC_SETFLAGS (32 bits, too), FS_IOC_FSSETXATTR.
_MARKING = tuple(("ioctl", 1, request) for request in (0x40086602, 0x40046602, 0x401C5820))
#: Keep others from a file that is open for reading only, or have them told of it: F_SETLEASE, F_SETOWN, F_SETOWN_EX.
_HOLDING = tuple(("fcntl", 1, command) for command in (1024, 8, 15))
#: F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW: would let others wait, the bus for its own log. Done as if they had, as
#: SQLite takes such a lock to read a file, and nothing that could be spoilt is written here.
_LOCKS = tuple(("fcntl", 1, command) for command in (6, 7, 37, 38))
#: Does what other calls do without calling them.
_AROUND = ("io_uring_setup", "io_uring_enter", "io_uring_register", "open_by_handle_at")
#: What files are beside their content, which Landlock doesn't keep.
_FILES = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "futimesat", "utimensat", "flock"),
    *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
    *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
)
_PROCESSES = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise", "process_mrelease"),
    *("setpriority", "ioprio_set"),
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
)
_SIGNALS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
_MACHINE = (
    *("mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick"),
    *(
        "mount_setattr",
        "swapon",
        "swapoff",
        "reboot",
        "sethostname",
        "setdomainname",
        "acct",
        "quotactl",
        "quotactl_fd",
    ),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "iopl", "ioperm", "syslog"),
    *("settimeofday", "clock_settime", "adjtimex", "clock_adjtime"),
    *("bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl"),
)
_OF_OTHERS = ("prlimit64", "sched_setaffinity", "sched_setparam", "sched_setscheduler", "sched_setattr")
#: What Landlock keeps, where it is there.
_WRITING = (
    *("creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat"),
    *("symlink", "symlinkat", "mknod", "mknodat", "truncate"),
)
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_OPENING = (("open", 1, _TO_WRITE), ("openat", 2, _TO_WRITE))


def seal(*, by_calls: bool = False) -> None:
    """Seal the calling process, which has one thread, for ever. Raises NotSealed, which says what the kernel lacks.

    Where it has no Landlock, or `by_calls` is asked for, opening for writing is forbidden as a call; then not even
    `/dev/null` can be written to.
    """
    if not seccomp.available():
        raise NotSealed("it takes Linux on x86-64 or aarch64 to keep a process from sockets")
    abi = 0 if by_calls else landlock_version()
    ruleset = None
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the kernel writes these, whatever the process may
        landlock.forbid_new_privileges()
        if abi >= _ABI_NEEDED:
            scoped = landlock.SCOPE_SIGNALS | landlock.SCOPE_ABSTRACT_SOCKETS
            ruleset = landlock.Ruleset(landlock.WRITE_ANY, scoped=scoped)
            for path in _NOTHING:
                with suppress(FileNotFoundError, PermissionError):
                    ruleset.allow(path, landlock.WRITE_FILE)
            landlock.restrict_self(ruleset.fd)
        drop_all()
        calls = [*_SOCKETS, *_AROUND, *_FILES, *_PROCESSES, *_MACHINE]
        calls += [] if abi >= _ABI_WITH_SIGNALS else _SIGNALS
        opening: tuple[tuple[str, int, int], ...] = ()
        unknown: tuple[str, ...] = ()
        if ruleset is None:
            calls += _WRITING
            # What openat2 is to do stands in memory, where no filter can look.
            opening, unknown = _OPENING, ("openat2",)
        flags = (_PAIRS, *opening)
        seccomp.forbid(
            calls, of_others=_OF_OTHERS, with_flags=flags, with_value=(*_MARKING, *_HOLDING), unknown=unknown,
            passed_over=(*_GROUPS, *_LOCKS),
        )  # fmt: skip
    except OSError as error:
        raise NotSealed(error.strerror or str(error)) from error
    finally:
        if ruleset is not None:
            ruleset.close()

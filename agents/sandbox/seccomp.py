"""The kernel's seccomp, called by ctypes: a filter of system calls that a process puts on itself for ever.

Owns the program that the kernel runs for each call (seccomp(2), bpf) and the numbers of the calls on the architectures
that are known here. Leaves which calls are forbidden to `sealed`. Imports nothing of ours. Keeps: calls by another
architecture's numbers are forbidden whole, so that no call has two doors.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable

_SET_MODE_FILTER = 2
_PR_SET_SECCOMP = 22
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
#: Of `struct seccomp_data`: the call's number, the architecture, and the low half of each argument.
_NR, _ARCH, _ARGUMENTS = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: Numbers from here on are those of x32, a second set on x86-64.
_X32 = 0x40000000

_X86_64 = {
    "open": 2, "ioctl": 16, "shmget": 29, "shmat": 30, "shmctl": 31, "socket": 41, "connect": 42, "accept": 43,
    "bind": 49, "listen": 50, "socketpair": 53, "setpgid": 109, "setsid": 112, "semop": 65, "semctl": 66,
    "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "fcntl": 72, "semtimedop": 220,
    "kill": 62, "semget": 64, "msgget": 68, "flock": 73, "truncate": 76, "rename": 82, "mkdir": 83, "rmdir": 84,
    "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93,
    "lchown": 94, "ptrace": 101, "syslog": 103, "rt_sigqueueinfo": 129, "utime": 132, "mknod": 133,
    "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "pivot_root": 155, "adjtimex": 159,
    "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "tkill": 200, "sched_setaffinity": 203, "clock_settime": 227, "tgkill": 234, "utimes": 235,
    "mq_open": 240, "mq_unlink": 241, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "ioprio_set": 251, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "futimesat": 261,
    "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268, "utimensat": 280,
    "accept4": 288, "rt_tgsigqueueinfo": 297, "perf_event_open": 298, "prlimit64": 302, "open_by_handle_at": 304,
    "clock_adjtime": 305, "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313,
    "sched_setattr": 314, "renameat2": 316, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
}  # fmt: skip
_AARCH64 = {
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
    "fcntl": 25, "ioctl": 29, "setpgid": 154, "setsid": 157, "msgctl": 187, "msgrcv": 188, "msgsnd": 189,
    "semctl": 191, "semtimedop": 192, "semop": 193, "shmctl": 195, "socketpair": 199,
    "ioprio_set": 30, "flock": 32, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37,
    "renameat": 38, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45, "fchmod": 52, "fchmodat": 53,
    "fchownat": 54, "fchown": 55, "openat": 56, "quotactl": 60, "utimensat": 88, "acct": 89, "kexec_load": 104,
    "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117,
    "sched_setparam": 118, "sched_setscheduler": 119, "sched_setaffinity": 122, "kill": 129, "tkill": 130,
    "tgkill": 131, "rt_sigqueueinfo": 138, "setpriority": 140, "reboot": 142, "sethostname": 161,
    "setdomainname": 162, "settimeofday": 170, "adjtimex": 171, "mq_open": 180, "mq_unlink": 181, "msgget": 186,
    "semget": 190, "shmget": 194, "shmat": 196, "socket": 198, "bind": 200, "listen": 201, "accept": 202,
    "connect": 203, "add_key": 217, "request_key": 218, "keyctl": 219, "swapon": 224, "swapoff": 225,
    "rt_tgsigqueueinfo": 240, "perf_event_open": 241, "accept4": 242, "prlimit64": 261, "open_by_handle_at": 265,
    "clock_adjtime": 266, "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273,
    "sched_setattr": 274, "renameat2": 276, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
}  # fmt: skip
#: The same numbers everywhere, as they came after the tables were made one.
_SINCE_ONE = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
    "process_mrelease": 448, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
#: The kernel's number of each architecture, and its calls.
_ARCHITECTURES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def available() -> bool:
    """Tell whether the calls of this machine are known here."""
    return _libc is not None and platform.machine() in _ARCHITECTURES


def forbid(
    calls: Iterable[str],
    *,
    of_others: Iterable[str] = (),
    with_flags: Iterable[tuple[str, int, int]] = (),
    with_value: Iterable[tuple[str, int, int]] = (),
    unknown: Iterable[str] = (),
    passed_over: Iterable[str | tuple[str, int, int]] = (),
) -> None:
    """Have these calls of this process, and of all that it starts, fail with EPERM from now on.

    Those `of_others` fail where their first argument isn't 0, which stands for oneself; those in `with_flags` where the
    argument of that number has any of these bits, those `with_value` where it is this; those `unknown` fail as if the
    kernel had no such call, so that libraries fall back to what can be looked at, and those `passed_over`, always or
    where an argument has a value, do nothing and say that they did. Names that an architecture has no call for are left
    out. For a process with one thread, after `landlock.forbid_new_privileges`. Raises OSError.
    """
    if not available():
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    code, own = _ARCHITECTURES[platform.machine()]
    numbers = own | _SINCE_ONE
    refuse, missing, nothing = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS, _ERRNO
    program = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, code), (_RETURN, 0, 0, refuse), (_LOAD, 0, 0, _NR)]
    program += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, refuse)]
    passed_over = [*passed_over]
    whole = [name for name in passed_over if isinstance(name, str)]
    for names, answer in ((calls, refuse), (unknown, missing), (whole, nothing)):
        for name in names:
            if name in numbers:
                program += [(_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, answer)]
    tests = [(name, 0, _EQUAL, 0, _ALLOW, refuse) for name in of_others]
    tests += [(*one[:2], _ANY_BIT, one[2], refuse, _ALLOW) for one in with_flags]
    tests += [(*one[:2], _EQUAL, one[2], refuse, _ALLOW) for one in with_value]
    tests += [(*one[:2], _EQUAL, one[2], nothing, _ALLOW) for one in passed_over if not isinstance(one, str)]
    for name, argument, test, value, met, unmet in tests:
        if name in numbers:
            # What isn't met goes on to the next test of the same call, for which the number is loaded anew.
            ask = [(_EQUAL, 0, 4, numbers[name]), (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
            program += [*ask, (test, 0, 1, value), (_RETURN, 0, 0, met)]
            program.append((_LOAD, 0, 0, _NR) if unmet == _ALLOW else (_RETURN, 0, 0, unmet))
    program.append((_RETURN, 0, 0, _ALLOW))
    _install(b"".join(struct.pack("HBBI", *instruction) for instruction in program), len(program))


def _install(program: bytes, length: int) -> None:
    assert _libc is not None
    held = ctypes.create_string_buffer(program, len(program))
    given = _Program(length, ctypes.cast(held, ctypes.c_void_p))
    arguments = (ctypes.c_ulong(_SET_MODE_FILTER), ctypes.byref(given), ctypes.c_ulong(0), ctypes.c_ulong(0))
    if _libc.prctl(ctypes.c_int(_PR_SET_SECCOMP), *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""The kernel's Landlock, called by ctypes: sets of file rules, and a process that binds itself to one for ever.

Owns the three system calls and which rights which version of them knows (landlock(7)). Leaves what is allowed to
`rules`, and when to `confine`. Imports nothing of ours. Keeps: an error of the kernel is raised as OSError with its own
number, never an older one; rights for folders never go on a file, which the kernel would refuse.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable
from functools import partial

#: The same numbers on every architecture but alpha.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
#: MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM
MAKE_ANY = 0b1111111 << 6
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

#: All that changes files, folders and devices.
WRITE_ANY = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_ANY | REFER | TRUNCATE | IOCTL_DEV
#: What a rule on something else than a folder may hold.
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
#: The version from which on a right is known; those of the first version aren't listed.
_SINCE = {REFER: 2, TRUNCATE: 3, IOCTL_DEV: 5}
#: No signals to processes outside, and no connections to their sockets without a file (version 6).
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1, 2
_SCOPES_SINCE = 6


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _system_call(number: int, *arguments: type) -> Callable[..., int]:
    if _libc is None:
        return lambda *_: _missing()
    # A function of its own for each: whole registers, as ctypes passes a bare int as 32 bits and the rest of a variadic
    # argument is then anything.
    call = _libc["syscall"]
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, *arguments)
    return partial(_checked, call, number)


def _missing() -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _checked(call: Callable[..., int], number: int, *arguments: object) -> int:
    result = call(number, *arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


_create_ruleset = _system_call(_CREATE_RULESET, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ulong)
_add_rule = _system_call(_ADD_RULE, ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_ulong)
_restrict_self = _system_call(_RESTRICT_SELF, ctypes.c_long, ctypes.c_ulong)


def version() -> int:
    """Return the version of Landlock that the kernel offers.

    Raises OSError: ENOSYS where it has none, EOPNOTSUPP where it was switched off at boot, EPERM where a container's
    own filter forbids it.
    """
    return _create_ruleset(None, 0, _VERSION_FLAG)


def known(rights: int, abi: int) -> int:
    """Return those of the rights that a version knows."""
    for right, since in _SINCE.items():
        if abi < since:
            rights &= ~right
    return rights


class Place:
    """A file or folder that rules can stand on, held by a descriptor; `rights` are those that one of its kind can have.

    Raises OSError.
    """

    __slots__ = ("fd", "rights")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self.rights = ~0 if stat.S_ISDIR(os.fstat(self.fd).st_mode) else _OF_FILES

    def close(self) -> None:
        """Let go of it; rules that stand on it stay."""
        os.close(self.fd)


class Ruleset:
    """Rules being put together, held by a descriptor: all that is `handled` is forbidden but where it is allowed.

    Rights and scopes that the kernel's version doesn't know are left out. Raises OSError.
    """

    def __init__(self, handled: int, *, scoped: int = 0, abi: int | None = None) -> None:
        self.abi = version() if abi is None else abi
        self.handled = known(handled, self.abi)
        attributes = _RulesetAttributes(self.handled, 0, scoped if self.abi >= _SCOPES_SINCE else 0)
        self.fd = _create_ruleset(ctypes.byref(attributes), ctypes.sizeof(attributes), 0)

    def allow(self, path: str | os.PathLike[str], rights: int) -> None:
        """Allow rights for a file, or for a folder and all that will ever be in it. Raises OSError."""
        place = Place(path)
        try:
            self.allow_place(place, rights)
        finally:
            place.close()

    def allow_place(self, place: Place, rights: int) -> None:
        """Allow rights for a place that is open."""
        rights &= self.handled & place.rights
        if rights:
            rule = _PathBeneath(rights, place.fd)
            _add_rule(self.fd, _PATH_BENEATH, ctypes.byref(rule), 0)

    def close(self) -> None:
        """Let go of the rules; processes that are bound by them stay so."""
        os.close(self.fd)


def forbid_new_privileges() -> None:
    """Let no program that this process or its children start have more rights than it has. Raises OSError."""
    if _libc is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(number) for number in (1, 0, 0, 0))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def restrict_self(ruleset: int) -> None:
    """Bind this process, which has one thread, and all its children to a set of rules for ever. Raises OSError.

    `forbid_new_privileges` comes first.
    """
    _restrict_self(ruleset, 0)

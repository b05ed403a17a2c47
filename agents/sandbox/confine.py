"""A process confines itself to its file rules: it writes to its own places and reads no secrets of the user's.

Owns the order of it and what the kernel must know for it. Keeps: `contained` is said only where every rule holds; what
can't be kept is named in the reason. For a process with one thread, before it runs anybody's code: what it starts
afterwards is bound as it is.
"""

from __future__ import annotations

import errno
import glob
import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

from . import landlock
from .capabilities import drop_all
from .landlock import Place, Ruleset
from .reading import Survey, survey
from .rules import FileRules, secret_places

#: The first version that knows moving between folders, without which ordinary programs break, and truncation, without
#: which files outside can be emptied.
ABI_USABLE, ABI_WHOLE = 2, 3
#: Devices that hold nothing, terminals, shared memory (semaphores), and what computes.
_DEVICES = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"),
    *("/dev/shm", "/dev/kfd", "/dev/dri", "/dev/accel"),
)
_DEVICE_PATTERNS = ("/dev/nvidia*",)
#: Also moving between folders, which each set of rules forbids that doesn't know of it.
_READ = landlock.READ_FILE | landlock.REFER


class Containment(msgspec.Struct, frozen=True):
    """Whether a process is held by its file rules, and if not, why: a sentence without a full stop."""

    contained: bool
    reason: str = ""


class Reads:
    """A survey and its rules in the kernel, made once for many processes that are forked from this one."""

    def __init__(self, found: Survey, write: Iterable[str] = ()) -> None:
        self.survey = found
        # Made here once: forks that made it would each copy the pages of all these texts.
        self._places = tuple(f"{path}/" for path in found.allowed)
        self.ruleset = Ruleset(_READ) if found.denied else None
        if self.ruleset is not None:
            # A place to write in that holds a secret is read but for that: of what is in it, what is there now.
            whole = (path for path in write if not any(f"{one}/".startswith(f"{path}/") for one in found.denied))
            for path in (*found.allowed, *whole):
                with suppress(FileNotFoundError, PermissionError):  # gone meanwhile; or in a folder closed to us
                    self.ruleset.allow(path, _READ)

    def serves(self, write: Iterable[str]) -> bool:
        """Tell whether the rules are still those of the file system, and let be read what may be written."""
        covered = not self.survey.denied or all(f"{path}/".startswith(self._places) for path in write)
        return covered and self.survey.stands()

    def close(self) -> None:
        """Let go of the rules; processes that are bound by them stay so."""
        if self.ruleset is not None:
            self.ruleset.close()
            self.ruleset = None


class Writes:
    """Places that many processes forked from this one may write, and the devices, opened once for all of them.

    Raises FileNotFoundError for a place that isn't there, and OSError.
    """

    def __init__(self, places: Iterable[Path] = ()) -> None:
        self.places = tuple(os.path.realpath(place, strict=True) for place in places)
        self._open: list[Place] = []
        self._inodes: list[int] = []
        try:
            for path in _devices():
                with suppress(FileNotFoundError, PermissionError):
                    self._open.append(Place(path))
            for path in self.places:
                self._open.append(Place(path))
                self._inodes.append(os.stat(path).st_ino)  # noqa: PTH116  many processes do this once
        except BaseException:
            self.close()
            raise

    def stands(self) -> bool:
        """Tell whether the places are still those that were opened."""
        try:
            return all(os.stat(path).st_ino == inode for path, inode in zip(self.places, self._inodes, strict=True))  # noqa: PTH116
        except OSError:
            return False

    def ruleset(self, others: Iterable[str]) -> Ruleset:
        """Make the rules by which only these places and others, and what every program writes to, can be changed.

        Also no signals to processes outside, where the kernel can forbid them. Raises OSError.
        """
        ruleset = Ruleset(landlock.WRITE_ANY, scoped=landlock.SCOPE_SIGNALS | landlock.SCOPE_ABSTRACT_SOCKETS)
        try:
            for place in self._open:
                ruleset.allow_place(place, landlock.WRITE_ANY)
            for path in others:
                ruleset.allow(path, landlock.WRITE_ANY)
        except BaseException:
            ruleset.close()
            raise
        return ruleset

    def close(self) -> None:
        """Let go of the places; rules that stand on them stay."""
        while self._open:
            self._open.pop().close()


def homes_of_user(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the user's homes: that of the environment, and that of the user's account."""
    homes = [environ.get("HOME", "")]
    with suppress(KeyError):
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    return tuple(Path(home) for home in dict.fromkeys(homes) if home.startswith("/") and home != "/")


def available() -> Containment:
    """Tell whether this kernel could contain a process, and if not, why; changes nothing."""
    try:
        abi = landlock.version()
    except OSError as error:
        return Containment(False, _missing(error))
    if abi < ABI_USABLE:
        return Containment(False, f"Landlock {abi} of this kernel lets no file move between folders; Linux 6.2 does")
    if abi < ABI_WHOLE:
        return Containment(
            False, f"Landlock {abi} of this kernel lets files outside be emptied by truncate(2); Linux 6.2 does not"
        )
    return Containment(True)


def confine(
    rules: FileRules, reads: Reads | None = None, writes: Writes | None = None, *, bind: bool = True
) -> Containment:
    """Bind the calling process, which has one thread, to rules for ever; return what came of it.

    `reads` spares making the rules about secrets again, where they still hold; `writes` are places to write beside
    those of the rules. Where the kernel has no Landlock,
    nothing is bound. Raises FileNotFoundError for a place to write in that isn't there. Without `bind` all is made
    ready and nothing done.
    """
    made, possible, around = _rulesets(rules, reads, writes)
    try:
        if made and bind:
            landlock.forbid_new_privileges()
            for ruleset in made:
                landlock.restrict_self(ruleset.fd)
            drop_all()
    except OSError as error:
        possible = Containment(False, _missing(error))
    finally:
        for ruleset in made:
            if reads is None or ruleset is not reads.ruleset:
                ruleset.close()
    if bind:
        _held.append(_Held(possible.contained, around))
    return possible


class _Held(msgspec.Struct, frozen=True):
    """What this process is bound by: whether that contains it, and how the file system around secrets was then."""

    contained: bool
    around: Survey | None


_held: list[_Held] = []


def is_held() -> bool:
    """Tell whether this process is bound by file rules of its own, which all that it starts inherits."""
    return any(one.contained for one in _held)


def unreadable() -> list[str]:
    """Return what this process can't read, as it was made beside a secret after the process was bound."""
    return [path for one in _held if one.around is not None for path in one.around.news()]


def hidden() -> list[str]:
    """Return the secrets that this process can't read."""
    return [path for one in _held if one.around is not None for path in one.around.denied]


def rulesets(rules: FileRules) -> tuple[list[Ruleset], Containment]:
    """Make the rules for a process, each to be closed by the caller, and tell whether they contain it.

    There are none where the kernel can't keep them. Raises FileNotFoundError for a place to write in that isn't there.
    """
    made, possible, _ = _rulesets(rules, None, None)
    return made, possible


def _rulesets(
    rules: FileRules, reads: Reads | None, writes: Writes | None
) -> tuple[list[Ruleset], Containment, Survey | None]:
    possible = available()
    if not possible.contained and landlock_version() < ABI_USABLE:
        return [], possible, None
    write = [os.path.realpath(path, strict=True) for path in rules.write]
    if writes is None:
        writing = write_ruleset(write)
    else:
        writing = writes.ruleset(write)
        write += writes.places
    if is_held():
        return [writing], possible, None  # what this process must not read, no child of it can
    try:
        fitting = reads if reads is not None and reads.serves(write) else _reads(rules, write)
    except BaseException:
        writing.close()
        raise
    return ([writing] if fitting.ruleset is None else [fitting.ruleset, writing]), possible, fitting.survey


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers, 0 where it has none."""
    try:
        return landlock.version()
    except OSError:
        return 0


def write_ruleset(write: Sequence[str]) -> Ruleset:
    """Make the rules by which only these places, and what every program writes to, can be changed. Raises OSError."""
    writes = Writes()
    try:
        return writes.ruleset(write)
    finally:
        writes.close()


@cache
def _devices() -> list[str]:
    """Return those devices that there are; looked for once, before any fork."""
    named = [*_DEVICES, *(path for pattern in _DEVICE_PATTERNS for path in glob.glob(pattern))]  # noqa: PTH207
    return [path for path in named if os.path.exists(path)]  # noqa: PTH110


def _reads(rules: FileRules, write: Sequence[str]) -> Reads:
    denied = rules.read_denied
    if denied is None:
        denied = secret_places(homes_of_user(os.environ), os.environ)
    return Reads(survey(denied), write)


_WHY = {
    errno.ENOSYS: "this kernel has no Landlock; Linux 6.2 or newer has",
    errno.EOPNOTSUPP: "Landlock is switched off in this kernel; the boot parameter `lsm=landlock,…` switches it on",
    errno.EPERM: "the container that this runs in forbids Landlock",
    errno.E2BIG: "this process runs in so many sandboxes already that the kernel takes no further one",
}


def _missing(error: OSError) -> str:
    return _WHY.get(error.errno or 0, f"Landlock can't be used: {error.strerror}")

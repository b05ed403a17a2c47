"""What can go wrong with the log's files, in words that say what happened and what to do.

Part of the tree drawn in `errors`; see there for what every error promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from .errors import TwelvefoldError


@dataclass(eq=False)
class LogLocked(TwelvefoldError):
    """Another process owns the log: it has exactly one writer, the bus.

    The lock belongs to a living process and vanishes with it, so a stale one cannot exist. Talk to the bus that runs,
    or stop it first. Reading needs no lock.
    """

    code = "E105"
    exit_code = 4
    path: str
    pid: int

    def message(self) -> str:
        """Name the file and the process that owns it."""
        owner = f"process {self.pid}" if self.pid else "another process"
        return f"the log {self.path} is owned by {owner}, and has one writer only"

    def help(self) -> str:
        """Stop the owner."""
        return "stop the running system with `twelvefold down`, or use it as it is: `twelvefold ps`"


@dataclass(eq=False)
class StorageFull(TwelvefoldError):
    """There is no space for what was to be appended: nothing of it was written, and all that was acknowledged is there.

    The log stays open. Each later append tries anew, so work goes on by itself as soon as there is space.
    """

    code = "E106"
    path: str
    free_bytes: int

    def message(self) -> str:
        """Name the file and the free space of its file system."""
        return f"no space to append to the log {self.path} ({self.free_bytes} bytes are free on its file system)"

    def help(self) -> str:
        """Show what fills the file system."""
        return f"free some space, appends then go on by themselves; see `df -h {quote(_folder(self.path))}`"


@dataclass(eq=False)
class StorageFailed(TwelvefoldError):
    """The operating system failed to write or read the log, so writing has stopped; reads go on where they can.

    What was acknowledged before is in the file. After a failed sync nobody can know what the disk holds, so writes do
    not go on until the log is opened anew: check the disk, then restart.
    """

    code = "E107"
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and what failed, in SQLite's words."""
        return f"storage failed under the log {self.path}, which takes no more writes: {self.reason}"

    def help(self) -> str:
        """Check, then restart."""
        return "look for disk errors with `dmesg | tail`, check the log with `twelvefold verify`, then restart the bus"


@dataclass(eq=False)
class CorruptLog(TwelvefoldError):
    """The log's file does not hold what was written to it: damage by the disk, or by a program that changed the file.

    `position` is the first bad position (0 where the damage lies outside of the events). Writing has stopped. Events
    before the first bad position are intact: their hashes chain up to it.
    """

    code = "E108"
    exit_code = 6
    path: str
    position: int
    reason: str

    def message(self) -> str:
        """Name the file, the first bad position and what is wrong there."""
        where = f" at position {self.position}" if self.position else ""
        return f"the log {self.path} is corrupt{where}: {self.reason}"

    def help(self) -> str:
        """Keep the damaged file, then restore."""
        folder = quote(_folder(self.path))
        return f"keep the damaged files (`cp -a {folder} SAFE_PLACE`), then put your last backup in place"


@dataclass(eq=False)
class ForeignFile(TwelvefoldError):
    """What stands in the log's place is not a log of Twelvefold; it was not touched."""

    code = "E109"
    exit_code = 6
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and what it is instead."""
        return f"{self.path} is not a log of Twelvefold: {self.reason}"

    def help(self) -> str:
        """Move it out of the way."""
        moved = f"mv {quote(self.path)} {quote(self.path + '.foreign')}"
        return f"move it away: `{moved}`; a new log is then made at the next start"


@dataclass(eq=False)
class NewerSchema(TwelvefoldError):
    """The log was written by a newer Twelvefold, whose schema this one does not know; it was not touched."""

    code = "E110"
    path: str
    found: int
    known: int

    def message(self) -> str:
        """Name the file and both schema versions."""
        return f"the log {self.path} has schema {self.found}, this version of Twelvefold knows up to {self.known}"

    def help(self) -> str:
        """Upgrade."""
        return "use the version that wrote it again (this is the one of `twelvefold --version`), or another home"


@dataclass(eq=False)
class LogNotFound(TwelvefoldError):
    """There is no log where one was to be read: nothing was ever started in this home."""

    code = "E111"
    exit_code = 3
    path: str
    #: What the home holds instead, and a command that shows it; empty where it holds nothing.
    instead: str = ""
    advice: str = ""

    def message(self) -> str:
        """Name the file that is not there, and what is."""
        return f"there is no log at {self.path}" + (f", {self.instead}" if self.instead else "")

    def help(self) -> str:
        """Show what is there, or start something."""
        return self.advice or "start the system with `twelvefold up`, or name another home with TWELVEFOLD_HOME"


@dataclass(eq=False)
class LogCutShort(TwelvefoldError):
    """The log ends before, or differs at, a position that was acknowledged: its end was cut off or the file replaced.

    The file beside the log whose name ends in `.head` remembers the last acknowledged position and its hash. No event
    was changed. Where the loss is meant (a backup was put in place), remove that file.
    """

    code = "E112"
    exit_code = 6
    path: str
    head: int
    acknowledged: int
    witness: str

    def message(self) -> str:
        """Name the file, its end and the end that was acknowledged."""
        if self.head < self.acknowledged:
            return (
                f"the log {self.path} ends at position {self.head}, but events up to {self.acknowledged} "
                "were acknowledged: its end is missing"
            )
        return f"the log {self.path} is not the one whose position {self.acknowledged} was acknowledged last"

    def help(self) -> str:
        """Restore, or accept the loss."""
        return f"put the missing file back; or, to go on without what is lost: `rm {quote(self.witness)}`"


@dataclass(eq=False)
class LogNotAccessible(TwelvefoldError):
    """The log, or the folder it lies in, cannot be opened or written: permissions or the file system forbid it."""

    code = "E113"
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and the reason."""
        return f"the log {self.path} cannot be opened or written: {self.reason}"

    def help(self) -> str:
        """Show the permissions."""
        folder = _folder(self.path)
        return f"see `ls -ld {quote(folder)}` and `findmnt -T {quote(folder)}`, or set TWELVEFOLD_HOME elsewhere"


@dataclass(eq=False)
class BlobMissing(TwelvefoldError):
    """An event names a blob that is neither stored nor in the writer's incoming folder."""

    code = "E114"
    exit_code = 3
    blob: str
    path: str

    def message(self) -> str:
        """Name the blob and where it was looked for."""
        return f"blob {self.blob} is not in {self.path}"


@dataclass(eq=False)
class BlobDamaged(TwelvefoldError):
    """A blob's file does not have the content, or the size, that its name says."""

    code = "E115"
    exit_code = 6
    blob: str
    path: str
    reason: str

    def message(self) -> str:
        """Name the blob, the file and what differs."""
        return f"blob {self.blob} in {self.path} {self.reason}"


@dataclass(eq=False)
class TargetExists(TwelvefoldError):
    """A backup is written to a new file only, so that it cannot destroy an older one."""

    code = "E116"
    exit_code = 4
    path: str

    def message(self) -> str:
        """Name the file."""
        return f"{self.path} exists already"

    def help(self) -> str:
        """Choose another name."""
        return f"choose another name, such as `twelvefold backup {quote(self.path + '.2')}`"


@dataclass(eq=False)
class BackupFailed(TwelvefoldError):
    """A backup could not be written: space or a permission is missing. Nothing of it is left."""

    code = "E119"
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and the reason."""
        return f"the backup {self.path} cannot be written: {self.reason}"

    def help(self) -> str:
        """Show the folder's space and permissions."""
        folder = quote(_folder(self.path))
        return f"see `df -h {folder}` and `ls -ld {folder}`, or write it elsewhere"


@dataclass(eq=False)
class StrayWal(TwelvefoldError):
    """A write-ahead file lies where the log's own would, but belongs to another log: one that was lost or replaced.

    SQLite would play it into the log, so nothing was opened. It holds events of that other log, the last ones that were
    acknowledged before a crash perhaps: keep it together with its log if you still have that, else remove it.
    """

    code = "E117"
    exit_code = 6
    path: str
    wal: str

    def message(self) -> str:
        """Name both files."""
        return f"{self.wal} holds events that are not of the log {self.path}: they were written beside another file"

    def help(self) -> str:
        """Move it out of the way."""
        return f"move it away: `mv {quote(self.wal)} {quote(self.wal + '.stray')}`"


@dataclass(eq=False)
class BlobNotStored(TwelvefoldError):
    """A blob could not be made durable, so the event that names it was not appended; the log itself goes on.

    Offer the blob again and emit the event again once the cause is gone: space, permissions, or the disk itself.
    """

    code = "E118"
    blob: str
    path: str
    reason: str

    def message(self) -> str:
        """Name the blob, its place and what failed."""
        return f"blob {self.blob} cannot be stored as {self.path}: {self.reason}"

    def help(self) -> str:
        """Show space and permissions."""
        folder = quote(_home(self.path))
        return f"see `df -h {folder}` and `ls -ld {folder}`, then emit the event again"


def _home(path: str) -> str:
    """Return the folder of all blobs, as that of one blob may not have been made."""
    return _folder(_folder(path))


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."

"""What is looked at to tell whether Twelvefold can work here: this machine, the tools it needs, and the home.

Each finding says what was found and, unless it is well, how to mend it. Examining changes nothing but for making the
socket folder, which every command would make. How findings are shown is the command's.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import Literal

import msgspec

from .access import opening_command
from .eventstore.errors import TwelvefoldError
from .eventstore.presence import is_there
from .home import FOLDER_NAME
from .settings import SETTINGS, Settings, is_secret, masked, read_env_file, removal

Status = Literal["ok", "info", "problem"]

GIT_VERSION_MIN = (2, 36)  # the first with core.fsync, on which the promise about commits rests
FREE_BYTES_MIN = 512 * 1024 * 1024
OPEN_FILES_MIN = 4096
#: SQLite can corrupt a log in WAL mode that two connections write or checkpoint at once (https://sqlite.org/wal.html).
WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))
_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
}
_VARIABLE = "TWELVEFOLD_SANDBOX"
_FLEETING_FILE_SYSTEMS = {"tmpfs", "ramfs"}
_A_MODEL = "export TWELVEFOLD_MODEL_URL=http://localhost:11434/v1 TWELVEFOLD_MODEL=NAME"
_ANOTHER_HOME = "export TWELVEFOLD_HOME=$HOME/.local/state/twelvefold/mine"
#: What a home holds; a folder with anything else in it was somebody's before it became one.
_HOME_CONTENT = {
    *("log.db", "log.db-wal", "log.db-shm", "log.head", "log.lock", "up.lock", ".gitignore"),
    *("projections.db", "projections.db-wal", "projections.db-shm", "projections.lock", "imports", "imports.guard"),
    *("background", "blobs", "cache", "exports", "keys", "logs", "patches", "paused", "private", "stores"),
    "workspaces",
}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `fix` is how to mend it: a command wherever one exists; None where all is well."""

    check: str
    status: Status
    message: str
    fix: str | None = None


def examine(settings: Settings) -> list[Finding]:
    """Look at everything and return the findings, problems included, in the order of the list below."""
    found: list[Finding] = []
    for look in (
        _python,
        _git,
        _sqlite,
        _home,
        _disk,
        _sockets,
        _limits,
        _containment,
        _model,
        _environment,
        _procfile,
        _log,
        _running,
    ):
        try:
            found += look(settings)
        except OSError as error:
            # A folder that is closed to us hides what one look needs; the others still tell what they see.
            place = Path(str(error.filename or settings.home))
            check = look.__name__.strip("_")
            found.append(Finding(check, "problem", f"{place}: {error.strerror}", opening_command(place)))
    return found


def _python(settings: Settings) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    if shutil.which("twelvefold") is None:
        folder = Path(sys.argv[0]).resolve().parent
        yield Finding(
            "path",
            "info",
            "`twelvefold` is not on PATH, so a shell finds it by its full path only",
            f'export PATH="{folder}:$PATH"',
        )


def _git(settings: Settings) -> Iterator[Finding]:
    program = shutil.which("git")
    if program is None:
        yield Finding("git", "problem", "git is not installed", "apt-get install git")
        return
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    match = re.search(r"(\d+)\.(\d+)", text)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < GIT_VERSION_MIN:
        needed = ".".join(map(str, GIT_VERSION_MIN))
        yield Finding("git", "problem", f"{text} is older than {needed}, which syncs commits", "apt-get install git")
    else:
        yield Finding("git", "ok", f"{text.removeprefix('git version ')} at {program}")


def _sqlite(settings: Settings) -> Iterator[Finding]:
    from .eventstore.sqlite import library_version

    text = library_version()
    version = tuple(int(part) for part in text.split("."))
    if WAL_RESET_BUG[0] <= version <= WAL_RESET_BUG[1]:
        message = f"{text} can corrupt a log that two programs write; only the bus writes ours, so let no other tool"
        yield Finding("sqlite", "info", message, f"{quote(sys.executable)} -m pip install pysqlite3")
    else:
        yield Finding("sqlite", "ok", text)


def _existing(path: Path) -> Path:
    """Return the nearest part of a path that exists."""
    return next(part for part in (path, *path.parents) if part.exists())


def _home(settings: Settings) -> Iterator[Finding]:
    for folder in (settings.project, *settings.project.parents):
        other = folder / FOLDER_NAME
        if other.is_dir() and other.stat().st_uid != os.getuid():
            yield Finding(
                "home", "info", f"{other} belongs to another user and is passed over", f"ls -ld {quote(str(other))}"
            )
    home = settings.home
    if not is_there(home):
        above = _existing(home)
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            yield Finding("home", "ok", f"{home} is not there yet; it is made when something runs")
        else:
            yield Finding("home", "problem", f"{home} cannot be made below {above}", _ANOTHER_HOME)
        return
    found = home.stat()
    if not home.is_dir() or found.st_uid != os.getuid():
        whose = f" (its user is {found.st_uid})" if found.st_uid != os.getuid() else ""
        yield Finding("home", "problem", f"{home} is not a folder of yours{whose}", _ANOTHER_HOME)
    elif not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("home", "problem", f"{home} cannot be written", f"chmod u+rwx {quote(str(home))}")
    elif stat.S_IMODE(found.st_mode) & 0o077:
        message = f"{home} can be entered by others (mode {stat.S_IMODE(found.st_mode):04o})"
        # Whoever uses a folder that was there before is not to be shut out of it.
        ours = home.name == FOLDER_NAME or {child.name for child in home.iterdir()} <= _HOME_CONTENT
        yield Finding("home", "problem", message, f"chmod 700 {quote(str(home))}" if ours else _ANOTHER_HOME)
    else:
        yield Finding("home", "ok", f"{home} ({settings.origins['home']})")


def _disk(settings: Settings) -> Iterator[Finding]:
    import psutil

    place = _existing(settings.home)
    mounts = [part for part in psutil.disk_partitions(all=True) if place.resolve().is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
    if kind in _NETWORK_FILE_SYSTEMS:
        message = f"{place} is on {kind}: SQLite's locks and shared memory don't work over a network"
        yield Finding("file system", "problem", message, _ANOTHER_HOME)
    elif kind in _FLEETING_FILE_SYSTEMS:
        yield Finding("file system", "problem", f"{place} is on {kind}: a reboot would erase the log", _ANOTHER_HOME)
    else:
        yield Finding("file system", "ok", f"{kind} at {place}")
    usage = shutil.disk_usage(place)
    if not usage.total:
        yield Finding("disk", "problem", f"{place} keeps no files", _ANOTHER_HOME)
        return
    free = usage.free
    words = f"{free / 1024**3:.1f} GiB free at {place}"
    if free < FREE_BYTES_MIN:
        yield Finding("disk", "problem", words + "; a full disk stops all writing", f"du -sh {quote(str(place))}/*")
    else:
        yield Finding("disk", "ok", words)


def _sockets(settings: Settings) -> Iterator[Finding]:
    from .bus.endpoints import PATH_BYTES_MAX, endpoints

    try:
        folder = endpoints(settings.home, settings.runtime_dir).folder
    except TwelvefoldError as error:
        yield Finding("sockets", "problem", error.message(), error.help())
        return
    except OSError as error:
        message = f"the folder for sockets below {settings.runtime_dir} cannot be made: {error.strerror}"
        yield Finding("sockets", "problem", message, "export TWELVEFOLD_RUNTIME_DIR=$HOME/.cache/tf")
        return
    longest = len(os.fsencode(folder / "control"))
    yield Finding("sockets", "ok", f"{folder} (longest path {longest} of {PATH_BYTES_MAX} bytes)")


def _limits(settings: Settings) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    if not unlimited and hard < OPEN_FILES_MIN:
        message = f"at most {hard} open files; the bus needs 2 for each agent"
        yield Finding("open files", "problem", message, f"ulimit -n {OPEN_FILES_MIN}")
    else:
        words = "unlimited" if unlimited else str(hard)
        yield Finding("open files", "ok", f"{soft}, which the bus raises up to {words}")


def _containment(settings: Settings) -> Iterator[Finding]:
    from .agents.sandbox.confine import available, landlock_version

    possible = available()
    if not possible.contained:
        message = f"contained: false; {possible.reason}; agents can write wherever you can, and each result says so"
        yield Finding("landlock", "info", message, "boot a kernel of 6.2 or later with `lsm=landlock`")
    elif settings.sandbox == "off":
        message = "contained: false; the sandbox is switched off, so agents can write wherever you can"
        yield Finding("landlock", "info", message, f"unset {_VARIABLE}, and take it out of .env and Procfile.options")
    else:
        message = f"contained: true; the kernel keeps agents to their own places (Landlock {landlock_version()})"
        yield Finding("landlock", "ok", message)
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    value = scope.read_text().strip() if scope.exists() else None
    meaning = {None: "any process of yours can trace another", "0": "any process of yours can trace another"}
    words = meaning.get(value, f"restricted (yama ptrace_scope {value})")
    yield Finding("ptrace", "info", words)


def _model(settings: Settings) -> Iterator[Finding]:
    """Look whether the model that is named can be made; the service itself isn't asked."""
    from .agent_environment import agent_environment, agent_settings_of
    from .agents.models.choose import model_from
    from .agents.models.errors import ModelNotUsable

    try:
        model = model_from(agent_settings_of(settings, agent_environment(settings, os.environ)))
    except ModelNotUsable as error:
        yield Finding("model", "problem", error.message(), error.help() or "twelvefold config")
        return
    if model is None:
        yield Finding("model", "info", "no model is set: agents do what needs none", _A_MODEL)
    else:
        place = f" at {masked('', settings.model_url)}" if settings.model_url else ""
        yield Finding("model", "ok", f"{model.name}{place}")


def _environment(settings: Settings) -> Iterator[Finding]:
    known = [setting.variable for setting in SETTINGS]
    path = settings.env_file
    in_file = read_env_file(path) if path is not None else {}
    for name in sorted({*os.environ, *in_file}):
        close = get_close_matches(name, known, n=1, cutoff=0.85)
        if name.startswith("TWELVEFOLD_") and name not in known and close:
            fix = f"unset {name}" if name in os.environ else removal(name, str(path))
            yield Finding("environment", "problem", f"{name} is no setting; {close[0]} is", fix)
    if path is None:
        return
    # The name of the key's variable is none; the key itself stands under that name.
    names = [
        name for name, value in in_file.items() if value and is_secret(name, value) and name != "TWELVEFOLD_MODEL_KEY"
    ]
    if names and stat.S_IMODE(path.stat().st_mode) & 0o077:
        message = f"{path} holds secrets ({', '.join(names)}) and can be read by others"
        yield Finding("environment", "problem", message, f"chmod 600 {quote(str(path))}")
    else:
        yield Finding("environment", "ok", f"{path}")


def _procfile(settings: Settings) -> Iterator[Finding]:
    from .up_plan import read_procfile

    path = settings.project / "Procfile"
    if not path.is_file():
        return
    try:
        names = read_procfile(path).names
    except TwelvefoldError as error:
        yield Finding("procfile", "problem", error.message(), error.help())
    else:
        yield Finding("procfile", "ok", f"{path} names {', '.join(names) or 'nothing'}")


def _log(settings: Settings) -> Iterator[Finding]:
    from .eventstore.reader import LogReader

    path = settings.home / "log.db"
    if not is_there(path):
        return
    try:
        with LogReader(path) as log:
            head = log.head
    except TwelvefoldError as error:
        yield Finding("log", "problem", error.message(), error.help())
        return
    wal = path.with_name("log.db-wal")
    size = path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    yield Finding("log", "ok", f"{head} events in {size / 1024**2:.1f} MiB; `twelvefold verify` checks each of them")


def _running(settings: Settings) -> Iterator[Finding]:
    from .bus.endpoints import endpoints
    from .reach import listens

    try:
        running = listens(endpoints(settings.home, settings.runtime_dir).ingress)
    except (TwelvefoldError, OSError):
        return  # the finding on sockets says why
    yield Finding("bus", "ok", "the bus is running" if running else "no bus is running for this home")
    stores = settings.home / "stores"
    if running or not stores.is_dir():
        return
    stale = [str(path) for pattern in ("*.git/**/*.lock", "*/*.git/**/*.lock") for path in stores.glob(pattern)]
    for path in sorted(set(stale)):
        message = f"{path} was left by a git that was killed, and blocks its store"
        yield Finding("locks", "problem", message, f"rm {quote(path)}")

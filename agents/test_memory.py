"""Results of tests that ran before, kept under the home by everything that decides them, so that none runs twice.

Owns the files and the key: the tree's hash, the command, the program that runs it, what is installed beside it, and
the variables it sees. Leaves to `test_side` what is kept, and to the comparison when to doubt it. Keeps: where anything
that may decide a result can't be known, there is no key, and the tests run; a file that isn't whole is no result.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .test_environment import PROBE_TIMEOUT_S, TestEnvironment, console_interpreter
from .test_probe import Builds
from .test_record import FILES, SOURCE
from .test_runner import TestCommand

_FORM = 1
AGE_S_MAX = 7 * 24 * 3600.0
FILES_MAX = 200
FILE_BYTES_MAX = 16 << 20
#: How many files of a folder that packages are linked to are looked at.
LISTED_MAX = 20_000
_NOT_CODE = {"__pycache__", "node_modules", "venv"}
#: Variables that differ from one login to the next and decide nothing.
_VOLATILE = re.compile(
    r"_|SHLVL|TERM.*|COLORTERM|COLUMNS|LINES|WINDOWID|DISPLAY|WAYLAND.*|SSH_.*|DBUS_.*|XDG_.*|TMPDIR|HOME|PWD|OLDPWD|LS_COLORS"
    r"|VSCODE_.*|ITERM_.*|TMUX.*|STY|GPG_.*|TRACEPARENT|HISTFILE|LOGNAME|USER|MAIL|HOSTNAME|INVOCATION_ID|JOURNAL_STREAM"
    r"|TWELVEFOLD.*|CARGO_TARGET_DIR|PORT|PS"
)
_INSTALLED = r"""
import glob, json, os, sys
found, links = [], []
for top in sys.path:
    if os.path.basename(top) not in ("site-packages", "dist-packages") or not os.path.isdir(top):
        continue
    rows = []
    for entry in sorted(os.scandir(top), key=lambda one: one.name):
        facts = entry.stat()
        exact = entry.name.endswith((".dist-info", ".egg-info", ".pth", ".egg-link", ".py", ".so"))
        rows.append([entry.name, facts.st_mtime_ns if exact else 0, facts.st_size if entry.is_file() else 0])
        if entry.name.endswith((".pth", ".egg-link")):
            with open(entry.path, errors="replace") as file:
                links += [line.strip() for line in file if line.strip() and os.path.isdir(line.strip())]
    for place in glob.glob(os.path.join(glob.escape(top), "*.dist-info", "direct_url.json")):
        with open(place, errors="replace") as file:
            said = json.load(file)
        if said.get("dir_info", {}).get("editable"):
            links.append(said["url"])
    found.append([top, rows])
print("\n" + json.dumps({"version": sys.version, "prefix": sys.prefix, "installed": found, "links": links}))
"""


class TestMemory:
    """The kept results below one folder (`<home>/cache/tests`)."""

    __test__ = False

    def __init__(self, folder: Path, tree: str) -> None:
        self.folder = folder
        self.tree = tree

    def key(
        self, command: TestCommand, environment: TestEnvironment, builds: Builds | None, *, contained: bool
    ) -> str | None:
        """Return what a run's result is kept under; None where not all that decides it is known."""
        identity = _identity(command, environment, builds)
        if identity is None:
            return None
        facts = {
            "form": _FORM,
            "tree": self.tree,
            "command": [command.kind, command.argv, command.shell, sorted(command.env.items()), command.inner],
            "roots": environment.roots,
            "variables": _variables(environment),
            "runner": identity,
            "recorder": [hashlib.sha256((SOURCE / name).read_bytes()).hexdigest() for name in FILES],
            "contained": contained,
        }
        return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()

    def find(self, key: str) -> bytes | None:
        """Return what is kept under a key; None for nothing, too old, or not whole."""
        file = self.folder / f"{key}.json"
        try:
            if time.time() - file.stat().st_mtime > AGE_S_MAX:
                return None
            digest, _, content = file.read_bytes().partition(b"\n")
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest().encode() == digest else None

    def keep(self, key: str, content: bytes) -> None:
        """Keep a result, whole or not at all; the oldest of many go. A full disk keeps nothing."""
        if len(content) > FILE_BYTES_MAX:
            return
        making = self.folder / f".{key}.{os.getpid()}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            making.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            making.replace(self.folder / f"{key}.json")
            kept = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
            for old in kept[FILES_MAX:]:
                old.unlink(missing_ok=True)
        except OSError:
            making.unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Drop what is kept under a key: it didn't come out the same again."""
        (self.folder / f"{key}.json").unlink(missing_ok=True)


def _variables(environment: TestEnvironment) -> list[tuple[str, str]]:
    """Return the variables that a run sees, with the folders of this one run called by what they are for."""
    env = environment.env
    places = {
        str(environment.scratch): "{scratch}",
        str(environment.workspace): "{workspace}",
        env.get("TMPDIR", ""): "{temporary}",
        env.get("HOME", ""): "{home}",
    }
    found = []
    for name, value in sorted(env.items()):
        if _VOLATILE.fullmatch(name):
            continue
        for place, word in places.items():
            value = value.replace(place, word) if len(place) > 1 else value
        found.append((name, value))
    return found


def _identity(command: TestCommand, environment: TestEnvironment, builds: Builds | None) -> list[Any] | None:
    """Return what is known of the runner and of what is installed beside it; None where that isn't all there is."""
    if command.shell or command.kind not in ("pytest", "unittest", "npm", "go", "cargo"):
        return None  # tox, nox, Maven and make install things by themselves; a script may do anything
    program = _program(command.argv[0])
    if program is None:
        return None
    if command.kind in ("pytest", "unittest"):
        python = console_interpreter(command.argv[0], environment)
        installed = _installed(python, environment) if python is not None else None
        return [program, installed] if installed is not None else None
    if command.kind == "npm":
        node = _said(["node", "--version"], environment.env)
        modules = _node_modules(environment.repo)
        return [program, node, modules] if node and modules is not None else None
    inside = f"{environment.workspace}/"
    if builds is None or builds.problem or not all(f"{folder}/".startswith(inside) for folder in builds.folders):
        return None
    asked = ["go", "version"] if command.kind == "go" else ["rustc", "--version", "--verbose"]
    said = _said(asked, environment.env)
    return [program, said] if said else None


def _program(path: str) -> list[Any] | None:
    try:
        real = Path(path).resolve(strict=True)
        facts = real.stat()
    except OSError:
        return None
    return [path, str(real), facts.st_size, facts.st_mtime_ns]


def _installed(python: str, environment: TestEnvironment) -> Mapping[str, Any] | None:
    env = {name: value for name, value in environment.env.items() if name != "PYTHONPATH"}
    answer = _said([python, "-c", _INSTALLED], env)
    try:
        found: dict[str, Any] = msgspec.json.decode(answer.strip().rpartition("\n")[2])
    except msgspec.DecodeError:
        return None
    own = (f"{environment.repo}/", f"{found['prefix']}/")
    links = sorted({os.path.realpath(link.removeprefix("file://")) for link in found["links"]})
    # What is installed from a folder elsewhere changes without anybody installing anything.
    elsewhere = {link: _listing(Path(link)) for link in links if not f"{link}/".startswith(own)}
    return None if None in elsewhere.values() else {**found, "elsewhere": elsewhere}


def _listing(folder: Path) -> str | None:
    """Return a hash of names, sizes and times of a folder's files; None where there are too many to look at."""
    rows = []
    for top, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NOT_CODE)
        for name in sorted(files):
            try:
                facts = Path(top, name).stat()
            except OSError:
                continue  # a link to nothing
            rows.append((top, name, facts.st_size, facts.st_mtime_ns))
        if len(rows) > LISTED_MAX:
            return None
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogateescape")).hexdigest()


def _node_modules(repo: Path) -> str | None:
    folder = repo / "node_modules"
    if not folder.exists():
        return ""
    lock = folder / ".package-lock.json"
    linked = [entry for entry in folder.iterdir() if entry.is_symlink()]
    if not lock.is_file() or any(not entry.resolve().is_relative_to(repo.resolve()) for entry in linked):
        return None
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _said(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """Return what a program prints; nothing where it fails."""
    try:
        done = subprocess.run(
            list(argv), env=dict(env), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

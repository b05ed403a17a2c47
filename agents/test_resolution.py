"""Questions to the project's own tools about where its code is found, asked in the surroundings of the tests.

Owns the processes that ask; what the answers mean is `test_probe`'s. Keeps: no module of the project is executed, and
nothing is written outside of the run's folder.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from .test_environment import PROBE_TIMEOUT_S, TestEnvironment, console_interpreter
from .test_probe import Builds
from .test_runner import TestCommand

_FIND = r"""
import json, sys
keep, names = sys.argv[1], sys.argv[2:]
if keep != "cwd":
    del sys.path[0]

def find(name):
    path, spec = None, None
    parts = name.split(".")
    for number in range(len(parts)):
        full = ".".join(parts[: number + 1])
        for finder in sys.meta_path:
            look = getattr(finder, "find_spec", None)
            spec = look(full, path) if look else None
            if spec is not None:
                break
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and number + 1 < len(parts):
            return None
    return spec.origin if spec.origin not in (None, "namespace") else next(iter(path or []), None)

print("\n" + json.dumps({name: find(name) for name in names}))
"""


def find_modules(command: TestCommand, names: Sequence[str], environment: TestEnvironment) -> dict[str, str | None]:
    """Ask the interpreter of a pytest or unittest command where it finds modules; empty where it can't be asked."""
    if command.kind not in ("pytest", "unittest") or command.shell or not names:
        return {}
    python = console_interpreter(command.argv[0], environment)
    if python is None:
        return {}
    keep = "cwd" if "-m" in command.argv else "installed"
    recorder = str(environment.scratch / "recorder")
    entries = [entry for entry in environment.env["PYTHONPATH"].split(":") if entry != recorder]
    env = {**environment.env, "PYTHONPATH": ":".join(entries)}
    answer = _ask([python, "-c", _FIND, keep, *names], environment.workspace, env)
    try:
        found = msgspec.json.decode(answer.strip().rpartition("\n")[2], type=dict[str, str | None])
    except msgspec.DecodeError:
        return {}
    base = str(environment.workspace)
    return {
        name: os.path.realpath(os.path.join(base, where)) if where else None  # noqa: PTH118 - joins absolute ones too
        for name, where in found.items()
    }


def find_builds(command: TestCommand, environment: TestEnvironment) -> Builds | None:
    """Ask go or cargo which folders they compile; None for other runners."""
    if command.kind == "go":
        return read_go_list(_ask(["go", "list", "-m", "-f", "{{.Dir}}"], environment.workspace, environment.env))
    if command.kind == "cargo":
        ask = ["cargo", "metadata", "--format-version", "1", "--offline"]
        answer = _ask(ask, environment.workspace, environment.env)
        return read_cargo_metadata(answer or _ask([*ask, "--no-deps"], environment.workspace, environment.env))
    return None


def built_by_maven(folder: Path, tracked: Collection[str]) -> Builds:
    """Return the modules of a workspace that Maven has just compiled: those whose `target` holds classes."""
    found = []
    for path in tracked:
        if PurePosixPath(path).name != "pom.xml":
            continue
        module = (folder / path).parent
        made = [module / "target" / name for name in ("classes", "test-classes")]
        if any(any(place.rglob("*.class")) for place in made if place.is_dir() and not place.is_symlink()):
            found.append(str(module))
    return Builds(tuple(found)) if found else Builds(problem="maven has compiled nothing")


def read_go_list(answer: str) -> Builds:
    """Read the folders of the main modules, one a line."""
    folders = tuple(os.path.realpath(line) for line in answer.splitlines() if line.startswith("/"))
    return Builds(folders) if folders else Builds(problem="`go list -m` named no folder")


class _Package(msgspec.Struct):
    manifest_path: str
    source: str | None = None


class _Metadata(msgspec.Struct):
    packages: list[_Package]


def read_cargo_metadata(answer: str) -> Builds:
    """Read the folders of all packages that come from paths, dependencies included."""
    try:
        metadata = msgspec.json.decode(answer, type=_Metadata)
    except msgspec.DecodeError:
        return Builds(problem="`cargo metadata` gave no answer")
    local = [package.manifest_path for package in metadata.packages if package.source is None]
    return Builds(tuple(os.path.realpath(Path(path).parent) for path in local))


def _ask(argv: Sequence[str], folder: Path, env: dict[str, str]) -> str:
    """Return what a command prints, nothing where it fails or hangs: an answer is a proof, its absence is none."""
    try:
        done = subprocess.run(
            list(argv), cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

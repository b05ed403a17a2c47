"""A home of its own for whole jobs, and small repositories to do them on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.command_server import run_command
from tests.e2e.rebuilt import check_rebuilt
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.orchestration.home_lock import holder_of

COMMAND = Path(sys.executable).with_name("twelvefold")

CALC = {
    "calc.py": "def double(n):\n    return n + 2\n\n\ndef half(n):\n    return n / 2\n",
    "tests/__init__.py": "",
    "tests/test_calc.py": (
        "import unittest\n\nimport calc\n\n\nclass Calc(unittest.TestCase):\n"
        "    def test_double(self):\n        self.assertEqual(calc.double(2), 4)\n\n"
        "    def test_half(self):\n        self.assertEqual(calc.half(4), 2)\n"
    ),
}


def issue(path: str, old: str, new: str, title: str = "Double adds instead of doubling") -> str:
    """The text of an issue with one explicit edit."""
    return f"# {title}\n\n### `{path}`\nCurrent:\n```python\n{old}\n```\nShould be:\n```python\n{new}\n```\n"


RIGHT = issue("calc.py", "    return n + 2", "    return n * 2")
BREAKING = issue("calc.py", "    return n / 2", "    return n // 3", "Halve otherwise")


def git(repo: Path, *arguments: str) -> str:
    """Run git as a user would, with an identity and no configuration of the tester's."""
    variables = {
        "GIT_AUTHOR_NAME": "User", "GIT_AUTHOR_EMAIL": "user@example.invalid", "GIT_COMMITTER_NAME": "User",
        "GIT_COMMITTER_EMAIL": "user@example.invalid", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip
    command = ["git", "-C", str(repo), *arguments]
    return subprocess.run(command, env=os.environ | variables, check=True, capture_output=True, text=True).stdout


def make_repo(folder: Path, files: dict[str, str]) -> Path:
    """Make a repository with one commit of these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder.parent, "init", "--quiet", "--initial-branch=main", str(folder))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Begin")
    return folder


def snapshot(repo: Path) -> dict[str, bytes | str]:
    """Every file of a repository, checkout and .git, byte for byte; only stored objects are left out."""
    found: dict[str, bytes | str] = {}
    for path in sorted(repo.rglob("*")):
        name = path.relative_to(repo).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file() and not name.startswith(".git/objects/"):
            found[name] = path.read_bytes()
    return found


@dataclass
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


@dataclass
class JobHome:
    """The command line on a home of its own."""

    folder: Path
    runtime: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The home's folder."""
        return self.folder / "home"

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TWELVEFOLD_", "GIT_"))}
        self.environment = kept | {
            "TWELVEFOLD_HOME": str(self.home),
            "TWELVEFOLD_RUNTIME_DIR": str(self.runtime),
            "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [COMMAND, *arguments], cwd=cwd, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *arguments: str, cwd: Path) -> Ended:
        """Run a command to its end."""
        return Ended(*run_command(COMMAND, arguments, cwd=cwd, environment=self.environment))

    def job(self, repo: Path, text: str, *options: str) -> Ended:
        """Run a job on a repository, whose end is one JSON document."""
        file = self.folder / f"{repo.name}-issue.md"
        file.write_text(text)
        return self("run", str(file), "--json", *options, cwd=repo)

    def client(self) -> BusClient:
        """A client of the home's bus."""
        return BusClient(endpoints(self.home, self.runtime), timeout_s=60.0)

    def workspaces(self) -> list[Path]:
        """What is left below the home's workspaces, folders of runs and tasks aside."""
        return [path for path in (self.home / "workspaces").rglob("*") if path.is_file()]

    def close(self) -> None:
        """End what runs on the home."""
        if holder_of(self.home) is not None:
            ended = self("down", cwd=self.folder)
            assert ended.status in (0, 5), ended.err


def _job_home() -> Iterator[JobHome]:
    folder = Path(tempfile.mkdtemp(prefix="tf-job-"))
    runtime = Path(tempfile.mkdtemp(prefix="tf-"))
    home = JobHome(folder, runtime)
    try:
        yield home
    finally:
        home.close()
        shutil.rmtree(folder)
        shutil.rmtree(runtime)


def _home_of(what: Any) -> Path | None:
    """Return the runtime's home of what a test works with, None where it has none of its own."""
    if isinstance(what, Path):
        return None  # a folder whose home is another fixture's
    home = getattr(what, "home", None)
    if home is not None:
        return home if isinstance(home, Path) else _home_of(home)
    folder = getattr(what, "cwd", None)
    return folder / ".twelvefold" if isinstance(folder, Path) else None


#: Words in the names of modules whose tests kill and break things.
FAULTS = (
    "kill",
    "gone",
    "interrupted",
    "disk",
    "hostile",
    "orphans",
    "humans",
    "forks",
    "rollback",
    "looking",
    "export",
)


@pytest.fixture(autouse=True)
def rebuilt_equals_live(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that kills or breaks something: read models that are folded anew equal those that are kept."""
    faulty = any(word in request.path.name for word in FAULTS)
    names = [name for name in ("own_home", "bus_home", "project") if faulty and name in request.fixturenames]
    homes = {home for name in names if (home := _home_of(request.getfixturevalue(name))) is not None}
    yield
    for home in homes:
        check_rebuilt(home)


@pytest.fixture(scope="module")
def shared_home() -> Iterator[JobHome]:
    """A home that the jobs of a module share, so that its agents start once."""
    yield from _job_home()


@pytest.fixture
def own_home() -> Iterator[JobHome]:
    """A home for one test, which may kill what runs on it."""
    yield from _job_home()

"""The guides to shared state, triggers and GitHub: every block of them is run as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.github.github_server import serve
from tests.twelvefold.conftest import COMMAND, CommandLine

from ..conftest import eventually
from .conftest import CALC, RIGHT, JobHome, git, make_repo

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name: str) -> dict[str, str]:
    """A guide's code blocks by the name that stands beside the language."""
    text = (DOCS / name).read_text()
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == len(re.findall(r"^```\w", text, re.MULTILINE))
    return dict(found)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A project as `init` makes it, with the guide's project file, up."""
    import shutil
    import tempfile

    work, runtime = tmp_path_factory.mktemp("project"), tempfile.mkdtemp(prefix="tf-")
    environment = {
        "PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8",
        "TWELVEFOLD_RUNTIME_DIR": runtime,
    }  # fmt: skip
    command = CommandLine(work, environment)
    command("init")
    (work / "twelvefold.toml").write_text(blocks("triggers.md")["twelvefold.toml"])
    (work / "reports").mkdir()
    started = command("up", "-d", "--wait")
    assert started.status == 0, started.err
    yield command
    assert command("down").status == 0
    shutil.rmtree(runtime)


def printed(project: CommandLine, text: str, folder: Path | None = None) -> list[str]:
    """What a program prints, which must end well."""
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder or project.cwd, env=os.environ | project.environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_shared_state_as_printed(project: CommandLine) -> None:
    """The calls of the guide do what it says."""
    lines = printed(project, blocks("state.md")["release.py"])
    assert lines == [
        "somebody was quicker: 2", "['builds', 'cite/version'] {'cite/version': '1.5.0'}", "1 1.4.0 True",
        "2 1.5.0 True",
    ]  # fmt: skip
    printed(project, blocks("state.md")["counting.py"])


def test_events_and_settings_as_printed(project: CommandLine, tmp_path: Path) -> None:
    """The event system and the settings of a program do what the guide says."""
    assert printed(project, blocks("state.md")["events.py"]) == ["weather.changed rain"]
    lines = printed(project, blocks("state.md")["settings.py"], tmp_path)
    assert lines == ["good morning en nobody", "project file twelvefold.toml"]


def test_triggers_as_printed(project: CommandLine) -> None:
    """A key gives one run; the project file of the guide is served by `up`, and its settings count."""
    assert printed(project, blocks("triggers.md")["submit.py"]) == ["hello"]
    assert "triggers.1" in project("ps").out
    (project.cwd / "reports" / "may.csv").write_text("1,2\n")
    eventually(lambda: "succeeded" in project("logs", "triggers").out, 20)
    settings = {row["name"]: row["origin"] for row in project("config", "--json").json}
    assert settings["TWELVEFOLD_STOP_TIMEOUT_S"] == "project file"
    assert tomllib.loads(blocks("triggers.md")["twelvefold.toml"])["schedule"][0]["name"] == "morning"


@pytest.mark.long
def test_github_as_printed(own_home: JobHome, tmp_path: Path) -> None:
    """The commands and the program of the guide work against a server that speaks GitHub's language."""
    github, running = serve(tmp_path / "server")
    try:
        github.make_repository()
        repo = make_repo(tmp_path / "calc", CALC)
        git(repo, "remote", "add", "origin", f"{github.url}/acme/calc.git")
        git(repo, "push", "-q", str(github.folder / "acme/calc.git"), "main:main")
        title, _, body = RIGHT.removeprefix("# ").partition("\n")
        for number in (12, 13):
            github.add_issue(number, title, body)
        environ = own_home.environment | {"GITHUB_API_URL": github.url}
        for name, command in (("run.sh", ["bash", "-e", "-c"]), ("external.py", [sys.executable, "-c"])):
            done = subprocess.run(
                [*command, blocks("github.md")[name]], cwd=tmp_path, env=environ, capture_output=True, text=True,
                timeout=200, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert "succeeded" in done.stdout
        assert done.stdout.splitlines() == ["succeeded True", "['commit', 'tests']"]
        assert [pull["draft"] for pull in github.pulls] == [True]
    finally:
        running.shutdown()
        running.server_close()

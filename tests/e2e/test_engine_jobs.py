"""Jobs by each engine, from the command line: a small project with a bug, issues that state the fix and that don't."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import eventually
from .conftest import CALC, Ended, JobHome, git, issue, make_repo, snapshot

pytestmark = pytest.mark.e2e

PLAIN = "# Double adds instead of doubling\n\n`calc.double(3)` should give 6, it gives 5.\n"
PROJECT = {
    **CALC,
    "tests/test_calc.py": CALC["tests/test_calc.py"].replace("(2), 4", "(3), 6"),
    "pyproject.toml": '[project]\nname = "calc"\nversion = "1.2.3"  # also in the docs\n',
    "docs/old.md": "# Calc\n",
}
FIX = "Path('calc.py').write_text(Path('calc.py').read_text().replace('n + 2', 'n * 2'))"


def program(home: JobHome, *lines: str, **variables: str) -> None:
    """Have the fixer's command be a Python program of these lines."""
    path = home.folder / "program.py"
    path.write_text("\n".join(["import os, subprocess, sys, time", "from pathlib import Path", *lines]) + "\n")
    home.environment |= {"TWELVEFOLD_FIXER_COMMAND": f"{sys.executable} {path}", **variables}


def untouched(home: JobHome, repo: Path, before: dict[str, Any], ended: Ended, outcome: str, status: int) -> None:
    """The job ended so, and every byte of the repository is as it was."""
    assert ended.json["outcome"] == outcome, ended.json
    assert ended.status == status
    assert ended.json["branch"] is None
    assert snapshot(repo) == before
    assert home.workspaces() == []


STATED: dict[str, tuple[str, str, list[str], list[str]]] = {
    "pair": (issue("calc.py", "    return n + 2", "    return n * 2"), "succeeded", ["calc.py"], ["1\t1\tcalc.py"]),
    "version": (
        f"{issue('calc.py', '    return n + 2', '    return n * 2')}\nBump the version to 1.2.4 in `pyproject.toml`.\n",
        "succeeded",
        ["calc.py", "pyproject.toml"],
        ["1\t1\tcalc.py", "1\t1\tpyproject.toml"],
    ),
    "moved": (
        "# Name the page\n\nRename `docs/old.md` to `docs/calc.md`.\n\nAppend to `docs/calc.md`:\n```\nMore.\n```\n",
        "succeeded",
        ["docs/calc.md", "docs/old.md"],
        ["1\t0\tdocs/{old.md => calc.md}"],
    ),
    "breaking": (issue("calc.py", "    return n / 2", "    return n // 3"), "failed", [], []),
    "impossible": (
        issue("calc.py", "    return n + 2", "    return n * 2")
        + "\n### `calc.py`\nCurrent:\n```\n    return n - 7\n```\nShould be:\n```\n    return n\n```\n",
        "failed",
        [],
        [],
    ),
}


@pytest.mark.parametrize(("text", "outcome", "files", "lines"), STATED.values(), ids=STATED.keys())
def test_what_is_stated_is_done_exactly(
    shared_home: JobHome, tmp_path: Path, text: str, outcome: str, files: list[str], lines: list[str]
) -> None:
    """Stated edits give exactly the stated lines on a branch, or, where they break or don't fit, nothing at all."""
    repo = make_repo(tmp_path / "stated", PROJECT)
    before = snapshot(repo)
    ended = shared_home.job(repo, text)
    if outcome != "succeeded":
        return untouched(shared_home, repo, before, ended, outcome, 1)
    assert (ended.status, ended.json["outcome"]) == (0, "succeeded"), ended.json
    assert ended.json["files_changed"] == files
    assert git(repo, "diff", "-M40%", "--numstat", "main", ended.json["branch"]).strip().split("\n") == lines
    return None


def test_a_wish_without_an_engine_asks(shared_home: JobHome, tmp_path: Path) -> None:
    """Without a model and a command the job needs a human, and says what could be set."""
    repo = make_repo(tmp_path / "wish", PROJECT)
    before = snapshot(repo)
    ended = shared_home.job(repo, PLAIN)
    untouched(shared_home, repo, before, ended, "needs_human", 7)
    assert "TWELVEFOLD_FIXER_COMMAND" in ended.json["reason"]


def test_a_wish_is_fixed_by_a_command(own_home: JobHome, tmp_path: Path) -> None:
    """A program that makes the right edit gives a tested branch with that edit alone; what else it tried is told."""
    repo = make_repo(tmp_path / "fixed", PROJECT)
    before = snapshot(repo)
    stray = tmp_path / "stray"
    program(
        own_home,
        "assert 'should give 6' in sys.stdin.read()",
        FIX,
        f"for place in ({str(repo / 'calc.py')!r}, {str(stray)!r}, {str(own_home.home / 'log.db')!r}):",
        "    try: Path(place).write_text('owned')",
        "    except OSError as error: print(error)",
        "subprocess.run(['git', 'commit', '-qam', 'mine'], check=True)",
        "subprocess.Popen(['sleep', '1000'], start_new_session=True)",
    )
    ended = own_home.job(repo, PLAIN)
    assert (ended.status, ended.json["outcome"]) == (0, "succeeded"), ended.json
    assert git(repo, "diff", "--numstat", "main", ended.json["branch"]).split() == ["1", "1", "calc.py"]
    assert {name: it for name, it in snapshot(repo).items() if "refs/heads/twelvefold" not in name} == before
    assert not stray.exists()
    assert own_home.workspaces() == []
    notes = "\n".join(ended.json["notes"])
    for told in ("made by `command` (`patch`: no_explicit_edits", "commits or branches of its own", "denied", "behind"):
        assert told in notes


FAILING: dict[str, tuple[list[str], dict[str, str], str]] = {
    "says so only": (["print('Fixed! All tests pass.')"], {}, "left every file as it was"),
    "ends with 1": ([FIX, "sys.exit(1)"], {}, "exit code 1"),
    "hangs": ([FIX, "time.sleep(1000)"], {"TWELVEFOLD_FIXER_TIMEOUT_S": "3"}, "had not ended after 3 s"),
    "breaks the tests": (["Path('calc.py').write_text('def double(n): return n * 2\\n')"], {}, "test_half"),
}


@pytest.mark.parametrize(("lines", "variables", "word"), FAILING.values(), ids=FAILING.keys())
def test_a_command_that_fixes_nothing_leaves_nothing(
    own_home: JobHome, tmp_path: Path, lines: list[str], variables: dict[str, str], word: str
) -> None:
    """Whatever a program says or leaves, without a change that passes the tests the job fails and says why."""
    repo = make_repo(tmp_path / "failing", PROJECT)
    before = snapshot(repo)
    program(own_home, *lines, **variables)
    ended = own_home.job(repo, PLAIN, "--engine", "command")
    untouched(own_home, repo, before, ended, "failed", 1)
    assert word in ended.json["reason"]


def test_a_killed_fixer_has_its_command_run_again(own_home: JobHome, tmp_path: Path) -> None:
    """kill -9 of the agent ends the program with it; another one runs it again on files as they were."""
    repo = make_repo(tmp_path / "killed", PROJECT)
    marks = tmp_path / "marks"
    marks.mkdir()
    own_home.environment["TWELVEFOLD_WRITABLE"] = str(marks)
    program(
        own_home,
        f"marks = Path({str(marks)!r})",
        "assert 'n + 2' in Path('calc.py').read_text()",
        FIX,
        "first = not list(marks.iterdir())",
        "(marks / str(os.getpid())).write_text(str(os.getppid()))",
        "if first: time.sleep(1000)",
    )
    file = own_home.folder / "killed.md"
    file.write_text(PLAIN)
    running = own_home.start("run", str(file), "--json", "--engine", "command", cwd=repo)
    mark = eventually(lambda: next((path for path in marks.iterdir() if path.read_text()), None), timeout_s=90)
    guard = int(mark.read_text())
    agent = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(agent, signal.SIGKILL)
    out, err = running.communicate(timeout=200)
    document = Ended(running.returncode, out, err).json
    assert document["outcome"] == "succeeded", (document, err)
    assert len(list(marks.iterdir())) == 2
    assert not Path(f"/proc/{mark.name}").exists()
    assert git(repo, "diff", "--numstat", "main", document["branch"]).split() == ["1", "1", "calc.py"]
    assert own_home.workspaces() == []

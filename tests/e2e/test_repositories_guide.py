"""The guides to several repositories and to research: every block of them is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twelvefold.agents.repositories.rules import read_rules

from .conftest import CALC, COMMAND, JobHome, git, make_repo
from .test_several_repositories import SHOP

pytestmark = pytest.mark.e2e
DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = {
    "repositories.md": {"list.sh", "repos.toml", "run.sh", "issue.md", "several.py", "switching.py", "log.sh"},
    "research.md": {"ask.sh", "ask.py"},
}


def blocks(guide: str) -> dict[str, str]:
    """Return a guide's blocks by the name that stands beside the language."""
    text = (DOCS / guide).read_text()
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^```\w", text, re.MULTILINE)) == len(found)
    return {name: text for _, name, text in found}


@pytest.mark.parametrize("guide", list(BLOCKS))
def test_every_block_is_known(guide: str) -> None:
    """No block escapes the tests below."""
    assert set(blocks(guide)) == BLOCKS[guide]


@pytest.fixture
def side(tmp_path: Path) -> Path:
    """The sisters of the guides, with all blocks beside them."""
    side = tmp_path / "side"
    make_repo(side / "calc", CALC)
    make_repo(side / "shop", {**SHOP, "shop/discount.py": "def discount(price):\n    return price * 0.9\n"})
    make_repo(tmp_path / "far" / "handbook", {"README.md": "# Handbook\n"})
    for guide in BLOCKS:
        for name, text in blocks(guide).items():
            (side / name).write_text(text)
    return side


def run(home: JobHome, side: Path, *command: str) -> str:
    """Run a program in the folder of the sisters as a user would; it must succeed."""
    environ = {**home.environment, "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=side, env=environ, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guide_to_repositories(shared_home: JobHome, side: Path) -> None:
    """Its rules are read as it says, its issue becomes two branches, its programs do what they are for."""
    rules = read_rules(side / "repos.toml")
    assert [rules.of(side / name).write for name in ("calc", "shop", "else")] == [True, True, False]
    assert rules.of(side / "shop").allows_command(["python", "-m", "unittest", "discover"])
    listed = run(shared_home, side, "sh", "list.sh")
    assert all(name in listed for name in ("calc", "shop", "handbook"))
    (side / "repos.toml").write_text((side / "repos.toml").read_text().replace('"pytest", ', '"pytest", "sh", '))
    run(shared_home, side, "sh", "run.sh")
    assert all("twelvefold/" in git(side / name, "branch", "--list") for name in ("calc", "shop"))
    assert "workspace.fetched" in run(shared_home, side, "sh", "log.sh")
    assert run(shared_home, side, sys.executable, "several.py") == "succeeded\n"
    assert run(shared_home, side, sys.executable, "switching.py") == "succeeded 2\n"


def test_the_guide_to_research(shared_home: JobHome, side: Path) -> None:
    """Its questions are answered with the place, on the command line and in a program."""
    (side / "repos.toml").unlink()
    assert ":shop/discount.py:1-2" in run(shared_home, side, "sh", "ask.sh")
    assert ":shop/discount.py:1-2 sha256:" in run(shared_home, side, sys.executable, "ask.py")

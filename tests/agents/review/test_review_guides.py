"""The guides to reviewing and testing: every block of theirs is run, and every rule that there is stands in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDES = ("review.md", "testing.md")
IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false"]
CALC = "def double(n):\n    return n + 2\n"
TEST = (
    "import unittest\n\nimport calc\n\n\nclass Calc(unittest.TestCase):\n"
    "    def test_double(self):\n        self.assertEqual(calc.double({n}), {m})\n\n"
    "    def test_type(self):\n        self.assertIsInstance(calc.double(1), int)\n"
)


def blocks(guide: str) -> dict[str, tuple[str, str]]:
    """Return a guide's code blocks with their language, by the name that stands beside it."""
    text = (ROOT / "docs" / guide).read_text()
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^```\w", text, re.MULTILINE)) == len(found), "a block has no name by which it is run"
    return {name: (language, block) for language, name, block in found}


def project(folder: Path, guide: str) -> None:
    """A repository `project` with a branch `topic`: one to refuse for the one guide, one that mends for the other."""
    repo = folder / "project"
    (repo / "tests").mkdir(parents=True)

    def git(*args: str) -> None:
        subprocess.run(["git", *IDENTITY, *args], cwd=repo, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    number = 2 if guide == "review.md" else 3
    (repo / "calc.py").write_text(CALC)
    (repo / "tests/__init__.py").touch()
    (repo / "tests/test_calc.py").write_text(TEST.format(n=number, m=2 * number))
    git("add", "-A")
    git("commit", "-q", "-m", "Begin")
    git("checkout", "-q", "-b", "topic")
    change = "    breakpoint()\n    return n + 2\n" if guide == "review.md" else "    return n * 2\n"
    (repo / "calc.py").write_text(CALC.replace("    return n + 2\n", change))
    git("commit", "-q", "-a", "-m", "Change")


@pytest.mark.e2e
@pytest.mark.parametrize(("guide", "name"), [(guide, name) for guide in GUIDES for name in blocks(guide)])
def test_each_block_runs_as_printed(tmp_path: Path, runtime_dir: Path, guide: str, name: str) -> None:
    """On a project as the guide means it, with the real commands."""
    language, block = blocks(guide)[name]
    project(tmp_path, guide)
    if guide == "testing.md" and language == "sh":
        block = block.replace("twelvefold test main --test", "! twelvefold test main --test")  # there it fails
    (tmp_path / name).write_text(block)
    command = ["sh", "-e", name] if language == "sh" else [sys.executable, name]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "TWELVEFOLD_"))}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TWELVEFOLD_HOME": str(tmp_path / "home"),
        "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir),
    }
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240, check=False)
    subprocess.run(["twelvefold", "down"], cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if name == "review.py":
        assert done.stdout == "calc.py:2: debug-leftover: `breakpoint()` was left in (high)\n"
    elif name == "range.sh":
        assert "changes are asked for" in done.stdout
        assert '"verdict": "changes_requested"' in (tmp_path / "project/review.json").read_text()
        assert '"version": "2.1.0"' in (tmp_path / "project/review.sarif").read_text()
    elif name == "testing.py":
        assert done.stdout == "passed ['tests.test_calc.Calc.test_double'] 2\n"
    else:
        assert '"status": "passed"' in (tmp_path / "project/t.json").read_text()


def test_every_rule_is_in_the_guide() -> None:
    """A finding's rule can be looked up."""
    sources = "\n".join(file.read_text() for file in (ROOT / "agents/review").glob("*.py"))
    rules = set(re.findall(r'rule="([a-z-]+)"|_at\(\s*file, "([a-z-]+)"|number, "([a-z-]+)", f?"', sources))
    named = {rule for group in rules for rule in group if rule} - {"model", "fatal", "invalid-syntax"}
    guide = (ROOT / "docs/review.md").read_text()
    assert named
    assert {rule for rule in named if f"`{rule}`" not in guide} == set()

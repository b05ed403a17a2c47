"""Whole jobs with runners other than pytest and unittest: what is right is published, what breaks a test is not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import JobHome, git, issue, make_repo, snapshot

pytestmark = pytest.mark.e2e


class Project(NamedTuple):
    """Files with a bug in one line, what mends it, and what would break another test of it."""

    needs: str
    files: dict[str, str]
    path: str
    line: str
    right: str
    breaking: str
    named: str


ADD = "def add(a, b):\n    return a - b\n"
CASES = (
    "import unittest\n\nimport calc\n\n\nclass Calc(unittest.TestCase):\n"
    "    def test_add(self):\n        self.assertEqual(calc.add(1, 2), 3)\n\n"
    "    def test_zero(self):\n        self.assertEqual(calc.add(0, 0), 0)\n"
)
PYTHON = ("calc.py", "    return a - b", "    return a + b", "    return a * b - 1", "test_zero")
TOX = "[tox]\nenvlist = py\nskipsdist = true\n\n[testenv]\nskip_install = true\ncommands = python -m unittest -v\n"
NOX = (
    "import nox\n\n\n@nox.session(venv_backend='none')\n"
    "def tests(session):\n    session.run('python', '-m', 'unittest', 'checks.check_calc')\n"
)
NODE = (
    "const { test } = require('node:test');\nconst assert = require('node:assert');\n"
    "const { add } = require('../lib/calc.js');\n"
    "test('adds', () => assert.equal(add(1, 2), 3));\ntest('zero', () => assert.equal(add(0, 0), 0));\n"
)
RUST = (
    "pub fn add(a: i32, b: i32) -> i32 {\n    a - b\n}\n\n#[test]\nfn adds() {\n    assert_eq!(add(1, 2), 3);\n}\n\n"
    "#[test]\nfn zero() {\n    assert_eq!(add(0, 0), 0);\n}\n"
)
PROJECTS = {
    # As test_calc.py has cases that unittest finds, what configures tox must be asked for.
    "tox": Project("tox", {"tox.ini": TOX, "calc.py": ADD, "test_calc.py": CASES}, *PYTHON),
    "nox": Project(
        "nox", {"noxfile.py": NOX, "calc.py": ADD, "checks/__init__.py": "", "checks/check_calc.py": CASES}, *PYTHON
    ),
    "npm": Project(
        "npm",
        {
            "package.json": '{"name": "calc", "version": "1.0.0", "scripts": {"test": "node --test"}}\n',
            "lib/calc.js": "exports.add = (a, b) =>\n  a - b;\n",
            "test/calc.test.js": NODE,
        },
        *("lib/calc.js", "  a - b;", "  a + b;", "  a * b - 1;", "zero"),
    ),
    "cargo": Project(
        "cargo",
        {"Cargo.toml": '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n', "src/lib.rs": RUST},
        *("src/lib.rs", "    a - b", "    a + b", "    a * b - 1", "zero"),
    ),
    "make": Project(
        "make",
        {"Makefile": "test:\n\tpython -m unittest -v\n", "calc.py": ADD, "test_calc.py": CASES},
        *PYTHON,
    ),
}


#: Alike in all but their name to others that are tried each time.
LONG = ("nox", "make")


@pytest.mark.parametrize(
    ("name", "project"),
    [pytest.param(*one, id=one[0], marks=[pytest.mark.long] * (one[0] in LONG)) for one in PROJECTS.items()],
)
def test_whole_jobs(shared_home: JobHome, tmp_path: Path, name: str, project: Project) -> None:
    """The mended line becomes a branch; the one that breaks another test becomes nothing, and the test is named."""
    if shutil.which(project.needs, path=shared_home.environment["PATH"]) is None:
        pytest.skip(f"{project.needs} isn't here")
    repo = make_repo(tmp_path / f"with-{name}", project.files)
    options = ["--test-command", {"tox": "tox", "make": "make test"}[name]] if name in ("tox", "make") else []
    before = snapshot(repo)
    broken = shared_home.job(repo, issue(project.path, project.line, project.breaking), *options)
    assert broken.status == 1, broken.err
    assert [project.named in test for test in broken.json["tests"]["newly_failing"]] == [True], broken.json
    assert snapshot(repo) == before
    ended = shared_home.job(repo, issue(project.path, project.line, project.right), *options)
    assert ended.status == 0, ended.json
    tests = ended.json["tests"]
    assert (tests["before"], tests["after"]) == ({"passed": 1, "failed": 1}, {"passed": 2, "failed": 0})
    assert git(repo, "diff", "--numstat", "main", ended.json["branch"]).split() == ["1", "1", project.path]

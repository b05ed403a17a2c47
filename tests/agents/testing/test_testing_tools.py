"""TestingAgent on projects of other tools: npm with node's own runner, make, cargo, tox, nox, plain commands."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

needs_npm = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node and npm aren't here")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make isn't here")
needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo isn't here")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler isn't here")

BIN = str(Path(sys.executable).parent)
PATH = f"{BIN}:{os.environ['PATH']}"
ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
PACKAGE = '{"name": "calc", "version": "1.0.0", "scripts": {"test": "node --test"}}\n'
ADD_JS = "exports.add = (a, b) => a + b;\n"
WRONG_JS = "exports.add = (a, b) => a - b;\n"
TEST_JS = """
const { test, describe, it } = require('node:test');
const assert = require('node:assert');
const { add } = require('../lib/add.js');
test('adds', () => assert.equal(add(2, 1), 3));
describe('zero', () => { it('is neutral', () => assert.equal(add(1, 0), 1)); it.skip('later', () => {}); });
"""


def proof(outcome: Any) -> dict[str, str]:
    files: dict[str, str] = outcome.value["after"]["proof"]["files"]
    return files


@needs_npm
def test_npm_without_its_packages(project: Any) -> None:
    """Where the tool behind the script isn't installed, the reason says so."""
    project.commit({"package.json": PACKAGE.replace("node --test", "jest-of-nowhere"), "lib/add.js": ADD_JS})
    outcome = project.test({"lib/add.js": WRONG_JS})
    assert (outcome.outcome, outcome.value["status"]) == ("needs_human", "unusable")
    assert "jest-of-nowhere: not found" in str(outcome.message)


@needs_npm
def test_npm(project: Any) -> None:
    """`npm test` with node's own runner: tests are named, and Node loaded the changed file from the workspace."""
    project.commit({"package.json": PACKAGE, "lib/add.js": ADD_JS, "test/add.test.js": TEST_JS})
    outcome = project.test({"lib/add.js": WRONG_JS})
    assert outcome.reason == "newly_failing", outcome
    assert outcome.value["newly_failing"] == ["adds"]
    before = outcome.value["before"]
    assert (before["passed"], before["failed"], before["skipped"]) == (2, 0, 1)
    assert proof(outcome) == {"lib/add.js": "loaded"}


@needs_npm
def test_npm_modules(project: Any) -> None:
    """ECMAScript modules are seen to be loaded, too."""
    package = PACKAGE.replace('"version"', '"type": "module", "version"')
    test = "import { test } from 'node:test';\nimport { add } from '../lib/add.js';\n"
    test += "import assert from 'node:assert';\ntest('adds', () => assert.equal(add(2, 1), 3));\n"
    module = "export const add = (a, b) => a + b;\n"
    project.commit({"package.json": package, "lib/add.js": module, "test/add.test.js": test})
    outcome = project.test({"lib/add.js": module + "// same\n"})
    assert outcome.outcome == "succeeded", outcome
    assert proof(outcome) == {"lib/add.js": "loaded"}


@needs_npm
def test_npm_installed_and_linked_packages(project: Any) -> None:
    """Installed packages are used from where they lie, one linked to the checkout is the workspace's."""
    test = """
const { test } = require('node:test');
const assert = require('node:assert');
const fs = require('node:fs');
const part = require('part');
test('dependency', () => assert.equal(require('dep'), 'installed'));
test('linked part', () => assert.equal(part, 1));
test('cache', () => fs.mkdirSync('node_modules/.cache'));
"""
    files = {"package.json": PACKAGE, ".gitignore": "node_modules\n", "packages/part/index.js": "module.exports = 1;\n"}
    project.commit({**files, "test/it.test.js": test})
    project.write({"node_modules/dep/index.js": "module.exports = 'installed';\n"})
    (project.repo / "node_modules/part").symlink_to("../packages/part")
    (project.repo / "packages/part/index.js").write_text("throw new Error('the checkout was tested');\n")
    outcome = project.test({"packages/part/index.js": "module.exports = 1; // better\n"})
    assert outcome.outcome == "succeeded", outcome
    assert proof(outcome) == {"packages/part/index.js": "loaded"}


@needs_npm
def test_npm_leads_elsewhere(project: Any) -> None:
    """A test that loads the checkout by its absolute path makes the result unusable."""
    test = TEST_JS.replace("'../lib/add.js'", repr(str(project.repo / "lib/add.js")))
    project.commit({"package.json": PACKAGE, "lib/add.js": ADD_JS, "test/add.test.js": test})
    outcome = project.test({"lib/add.js": WRONG_JS})
    assert (outcome.outcome, outcome.value["status"]) == ("needs_human", "unusable"), outcome
    assert str(project.repo / "lib/add.js") in outcome.value["reason"]


@needs_npm
def test_npm_without_tests(project: Any) -> None:
    """npm's own placeholder is no test; a runner that finds no test decides nothing."""
    placeholder = PACKAGE.replace("node --test", 'echo \\"Error: no test specified\\" && exit 1')
    project.commit({"package.json": placeholder, "a.js": "1\n"})
    assert project.test({"a.js": "2\n"}).value["status"] == "none"
    project.commit({"package.json": PACKAGE})
    assert project.test({"a.js": "2\n"}).value["status"] == "unusable"


@needs_make
def test_make_with_pytest_behind(project: Any) -> None:
    """`make test` that runs pytest: tests are named and modules proved as if pytest had been called."""
    test = "from calc import add\ndef test_add():\n    assert add(2, 1) == 3\n"
    make = "test:\n\t@python -m pytest -q checks/check_calc.py\n"
    project.commit({"calc.py": ADD, "checks/check_calc.py": test, "Makefile": make})
    outcome = project.test({"calc.py": WRONG}, path=PATH)
    assert outcome.value["kind"] == "make"
    assert outcome.value["newly_failing"] == ["checks/check_calc.py::test_add"], outcome
    assert proof(outcome) == {"calc.py": "imported"}


@needs_make
@needs_cc
def test_make_with_a_compiler(project: Any) -> None:
    """`make test` of a C program is judged by its exit code; that the changed file was read proves the place."""
    files = {
        "add.c": "int add(int a, int b) { return a + b; }\n",
        "check.c": "int add(int, int); int main(void) { return add(2, 1) == 3 ? 0 : 1; }\n",
        "Makefile": "test: check\n\t./check\n\ncheck: check.c add.c\n\tcc -o check check.c add.c\n",
        "notes.c": "/* compiled by nothing */\n",
    }
    project.commit(files)
    good = project.test({"add.c": "int add(int a, int b) { return b + a; }\n"})
    assert (good.outcome, good.value["kind"]) == ("succeeded", "make"), good
    assert proof(good) == {"add.c": "read"}
    assert good.value["after"]["passed"] is None
    assert "exit code alone" in good.value["reason"]
    bad = project.test({"add.c": "int add(int a, int b) { return a - b; }\n"})
    assert bad.reason == "newly_failing", bad
    unread = project.test({"notes.c": "/* changed */\n"})
    assert (unread.outcome, unread.value["status"]) == ("needs_human", "unusable"), unread


@needs_cargo
def test_cargo(project: Any) -> None:
    """`cargo test` names its tests, builds in the workspace and leaves no build behind."""
    code = "pub fn add(a: i32, b: i32) -> i32 { a + b }\n"
    tests = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() { assert_eq!(super::add(2, 1), 3); }\n"
    tests += "    #[test]\n    fn zero() { assert_eq!(super::add(1, 0), 1); }\n}\n"
    manifest = '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n'
    project.commit({"Cargo.toml": manifest, "src/lib.rs": code + tests})
    outcome = project.test({"src/lib.rs": code.replace("a + b", "a - b") + tests})
    assert outcome.reason == "newly_failing", outcome
    assert outcome.value["newly_failing"] == ["calc unittests src/lib.rs: tests::adds"]
    assert outcome.value["before"]["passed"] == 2
    assert proof(outcome) == {"src/lib.rs": "built"}


TOX = """
[tox]
env_list = py
skipsdist = true

[testenv]
skip_install = true
commands = python -m unittest -v
"""
CASES = """
import unittest, calc
class T(unittest.TestCase):
    def test_it(self):
        self.assertEqual(calc.add(1, 2), 3)
"""


def test_tox(project: Any) -> None:
    """tox keeps variables out of its environments; the recorder gets in all the same and proves what was imported."""
    project.commit({"tox.ini": TOX, "calc.py": ADD, "test_calc.py": CASES})
    outcome = project.test({"calc.py": WRONG}, test_command="tox", path=PATH)
    assert outcome.value["newly_failing"] == ["test_calc.T.test_it"], outcome
    assert proof(outcome) == {"calc.py": "imported"}


@pytest.mark.long
def test_tox_installs_a_copy(project: Any) -> None:
    """Where tox tests an installed copy, the copy's bytes are compared with the workspace's."""
    install = """
import pathlib, shutil, sysconfig
shutil.copy("src/calc.py", sysconfig.get_path("purelib"))
"""
    ini = TOX.replace("commands = ", "commands =\n    python install.py\n    ").replace("-v", "-v tests/test_calc.py")
    files = {"tox.ini": ini, "install.py": install, "src/calc.py": ADD, "tests/test_calc.py": CASES}
    project.commit(files)
    outcome = project.test({"src/calc.py": WRONG}, test_command="tox -q", path=PATH)
    assert outcome.reason == "newly_failing", outcome
    assert proof(outcome) == {"src/calc.py": "copied"}
    stale = "import pathlib, sysconfig\npathlib.Path(sysconfig.get_path('purelib'), 'calc.py').write_text("
    project.commit({"install.py": stale + repr(ADD) + ")\n"})
    doubted = project.test({"src/calc.py": WRONG}, test_command="tox -q", path=PATH)
    assert doubted.value["status"] == "unusable", doubted
    assert proof(doubted) == {"src/calc.py": "stale"}


def test_nox(project: Any) -> None:
    """nox is found from noxfile.py where nothing else says how to test, and its session's tests are named."""
    noxfile = """
import nox

@nox.session(venv_backend="none")
def tests(session):
    session.run("python", "-m", "unittest", "checks.check_calc")
"""
    project.commit({"noxfile.py": noxfile, "calc.py": ADD, "checks/check_calc.py": CASES, "checks/__init__.py": ""})
    outcome = project.test({"calc.py": WRONG}, path=PATH)
    assert outcome.value["kind"] == "nox"
    assert outcome.value["newly_failing"] == ["checks.check_calc.T.test_it"], outcome
    assert proof(outcome) == {"calc.py": "imported"}


@pytest.mark.long
def test_shell_command(project: Any) -> None:
    """A command for a shell is run by one; pytest within it is seen all the same."""
    test = "from calc import add\ndef test_add():\n    assert add(2, 1) == 3\n"
    project.commit({"src/calc.py": ADD, "tests/test_calc.py": test})
    command = f"cd tests && {sys.executable} -m pytest -q | cat"
    outcome = project.test({"src/calc.py": WRONG}, test_command=command)
    assert outcome.value["kind"] == "command"
    assert outcome.reason == "newly_failing", outcome
    assert proof(outcome) == {"src/calc.py": "imported"}


@pytest.mark.long
def test_assignments_before_the_command(project: Any) -> None:
    """Variables set before the command reach the tests; a PYTHONPATH among them doesn't hide the recorder."""
    test = (
        "import os\nfrom calc import add\ndef test_add():\n    assert os.environ['MODE'] == 'on' and add(2, 1) == 3\n"
    )
    project.commit({"odd/calc.py": ADD, "tests/test_calc.py": test})
    command = f"MODE=on PYTHONPATH=odd {sys.executable} -m pytest -q"
    outcome = project.test({"odd/calc.py": ADD + "#\n"}, test_command=command)
    assert outcome.outcome == "succeeded", outcome
    assert proof(outcome) == {"odd/calc.py": "imported"}


@pytest.mark.long
@needs_make
def test_makefile_that_sets_the_path(project: Any) -> None:
    """A Makefile that sets PYTHONPATH itself, as many do, doesn't put the recorder out."""
    test = "from calc import add\ndef test_add():\n    assert add(2, 1) == 3\n"
    make = "test:\n\tPYTHONPATH=lib python -m pytest -q checks/check_calc.py\n"
    project.commit({"lib/calc.py": ADD, "checks/check_calc.py": test, "Makefile": make})
    outcome = project.test({"lib/calc.py": WRONG}, path=PATH)
    assert outcome.value["newly_failing"] == ["checks/check_calc.py::test_add"], outcome
    assert proof(outcome) == {"lib/calc.py": "imported"}


def test_programs_with_a_path(project: Any) -> None:
    """A script of the repository is the workspace's; a program of the repository's own environment is used."""
    check = "#!/bin/sh\ngrep -q right answer.rb\n"
    project.commit({"check": check, "answer.rb": "right\n", ".gitignore": ".venv\n"})
    (project.repo / "check").chmod(0o755)
    project.git("commit", "-qam", "Make it a program")
    (project.repo / "check").write_text("#!/bin/sh\nexit 0\n")
    outcome = project.test({"answer.rb": "wrong\n"}, test_command="./check")
    assert outcome.reason == "newly_failing", outcome
    own = project.repo / ".venv" / "bin"
    project.write({".venv/pyvenv.cfg": "", ".venv/bin/python": "", ".venv/bin/check": check})
    (own / "check").chmod(0o755)
    outcome = project.test({"answer.rb": "wrong\n"}, test_command=".venv/bin/check")
    assert outcome.reason == "newly_failing", outcome
    assert outcome.value["command"] == ".venv/bin/check"


def test_short_temporary_folder(project: Any) -> None:
    """Tests can bind sockets below their temporary folder, and nothing of it is left."""
    test = """
import socket
def test_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "a-socket-of-the-tests"))
"""
    project.commit({"calc.py": ADD, "test_socket.py": test})
    assert project.test({"calc.py": ADD + "#\n"}).outcome == "succeeded"

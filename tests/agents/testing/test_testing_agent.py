"""TestingAgent on Python projects: real repositories, real pytest and unittest, real editable installs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.testing import TestingAgent

ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
TEST = """
from calc import add

def test_add():
    assert add(2, 1) == 3

def test_zero():
    assert add(1, 0) == 1
"""
SRC = {
    "pyproject.toml": "[project]\nname = 'calc'\nversion = '1'\n[tool.pytest.ini_options]\naddopts = '-q'\n",
    "src/calc/__init__.py": "from .adding import add\n",
    "src/calc/adding.py": ADD,
    "tests/test_calc.py": TEST,
}


def make_venv(folder: Path) -> Path:
    """A virtual environment with this one's pytest and nothing else of it; returns its site-packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in ("pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments"):
        source = Path(next(p for p in sys.path if p.endswith("site-packages"))) / name
        (site / name).symlink_to(source)
    for version in ("pytest", "pluggy", "iniconfig", "packaging"):
        for info in Path(pytest.__file__).parent.parent.glob(f"{version}-*.dist-info"):
            (site / info.name).symlink_to(info)
    script = folder / "bin" / "pytest"
    script.write_text(f"#!{folder / 'bin/python'}\nimport sys, pytest\nsys.exit(pytest.console_main())\n")
    script.chmod(0o755)
    return site


def how(outcome: Any, side: str = "after") -> dict[str, str]:
    files: dict[str, str] = outcome.value[side]["proof"]["files"]
    return files


def test_flat_passes(project: Any) -> None:
    """A harmless change to a flat layout passes, with counts, and the proof that the changed module was imported."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"calc.py": ADD + "# same\n"})
    assert outcome.outcome == "succeeded", outcome
    value = outcome.value
    assert (value["status"], value["kind"]) == ("passed", "pytest")
    assert (value["before"]["passed"], value["after"]["passed"]) == (2, 2)
    assert how(outcome) == {"calc.py": "imported"}
    assert "tests" in [one.kind for one in outcome.evidence]


def test_new_failure(project: Any) -> None:
    """A change that breaks a test fails, naming the test."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"calc.py": WRONG})
    assert (outcome.outcome, outcome.reason) == ("failed", "newly_failing")
    assert outcome.value["newly_failing"] == ["test_calc.py::test_add"]
    assert outcome.value["after"]["failed"] == 1


@pytest.mark.long
def test_repair_is_named(project: Any) -> None:
    """A change that repairs a test passes, naming it; another failure that was there before isn't held against it."""
    known = "\ndef test_known():\n    assert False\n"
    project.commit({"calc.py": WRONG, "test_calc.py": TEST + known})
    outcome = project.test({"calc.py": ADD})
    assert outcome.outcome == "succeeded"
    assert outcome.value["newly_passing"] == ["test_calc.py::test_add"]
    assert outcome.value["after"]["failed"] == 1
    assert "1 fail as before" in outcome.value["reason"]


def test_readme_only(project: Any) -> None:
    """A change of documentation needs no module proof, but its tests ran in the workspace all the same."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST, "README.md": "old"})
    outcome = project.test({"README.md": "new"})
    assert outcome.outcome == "succeeded"
    assert how(outcome) == {"README.md": "not code"}
    assert outcome.value["after"]["passed"] == 2


def test_own_venv_with_path_file(project: Any) -> None:
    """The repository's .venv holds an editable install of the checkout by a .pth file; the workspace is tested."""
    project.commit({**SRC, ".gitignore": ".venv\n"})
    site = make_venv(project.repo / ".venv")
    (site / "__editable__.calc.pth").write_text(f"{project.repo / 'src'}\n")
    outcome = project.test({"src/calc/adding.py": WRONG})
    assert outcome.reason == "newly_failing", outcome
    assert how(outcome) == {"src/calc/adding.py": "imported"}
    assert outcome.value["after"]["proof"]["pythons"] == [str(project.repo / ".venv/bin/python")]


@pytest.mark.parametrize("place", ["append", "insert"])
def test_own_venv_with_finder(project: Any, place: str) -> None:
    """An editable install by an import hook: behind the path it's harmless, before it the result can't count."""
    project.commit({**SRC, ".gitignore": ".venv\n"})
    site = make_venv(project.repo / ".venv")
    finder = f"""
import importlib.util, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "calc":
            return importlib.util.spec_from_file_location(name, {str(project.repo / "src/calc/__init__.py")!r})
{"sys.meta_path.append(Finder)" if place == "append" else "sys.meta_path.insert(0, Finder)"}
"""
    (site / "__editable___calc_finder.py").write_text(finder)
    (site / "__editable__.calc.pth").write_text("import __editable___calc_finder\n")
    outcome = project.test({"src/calc/adding.py": WRONG})
    if place == "append":
        assert outcome.reason == "newly_failing", outcome
    else:
        assert (outcome.outcome, outcome.reason) == ("needs_human", "tests_unusable"), outcome
        assert outcome.value["status"] == "unusable"
        assert str(project.repo / "src/calc") in outcome.value["reason"]
        assert "--allow-untested" in outcome.message


@pytest.mark.long
def test_unusable_but_allowed(project: Any) -> None:
    """With allow_untested an unusable result succeeds, and still says that it is unusable and why."""
    project.commit({"calc.py": ADD, "test_calc.py": "import nowhere_to_be_found\n\ndef test_x(): pass\n"})
    asked = project.test({"calc.py": ADD + "#\n"})
    assert (asked.outcome, asked.reason) == ("needs_human", "tests_unusable")
    assert "test_calc.py could not be loaded" in asked.value["reason"]
    allowed = project.test({"calc.py": ADD + "#\n"}, allow_untested=True)
    assert (allowed.outcome, allowed.value["status"]) == ("succeeded", "unusable")


@pytest.mark.parametrize("layout", ["src", "flat"])
def test_real_editable_install(project: Any, layout: str) -> None:
    """An editable install made by pip itself doesn't lead the tests to the checkout, dirty as that is."""
    files = {key.removeprefix("src/") if layout == "flat" else key: text for key, text in SRC.items()}
    build = "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
    files["pyproject.toml"] = build + files["pyproject.toml"]
    project.commit({**files, ".gitignore": ".venv\n"})
    site = make_venv(project.repo / ".venv")
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling isn't installed beside pytest")
    subprocess.run([*argv, "--target", str(site), "-e", str(project.repo)], check=True, capture_output=True)
    assert list(site.glob("*.pth"))
    name = "src/calc/adding.py" if layout == "src" else "calc/adding.py"
    (project.repo / name).write_text("raise SystemExit('the checkout was tested')\n")
    outcome = project.test({name: ADD + "# better\n"})
    assert outcome.outcome == "succeeded", outcome
    assert how(outcome) == {name: "imported"}


def test_caller_path_and_console_script(project: Any, tmp_path: Path) -> None:
    """A given `pytest` is the one on the caller's PATH, with the interpreter of its first line, wherever that lies."""
    project.commit(SRC)
    site = make_venv(tmp_path / "venv")
    (site / "calc.pth").write_text(f"{project.repo / 'src'}\n")
    path = f"{tmp_path / 'venv/bin'}:{os.environ['PATH']}"
    outcome = project.test({"src/calc/adding.py": WRONG}, test_command="pytest -q tests", path=path)
    assert outcome.reason == "newly_failing", outcome
    assert outcome.value["after"]["proof"]["pythons"] == [str(tmp_path / "venv/bin/python")]


def test_module_that_no_test_imports(project: Any) -> None:
    """A changed module that the tests never import resolves in the workspace, by the interpreter's own word."""
    project.commit({**SRC, "src/calc/unused.py": "x = 1\n"})
    outcome = project.test({"src/calc/unused.py": "x = 2\n"})
    assert outcome.outcome == "succeeded", outcome
    assert how(outcome) == {"src/calc/unused.py": "resolves"}


def test_conftest_leads_elsewhere(project: Any) -> None:
    """A conftest.py that puts the checkout first on sys.path makes the result unusable, naming the file."""
    conftest = f"import sys\nsys.path.insert(0, {str(project.repo)!r})\n"
    project.commit({"calc.py": ADD, "tests/test_calc.py": TEST, "conftest.py": conftest})
    outcome = project.test({"calc.py": WRONG})
    assert (outcome.outcome, outcome.value["status"]) == ("needs_human", "unusable"), outcome
    assert str(project.repo / "calc.py") in outcome.value["reason"]


def test_isolated_interpreter_proves_nothing(project: Any) -> None:
    """`python -I` hides the recorder, so nothing shows what was imported, and the result doesn't count."""
    project.commit({"calc.py": ADD, "test_calc.py": "import sys; sys.path.insert(0, '.')\n" + TEST})
    outcome = project.test({"calc.py": WRONG}, test_command=f"{sys.executable} -I -m pytest")
    assert (outcome.outcome, outcome.value["status"]) == ("needs_human", "unusable"), outcome
    assert "nothing shows" in outcome.value["reason"]


def test_unittest(project: Any) -> None:
    """unittest cases are found without any configuration and named; sub-tests and skipped ones count rightly."""
    cases = """
import unittest
from calc import add

class Adding(unittest.TestCase):
    def test_add(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertEqual(add(n, 1), n + 1)

    @unittest.skip("later")
    def test_later(self):
        pass

    @unittest.expectedFailure
    def test_known(self):
        self.assertEqual(add(1, 1), 3)

if __name__ == "__main__":
    unittest.main()
"""
    project.commit({"calc.py": ADD, "tests/test_adding.py": cases, "tests/__init__.py": ""})
    command = f"{sys.executable} -m unittest"
    outcome = project.test({"calc.py": WRONG}, test_command=command)
    assert outcome.reason == "newly_failing"
    assert outcome.value["newly_failing"] == ["tests.test_adding.Adding.test_add"]
    counts = outcome.value["before"]
    assert (counts["passed"], counts["failed"], counts["skipped"]) == (2, 0, 1)
    assert how(outcome) == {"calc.py": "imported"}


def test_unittest_found(project: Any, tmp_path: Path) -> None:
    """Without pytest anywhere, unittest cases run with the standard library's runner, in a folder without package."""
    cases = """
import unittest, calc
class T(unittest.TestCase):
    def test_it(self):
        self.assertEqual(calc.add(1, 2), 3)
"""
    project.commit({"calc.py": ADD, "tests/test_it.py": cases})
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    outcome = project.test({"calc.py": ADD + "#\n"}, path=f"{tmp_path / 'venv/bin'}:/usr/bin:/bin")
    assert (outcome.outcome, outcome.value["kind"]) == ("succeeded", "unittest"), outcome
    assert outcome.value["after"]["passed"] == 1


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ({"test_calc.py": "import missing_module\n" + TEST}, "could not be loaded"),
        ({"test_calc.py": "x = 1\n", "conftest.py": ""}, "no test"),
        ({"test_calc.py": TEST, "conftest.py": "raise RuntimeError('broken')\n"}, "refused"),
        ({"test_calc.py": TEST, "pytest.ini": "[pytest]\naddopts = --no-such-option\n"}, "refused"),
    ],
    ids=["import", "none-collected", "conftest", "usage"],
)
def test_stopped_before_and_after(project: Any, tests: dict[str, str], reason: str) -> None:
    """A run that stops, or collects nothing, before and after the change decides nothing: a person must."""
    project.commit({"calc.py": ADD, **tests})
    outcome = project.test({"calc.py": WRONG})
    assert (outcome.outcome, outcome.value["status"]) == ("needs_human", "unusable"), outcome
    assert reason in outcome.value["reason"]


@pytest.mark.long
def test_import_error_after(project: Any) -> None:
    """A change after which a test module can't be loaded fails, naming the module."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"calc.py": "def add(:\n"})
    assert outcome.reason == "newly_failing"
    assert outcome.value["newly_failing"] == ["test_calc.py"]


@pytest.mark.long
def test_module_that_skips_itself_after(project: Any) -> None:
    """A change that can't be imported doesn't pass by `importorskip`."""
    skipping = (
        "import pytest\n\ncalc = pytest.importorskip('calc')\n\ndef test_add():\n    assert calc.add(2, 2) == 4\n"
    )
    project.commit({"calc.py": ADD, "test_calc.py": skipping, "test_more.py": "def test_more(): pass\n"})
    outcome = project.test({"calc.py": "import nowhere_to_be_found\n" + ADD})
    assert outcome.reason == "newly_failing"
    assert outcome.value["newly_failing"] == ["test_calc.py::test_add"]


def test_exit_in_the_middle(project: Any) -> None:
    """A change that ends the interpreter with exit code 0 in the middle of the tests fails."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST, "test_a.py": "def test_a(): pass\n"})
    outcome = project.test({"calc.py": "import os\n\ndef add(a, b):\n    os._exit(0)\n"})
    assert outcome.reason == "newly_failing"
    assert "in the middle" in outcome.value["reason"]


def test_why_nothing_ran_is_said(project: Any) -> None:
    """Where the tests can't be loaded, the question says what Python said."""
    project.commit({"calc.py": ADD, "conftest.py": "import nowhere_to_be_found\n", "test_calc.py": TEST})
    outcome = project.test({"calc.py": WRONG})
    assert outcome.outcome == "needs_human"
    assert "No module named 'nowhere_to_be_found'" in str(outcome)


def test_what_a_killed_holder_left_is_removed(project: Any) -> None:
    """The temporary folder of a holder that was killed goes when the task is done again."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    assert project.test({"calc.py": ADD + "#\n"}, killed_before=True).outcome == "succeeded"


def test_command_not_found(project: Any) -> None:
    """A command that isn't there is said to be missing; nothing passes by it."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"calc.py": WRONG}, test_command="no-such-runner --fast")
    assert (outcome.outcome, outcome.reason) == ("needs_human", "tests_unusable")
    assert "no-such-runner isn't installed" in outcome.value["reason"]


def test_no_tests_at_all(project: Any) -> None:
    """A repository without tests succeeds with tests null, and says that nothing was tested."""
    project.commit({"notes.md": "a", "calc.py": ADD})
    outcome = project.test({"notes.md": "b"})
    assert outcome.outcome == "succeeded"
    assert outcome.value["tests"] is None
    assert outcome.value["status"] == "none"
    assert "nothing was tested" in outcome.value["reason"]


@pytest.mark.long
def test_disappeared_is_named(project: Any) -> None:
    """A test that passed before and is gone afterwards is named, though nothing fails."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"test_calc.py": TEST.partition("def test_zero")[0], "calc.py": ADD + "#\n"})
    assert outcome.outcome == "succeeded"
    assert outcome.value["disappeared"] == ["test_calc.py::test_zero"]


@pytest.mark.long
def test_flaky_before_is_not_held_against(project: Any, tmp_path: Path) -> None:
    """A test that fails at times without the change, too, is told apart by running again, and recorded as flaky."""
    counter = tmp_path / "count"
    project.trial.settings = AgentSettings(writable=(tmp_path,))
    # Passes, fails, passes, then fails in the runs without the change.
    flaky = f"""
from pathlib import Path
def test_flaky():
    count = Path({str(counter)!r})
    n = int(count.read_text()) if count.exists() else 0
    count.write_text(str(n + 1))
    assert n in (0, 2)
"""
    project.commit({"calc.py": ADD, "test_calc.py": TEST, "test_flaky.py": flaky})
    outcome = project.test({"calc.py": ADD + "#\n"})
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["flaky"] == ["test_flaky.py::test_flaky"]


@pytest.mark.long
def test_unsteady_only_after_counts(project: Any, tmp_path: Path) -> None:
    """A test that fails at times with the change, and was never seen to fail without it, counts as newly failing."""
    counter = tmp_path / "count"
    project.trial.settings = AgentSettings(writable=(tmp_path,))
    unsteady = f"from pathlib import Path\nP = Path({str(counter)!r})\nOLD = True\n"
    body = """
def test_unsteady():
    n = int(P.read_text()) if P.exists() else 0
    P.write_text(str(n + 1))
    assert OLD or n != 1
"""
    project.commit({"state.py": unsteady, "test_unsteady.py": "from state import *\n" + body})
    outcome = project.test({"state.py": unsteady.replace("OLD = True", "OLD = False")})
    assert outcome.reason == "newly_failing", outcome
    assert outcome.value["unsteady"] == ["test_unsteady.py::test_unsteady"]
    assert "passed when run again" in outcome.value["reason"]


def test_nothing_of_the_caller_leaks(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's pytest options, paths and virtual environment don't reach the tests, nor is the checkout in them."""
    seen = """
import json, os
def test_env():
    bad = {k: v for k, v in os.environ.items() if k in ("VIRTUAL_ENV", "PYTEST_ADDOPTS", "GIT_DIR", "TWELVEFOLD_HOME")}
    bad |= {k: v for k, v in os.environ.items() if %r in v}
    assert not bad
    assert os.environ["HOME"]
"""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("VIRTUAL_ENV", str(project.repo))
    monkeypatch.setenv("PYTHONPATH", str(project.repo))
    monkeypatch.setenv("GIT_DIR", str(project.repo / ".git"))
    monkeypatch.setenv("TWELVEFOLD_HOME", "x")
    monkeypatch.setenv("OLDPWD", str(project.repo))
    project.commit({"calc.py": ADD, "test_env.py": seen % str(project.repo)})
    outcome = project.test({"calc.py": ADD + "#\n"})
    assert outcome.outcome == "succeeded", outcome


@pytest.mark.long
def test_tests_that_run_tests(project: Any) -> None:
    """What a test starts as a test run of its own isn't counted as the project's result."""
    nested = """
import subprocess, sys, unittest
pytest_plugins = "pytester"

def test_subprocess(tmp_path):
    (tmp_path / "test_inner.py").write_text("def test_fails(): assert False")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True)
    assert done.returncode == 1, done

def test_pytester(pytester):
    pytester.makepyfile("def test_inner_fails(): assert False")
    pytester.runpytest().assert_outcomes(failed=1)

def test_unittest():
    class Inner(unittest.TestCase):
        def test_fails(self):
            self.fail()
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Inner).run(result)
    assert len(result.failures) == 1
"""
    project.commit({"calc.py": ADD, "test_nested.py": nested})
    outcome = project.test({"calc.py": ADD + "#\n"})
    assert outcome.outcome == "succeeded", outcome
    assert (outcome.value["after"]["passed"], outcome.value["after"]["failed"]) == (3, 0)


@pytest.mark.long
def test_parallel_workers(project: Any) -> None:
    """Under pytest-xdist each test is counted once, and what the workers imported is the proof."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"calc.py": WRONG}, test_command=f"{sys.executable} -m pytest -n 2")
    assert outcome.value["newly_failing"] == ["test_calc.py::test_add"], outcome
    assert outcome.value["before"]["passed"] == 2
    assert how(outcome) == {"calc.py": "imported"}


@pytest.mark.long
def test_phases_count_once(project: Any) -> None:
    """A failing set-up or teardown is an error of its test, an expected failure is none, and each test counts once."""
    tests = """
import pytest
from calc import add

@pytest.fixture
def broken():
    yield
    assert add(1, 1) == 2

def test_teardown(broken): pass

@pytest.mark.xfail
def test_expected(): assert False

@pytest.mark.skip
def test_skipped(): assert False
"""
    project.commit({"calc.py": ADD, "test_phases.py": tests})
    outcome = project.test({"calc.py": WRONG})
    before, after = outcome.value["before"], outcome.value["after"]
    assert (before["passed"], before["failed"], before["skipped"]) == (2, 0, 1)
    assert (after["passed"], after["failed"], after["skipped"]) == (1, 1, 1)
    assert outcome.value["newly_failing"] == ["test_phases.py::test_teardown"]


def test_redelivered_task_runs_nothing_twice(project: Any) -> None:
    """A task that is delivered again answers from the recorded runs, and the whole report is in the log."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    first = project.test({"calc.py": WRONG})
    runs = project.trial.events("effect.completed")
    assert len(runs) == 3  # before, after, and once more for the failing test
    assert runs[1].data["result"]["results"]["tests"]["test_calc.py::test_add"] == "failed"
    again = project.trial.deliver(TestingAgent(), project.request, delivery=2)
    assert (again.outcome, again.value) == (first.outcome, first.value)
    assert len(project.trial.events("effect.completed")) == 3

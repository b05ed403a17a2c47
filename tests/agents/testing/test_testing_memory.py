"""A base whose tests ran before isn't tested again, where everything that decides the result is the same."""

from __future__ import annotations

import venv
from pathlib import Path
from typing import Any

import pytest

from tests.agents.testing.conftest import Project
from twelvefold.agents.agent_settings import AgentSettings

CODE = {
    ".gitignore": ".venv\n",
    "calc/__init__.py": "",
    "calc/core.py": "def add(a, b):\n    return a + b\n",
    "calc/more.py": "def double(a):\n    return 2 * a\n",
    "calc/unused.py": "x = 1\n",
    "tests/__init__.py": "",
    "tests/test_calc.py": "import unittest\n\nfrom calc.core import add\nfrom calc.more import double\n\n\n"
    "class Calc(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n\n"
    "    def test_double(self):\n        self.assertEqual(double(2), 4)\n",
}
CORE = {"calc/core.py": "def add(a, b):\n    return b + a\n"}
MORE = {"calc/more.py": "def double(a):\n    return a + a\n"}


@pytest.fixture(autouse=True)
def site(project: Project) -> Path:
    """Where the project's own environment has its packages: none, so that nothing around these tests matters."""
    venv.create(project.repo / ".venv", symlinks=True)
    (found,) = (project.repo / ".venv" / "lib").glob("python*/site-packages")
    return found


def cached(outcome: Any) -> Any:
    return outcome.value["before"]["cached"]


def test_another_change_of_the_same_base_is_compared_with_what_is_known(project: Project) -> None:
    """The base's result is that of the first run, which is said, proved for the other file, and is evidence."""
    project.commit(CODE)
    first = project.test(CORE)
    run = project.request.run
    second = project.test(MORE)
    assert cached(first) is None
    assert cached(second)["run"] == run
    assert second.value["status"] == "passed"
    assert (second.value["before"]["passed"], second.value["after"]["passed"]) == (2, 2)
    assert second.value["before"]["proof"]["files"] == {"calc/more.py": "imported"}
    assert [one.kind for one in second.evidence].count("tests") == 2
    assert second.value["after"]["cached"] is None, "what is to be judged is never taken from a record"


@pytest.mark.parametrize("how", ["command", "variable", "package", "linked", "tree", "damaged"])
def test_what_decides_a_result_decides_whether_it_is_known(
    project: Project, site: Path, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another command, variable, installed package or tree, or a file that isn't whole: the tests run."""
    linked = tmp_path / "sister"
    linked.mkdir()
    (linked / "module.py").write_text("changed = False\n")
    (site / "sister.pth").write_text(f"{linked}\n")
    project.commit(CODE)
    project.test(CORE)
    assert cached(project.test(MORE)) is not None
    again: dict[str, Any] = {}
    if how == "command":
        again = {"test_command": "python -m unittest -q"}
    elif how == "variable":
        monkeypatch.setenv("MY_PROJECT_SETTING", "other")
    elif how == "package":
        (site / "other-1.0.dist-info").mkdir()
    elif how == "linked":
        (linked / "module.py").write_text("changed = True\n")
    elif how == "tree":
        project.commit({"data.txt": "x\n"})
    else:
        (file,) = (project.home / "cache" / "tests").glob("*.json")
        file.write_bytes(file.read_bytes()[:-10])
    assert cached(project.test(MORE, **again)) is None


def test_a_file_that_nobody_was_seen_to_load_is_tested_again(project: Project) -> None:
    """What is kept must prove that the base's own file was tested; for one that no test loads it doesn't."""
    project.commit(CODE)
    project.test(CORE)
    assert cached(project.test({"calc/unused.py": "x = 2\n"})) is None


def test_nothing_is_held_against_a_change_by_a_kept_result(project: Project) -> None:
    """Where tests fail newly, the base is tested for this task, too."""
    project.commit(CODE)
    project.test(CORE)
    outcome = project.test({"calc/more.py": "def double(a):\n    return a\n"})
    assert outcome.value["newly_failing"] == ["tests.test_calc.Calc.test_double"]
    assert cached(outcome) is None


def test_unsteady_tests_are_no_measure(project: Project, tmp_path: Path) -> None:
    """Once tests came out now so, now so, what was kept of them is dropped, and nothing is kept in its place."""
    count = tmp_path / "count"
    project.trial.settings = AgentSettings(writable=(tmp_path,))
    # Passes without and fails with the change, passes with it when run again, then fails without it.
    flaky = f"""
import unittest
from pathlib import Path
class Flaky(unittest.TestCase):
    def test_flaky(self):
        count = Path({str(count)!r})
        n = int(count.read_text()) if count.exists() else 0
        count.write_text(str(n + 1))
        self.assertIn(n, (0, 2))
"""
    project.commit({**CODE, "tests/test_flaky.py": flaky})
    outcome = project.test(CORE)
    assert outcome.value["flaky"] == ["tests.test_flaky.Flaky.test_flaky"]
    assert not list((project.home / "cache" / "tests").glob("*.json"))


def test_a_script_may_do_anything_and_is_always_run(project: Project) -> None:
    """Of a command that isn't a runner nobody knows what decides its result."""
    project.commit(CODE)
    command = {"test_command": "python -m unittest && true"}
    project.test(CORE, **command)
    assert cached(project.test(MORE, **command)) is None

"""TestingAgent on Python projects: real repositories, real pytest and unittest, real editable installs."""

from __future__ import annotations

from typing import Any

ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
TEST = """
from calc import add

def test_add():
    assert add(2, 1) == 3

def test_zero():
    assert add(1, 0) == 1
"""


def test_flat_passes(project: Any) -> None:
    """A harmless change to a flat layout passes, with counts, and the proof that the changed module was imported."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"calc.py": ADD + "# same\n"})
    assert outcome.outcome == "succeeded", outcome
    value = outcome.value
    assert (value["status"], value["kind"], value["before"]["passed"], value["after"]["passed"]) == (
        "passed",
        "pytest",
        2,
        2,
    )
    assert value["after"]["proof"]["files"] == {"calc.py": "imported"}
    assert "tests" in [one.kind for one in outcome.evidence]


def test_new_failure(project: Any) -> None:
    """A change that breaks a test fails, naming the test."""
    project.commit({"calc.py": ADD, "test_calc.py": TEST})
    outcome = project.test({"calc.py": WRONG})
    assert (outcome.outcome, outcome.reason) == ("failed", "newly_failing")
    assert outcome.value["newly_failing"] == ["test_calc.py::test_add"]
    assert outcome.value["after"]["failed"] == 1
